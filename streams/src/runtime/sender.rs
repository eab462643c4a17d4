//! What a worker sends: within a transaction under exactly once, plainly otherwise.
//!
//! A transaction begins with the first record or, for work that put nothing out, with the commit.
//! Under at-least-once every delivery is kept until the commit has seen its answer, since a lost
//! record must stop the offsets from being committed.

use std::sync::Arc;

use mainstem_client::{
    ClientError, Consumer, Delivery, Header, OffsetAndMetadata, Producer, ProducerConfig,
    ProducerRecord, TopicPartition,
};
use mainstem_protocol::ids::Offset;

use super::{Config, Guarantee, client_error};
use crate::error::StreamsError;
use crate::record::Output;
use crate::task::Changelog;

/// Calls that end a transaction, when the answer to it is lost, before the worker begins anew.
const END_CALLS_MAX: usize = 10;

/// The producing side of a worker.
pub(super) struct Sender {
    producer: Producer,
    guarantee: Guarantee,
    is_open: bool,
    /// At-least-once: answers to be seen before the offsets are committed.
    deliveries: Vec<Delivery>,
}

impl Sender {
    /// Connects; under exactly once this fences and ends what an earlier life left open.
    pub(super) async fn connect(config: &Config, id: String) -> Result<Sender, StreamsError> {
        let failed = |error| client_error("connect the producer", error);
        let mut settings = ProducerConfig::new(config.bootstrap.clone())
            .client_id(id.clone())
            .transaction_timeout(config.transaction_timeout);
        if config.guarantee == Guarantee::ExactlyOnceV2 {
            settings = settings.transactional_id(id);
        }
        let producer = Producer::connect(settings).await.map_err(failed)?;
        if config.guarantee == Guarantee::ExactlyOnceV2 {
            producer.init_transactions().await.map_err(failed)?;
        }
        let (guarantee, deliveries) = (config.guarantee, Vec::new());
        Ok(Sender { producer, guarantee, is_open: false, deliveries })
    }

    /// Sends what tasks have put out.
    pub(super) async fn send(&mut self, outputs: Vec<Output>) -> Result<(), StreamsError> {
        for output in outputs {
            let delivery = self.send_record(producer_record(output)).await?;
            if self.guarantee == Guarantee::AtLeastOnce {
                self.deliveries.push(delivery);
            }
        }
        Ok(())
    }

    /// Sends a store's changes; the answer to the last of them tells how far they reach.
    pub(super) async fn send_changelog(
        &mut self,
        changelog: &Changelog,
    ) -> Result<Option<Delivery>, StreamsError> {
        let mut last = None;
        for record in &changelog.records {
            let record = ProducerRecord {
                topic: changelog.topic.clone(),
                partition: Some(changelog.slot.partition),
                key: Some(record.key.clone()),
                value: record.value.clone(),
                timestamp_ms: Some(record.timestamp.max(0)),
                headers: Vec::new(),
            };
            let before = last.replace(self.send_record(record).await?);
            if self.guarantee == Guarantee::AtLeastOnce {
                self.deliveries.extend(before);
            }
        }
        Ok(last)
    }

    /// Waits until everything sent has been written.
    pub(super) async fn flush(&mut self) -> Result<(), StreamsError> {
        let failed = |error| client_error("send", error);
        self.producer.flush().await.map_err(failed)?;
        for delivery in self.deliveries.drain(..) {
            delivery.await.map_err(failed)?;
        }
        Ok(())
    }

    /// Commits the offsets, and with them, under exactly once, everything that was sent.
    pub(super) async fn commit(
        &mut self,
        consumer: &Consumer,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
    ) -> Result<(), StreamsError> {
        if self.guarantee == Guarantee::AtLeastOnce {
            let committed = consumer.commit(offsets).await;
            return committed.map_err(|error| client_error("commit offsets", error));
        }
        self.begin()?;
        let Some(group) = consumer.group_metadata() else {
            return Err(StreamsError::Abort("no longer a member of the group".to_owned()));
        };
        let sent = self.producer.send_offsets(offsets, &group).await;
        sent.map_err(|error| client_error("add offsets to the transaction", error))?;
        for _ in 1..END_CALLS_MAX {
            match self.producer.commit_transaction().await {
                Ok(()) => {
                    self.is_open = false;
                    return Ok(());
                }
                // It may have been committed: the same call says so.
                Err(ClientError::Retriable(_)) => {}
                Err(error) => return Err(client_error("commit the transaction", error)),
            }
        }
        Err(StreamsError::Abort("the end of the transaction is not known".to_owned()))
    }

    /// Aborts what is open, as far as possible: whatever stays open ends by fencing or time.
    pub(super) async fn abort(&mut self) {
        if self.is_open {
            if let Err(error) = self.producer.abort_transaction().await {
                tracing::debug!(%error, "the transaction was not aborted");
            }
            self.is_open = false;
        }
    }

    /// Ends the client.
    pub(super) async fn close(self) {
        if let Err(error) = self.producer.close().await {
            tracing::debug!(%error, "the producer did not close in good order");
        }
    }

    fn begin(&mut self) -> Result<(), StreamsError> {
        if self.guarantee == Guarantee::ExactlyOnceV2 && !self.is_open {
            let begun = self.producer.begin_transaction();
            begun.map_err(|error| client_error("begin a transaction", error))?;
            self.is_open = true;
        }
        Ok(())
    }

    async fn send_record(&mut self, record: ProducerRecord) -> Result<Delivery, StreamsError> {
        self.begin()?;
        let topic: Arc<str> = record.topic.clone();
        let sent = self.producer.send(record).await;
        sent.map_err(|error| client_error(&format!("send to {topic}"), error))
    }
}

/// Where the changelog stands behind the record of this answer.
pub(super) async fn offset_behind(delivery: Delivery) -> Result<Offset, StreamsError> {
    let metadata = delivery.await.map_err(|error| client_error("send a changelog", error))?;
    match metadata.offset {
        offset if offset >= 0 => Ok(Offset(offset).next()),
        _ => Err(StreamsError::Abort("the broker did not say where a changelog ends".to_owned())),
    }
}

fn producer_record(output: Output) -> ProducerRecord {
    let headers = output.headers.into_iter();
    let headers = headers.map(|header| Header { key: header.key, value: header.value }).collect();
    let Output { topic, partition, key, value, timestamp, .. } =
        Output { headers: Vec::new(), ..output };
    let timestamp_ms = Some(timestamp);
    ProducerRecord { topic, partition, key, value, timestamp_ms, headers }
}
