//! Consumer groups of the classic and of the consumer protocol, and the offsets that they commit.
//!
//! # Words
//!
//! - A **group** is a name under which members share work. Its **generation** counts the finished
//!   joins; its **leader** is the member that computes the assignment.
//! - A **dynamic** member is known by its member id alone; a **static** one keeps its place through
//!   restarts by its group instance id.
//! - A **committed offset** is a position per group and partition. A **pending** one was committed
//!   inside a transaction and waits for the transaction's marker.
//! - A **simple** group has offsets and no members ever.
//!
//! # Invariants
//!
//! - Every request is answered exactly once, even when its group disappears.
//! - A generation never goes back while the group is known; an assignment is handed out only after
//!   it is in the log.
//! - What a reader can see (offsets, stable groups) is what a replay of the log gives.
//! - A pending offset is visible to nobody; a reader who asks for stable offsets is told
//!   `UNSTABLE_OFFSET_COMMIT` while one exists for its partition.
//!
//! # The machine, by file
//!
//! `state` and `member` are a group's data; `join`, `static_member`, `rebalance`, `sync`,
//! `heartbeat` and `leave` move it; `offsets` is the table of offsets, `commit` and `fetch` its
//! doors; `admin` describes, lists and deletes, `offset_delete` deletes offsets alone; `change` and
//! `record` are what goes to the log and in which layout; `append` finishes what waited for the log
//! and `load` rebuilds from it; `expiry` forgets; `refuse` answers what cannot be served.
//!
//! `consumer` holds the groups of the consumer protocol (KIP-848), and says for itself how they live
//! beside the classic ones.
//!
//! Deliberately absent: groups of the share and streams protocols.

mod admin;
mod append;
mod change;
mod commit;
mod config;
mod consumer;
mod coordinator;
mod expiry;
mod fetch;
mod heartbeat;
mod join;
mod leave;
mod load;
mod member;
mod offset_delete;
mod offsets;
mod rebalance;
mod record;
mod refuse;
mod request;
mod state;
mod static_member;
mod sync;

pub use config::GroupConfig;
pub use consumer::{ConsumerGroupConfig, ConsumerGroupOverrides, MigrationPolicy, ServerAssignor};
pub use coordinator::GroupCoordinator;
pub use request::{GroupEffect, GroupRequest, GroupResponse, TopicDirectory};

#[cfg(test)]
mod tests;
