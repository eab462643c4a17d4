//! The consumer: reads records, alone or as a member of a group.
//!
//! In reading order: [`assignor`] and [`cooperative_sticky`] (who gets what), [`ownership`] (what
//! the application has), [`membership`] (the group), [`joining`] and [`leading`] (classic groups),
//! [`heartbeats`] and [`reconcile`] (the consumer protocol), [`positions`] and [`chunk`] (where we
//! are, what is buffered), [`session`] and [`fetch`] (bringing records), [`commits`] and
//! [`lookups`], [`machine`] and [`subscribing`] (all of it). This file is the handle.

pub(crate) mod assignor;
mod chunk;
mod commits;
pub(crate) mod cooperative_sticky;
mod fetch;
mod heartbeats;
mod joining;
mod leading;
mod lookups;
mod machine;
mod membership;
mod ownership;
mod positions;
mod reconcile;
mod record_batch;
mod session;
mod subscribing;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mainstem_platform::Now;
use mainstem_platform::os::os_seed;

use crate::config::ConsumerConfig;
use crate::core::list_offsets::{EARLIEST, Found, LATEST};
use crate::core::{Address, OperationId};
use crate::error::{Cause, ClientError, Result};
use crate::net::{Shared, Transport};
use crate::records::{
    GroupMetadata, OffsetAndMetadata, OffsetAndTimestamp, Polled, TopicPartition,
};
use machine::{ConsumerMachine, Next, Outcome};

pub use record_batch::{Received, RecordBatch, RecordIter, RecordView};

/// How long closing waits for the last commit and the farewell to the group.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Reads records, alone or as a member of a group.
pub struct Consumer {
    shared: Arc<Shared<ConsumerMachine>>,
    request_timeout: Duration,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.shared.tell(|machine, _| machine.close());
        self.shared.stop();
    }
}

/// Gives up an operation whose caller went away.
struct Waiting<'a> {
    shared: &'a Shared<ConsumerMachine>,
    operation: OperationId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.peek().cancel(self.operation);
    }
}

impl Consumer {
    /// Connects to the first broker that answers.
    pub async fn connect(config: ConsumerConfig) -> Result<Self> {
        config.check()?;
        let bootstrap = Address::parse_list(&config.bootstrap)?;
        let request_timeout = config.request_timeout;
        let transport = Transport::open(&config.security)?;
        let machine = ConsumerMachine::new(config, bootstrap, os_seed());
        let consumer = Self { shared: Shared::start(machine, transport), request_timeout };
        let connected = || {
            let machine = consumer.shared.peek();
            let refused = machine.refused().map(Err);
            refused.or_else(|| machine.is_connected().then_some(Ok(())))
        };
        match consumer.shared.wait_for(request_timeout * 2, connected).await {
            Some(result) => result.map(|()| consumer),
            None => {
                let why = consumer.shared.peek().last_failure();
                Err(ClientError::Retriable(Cause::text(format!("connect: {why}"))))
            }
        }
    }

    /// Joins the group for these topics at the next poll. Replaces what was subscribed before;
    /// no topics at all leave the group.
    ///
    /// Errors: `Config` without a group id, `Refused` for more topics than a client follows.
    pub fn subscribe(&self, topics: &[&str]) -> Result<()> {
        self.shared.tell(|machine, _| machine.subscribe(topics))
    }

    /// Joins the group for all topics, also of the future, whose whole name matches a regular
    /// expression. Replaces what was subscribed before.
    ///
    /// A member of a classic group matches by itself whenever it has new metadata, at least once
    /// in `metadata_max_age`, in the syntax of the crate `regex`, and leaves out internal topics.
    /// In the consumer protocol (KIP-848) the coordinator matches, in the syntax of RE2; a pattern
    /// that it cannot read is the next poll's error.
    ///
    /// Errors: `Config` without a group id, or for what the crate cannot read.
    pub fn subscribe_pattern(&self, pattern: &str) -> Result<()> {
        self.shared.tell(|machine, _| machine.subscribe_pattern(pattern))
    }

