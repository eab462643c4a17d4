//! An idempotent acks=all producer that lives through every fault: it retries until it is answered.
//!
//! Judged: every acknowledged record stands exactly once, at the offset that was acknowledged; nothing
//! stands twice; each partition is in the order of sending.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstem_client::{Delivery, Producer, ProducerConfig, ProducerRecord};

use super::{Moments, PARTITIONS, read_all};

/// Acknowledged records between two faults, at most.
const ACKS_BETWEEN_FAULTS_MAX: u64 = 3_000;
const OUTSTANDING_MAX: usize = 1_000;

/// Partition and offset of a record.
type Place = (i32, i64);

pub(crate) struct Idempotent {
    topic: String,
    value_bytes_max: u64,
    producer: Producer,
    sent: u64,
    acked: BTreeMap<u64, Place>,
    outstanding: Vec<(u64, Delivery)>,
}

/// Sizes differ, so that a fault finds batches of every length half written.
fn value(number: u64, bytes_max: u64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    value.resize(8 + usize::try_from(number % (bytes_max - 7)).expect("fits"), b'x');
    value
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value[..8].try_into().expect("eight bytes"))
}

impl Idempotent {
    pub(crate) async fn start(bootstrap: &str, topic: &str, value_bytes_max: u64) -> Idempotent {
        let config = ProducerConfig::new(bootstrap)
            .delivery_timeout(Duration::from_secs(300))
            .linger(Duration::ZERO);
        Idempotent {
            topic: topic.to_owned(),
            value_bytes_max,
            producer: Producer::connect(config).await.expect("producer"),
            sent: 0,
            acked: BTreeMap::new(),
            outstanding: Vec::new(),
        }
    }

    /// Works until a random number of further records is acknowledged. Others are on their way when it
    /// returns: on the wire, in the log and in the sync.
    pub(crate) async fn work(&mut self, moments: &mut Moments) {
        let target = self.acked.len() as u64 + 1 + moments.below(ACKS_BETWEEN_FAULTS_MAX);
        while (self.acked.len() as u64) < target {
            let partition =
                i32::try_from(self.sent % u64::from(PARTITIONS.unsigned_abs())).expect("small");
            let value = value(self.sent, self.value_bytes_max);
            let record = ProducerRecord::new(self.topic.as_str(), value).partition(partition);
            self.outstanding.push((self.sent, self.producer.send(record).await.expect("send")));
            self.sent += 1;
            if self.outstanding.len() >= OUTSTANDING_MAX {
                self.settle(OUTSTANDING_MAX / 2).await;
            }
        }
    }

    /// Waits until everything sent is acknowledged.
    pub(crate) async fn settle_all(&mut self) {
        self.settle(usize::MAX).await;
    }

    /// Waits for the oldest deliveries and notes where the records are said to stand.
    async fn settle(&mut self, count: usize) {
        let count = count.min(self.outstanding.len());
        for (number, delivery) in self.outstanding.drain(..count) {
            let metadata = delivery.await.expect("an idempotent producer outlives every fault");
            self.acked.insert(number, (metadata.topic_partition.partition, metadata.offset));
        }
    }

    pub(crate) fn summary(&self) -> String {
        format!("{} acknowledged of {} sent", self.acked.len(), self.sent)
    }

    pub(crate) async fn verify(mut self, bootstrap: &str) {
        self.settle_all().await;
        let summary = self.summary();
        self.producer.close().await.expect("close");
        let mut found: BTreeMap<u64, Place> = BTreeMap::new();
        let mut last: BTreeMap<i32, u64> = BTreeMap::new();
        read_all(bootstrap, &self.topic, |record| {
            let number = number(record.value.as_deref().expect("a value"));
            let place = (record.partition, record.offset);
            let earlier = found.insert(number, place);
            assert_eq!(earlier, None, "record {number} stands twice, again at {place:?}");
            let before = last.insert(record.partition, number);
            assert!(before < Some(number), "record {number} stands after {before:?}");
        })
        .await;
        for (number, place) in &self.acked {
            assert_eq!(found.get(number), Some(place), "acknowledged record {number}");
        }
        assert!(found.len() as u64 <= self.sent, "more records than were sent");
        println!("idempotent: {summary}, {} found", found.len());
    }
}
