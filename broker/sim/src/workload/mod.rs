//! The actors: who uses the broker, and how.
//!
//! - `setup` makes the topics.
//! - `producer` sends without transactions, idempotently, several batches in flight.
//! - `transactor` sends in transactions, by either version of the protocol.
//! - `mover` moves partitions between log directories.
//! - `reader` reads all partitions from the beginning, again and again to the end.
//! - `member` takes part in a group. It comes, goes, falls silent and comes back. What it does with its
//!   partitions is either to commit how far it has read, or to process: to write what it reads into
//!   another topic, in transactions that take its offsets along (`processing`). How it is a member is
//!   in `membership`, with `classic` and `heartbeats` for the two protocols; `positions` is how far
//!   it is.
//! - `offset_auditor` reads what a group has committed.
//! - `intake` is what all who fetch make of an answer.

mod classic;
mod heartbeats;
mod intake;
mod member;
mod membership;
mod mover;
mod offset_auditor;
mod positions;
mod processing;
mod producer;
mod reader;
mod setup;
mod transactor;

pub(crate) use member::{Member, MemberPlan};
pub(crate) use membership::{HEARTBEAT, Kind, SESSION};
pub(crate) use mover::Mover;
pub(crate) use offset_auditor::OffsetAuditor;
pub(crate) use producer::Producer;
pub(crate) use reader::Reader;
pub(crate) use setup::Setup;
pub(crate) use transactor::Transactor;

use mainstem_protocol::ErrorCode;
use std::time::Duration;

/// The topic that everybody writes to and reads.
pub(crate) const TOPIC: &str = "stream";
/// What processors make of it.
pub(crate) const OUTPUT: &str = "output";

/// How long a client waits before it tries something again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(20);

/// FindCoordinator for a group.
const GROUP_KEY: i8 = 0;
/// FindCoordinator for a transactional id.
const TRANSACTION_KEY: i8 = 1;
const FIND_VERSION: i16 = 3;
const INIT_VERSION: i16 = 4;
const ADD_PARTITIONS_VERSION: i16 = 3;

/// Which transaction protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Partitions are added by requests of their own, the epoch stays.
    V1,
    /// Partitions are added by writing, every end raises the epoch (KIP-890).
    V2,
}

impl Protocol {
    fn produce_version(self) -> i16 {
        if self == Self::V1 { 11 } else { 12 }
    }

    fn offset_commit_version(self) -> i16 {
        if self == Self::V1 { 4 } else { 5 }
    }

    fn end_version(self) -> i16 {
        if self == Self::V1 { 3 } else { 5 }
    }
}

/// Errors after which a client just tries again: the broker is starting, or busy with the past.
pub(crate) fn is_passing(error: ErrorCode) -> bool {
    error.is_retriable()
        || [
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ErrorCode::COORDINATOR_NOT_AVAILABLE,
            ErrorCode::NOT_COORDINATOR,
            ErrorCode::CONCURRENT_TRANSACTIONS,
        ]
        .contains(&error)
}

/// Errors that tell a transactional producer that another epoch has taken over.
pub(crate) fn is_fenced(error: ErrorCode) -> bool {
    error == ErrorCode::PRODUCER_FENCED || error == ErrorCode::INVALID_PRODUCER_EPOCH
}