    /// Reads exactly these partitions, without group membership. Partitions that stay keep their
    /// position.
    pub fn assign(&self, partitions: &[TopicPartition]) -> Result<()> {
        self.shared.tell(|machine, _| machine.assign(partitions))
    }

    /// Waits for records or a rebalance, at most `timeout`.
    ///
    /// A rebalance is returned alone. After `Revoked` the partitions are still owned: the next
    /// poll gives them up, so that offsets can be committed in between. With a cooperative
    /// assignor and in the consumer protocol the other partitions go on being read meanwhile.
    ///
    /// Errors: what the coordinator refuses for good (a pattern, an assignor, the group, an instance
    /// id that another member has) ends the subscription, and nothing is owned any more; subscribe
    /// anew. After `Retriable` poll again.
    pub async fn poll(&self, timeout: Duration) -> Result<Polled> {
        self.shared.tell(|machine, now| machine.begin_poll(now));
        let polled = self.shared.wait_for(timeout, || {
            let now = self.shared.now();
            let polled = self.shared.peek().poll(now);
            if polled.is_some() {
                // There is room in the buffer, or a rebalance goes on.
                self.shared.wake_driver();
            }
            polled
        });
        polled.await.unwrap_or_else(|| Ok(Polled::default()))
    }

    /// The next batch of records, or a rebalance; `None` after `timeout`. Cheaper than
    /// [`Consumer::poll`] by far for many small records: nothing is made for each of them, and a batch
    /// is checked and decompressed by the caller, while the client goes on fetching.
    ///
    /// As with `poll`, what was returned before counts as processed, for commits that are automatic,
    /// and partitions take turns. Cancel safe: a batch is taken when it is returned.
    pub async fn next_batch(&self, timeout: Duration) -> Result<Option<Received>> {
        self.shared.tell(|machine, now| machine.begin_poll(now));
        let next = self.shared.wait_for(timeout, || {
            let now = self.shared.now();
            let next = self.shared.peek().poll_batch(now);
            if next.is_some() {
                self.shared.wake_driver();
            }
            next
        });
        match next.await.transpose()? {
            None => Ok(None),
            Some(Next::Rebalance(rebalance)) => Ok(Some(Received::Rebalance(rebalance))),
            Some(Next::Batch(taken)) => match RecordBatch::open(&taken) {
                Ok(batch) => Ok(Some(Received::Batch(batch))),
                Err(error) => {
                    // Stepping over it silently would lose records.
                    let _ = self.seek(&taken.topic_partition, taken.from);
                    Err(error)
                }
            },
        }
    }

