//! Group, offset and transaction coordinators as decide/apply machines.
//!
//! Two machines live here. [`group::GroupCoordinator`] holds consumer groups of the classic
//! protocol and the offsets that they commit; its log is the topic `__consumer_offsets`.
//! [`transaction::TransactionCoordinator`] holds transactional ids; its log is
//! `__transaction_state`. Both are driven the same way:
//!
//! - `handle_*(now, ..)` takes an event in; nothing else changes a machine.
//! - `poll_effect()` gives out what the world has to do, in order; drain it after every event.
//! - `deadline()` is the one timer; when it has passed, call `handle_timeout(now)`.
//!
//! # How the log and a machine belong together
//!
//! - A machine never trusts what is not in its log. A change leaves as `Append { token, .. }`; the
//!   owner appends the records as one batch and calls `handle_appended(token, Ok(base_offset))`
//!   once they are **past the high watermark**. Only then the change is answered, and
//!   applied; changes of consumer groups are applied when they are decided (`group::consumer` says
//!   why).
//! - Completions of one partition come in the order of its appends.
//! - `Err(code)` of an append means either "surely not in the log" (the batch was refused) or
//!   "nobody knows". In the second case the machine forgets the partition and asks for a `Reload`.
//! - A partition of the log is loaded before it serves: `begin_load`, then `load_record` and
//!   `load_marker` in log order, then `finish_load`. Requests meanwhile get
//!   `COORDINATOR_LOAD_IN_PROGRESS`, and `NOT_COORDINATOR` for partitions never loaded.
//!
//! Deliberately absent: clocks, threads, sockets, files, global randomness, and any order that is
//! not the order of a `BTreeMap`. Authorization, quotas and finding coordinators belong to the node.

pub mod group;
mod log;
mod residency;
mod timers;
pub mod transaction;

pub use log::{
    AppendToken, ClientContext, CoordinatorRecord, ProducerIdAndEpoch, ReplyTo, TopicPartition,
    partition_for,
};
