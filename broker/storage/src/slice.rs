//! The values that pass between a log and its owner: what was appended, read, is to be synced.

use crate::compaction::CompactionTask;
use bytes::Bytes;
use mainstem_platform::{Disk, File};
use mainstem_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Who wrote the batches, which decides how much is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A producer: everything is checked, control batches are refused.
    Client,
    /// Our own coordinators and controller: producer epochs are checked, sequences are not.
    Coordinator,
}

/// How the process that wrote the log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// [`close`](crate::Log::close) was called, and the owner has kept proof of it.
    Clean,
    /// Anything else: the tail is verified.
    Unclean,
}

/// What [`open`](crate::Log::open) had to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes read and verified.
    pub scanned_bytes: u64,
    /// Bytes cut off the tail, never acknowledged as durable.
    pub truncated_bytes: u64,
    /// Segments whose indexes were built anew.
    pub segments_rebuilt: u32,
}

/// The answer to an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The broker's time when the topic stamps it, else -1.
    pub log_append_time_ms: i64,
    /// First offset of the log.
    pub log_start_offset: Offset,
    /// The batch was here already: nothing was written, the offsets are those of the first time.
    pub duplicate: bool,
}

/// The end of a transaction, to be written into one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// Whose transaction ends.
    pub producer_id: ProducerId,
    /// The epoch the marker carries.
    pub producer_epoch: ProducerEpoch,
    /// Committed, or aborted.
    pub commit: bool,
    /// Fences markers of an older coordinator.
    pub coordinator_epoch: i32,
    /// 0 or 1: the marker's epoch may equal the producer's. 2: it must be newer (KIP-890, KIP-1228).
    pub transaction_version: i16,
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Up to the high watermark: what is acknowledged.
    HighWatermark,
    /// Up to the last stable offset: whole transactions only, with the list of aborted ones.
    LastStable,
    /// Everything appended: replication and coordinators that load.
    LogEnd,
}

/// Bytes of a file, to be sent as they are.
#[derive(Debug, Clone)]
pub struct FileRange {
    /// Stays readable even when the segment is deleted meanwhile.
    pub file: Arc<dyn File>,
    /// First byte.
    pub position: u64,
    /// Bytes.
    pub len: u32,
}

/// A transaction whose records a read-committed reader skips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: ProducerId,
    /// Where it began.
    pub first_offset: Offset,
}

/// Whole batches out of the log.
#[derive(Debug, Clone)]
pub struct FetchSlice {
    /// In order; the first batch contains the asked offset or is the first after it. Only whole
    /// batches, so the next read starts at `next_offset`.
    pub ranges: Vec<FileRange>,
    /// Sum over the ranges.
    pub bytes: u64,
    /// Where to read on; the asked offset when there was nothing.
    pub next_offset: Offset,
    /// Filled for [`Bound::LastStable`] only.
    pub aborted: Vec<AbortedTransaction>,
}

/// A slice copied out of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadBytes {
    /// Whole batches.
    pub bytes: Bytes,
    /// Where to read on.
    pub next_offset: Offset,
}

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// The record's time.
    pub timestamp_ms: i64,
    /// The record's offset.
    pub offset: Offset,
    /// The epoch of the batch it is in.
    pub leader_epoch: LeaderEpoch,
}

/// What must be synced for all appends so far to be durable. Runs on any thread.
#[derive(Debug, Clone)]
pub struct SyncTask {
    /// Files with bytes not synced.
    pub files: Vec<Arc<dyn File>>,
    /// Directories with names not synced.
    pub dirs: Vec<PathBuf>,
    /// To be handed back to [`synced`](crate::Log::synced) when all went well.
    pub receipt: SyncReceipt,
}

impl SyncTask {
    /// Does it. An error means that the log directory must go offline: a sync is never retried.
    ///
    /// A directory that is gone is no error: its topic was deleted while the task was under way,
    /// and nobody waits for the names in it any more.
    pub fn run(&self, disk: &dyn Disk) -> io::Result<()> {
        for file in &self.files {
            file.sync_data()?;
        }
        for dir in &self.dirs {
            match disk.sync_dir(dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                synced => synced?,
            }
        }
        Ok(())
    }
}

/// Proof that a certain [`SyncTask`] has been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncReceipt {
    /// Everything before this offset is durable.
    pub up_to: Offset,
    /// Which task; tasks are numbered from 1.
    pub(crate) ticket: u64,
}

/// How much a log needs compaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompactionNeed {
    /// Share of the bytes that were never compacted, of those that may be.
    pub dirty_ratio: f64,
    /// A record has waited for longer than `max.compaction.lag.ms`.
    pub is_overdue: bool,
}

/// A compaction after one of its steps.
#[derive(Debug)]
pub struct Compaction {
    /// What is to go on; `None` when it is finished.
    pub task: Option<CompactionTask>,
    /// Files out of the way, to be removed at leisure.
    pub removed: Vec<PathBuf>,
}

/// What is known of one producer (DescribeProducers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerView {
    /// Whose.
    pub producer_id: ProducerId,
    /// The newest epoch seen.
    pub epoch: ProducerEpoch,
    /// Of the last batch in this epoch; -1 when there is none.
    pub last_sequence: i32,
    /// When something was last appended, on the broker's clock.
    pub last_timestamp_ms: i64,
    /// Of the newest coordinator that wrote a marker; -1 when none has.
    pub coordinator_epoch: i32,
    /// First offset of the open transaction, if one is open.
    pub transaction_start: Option<Offset>,
}
