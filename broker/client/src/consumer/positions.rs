//! Where the consumer is in each of its partitions, and what is buffered ahead of it.
//!
//! Invariants:
//! - `position` is the next offset that a poll returns; `fetch_offset` is the next that is asked
//!   for. Between them lie the buffered chunks, in order and without gaps.
//! - A seek empties the buffer and makes answers to older fetches worthless: they are told by
//!   their fetch offset.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mainstem_platform::Instant;
use mainstem_protocol::record::Batch;

use super::chunk::Chunk;
use crate::error::{Cause, ClientError, Result};
use crate::records::{ConsumerRecord, PartitionBatch, TopicPartition};

/// After an answer that helps nobody, how long the partition is left alone.
const FETCH_PAUSE: Duration = Duration::from_millis(100);

/// How a partition comes to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// The group's committed offset.
    Committed,
    /// The offset of a time; see [`crate::core::list_offsets`].
    Time(i64),
    /// It has one.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) want: Want,
    /// A lookup for `want` is under way.
    pub(crate) asking: bool,
    pub(crate) position: Option<i64>,
    pub(crate) fetch_offset: i64,
    pub(crate) paused: bool,
    chunks: VecDeque<Chunk>,
    pub(crate) buffered_bytes: usize,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    not_before: Instant,
}

impl Partition {
    fn new(want: Want) -> Self {
        Self {
            want,
            asking: false,
            position: None,
            fetch_offset: -1,
            paused: false,
            chunks: VecDeque::new(),
            buffered_bytes: 0,
            high_watermark: -1,
            last_stable_offset: -1,
            not_before: Instant(0),
        }
    }

    pub(crate) fn go_to(&mut self, offset: i64) {
        self.drop_buffer();
        self.want = Want::Nothing;
        self.asking = false;
        self.position = Some(offset);
        self.fetch_offset = offset;
        self.not_before = Instant(0);
    }

    /// Looks for a new position; nothing is delivered meanwhile.
    pub(crate) fn look_for(&mut self, want: Want) {
        self.drop_buffer();
        self.want = want;
        self.asking = false;
        self.position = None;
    }

    fn drop_buffer(&mut self) {
        self.chunks.clear();
        self.buffered_bytes = 0;
    }

    pub(crate) fn has_buffer(&self) -> bool {
        !self.chunks.is_empty()
    }

    pub(crate) fn buffer(&mut self, chunk: Chunk, next_fetch_offset: i64) {
        self.buffered_bytes += chunk.size_bytes();
        self.fetch_offset = next_fetch_offset;
        self.chunks.push_back(chunk);
    }

    /// Leaves the partition alone for a while.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.not_before = now.plus(FETCH_PAUSE);
    }

    pub(crate) fn can_fetch(&self, now: Instant) -> bool {
        self.position.is_some() && self.not_before <= now
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        (now < self.not_before).then_some(self.not_before)
    }

    /// Moves a batch from the buffer to the caller.
    fn take_batch(&mut self, name: &TopicPartition) -> Result<Option<(Batch, i64)>> {
        while let Some(chunk) = self.chunks.front_mut() {
            let taken = chunk
                .take_batch(name)
                .map_err(|text| ClientError::Refused(Cause { code: 2, text }))?;
            self.position = Some(chunk.position());
            if taken.is_some() {
                return Ok(taken);
            }
            self.buffered_bytes = self.buffered_bytes.saturating_sub(chunk.size_bytes());
            self.chunks.pop_front();
        }
        Ok(None)
    }

    /// Moves up to `limit` records from the buffer to the caller.
    fn take(&mut self, name: &TopicPartition, limit: usize) -> Result<Vec<ConsumerRecord>> {
        let mut records = Vec::new();
        while records.len() < limit {
            let Some(chunk) = self.chunks.front_mut() else { break };
            match chunk.next(name) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => {
                    self.position = Some(chunk.position());
                    self.buffered_bytes = self.buffered_bytes.saturating_sub(chunk.size_bytes());
                    self.chunks.pop_front();
                    continue;
                }
                Err(text) if records.is_empty() => {
                    return Err(ClientError::Refused(Cause { code: 2, text }));
                }
                // What is whole is delivered first; the next poll meets the error again.
                Err(_) => break,
            }
            self.position = Some(chunk.position());
        }
        Ok(records)
    }
}

/// A batch out of a buffer, not looked into yet.
pub(crate) struct Taken {
    pub(crate) topic_partition: TopicPartition,
    pub(crate) batch: Batch,
    /// Records before it are not wanted.
    pub(crate) from: i64,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
}

/// All partitions of the consumer.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    pub(crate) partitions: BTreeMap<TopicPartition, Partition>,
    /// Where the next poll begins, so that no partition starves.
    turn: usize,
}

impl Positions {
    /// Keeps the partitions that stay, with their positions; drops and adds the others.
    pub(crate) fn set(&mut self, partitions: &[TopicPartition], want: Want) {
        self.partitions.retain(|partition, _| partitions.contains(partition));
        for partition in partitions {
            self.partitions.entry(partition.clone()).or_insert_with(|| Partition::new(want));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.partitions.clear();
    }

    pub(crate) fn get_mut(&mut self, partition: &TopicPartition) -> Result<&mut Partition> {
        self.partitions.get_mut(partition).ok_or_else(|| {
            ClientError::Refused(Cause::text(format!("{partition} is not assigned")))
        })
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.partitions.values().map(|partition| partition.buffered_bytes).sum()
    }

    /// Partitions that look for a position and have not asked yet.
    pub(crate) fn looking(&self) -> impl Iterator<Item = (&TopicPartition, Want)> {
        self.partitions
            .iter()
            .filter(|(_, p)| p.want != Want::Nothing && !p.asking)
            .map(|(name, p)| (name, p.want))
    }

    /// One batch, of the partition after the one that the last was of.
    pub(crate) fn take_batch(&mut self) -> Result<Option<Taken>> {
        let begin = self.turn % self.partitions.len().max(1);
        for pass in [begin.., 0..] {
            for (index, (name, partition)) in self.partitions.iter_mut().enumerate() {
                if !pass.contains(&index) || partition.paused || !partition.has_buffer() {
                    continue;
                }
                if let Some((batch, from)) = partition.take_batch(name)? {
                    self.turn = index + 1;
                    return Ok(Some(Taken {
                        topic_partition: name.clone(),
                        batch,
                        from,
                        high_watermark: partition.high_watermark,
                        last_stable_offset: partition.last_stable_offset,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// Up to `limit` records, each partition in turn beginning one further than last time.
    pub(crate) fn take(&mut self, limit: usize) -> Result<Vec<PartitionBatch>> {
        let count = self.partitions.len();
        let mut batches = Vec::new();
        let mut left = limit;
        let begin = self.turn % count.max(1);
        let (before, after): (Vec<_>, Vec<_>) =
            self.partitions.iter_mut().enumerate().partition(|(index, _)| *index < begin);
        for (index, (name, partition)) in after.into_iter().chain(before) {
            if left == 0 {
                break;
            }
            if partition.paused || !partition.has_buffer() {
                continue;
            }
            let records = match partition.take(name, left) {
                Ok(records) => records,
                Err(error) if batches.is_empty() => return Err(error),
                Err(_) => continue,
            };
            if records.is_empty() {
                continue;
            }
            left -= records.len();
            self.turn = index + 1;
            batches.push(PartitionBatch {
                topic_partition: name.clone(),
                records,
                high_watermark: partition.high_watermark,
                last_stable_offset: partition.last_stable_offset,
            });
        }
        Ok(batches)
    }
}
