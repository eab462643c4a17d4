//! What the client must do against a broker, ours or Apache's: functions that take the address.
//!
//! Each makes topics and groups of its own, so that they run side by side and again and again.

pub(crate) mod administration;
pub(crate) mod batches;
pub(crate) mod exactly_once;
pub(crate) mod groups;
pub(crate) mod operators;
pub(crate) mod polling;
pub(crate) mod producing;
pub(crate) mod proxy;
pub(crate) mod retries;
pub(crate) mod round_trip;
pub(crate) mod sharing;
pub(crate) mod transactions;

/// Every test of the suite, given to a macro that makes them run against some broker.
macro_rules! suite {
    ($against:ident) => {
        $against! {
            plain => client::round_trip::round_trip, mainstem_client::Compression::None;
            gzip => client::round_trip::round_trip, mainstem_client::Compression::Gzip;
            snappy => client::round_trip::round_trip, mainstem_client::Compression::Snappy;
            lz4 => client::round_trip::round_trip, mainstem_client::Compression::Lz4;
            zstd => client::round_trip::round_trip, mainstem_client::Compression::Zstd;
            oddities => client::round_trip::oddities;
            nothing_waits_that_must_not => client::producing::nothing_waits_that_must_not;
            partitions_are_chosen => client::producing::partitions_are_chosen;
            batches_are_read_in_place => client::batches::batches_are_read_in_place;
            batches_begin_where_we_are => client::batches::batches_begin_where_we_are;
            idempotent_through_cuts => client::retries::idempotent_through_cuts;
            commit_and_abort => client::transactions::commit_and_abort;
            open_transaction_is_invisible => client::transactions::open_transaction_is_invisible;
            zombie_is_fenced => client::transactions::zombie_is_fenced;
            offsets_in_a_transaction => client::transactions::offsets_in_a_transaction;
            transactions_are_found_and_ended => client::operators::transactions_are_found_and_ended;
            records_are_deleted => client::administration::records_are_deleted;
            groups_are_administered => client::administration::groups_are_administered;
            disks_and_leaders => client::administration::disks_and_leaders;
            features_have_levels => client::administration::features_have_levels;
            rebalance => client::groups::rebalance;
            commit_around_a_rebalance => client::groups::commit_around_a_rebalance;
            resume_and_reset => client::groups::resume_and_reset;
            auto_commit => client::groups::auto_commit;
            share_eager => client::sharing::share, client::sharing::Way::Eager;
            share_cooperative => client::sharing::share, client::sharing::Way::Cooperative;
            share_served => client::sharing::share, client::sharing::Way::Served;
            static_eager => client::sharing::static_member_returns, client::sharing::Way::Eager;
            static_cooperative => client::sharing::static_member_returns, client::sharing::Way::Cooperative;
            static_served => client::sharing::static_member_returns, client::sharing::Way::Served;
            pattern_classic => client::sharing::pattern, client::sharing::Way::Cooperative;
            pattern_served => client::sharing::pattern, client::sharing::Way::Served;
            from_classic_to_served => client::sharing::cross_over,
                client::sharing::Way::Cooperative, client::sharing::Way::Served;
            from_served_to_classic => client::sharing::cross_over,
                client::sharing::Way::Served, client::sharing::Way::Cooperative;
            long_polls_delay_nobody => client::polling::long_polls_delay_nobody;
            two_members => client::exactly_once::two_members;
            zombie_member => client::exactly_once::zombie_member;
        }
    };
}
pub(crate) use suite;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstem_client::{
    Admin, AdminConfig, AutoOffsetReset, Consumer, ConsumerConfig, ConsumerRecord, Isolation,
    NewTopic, Producer, ProducerConfig, TopicPartition,
};

/// Patience of a test: far more than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A name that no other test, and no earlier run, has.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("the clock is past 1970");
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{}-{number}", since.as_nanos(), std::process::id())
}

/// A new topic with so many partitions.
pub(crate) async fn topic(bootstrap: &str, name: &str, partitions: i32) -> String {
    let name = unique(name);
    let admin = Admin::connect(AdminConfig::new(bootstrap)).await.expect("connect an admin");
    let answers = admin.create_topics(&[NewTopic::new(&name, partitions)]).await;
    for (topic, answer) in answers.expect("create topics") {
        answer.unwrap_or_else(|error| panic!("create {topic}: {error}"));
    }
    name
}

pub(crate) async fn producer(config: ProducerConfig) -> Producer {
    Producer::connect(config).await.expect("connect a producer")
}

/// A consumer from the beginning, of committed records.
pub(crate) fn reader(bootstrap: &str) -> ConsumerConfig {
    ConsumerConfig::new(bootstrap)
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .isolation(Isolation::ReadCommitted)
}

pub(crate) fn partitions(topic: &str, count: i32) -> Vec<TopicPartition> {
    (0..count).map(|partition| TopicPartition::new(topic, partition)).collect()
}

/// Everything that is in the topic now.
pub(crate) async fn read_all(
    config: ConsumerConfig,
    topic: &str,
    count: i32,
) -> Vec<ConsumerRecord> {
    let consumer = Consumer::connect(config).await.expect("connect a consumer");
    let partitions = partitions(topic, count);
    consumer.assign(&partitions).expect("assign");
    let ends = consumer.end_offsets(&partitions).await.expect("end offsets");
    let mut records = Vec::new();
    let reached = |consumer: &Consumer| {
        ends.iter().all(|(partition, end)| {
            consumer.position(partition).is_some_and(|position| position >= *end)
        })
    };
    let begun = std::time::Instant::now();
    while !reached(&consumer) {
        assert!(begun.elapsed() < PATIENCE, "{topic} was not read to its end in time");
        let polled = consumer.poll(Duration::from_millis(100)).await.expect("poll");
        records.extend(polled.batches.into_iter().flat_map(|batch| batch.records));
    }
    records
}

/// The value as text.
pub(crate) fn text(record: &ConsumerRecord) -> String {
    String::from_utf8(record.value.as_deref().unwrap_or_default().to_vec()).expect("text")
}
