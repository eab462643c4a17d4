//! The producer: `send` puts a record into a batch, a machine brings batches to their brokers.
//!
//! In reading order: [`partitioner`] (which partition), [`accumulator`] (batches that wait),
//! [`batch`] and [`ack`] (one batch, its answer), [`flow`] (sequences and order of a partition),
//! [`sender`] (the machine) with [`produce`] (its requests) and [`idempotence`] (its identity),
//! [`verdict`] (what errors mean), [`transaction`] and [`coordination`] (the transaction machine
//! and its requests). This file is the handle.

mod accumulator;
mod ack;
mod batch;
mod coordination;
mod flow;
mod idempotence;
mod metrics;
mod partitioner;
mod produce;
mod sender;
mod transaction;
mod verdict;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use mainstem_platform::os::os_seed;
use parking_lot::Mutex;

use crate::config::ProducerConfig;
use crate::core::{Address, OperationId};
use crate::error::{Cause, ClientError, Result};
use crate::net::{Shared, Transport};
use crate::records::{GroupMetadata, OffsetAndMetadata, ProducerRecord, TopicPartition};
use accumulator::{Accumulator, Appended};
use sender::Sender;
use transaction::Transaction;

pub use ack::Delivery;
pub use metrics::ProducerMetrics;
pub use partitioner::Partitioner;

/// No operation waits longer than this without any answer at all; transactions end within the
/// coordinator's own timeout long before.
const OPERATION_PATIENCE: Duration = Duration::from_secs(900);

/// Why [`Producer::try_send`] did not take a record. It comes back unless it is refused for good.
#[derive(Debug, thiserror::Error)]
pub enum TrySendError {
    /// `buffer_memory_bytes` is used up. Send it later, or let [`Producer::send`] wait for room.
    #[error("the buffer is full")]
    Full(ProducerRecord),
    /// The topic's partitions are not known yet, and are being asked for. Try again, or let
    /// [`Producer::send`] wait for them.
    #[error("the partitions of the topic are not known yet")]
    Unknown(ProducerRecord),
    /// As [`Producer::send`] would fail.
    #[error(transparent)]
    Failed(#[from] ClientError),
}

/// Sends records. Cheap to clone; all clones share one driver.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared<Sender>>,
    accumulator: Arc<Mutex<Accumulator>>,
    max_block: Duration,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.tell(|sender, _| sender.close());
        self.shared.stop();
    }
}

/// Gives up an operation whose caller went away.
struct Waiting<'a> {
    shared: &'a Shared<Sender>,
    operation: OperationId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.peek().operations().cancel(self.operation);
    }
}

impl Producer {
    /// Connects to the first broker that answers.
    pub async fn connect(config: ProducerConfig) -> Result<Self> {
        config.check()?;
        let bootstrap = Address::parse_list(&config.bootstrap)?;
        let max_block = config.max_block;
        let accumulator = Arc::new(Mutex::new(Accumulator::new(&config, os_seed())));
        let transport = Transport::open(&config.security)?;
        let sender = Sender::new(config, bootstrap, accumulator.clone(), os_seed());
        let shared = Shared::start(sender, transport);
        let inner = Inner { shared: shared.clone(), accumulator, max_block };
        let producer = Self { inner: Arc::new(inner) };
        let connected = || {
            let sender = shared.peek();
            let failed = sender.fatal().cloned().map(Err);
            failed.or_else(|| sender.is_connected().then_some(Ok(())))
        };
        match shared.wait_for(max_block, connected).await {
            Some(result) => result.map(|()| producer),
            None => {
                let why = shared.peek().last_failure().unwrap_or("no answer").to_owned();
                Err(ClientError::Retriable(Cause::text(format!("connect: {why}"))))
            }
        }
    }

    /// Puts the record into its batch; waits for metadata and for buffer room. The record counts
    /// as sent when this returns; the [`Delivery`] says when and where it was written.
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery> {
        match self.append(record)? {
            Appended::Done { delivery, .. } => Ok(delivery),
            Appended::NeedsMetadata(record) | Appended::NeedsMemory { record, .. } => {
                self.send_later(record).await
            }
        }
    }

    /// As [`Producer::send`], without waiting.
    #[expect(clippy::result_large_err, reason = "the record comes back without an allocation")]
    pub fn try_send(&self, record: ProducerRecord) -> Result<Delivery, TrySendError> {
        match self.append(record)? {
            Appended::Done { delivery, .. } => Ok(delivery),
            Appended::NeedsMemory { record, .. } => Err(TrySendError::Full(record)),
            Appended::NeedsMetadata(record) => {
                self.inner.shared.tell(|sender, _| sender.want_topic(&record.topic))?;
                Err(TrySendError::Unknown(record))
            }
        }
    }

    /// What this producer, with all its clones, has done so far.
    pub fn metrics(&self) -> ProducerMetrics {
        let retries = self.inner.shared.peek().retries();
        ProducerMetrics { retries, ..self.inner.accumulator.lock().metrics() }
    }

