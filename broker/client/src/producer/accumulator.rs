//! Where records wait to become requests: one queue of batches per partition.
//!
//! This is the only part of the producer that the caller of `send` touches; it has a lock of its
//! own, so that sending goes on while the sender compresses and talks to brokers.
//!
//! Invariants:
//! - Records of a partition keep the order of `append`.
//! - `used_bytes` counts every record from `append` until its batch has its answer, and never
//!   passes `buffer_memory_bytes`, except that a single record may always enter an empty buffer.
//! - Every batch that was begun is in `outstanding` until its answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mainstem_platform::{Instant, Now, SeededRandom};

use super::ack::{BatchAck, Delivery};
use super::batch::{OpenBatch, record_size_max};
use super::metrics::ProducerMetrics;
use super::partitioner::{Partitioner, Sticky};
use crate::config::ProducerConfig;
use crate::core::earlier;
use crate::error::{Cause, ClientError, Result};
use crate::records::{ProducerRecord, TopicPartition};

/// Number of a batch in the order of their beginnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchNumber(pub(crate) u64);

/// What became of an `append`.
#[derive(Debug)]
pub(crate) enum Appended {
    /// `wake`: the sender has something new to look at.
    Done { delivery: Delivery, wake: bool },
    /// The number of partitions is not known; the record was given back.
    NeedsMetadata(ProducerRecord),
    /// The buffer is full; the record was given back. `wake`: the sender does not know it yet.
    NeedsMemory { record: ProducerRecord, wake: bool },
}

#[derive(Debug, Default)]
struct TopicQueues {
    sticky: Sticky,
    partitions: Vec<Queue>,
}

#[derive(Debug)]
struct Queue {
    topic_partition: TopicPartition,
    /// All but the last are closed.
    batches: VecDeque<OpenBatch>,
}

/// See the module's text.
pub(crate) struct Accumulator {
    pub(super) metrics: ProducerMetrics,
    partitioner: Option<Arc<dyn Partitioner>>,
    batch_size_bytes: usize,
    record_bytes_max: usize,
    memory_bytes_max: usize,
    linger: Duration,
    topics: BTreeMap<Arc<str>, TopicQueues>,
    /// Partitions that have batches.
    active: BTreeSet<TopicPartition>,
    outstanding: BTreeSet<BatchNumber>,
    next_batch: u64,
    used_bytes: usize,
    /// Callers wait for room, or for a flush: nothing lingers.
    memory_wanted: bool,
    flush_until: Option<BatchNumber>,
    /// Why `append` is refused, if it is.
    gate: Option<ClientError>,
    random: SeededRandom,
}

impl Accumulator {
    pub(crate) fn new(config: &ProducerConfig, seed: u64) -> Self {
        let gate = config.transactional_id.as_ref().map(|_| no_transaction());
        Self {
            metrics: ProducerMetrics::default(),
            partitioner: config.partitioner.clone(),
            batch_size_bytes: config.batch_size_bytes,
            record_bytes_max: config.max_request_bytes,
            memory_bytes_max: config.buffer_memory_bytes,
            linger: config.linger,
            topics: BTreeMap::new(),
            active: BTreeSet::new(),
            outstanding: BTreeSet::new(),
            next_batch: 0,
            used_bytes: 0,
            memory_wanted: false,
            flush_until: None,
            gate,
            random: SeededRandom::new(seed),
        }
    }

    /// Refuses records from now on, or (`None`) takes them.
    pub(crate) fn set_gate(&mut self, gate: Option<ClientError>) {
        self.gate = gate;
    }

    pub(crate) fn partition_count(&self, topic: &str) -> Option<i32> {
        let count = self.topics.get(topic)?.partitions.len();
        i32::try_from(count).ok()
    }

    /// Tells the number of partitions of a topic. It only grows: a queue is never dropped.
    pub(crate) fn set_partition_count(&mut self, topic: &Arc<str>, count: i32) {
        let queues = self.topics.entry(topic.clone()).or_default();
        for partition in (0..count).skip(queues.partitions.len()) {
            let topic_partition = TopicPartition { topic: topic.clone(), partition };
            queues.partitions.push(Queue { topic_partition, batches: VecDeque::new() });
        }
    }

    pub(crate) fn append(&mut self, now: Now, record: ProducerRecord) -> Result<Appended> {
        if let Some(error) = &self.gate {
            return Err(error.clone());
        }
        let size_bytes = record_size_max(&record);
        if size_bytes > self.record_bytes_max {
            return Err(refused(format!(
                "a record of {size_bytes} bytes is larger than max_request_bytes ({})",
                self.record_bytes_max
            )));
        }
        let queues = self.topics.get_mut(&record.topic);
        let Some(queues) = queues.filter(|queues| !queues.partitions.is_empty()) else {
            return Ok(Appended::NeedsMetadata(record));
        };
        if self.used_bytes > 0 && self.used_bytes + size_bytes > self.memory_bytes_max {
            let wake = !std::mem::replace(&mut self.memory_wanted, true);
            return Ok(Appended::NeedsMemory { record, wake });
        }
        let count = i32::try_from(queues.partitions.len()).unwrap_or(i32::MAX);
        let custom = || self.partitioner.as_ref()?.partition(&record, count);
        let partition = record.partition.or_else(custom).unwrap_or_else(|| {
            let (key, random) = (record.key.as_ref(), &mut self.random);
            queues.sticky.choose(key, size_bytes, count, self.batch_size_bytes, random)
        });
        let queue = usize::try_from(partition).ok().and_then(|i| queues.partitions.get_mut(i));
        let Some(queue) = queue else {
            return Err(refused(format!("{} has no partition {partition}", record.topic)));
        };
        self.used_bytes += size_bytes;
        self.metrics.records_sent += 1;
        if let Some(open) = queue.batches.back_mut()
            && open.has_room(size_bytes, self.batch_size_bytes)
        {
            let delivery = open.append(now, record, size_bytes);
            return Ok(Appended::Done { delivery, wake: open.is_full(self.batch_size_bytes) });
        }
        let number = BatchNumber(self.next_batch);
        self.next_batch += 1;
        self.outstanding.insert(number);
        self.active.insert(queue.topic_partition.clone());
        let ack = BatchAck::new(queue.topic_partition.clone());
        let mut batch = OpenBatch::new(number, now.instant, ack);
        let delivery = batch.append(now, record, size_bytes);
        queue.batches.push_back(batch);
        Ok(Appended::Done { delivery, wake: true })
    }

