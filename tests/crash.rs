//! Kills the real broker process at random moments under an idempotent acks=all producer, and counts.
//!
//! One producer lives through all rounds: it retries over every death. In the end every
//! acknowledged record must stand in the log exactly once, at the offset that was acknowledged,
//! each partition in the order of sending, and nothing may stand there twice.
//! `MAINSTEM_CRASH_ROUNDS` sets the number of kills (`tests/crash_loop.sh` asks for 200),
//! `MAINSTEM_CRASH_SEED` repeats a run's moments.

mod process;

use std::collections::BTreeMap;
use std::time::Duration;

use mainstem_client::{
    Admin, AdminConfig, Consumer, ConsumerConfig, Delivery, Isolation, NewTopic, Producer,
    ProducerConfig, ProducerRecord, TopicPartition,
};
use process::Broker;

const TOPIC: &str = "crash";
const PARTITIONS: i32 = 3;
/// Acknowledged records between two kills, at most.
const ACKS_BETWEEN_KILLS_MAX: u64 = 3_000;
const OUTSTANDING_MAX: usize = 2_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A small generator, so that a run can be repeated.
struct Moments(u64);

impl Moments {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn value(number: u64) -> Vec<u8> {
    // Sizes differ, so that a kill finds batches of every length half written.
    let mut value = number.to_be_bytes().to_vec();
    value.resize(8 + usize::try_from(number % 257).expect("fits"), b'x');
    value
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value[..8].try_into().expect("eight bytes"))
}

#[tokio::test]
async fn no_acknowledged_record_is_lost_or_doubled_when_the_broker_is_killed() {
    let rounds = setting("MAINSTEM_CRASH_ROUNDS", 12);
    let seed = setting("MAINSTEM_CRASH_SEED", u64::from(std::process::id()));
    println!("{rounds} rounds, MAINSTEM_CRASH_SEED={seed}");
    let mut moments = Moments(seed);
    let mut broker = Broker::start(&[]);

    let admin = Admin::connect(AdminConfig::new(broker.bootstrap())).await.expect("admin");
    let topic = NewTopic::new(TOPIC, PARTITIONS).config("segment.bytes", "1048576");
    for (_, result) in admin.create_topics(&[topic]).await.expect("create") {
        result.expect("create the topic");
    }
    let config = ProducerConfig::new(broker.bootstrap())
        .delivery_timeout(Duration::from_secs(300))
        .linger(Duration::ZERO);
    let producer = Producer::connect(config).await.expect("producer");

    let mut sent = 0;
    let mut acked: BTreeMap<u64, (i32, i64)> = BTreeMap::new();
    for round in 0..rounds {
        let target = acked.len() as u64 + 1 + moments.below(ACKS_BETWEEN_KILLS_MAX);
        let mut outstanding: Vec<(u64, Delivery)> = Vec::new();
        while (acked.len() as u64) < target {
            let partition = i32::try_from(sent % PARTITIONS.unsigned_abs() as u64).expect("small");
            let record = ProducerRecord::new(TOPIC, value(sent)).partition(partition);
            outstanding.push((sent, producer.send(record).await.expect("send")));
            sent += 1;
            if outstanding.len() >= OUTSTANDING_MAX / 2 {
                settle(&mut outstanding, OUTSTANDING_MAX / 4, &mut acked).await;
            }
        }
        // The kill falls while batches are on the wire, in the log and in the sync.
        broker.kill();
        broker.restart();
        settle(&mut outstanding, usize::MAX, &mut acked).await;
        println!("round {round}: {} acknowledged, {sent} sent", acked.len());
    }
    producer.close().await.expect("close");
    verify(&broker.bootstrap(), &acked, sent).await;
}

/// Waits for the oldest deliveries and notes where the records are said to stand.
async fn settle(
    outstanding: &mut Vec<(u64, Delivery)>,
    count: usize,
    acked: &mut BTreeMap<u64, (i32, i64)>,
) {
    let count = count.min(outstanding.len());
    for (number, delivery) in outstanding.drain(..count) {
        let metadata = delivery.await.expect("an idempotent producer outlives its broker's death");
        acked.insert(number, (metadata.topic_partition.partition, metadata.offset));
    }
}

async fn verify(bootstrap: &str, acked: &BTreeMap<u64, (i32, i64)>, sent: u64) {
    let config = ConsumerConfig::new(bootstrap).isolation(Isolation::ReadCommitted);
    let consumer = Consumer::connect(config).await.expect("consumer");
    let partitions: Vec<TopicPartition> =
        (0..PARTITIONS).map(|index| TopicPartition::new(TOPIC, index)).collect();
    let ends = consumer.end_offsets(&partitions).await.expect("ends");
    consumer.assign(&partitions).expect("assign");
    consumer.seek_to_beginning(&partitions).expect("seek");
    let mut found: BTreeMap<u64, (i32, i64)> = BTreeMap::new();
    let mut last: BTreeMap<i32, u64> = BTreeMap::new();
    while partitions.iter().any(|key| consumer.position(key).unwrap_or(0) < ends[key]) {
        for record in consumer.poll(Duration::from_secs(1)).await.expect("poll").records() {
            let number = number(record.value.as_deref().expect("a value"));
            let place = (record.partition, record.offset);
            let earlier = found.insert(number, place);
            assert_eq!(earlier, None, "record {number} stands twice, again at {place:?}");
            let before = last.insert(record.partition, number);
            assert!(before < Some(number), "record {number} stands after {before:?}");
        }
    }
    for (number, place) in acked {
        assert_eq!(found.get(number), Some(place), "acknowledged record {number}");
    }
    assert!(found.len() as u64 <= sent, "more records than were sent");
    println!("{} acknowledged of {sent} sent, {} found", acked.len(), found.len());
}
