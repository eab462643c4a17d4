//! One partition's log on a disk.
//!
//! A [`Log`] is a row of segments, each a file of batches as they came from the producer, with sparse
//! indexes beside it. The layout on disk is Kafka's, byte for byte (docs/formats.md). Beside the bytes
//! the log knows what Kafka's broker knows of a partition: who produced which sequence last, which
//! transactions are open, where aborted ones lie, which leader wrote from where.
//!
//! Everything is synchronous and owned by one thread; there are no locks. Slow work leaves as values:
//! a [`SyncTask`] to run elsewhere, file ranges to send, paths to remove.
//!
//! Durability, in words used everywhere:
//! - *appended*: in the page cache. *Synced*: on the platter. [`Log::synced`] is told when.
//! - *recovery point*: everything before it is synced, indexes of closed segments included. It is kept
//!   in the file `recovery-checkpoint`, rewritten at most every few MiB of synced data and at each
//!   roll, so an unclean start reads only the segments that reach past it.
//! - Damage past the recovery point is the torn tail of a crash and is cut off; damage before it is
//!   an error and never cut off.
//!
//! Absent: replication (truncation by a follower, epochs fetched from a leader), remote tiers, formats
//! before batch v2, any clock, any thread.

mod checkpoint;
mod compaction;
mod config;
mod epochs;
mod error;
mod header;
mod index;
mod log;
mod names;
mod producer;
mod scan;
mod segment;
mod slice;
mod transaction_index;
mod validate;

pub use checkpoint::{read_partition_metadata, write_partition_metadata};
pub use compaction::CompactionTask;
pub use config::{CleanupPolicy, LogConfig, TimestampType};
pub use error::{AppendError, ReadError, RecordError, StorageError};
pub use log::Log;
pub use slice::{
    AbortedTransaction, Appended, Bound, Compaction, CompactionNeed, FetchSlice, FileRange, Marker,
    Origin, ProducerView, ReadBytes, Recovery, Shutdown, SyncReceipt, SyncTask, TimestampedOffset,
};
