//! The log of one partition: its parts and its public face.
//!
//! Invariants, in offsets:
//! - `log_start <= last_stable <= high_watermark <= next_offset`, unless the start was moved past the
//!   stable offset by a deletion, in which case the stable offset follows it.
//! - Segments lie in order of their bases without overlap; the last one is active, the others closed.
//! - `next_offset` is one more than the last batch's last offset, or the active segment's base.
//!
//! Files: `opening` finds and repairs, `accepting` and `append` write, `rolling` begins segments, `read`
//! looks up, `sync` keeps book of what is durable, `retention` deletes old data, `compaction` deletes superseded data.

mod accepting;
mod append;
mod compaction;
mod leftovers;
mod opening;
mod read;
mod replay;
mod retention;
mod rolling;
mod stamping;
mod sync;
#[cfg(test)]
mod tests;
mod timestamps;

#[cfg(test)]
pub(crate) use replay::{marker_in, note_batch};

use crate::checkpoint::RecoveryCheckpoint;
use crate::config::LogConfig;
use crate::epochs::LeaderEpochs;
use crate::header::BatchHeader;
use crate::producer::{ProducerEntry, ProducerStates};
use crate::segment::Segment;
use crate::slice::{Bound, ProducerView, Recovery};
use accepting::Accepted;
use compaction::CompactionState;
use mainstem_platform::{Disk, Now};
use mainstem_protocol::ids::{LeaderEpoch, Offset, ProducerId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sync::SyncBook;

/// One partition on a disk. See the crate's words.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    config: LogConfig,
    /// Never empty; the last one is active.
    segments: Vec<Segment>,
    log_start: Offset,
    next_offset: Offset,
    high_watermark: Offset,
    producers: ProducerStates,
    epochs: LeaderEpochs,
    checkpoint: RecoveryCheckpoint,
    sync: SyncBook,
    compaction: CompactionState,
    /// From this number and a segment's base follows how much earlier the segment rolls.
    jitter_seed: u64,
    recovery: Recovery,
    /// Set by the first failed write; nothing is written after it.
    failed: Option<String>,
    accepted: Accepted,
    /// The heads of the append in progress, kept for its memory.
    headers: Vec<BatchHeader>,
}

impl Log {
    /// The partition's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The settings in force.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Takes new settings; they count from the next append, roll or deletion on.
    pub fn set_config(&mut self, config: LogConfig) {
        config.check();
        self.config = config;
    }

    /// Gives the log the random number that `segment.jitter.ms` is drawn with.
    pub fn seed_jitter(&mut self, seed: u64) {
        self.jitter_seed = seed;
    }

    /// What opening this log took.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// First offset that can be read.
    pub fn log_start_offset(&self) -> Offset {
        self.log_start
    }

    /// The offset that the next record will get.
    pub fn log_end_offset(&self) -> Offset {
        self.next_offset
    }

    /// Everything before it is acknowledged. After opening it is the log's end: what was recovered is
    /// durable.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Moves the high watermark on; it never goes back nor past the log's end.
    pub fn set_high_watermark(&mut self, offset: Offset) {
        let offset = offset.min(self.next_offset);
        if self.high_watermark < offset {
            self.high_watermark = offset;
            self.producers.settle(offset);
        }
    }

    /// Where read-committed readers stop.
    pub fn last_stable_offset(&self) -> Offset {
        match self.producers.first_unstable_offset() {
            Some(unstable) => unstable.max(self.log_start).min(self.high_watermark),
            None => self.high_watermark,
        }
    }

    /// The first offset that a reader with this bound may not see.
    pub fn end_of(&self, bound: Bound) -> Offset {
        match bound {
            Bound::HighWatermark => self.high_watermark,
            Bound::LastStable => self.last_stable_offset(),
            Bound::LogEnd => self.next_offset,
        }
    }

    /// Bytes of batches in all segments.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// The epoch of the last leader that wrote.
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// The largest epoch not above `epoch`, and the offset where it ended.
    pub fn offset_for_leader_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_of(epoch, self.next_offset)
    }

    /// The epoch of the leader that wrote the record at `offset`; none before the first record.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.at(offset).filter(|_| offset < self.next_offset)
    }

    /// Forgets producers that have been idle too long. To be called every few minutes.
    pub fn expire_producers(&mut self, now: Now) {
        self.assert_all_written();
        self.producers.expire(now.wall_ms, self.config.producer_id_expiration_ms);
    }

    /// All producers that are remembered, by id.
    pub fn producers(&self) -> Vec<ProducerView> {
        self.producers.iter().map(|(id, entry)| view(id, entry)).collect()
    }

    /// One producer, if it is remembered.
    pub fn producer_state(&self, producer_id: ProducerId) -> Option<ProducerView> {
        self.producers.get(producer_id).map(|entry| view(producer_id, entry))
    }

    /// Whether the producer has written records whose marker has not come yet.
    pub fn has_open_transaction(&self, producer_id: ProducerId) -> bool {
        let entry = self.producers.get(producer_id);
        entry.is_some_and(|entry| entry.transaction_start.is_some())
    }

    fn active(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log has an active segment")
    }

    /// The place in `segments` of the one that holds `offset`, or would.
    fn segment_of(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }

    /// Where the segment at this place ends: the base of the next one, or the log's end.
    fn segment_end(&self, place: usize) -> Offset {
        self.segments.get(place + 1).map_or(self.next_offset, |next| next.base)
    }
}

fn view(producer_id: ProducerId, entry: &ProducerEntry) -> ProducerView {
    ProducerView {
        producer_id,
        epoch: entry.epoch,
        last_sequence: entry.last_sequence(),
        last_timestamp_ms: entry.last_append_ms,
        coordinator_epoch: entry.coordinator_epoch,
        transaction_start: entry.transaction_start,
    }
}
