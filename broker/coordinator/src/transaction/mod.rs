//! Transactional ids, their producers, and the two-step end of a transaction.
//!
//! # Words
//!
//! - A **transactional id** is a name that outlives its client. It owns one **producer id** at a
//!   time; the **producer epoch** tells the holders of that id apart, and the highest one holds.
//! - **Version 1** of transactions (KIP-98): one epoch per session of a client; partitions are added
//!   by requests of their own. **Version 2** (KIP-890): one epoch per transaction; a write adds its
//!   partition itself, and the end of a transaction raises the epoch. The version of EndTxn tells
//!   which one a client speaks (5 and later: version 2).
//!
//! # States
//!
//! ```text
//!            add partitions             EndTxn                  all markers written
//!   Empty ------------------> Ongoing --------> PrepareCommit --------------------> CompleteCommit
//!     ^                          |  \---------> PrepareAbort ---------------------> CompleteAbort
//!     |                          |                  ^                                   |
//!     |                          +--- time is up ---+                                   |
//!     +------------- InitProducerId ------------------------- (add partitions: Ongoing) +
//! ```
//!
//! # Invariants
//!
//! - The commit point is the Prepare record: nothing is answered and no marker is written before it
//!   is past the high watermark. From then on only completion is possible, also after a crash.
//! - At most one transition of an id is under way. Who comes meanwhile gets
//!   `CONCURRENT_TRANSACTIONS`; partitions to add wait for a moment first.
//! - A partition is part of a transaction before it has data of it: the add is answered from the
//!   log. A transaction is never in memory only.
//! - With version 2 a delayed request names an older epoch than the transaction it arrives in, and
//!   never touches it.
//! - Every transaction ends: by its client, by its timeout, or by the next owner of its id.
//!
//! # The machine, by file
//!
//! `state` is an id's data and its transitions; `init`, `partitions` (with `waiting`) and `end` are
//! the requests; `markers` drives Prepare to Complete; `timeout` ends what its client forgot and
//! forgets what nobody uses; `append` finishes what waited for the log, `load` rebuilds from it,
//! `record` is the layout; `producer_ids` keeps a block of ids; `describe`, `list` and `pattern`
//! show ids to operators.
//!
//! Deliberately absent: two-phase commit with an outside coordinator (KIP-939).

mod append;
mod config;
mod coordinator;
mod describe;
mod end;
mod init;
mod list;
mod load;
mod markers;
mod partitions;
mod pattern;
mod producer_ids;
mod record;
mod request;
mod state;
mod timeout;
mod waiting;

pub use config::TransactionConfig;
pub use coordinator::TransactionCoordinator;
pub use request::{
    MarkerToken, Markers, Participation, PartitionsInTransaction, TransactionEffect,
    TransactionRequest, TransactionResponse,
};

#[cfg(test)]
mod tests;
