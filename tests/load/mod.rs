//! Work on a broker whose outcome can be judged afterwards, whatever happened to the broker meanwhile.
//!
//! Two loads: an idempotent producer ([`Idempotent`]) and a transactional one ([`Transactional`]). Both
//! note what they were told and never more; `verify` reads the log back and compares. What a load was not
//! told (a batch without an answer, a commit whose outcome is unknown) may stand in the log or not, but
//! never twice and never by half.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::print_stdout, reason = "a load tells what it has done")]

mod idempotent;
mod transactional;

use std::collections::BTreeMap;
use std::time::Duration;

use mainstem_client::{
    Admin, AdminConfig, Consumer, ConsumerConfig, ConsumerRecord, Isolation, NewTopic,
    TopicPartition,
};

pub(crate) use idempotent::Idempotent;
pub(crate) use transactional::Transactional;

pub(crate) const PARTITIONS: i32 = 3;

/// A number from the environment, to repeat a run or to lengthen it.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A small generator, so that a run can be repeated.
pub(crate) struct Moments(pub(crate) u64);

impl Moments {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Topics of small segments, so that faults find logs with several.
pub(crate) async fn create_topics(bootstrap: &str, names: &[&str]) {
    let admin = Admin::connect(AdminConfig::new(bootstrap)).await.expect("admin");
    let topics: Vec<NewTopic> = names
        .iter()
        .map(|name| NewTopic::new(*name, PARTITIONS).config("segment.bytes", "1048576"))
        .collect();
    for (_, result) in admin.create_topics(&topics).await.expect("create") {
        result.expect("create the topic");
    }
}

/// All that a read-committed consumer sees, up to the end that any consumer sees: a transaction left open
/// for ever would show as a reader that never gets there.
async fn read_all(bootstrap: &str, topic: &str, mut each: impl FnMut(&ConsumerRecord)) {
    let partitions: Vec<TopicPartition> =
        (0..PARTITIONS).map(|index| TopicPartition::new(topic, index)).collect();
    let everything = Consumer::connect(ConsumerConfig::new(bootstrap)).await.expect("consumer");
    let ends: BTreeMap<TopicPartition, i64> =
        everything.end_offsets(&partitions).await.expect("ends").into_iter().collect();
    let config = ConsumerConfig::new(bootstrap).isolation(Isolation::ReadCommitted);
    let consumer = Consumer::connect(config).await.expect("consumer");
    consumer.assign(&partitions).expect("assign");
    consumer.seek_to_beginning(&partitions).expect("seek");
    while partitions.iter().any(|key| consumer.position(key).unwrap_or(0) < ends[key]) {
        for record in consumer.poll(Duration::from_secs(1)).await.expect("poll").records() {
            each(record);
        }
    }
}