    /// Partitions with a batch that may go now: a closed one, or an open one that lingered.
    pub(crate) fn ready(&self, now: Instant) -> impl Iterator<Item = &TopicPartition> + '_ {
        self.active.iter().filter(move |partition| self.is_due(now, partition))
    }

    fn queue(&self, partition: &TopicPartition) -> Option<&Queue> {
        let index = usize::try_from(partition.partition).ok()?;
        self.topics.get(&partition.topic)?.partitions.get(index)
    }

    /// When the queue's first batch may go; in the past for a closed one.
    fn due(&self, queue: &Queue) -> Option<Instant> {
        let first = queue.batches.front()?;
        let closed = queue.batches.len() > 1 || first.is_full(self.batch_size_bytes);
        let hurried = self.memory_wanted
            || self.gate.is_some()
            || self.flush_until.is_some_and(|until| first.number <= until);
        if closed || hurried { Some(Instant(0)) } else { Some(first.created.plus(self.linger)) }
    }

    /// Whether the partition's first batch may go now.
    pub(crate) fn is_due(&self, now: Instant, partition: &TopicPartition) -> bool {
        let due = self.queue(partition).and_then(|queue| self.due(queue));
        due.is_some_and(|at| at <= now)
    }

    /// Size of the batch that `take` would give.
    pub(crate) fn next_size(&self, partition: &TopicPartition) -> Option<usize> {
        self.queue(partition)?.batches.front().map(OpenBatch::size_bytes)
    }

    pub(crate) fn take(&mut self, partition: &TopicPartition) -> Option<OpenBatch> {
        let index = usize::try_from(partition.partition).ok()?;
        let queue = self.topics.get_mut(&partition.topic)?.partitions.get_mut(index)?;
        let batch = queue.batches.pop_front();
        if queue.batches.is_empty() {
            self.active.remove(partition);
        }
        batch
    }

    /// A batch has its answer; its memory is free.
    pub(crate) fn release(&mut self, batch: &OpenBatch, is_acknowledged: bool) {
        self.outstanding.remove(&batch.number);
        self.used_bytes = self.used_bytes.saturating_sub(batch.size_bytes());
        self.metrics.ended(batch.count(), batch.size_bytes(), is_acknowledged);
        self.memory_wanted = false;
        if self.flush_until.is_some_and(|until| self.flushed(until)) {
            self.flush_until = None;
        }
    }

    /// Hurries everything up to the newest batch; gives its number.
    pub(crate) fn flush(&mut self) -> Option<BatchNumber> {
        let newest = *self.outstanding.last()?;
        self.flush_until = self.flush_until.max(Some(newest));
        // Later records must not ride on the batch that the flush waits for.
        for partition in &self.active {
            let index = usize::try_from(partition.partition).unwrap_or(usize::MAX);
            let queues = self.topics.get_mut(&partition.topic);
            let queue = queues.and_then(|queues| queues.partitions.get_mut(index));
            if let Some(open) = queue.and_then(|queue| queue.batches.back_mut()) {
                open.close();
            }
        }
        Some(newest)
    }

    pub(crate) fn flushed(&self, until: BatchNumber) -> bool {
        self.outstanding.first().is_none_or(|oldest| until < *oldest)
    }

    pub(crate) fn metrics(&self) -> ProducerMetrics {
        let (buffered_bytes, open) = (self.used_bytes as u64, self.outstanding.len() as u64);
        ProducerMetrics { buffered_bytes, batches_outstanding: open, ..self.metrics }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.outstanding.is_empty()
    }

    /// Takes every batch that was begun before `before`.
    pub(crate) fn expire(&mut self, before: Instant) -> Vec<OpenBatch> {
        let mut expired = Vec::new();
        let active: Vec<TopicPartition> = self.active.iter().cloned().collect();
        for partition in active {
            while self
                .queue(&partition)
                .and_then(|queue| queue.batches.front())
                .is_some_and(|batch| batch.created <= before)
            {
                expired.extend(self.take(&partition));
            }
        }
        expired
    }

    /// The next time at which a batch will have lingered, or be as old as `timeout`.
    pub(crate) fn deadline(&self, now: Instant, timeout: Duration) -> Option<Instant> {
        let mut deadline = None;
        for queue in self.active.iter().filter_map(|partition| self.queue(partition)) {
            let oldest = queue.batches.front().map(|batch| batch.created.plus(timeout));
            // What is due already waits for a broker, not for time.
            let due = self.due(queue).filter(|at| now < *at);
            deadline = earlier(deadline, earlier(oldest, due));
        }
        deadline
    }
}

pub(crate) fn no_transaction() -> ClientError {
    refused("no transaction is open: call begin_transaction first".to_owned())
}

fn refused(text: String) -> ClientError {
    ClientError::Refused(Cause::text(text))
}