    /// The next poll returns this offset, or the first after it.
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.shared.tell(|machine, _| machine.seek(partition, offset))
    }

    pub fn seek_to_beginning(&self, partitions: &[TopicPartition]) -> Result<()> {
        self.shared.tell(|machine, _| machine.seek_to(partitions, EARLIEST))
    }

    pub fn seek_to_end(&self, partitions: &[TopicPartition]) -> Result<()> {
        self.shared.tell(|machine, _| machine.seek_to(partitions, LATEST))
    }

    /// The next offset that a poll returns; `None` while it is not known.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared.peek().positions().partitions.get(partition)?.position
    }

    /// Polls skip these partitions; they go on being fetched into their buffers.
    pub fn pause(&self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, true);
    }

    pub fn resume(&self, partitions: &[TopicPartition]) {
        self.set_paused(partitions, false);
    }

    fn set_paused(&self, partitions: &[TopicPartition], paused: bool) {
        self.shared.tell(|machine, _| {
            for name in partitions {
                if let Some(partition) = machine.positions().partitions.get_mut(name) {
                    partition.paused = paused;
                }
            }
        });
    }

    /// Commits the NEXT offset to read of each partition.
    pub async fn commit(&self, offsets: &[(TopicPartition, OffsetAndMetadata)]) -> Result<()> {
        self.operate(|machine, now| machine.start_commit(now, offsets)).await.map(|_| ())
    }

    /// Committed offsets of the group; partitions without one are absent.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        match self.operate(|machine, _| machine.start_committed(partitions)).await? {
            Outcome::Committed(offsets) => Ok(offsets),
            Outcome::Done | Outcome::Found(_) => Ok(BTreeMap::new()),
        }
    }

    pub async fn beginning_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let times = partitions.iter().map(|partition| (partition.clone(), EARLIEST));
        Ok(offsets_of(self.look_up(times).await?))
    }

    /// The high watermark, or the last stable offset for a read-committed consumer.
    pub async fn end_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let times = partitions.iter().map(|partition| (partition.clone(), LATEST));
        Ok(offsets_of(self.look_up(times).await?))
    }

    /// The first record at or after each time (in ms since 1970); `None` when there is none.
    pub async fn offsets_for_times(
        &self,
        times: &[(TopicPartition, i64)],
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>> {
        if let Some((partition, time)) = times.iter().find(|(_, time)| *time < 0) {
            return Err(ClientError::Config(format!("time of {partition}: {time} is negative")));
        }
        let found = self.look_up(times.iter().cloned()).await?;
        let answer = |found: Found| {
            let Found { offset, timestamp_ms } = found;
            (offset >= 0).then_some(OffsetAndTimestamp { offset, timestamp_ms })
        };
        Ok(found.into_iter().map(|(partition, found)| (partition, answer(found))).collect())
    }

    async fn look_up(
        &self,
        times: impl Iterator<Item = (TopicPartition, i64)>,
    ) -> Result<BTreeMap<TopicPartition, Found>> {
        match self.operate(|machine, _| machine.start_lookup(times)).await? {
            Outcome::Found(found) => Ok(found),
            Outcome::Done | Outcome::Committed(_) => Ok(BTreeMap::new()),
        }
    }

    async fn operate(
        &self,
        start: impl FnOnce(&mut ConsumerMachine, Now) -> Result<OperationId>,
    ) -> Result<Outcome> {
        let shared = &*self.shared;
        let operation = shared.tell(start)?;
        let waiting = Waiting { shared, operation };
        let answer = || shared.peek().operations().take(operation);
        let result = shared.wait_for(self.request_timeout * 2, answer).await;
        drop(waiting);
        result.unwrap_or_else(|| {
            let why = shared.peek().last_failure();
            Err(ClientError::Retriable(Cause::text(format!("no answer in time: {why}"))))
        })
    }

    /// Number of partitions of a topic.
    pub async fn partitions_for(&self, topic: &str) -> Result<i32> {
        let name: Arc<str> = topic.into();
        let ask = || self.shared.tell(|machine, _| machine.partition_count(&name));
        let answer = self.shared.wait_for(self.request_timeout, ask).await;
        answer.unwrap_or_else(|| {
            let why = self.shared.peek().why_unknown(topic);
            Err(ClientError::Retriable(Cause::text(format!("topic {topic}: {why}"))))
        })
    }

    /// Who this consumer is in its group; `None` without a group id.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        self.shared.peek().group_metadata()
    }

    /// The partitions that are read now.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.shared.peek().positions().partitions.keys().cloned().collect()
    }

    /// Commits if that is automatic, leaves the group and closes.
    pub async fn close(self) -> Result<()> {
        self.shared.tell(|machine, now| machine.leave(now));
        let left = || self.shared.peek().has_left().then_some(());
        self.shared.wait_for(CLOSE_PATIENCE, left).await;
        Ok(())
    }
}

fn offsets_of(found: BTreeMap<TopicPartition, Found>) -> BTreeMap<TopicPartition, i64> {
    found.into_iter().map(|(partition, found)| (partition, found.offset)).collect()
}