    fn append(&self, record: ProducerRecord) -> Result<Appended> {
        let now = self.inner.shared.now();
        let appended = self.inner.accumulator.lock().append(now, record)?;
        match &appended {
            // Whoever waits for room asks after every pass of the driver: it must not answer each time.
            Appended::Done { wake: true, .. } | Appended::NeedsMemory { wake: true, .. } => {
                self.inner.shared.wake_driver();
            }
            Appended::Done { .. } | Appended::NeedsMemory { .. } | Appended::NeedsMetadata(_) => {}
        }
        Ok(appended)
    }

    async fn send_later(&self, record: ProducerRecord) -> Result<Delivery> {
        let shared = &self.inner.shared;
        let topic = record.topic.clone();
        let mut left = Some(record);
        let attempt = || {
            let record = left.take()?;
            match self.append(record) {
                Ok(Appended::Done { delivery, .. }) => return Some(Ok(delivery)),
                Ok(Appended::NeedsMetadata(record)) => {
                    left = Some(record);
                    if let Err(error) = shared.tell(|sender, _| sender.want_topic(&topic)) {
                        return Some(Err(error));
                    }
                }
                Ok(Appended::NeedsMemory { record, .. }) => left = Some(record),
                Err(error) => return Some(Err(error)),
            }
            None
        };
        if let Some(result) = shared.wait_for(self.inner.max_block, attempt).await {
            return result;
        }
        let why = match self.inner.accumulator.lock().partition_count(&topic) {
            Some(_) => "the buffer stays full".to_owned(),
            None => shared.peek().why_unknown(&topic),
        };
        Err(ClientError::Retriable(Cause::text(format!("send to {topic}: {why}"))))
    }

    /// Waits until everything sent before has its answer; each [`Delivery`] has its own.
    pub async fn flush(&self) -> Result<()> {
        let Some(until) = self.inner.accumulator.lock().flush() else { return self.check() };
        self.inner.shared.wake_driver();
        let flushed = || self.inner.accumulator.lock().flushed(until).then_some(());
        self.inner.shared.wait_for(OPERATION_PATIENCE, flushed).await;
        self.check()
    }

    fn check(&self) -> Result<()> {
        self.inner.shared.peek().fatal().cloned().map_or(Ok(()), Err)
    }

    /// Flushes, and ends the driver. A transaction that is open is left to its timeout.
    pub async fn close(self) -> Result<()> {
        let flushed = self.flush().await;
        self.inner.shared.tell(|sender, _| sender.close());
        self.inner.shared.stop();
        flushed
    }

    /// Fences older producers of this transactional id and ends what they left open. Once, first.
    pub async fn init_transactions(&self) -> Result<()> {
        self.operate(Transaction::init).await
    }

    /// Everything sent from now on belongs to one transaction.
    pub fn begin_transaction(&self) -> Result<()> {
        self.inner.shared.tell(|sender, _| sender.begin())
    }

    /// Commits a consumer's offsets as part of the transaction.
    pub async fn send_offsets(
        &self,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
        group: &GroupMetadata,
    ) -> Result<()> {
        self.operate(|txn, operation| txn.send_offsets(operation, offsets, group)).await
    }

    /// Flushes and commits. After an `Abortable` error: abort.
    pub async fn commit_transaction(&self) -> Result<()> {
        self.operate(|txn, operation| txn.end(operation, true)).await
    }

    /// Drops what was not sent and aborts.
    pub async fn abort_transaction(&self) -> Result<()> {
        self.operate(|txn, operation| txn.end(operation, false)).await
    }

    async fn operate(
        &self,
        command: impl FnOnce(&mut Transaction, OperationId) -> Result<()>,
    ) -> Result<()> {
        let shared = &self.inner.shared;
        let operation = shared.tell(|sender, _| sender.start(command))?;
        let waiting = Waiting { shared, operation };
        let answer = || shared.peek().operations().take(operation);
        let result = shared.wait_for(OPERATION_PATIENCE, answer).await;
        drop(waiting);
        result.unwrap_or_else(|| {
            let cause = Cause::text("the coordinator did not answer; the outcome is not known");
            Err(ClientError::Fatal(cause))
        })
    }

    /// Number of partitions of a topic.
    pub async fn partitions_for(&self, topic: &str) -> Result<i32> {
        let shared = &self.inner.shared;
        let name: Arc<str> = topic.into();
        let ask = || {
            if let Some(count) = self.inner.accumulator.lock().partition_count(topic) {
                return Some(Ok(count));
            }
            shared.tell(|sender, _| sender.want_topic(&name)).err().map(Err)
        };
        let answer = shared.wait_for(self.inner.max_block, ask).await;
        answer.unwrap_or_else(|| {
            let why = shared.peek().why_unknown(topic);
            Err(ClientError::Retriable(Cause::text(format!("topic {topic}: {why}"))))
        })
    }
}
