//! Questions to the shard that holds a partition, and their answers.
//!
//! A client request is cut into one [`Ask`] per shard; each item carries the `slot` of the
//! request it answers, so that gathering needs no order. Topic names were resolved to ids by the
//! asking shard. Every item gets exactly one outcome, but not all at once: an append of one
//! partition may wait for its transaction's verification while the others are done.
//!
//! Absent on purpose: wire versions. An `Ask` says what is meant; the API file knows the version.

use crate::event::ShardIndex;
use crate::log_dirs::LogDirIndex;
use bytes::Bytes;
use mainstem_coordinator::transaction::Participation;
use mainstem_protocol::{
    ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, TopicId,
};
use mainstem_storage::{AbortedTransaction, FileRange, ProducerView, RecordError};
use std::sync::Arc;

/// Names one question until it is answered, unique within the shard that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Who is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asker {
    pub(crate) shard: ShardIndex,
    pub(crate) ticket: Ticket,
}

/// One partition of one life of a topic: a topic made again has another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    pub topic: TopicId,
    pub partition: PartitionIndex,
}

/// When an append is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Never; errors are dropped.
    None,
    /// After the append.
    Leader,
    /// After the high watermark passed the batch.
    All,
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset, with the aborted transactions.
    ReadCommitted,
}

/// The transaction that a write says it is part of.
#[derive(Debug, Clone)]
pub struct TransactionalWrite {
    pub transactional_id: Arc<str>,
    /// Whether the coordinator must know the partition already, or adds it.
    pub participation: Participation,
}

/// Append batches to partitions of one shard.
#[derive(Debug)]
pub struct AppendAsk {
    pub acks: Acks,
    /// `None`: the writer named no transactional id.
    pub transaction: Option<TransactionalWrite>,
    pub items: Vec<AppendItem>,
}

#[derive(Debug)]
pub struct AppendItem {
    pub slot: usize,
    pub key: PartitionKey,
    pub batches: Bytes,
}

/// What became of one item. On an error the offsets are -1.
#[derive(Debug, Clone)]
pub struct AppendOutcome {
    pub slot: usize,
    pub error: ErrorCode,
    /// More than the code says, for the client's log.
    pub message: Option<String>,
    /// The records that the batch was refused for.
    pub record_errors: Vec<RecordError>,
    pub base_offset: Offset,
    pub log_append_time_ms: i64,
    pub log_start_offset: Offset,
}

/// Read from partitions of one shard.
#[derive(Debug)]
pub struct ReadAsk {
    /// Counts the reads of one fetch; the answer repeats it, so that a late one is known.
    pub round: u32,
    pub isolation: Isolation,
    /// For all items together; the first one with data may pass it by one batch.
    pub bytes_max: i32,
    /// Say `Changed` once when any of the partitions grows beyond what was read.
    pub watch: bool,
    pub items: Vec<ReadItem>,
}

#[derive(Debug, Clone, Copy)]
pub struct ReadItem {
    pub slot: usize,
    pub key: PartitionKey,
    /// What the client believes, or -1: it is told when it is behind or ahead.
    pub current_leader_epoch: LeaderEpoch,
    pub from: Offset,
    /// Epoch of the last record that the client has, or -1: asks whether its log diverged.
    pub last_fetched_epoch: LeaderEpoch,
    pub bytes_max: i32,
}

#[derive(Debug, Clone)]
pub struct ReadOutcome {
    pub slot: usize,
    pub error: ErrorCode,
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start_offset: Offset,
    /// `None` when the reader sees uncommitted records.
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// Epoch and end offset at which the client's log diverges from ours.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    pub ranges: Vec<FileRange>,
    pub size_bytes: u32,
}

/// A question about one partition.
#[derive(Debug, Clone, Copy)]
pub struct Item<Q> {
    pub slot: usize,
    pub key: PartitionKey,
    pub question: Q,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome<A> {
    pub slot: usize,
    pub answer: Result<A, ErrorCode>,
}

/// Which offset ListOffsets asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoughtOffset {
    Earliest,
    Latest,
    MaxTimestamp,
    /// The first record at or after this time.
    AtTimestamp {
        timestamp_ms: i64,
    },
    /// One that only a topic with tiered storage has.
    Tiered,
}

#[derive(Debug, Clone, Copy)]
pub struct OffsetQuestion {
    pub isolation: Isolation,
    /// What the client believes, or -1.
    pub current_leader_epoch: LeaderEpoch,
    pub sought: SoughtOffset,
}

/// Where it is. All are -1 when there is nothing of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundOffset {
    pub offset: Offset,
    /// Of the record there; -1 for the ends of a log.
    pub timestamp_ms: i64,
    /// Under which leader it was written.
    pub leader_epoch: LeaderEpoch,
}

/// Where does the log of an epoch end?
#[derive(Debug, Clone, Copy)]
pub struct EpochEndQuestion {
    /// What the client believes, or -1.
    pub current_leader_epoch: LeaderEpoch,
    pub epoch: LeaderEpoch,
}

/// How a transaction ends, as its markers say it.
#[derive(Debug, Clone, Copy)]
pub struct TransactionEnd {
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    /// True to commit, false to abort.
    pub commit: bool,
    pub coordinator_epoch: i32,
    /// 0 when the writer does not say.
    pub transaction_version: i16,
}

/// Where a partition, or its copy on the way to another directory, lies.
#[derive(Debug, Clone)]
pub struct LogPlace {
    pub dir: LogDirIndex,
    pub topic: Arc<str>,
    pub partition: PartitionIndex,
    pub size_bytes: u64,
    /// Of a copy: how far it is behind its partition.
    pub offset_lag: i64,
    pub is_future: bool,
}

/// End a transaction on partitions of one shard.
#[derive(Debug, Clone)]
pub struct MarkersAsk {
    pub end: TransactionEnd,
    pub items: Vec<PartitionKey>,
}

/// A question to the shard of some partitions.
#[derive(Debug)]
pub enum Ask {
    Append(AppendAsk),
    Read(ReadAsk),
    /// Stop watching for a fetch that is answered or gone. Gets no answer.
    Unwatch,
    Offsets(Vec<Item<OffsetQuestion>>),
    /// Forget the records before an offset; `None`: before the high watermark.
    DeleteRecords(Vec<Item<Option<Offset>>>),
    EpochEnd(Vec<Item<EpochEndQuestion>>),
    /// Which producers are remembered?
    Producers(Vec<Item<()>>),
    /// What lies in which log directory?
    LogDirs,
    /// Move to another log directory.
    Move(Vec<Item<LogDirIndex>>),
    Markers(MarkersAsk),
}

/// An answer.
#[derive(Debug)]
pub enum Told {
    /// One item of an append; others may follow.
    Appended(AppendOutcome),
    Read {
        round: u32,
        outcomes: Vec<ReadOutcome>,
    },
    /// A watched partition grew.
    Changed {
        round: u32,
    },
    Offsets(Vec<Outcome<FoundOffset>>),
    /// Log start offsets.
    DeleteRecords(Vec<Outcome<Offset>>),
    EpochEnd(Vec<Outcome<(LeaderEpoch, Offset)>>),
    Producers(Vec<Outcome<Vec<ProducerView>>>),
    LogDirs(Vec<LogPlace>),
    /// Good: the move has begun or needs not to.
    Moves(Vec<Outcome<()>>),
    /// One partition's marker is durable, or the partition is gone.
    Marked {
        key: PartitionKey,
        error: ErrorCode,
    },
}
