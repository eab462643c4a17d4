//! The actors: who uses the broker, and how.
//!
//! - `setup` makes the topic.
//! - `producer` sends without transactions, idempotently, several batches in flight.
//! - `transactor` sends in transactions, by either version of the protocol.
//! - `mover` moves partitions between log directories.
//! - `reader` reads all partitions from the beginning, again and again to the end.

mod mover;
mod producer;
mod reader;
mod setup;
mod transactor;

pub(crate) use mover::Mover;
pub(crate) use producer::Producer;
pub(crate) use reader::Reader;
pub(crate) use setup::Setup;
pub(crate) use transactor::{Protocol, Transactor};

use mainstem_protocol::ErrorCode;
use std::time::Duration;

/// The one topic of a run.
pub(crate) const TOPIC: &str = "stream";

/// How long a client waits before it tries something again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(20);

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
