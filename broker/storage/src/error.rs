//! What can go wrong, told by what the caller does next.
//!
//! Each variant of [`AppendError`] stands for one answer to the client; the node maps it to a Kafka
//! code in one place. Corruption found where data was known to be durable is [`StorageError::Corrupt`]
//! and is never repaired by cutting the log.

use mainstem_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use std::io;
use std::path::PathBuf;

/// Why an append was refused. Nothing was written, unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The checksum or the frame is wrong: the producer may send it again.
    #[error("corrupt batch: {0}")]
    CorruptMessage(String),
    /// The batch is well framed and breaks a rule; sending it again is no use.
    #[error("invalid record: {0}")]
    InvalidRecord(String),
    /// Single records break rules of the topic. Nothing of the batch was taken.
    #[error("{count} records were refused; {}", RecordError::first_of(errors))]
    RejectedRecords {
        count: usize,
        /// One of them for its timestamp: the answer to the client says so.
        by_timestamp: bool,
        /// The first of them, in their order.
        errors: Vec<RecordError>,
    },
    /// Not batch format v2.
    #[error("record format {0} is not supported")]
    UnsupportedFormat(i8),
    /// One batch is larger than `max.message.bytes`.
    #[error("batch of {size_bytes} bytes, at most {max_bytes} are accepted")]
    MessageTooLarge { size_bytes: usize, max_bytes: usize },
    /// The append as a whole would not fit into one segment.
    #[error("append of {size_bytes} bytes, a segment holds {max_bytes}")]
    BatchListTooLarge { size_bytes: usize, max_bytes: usize },
    /// There is a gap before this batch, or it is older than what is remembered.
    #[error("producer {producer_id}: sequence {sequence} does not follow {last_sequence}")]
    OutOfOrderSequence { producer_id: ProducerId, sequence: i32, last_sequence: i32 },
    /// A newer instance of the producer has been here.
    #[error("producer {producer_id}: epoch {epoch} is older than {current}")]
    InvalidProducerEpoch { producer_id: ProducerId, epoch: ProducerEpoch, current: ProducerEpoch },
    /// The batch does not fit the state of the producer's transaction.
    #[error("producer {producer_id}: {reason}")]
    InvalidTransactionState { producer_id: ProducerId, reason: &'static str },
    /// A newer transaction coordinator has written here.
    #[error("coordinator epoch {epoch} is older than {current}")]
    CoordinatorFenced { epoch: i32, current: i32 },
    /// The caller's leader epoch is older than the log's.
    #[error("leader epoch {epoch} is older than {current}")]
    StaleLeaderEpoch { epoch: LeaderEpoch, current: LeaderEpoch },
    /// The disk is full. The log stays usable; the append may be tried again later.
    #[error("the disk is full")]
    DiskFull,
    /// A write failed: how much of it is there is unknown. The log takes no more appends and its
    /// directory must go offline until it is opened again.
    #[error("disk failed: {0}")]
    DiskFailed(String),
}

/// What is wrong with one record of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// Its place in the batch, from 0.
    pub batch_index: i32,
    /// For the producer's log.
    pub message: String,
}

impl RecordError {
    fn first_of(errors: &[Self]) -> String {
        let shown = errors.iter().take(3);
        let shown = shown.map(|error| format!("record {}: {}", error.batch_index, error.message));
        shown.collect::<Vec<_>>().join("; ")
    }
}

/// Why a read was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is before the start or after the bound.
    #[error("offset {offset} is not within {start}..={end}")]
    OffsetOutOfRange { offset: Offset, start: Offset, end: Offset },
    /// What is on the disk is not what was written.
    #[error("corrupt log at offset {offset}: {reason}")]
    Corrupt { offset: Offset, reason: String },
    /// The disk failed.
    #[error("read: {0}")]
    Disk(#[from] io::Error),
}

/// Why a log cannot be opened or kept in order.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Data that was synced is damaged. The log stays closed: an operator decides.
    #[error("{}: corrupt at offset {offset}: {reason}", path.display())]
    Corrupt { path: PathBuf, offset: Offset, reason: String },
    /// The disk failed while doing what `action` says.
    #[error("{action} {}: {source}", path.display())]
    Disk { action: &'static str, path: PathBuf, source: io::Error },
}

impl StorageError {
    /// Whether there was no room: nothing is wrong with what is there.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Disk { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }

    /// Whether the disk itself failed, so that its other files are not to be trusted either.
    pub fn is_disk_failure(&self) -> bool {
        matches!(self, Self::Disk { .. }) && !self.is_disk_full()
    }

    /// For `map_err`: remembers what was being done, and where.
    pub(crate) fn disk(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk { action, path, source }
    }
}
