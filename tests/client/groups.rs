//! Groups: sharing partitions, committing, resuming, resetting.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mainstem_client::{
    Admin, AdminConfig, AutoOffsetReset, ClientError, Consumer, ConsumerConfig, OffsetAndMetadata,
    ProducerConfig, ProducerRecord, Rebalance, TopicPartition,
};

use super::{PATIENCE, partitions, producer, reader, topic, unique};

async fn fill(bootstrap: &str, topic: &str, partition: i32, count: usize) {
    let producer = producer(ProducerConfig::new(bootstrap)).await;
    for number in 0..count {
        let record = ProducerRecord::new(topic, number.to_string()).partition(partition);
        producer.send(record).await.expect("send");
    }
    producer.close().await.expect("close");
}

fn member(bootstrap: &str, group: &str) -> ConsumerConfig {
    reader(bootstrap)
        .group_id(group)
        .session_timeout(Duration::from_secs(6))
        .heartbeat_interval(Duration::from_millis(200))
}

async fn join(config: ConsumerConfig, topic: &str) -> Consumer {
    let consumer = Consumer::connect(config).await.expect("connect");
    consumer.subscribe(&[topic]).expect("subscribe");
    consumer
}

/// Polls all members until their assignments are what `done` waits for.
async fn settle(members: &[&Consumer], done: impl Fn(&[BTreeSet<TopicPartition>]) -> bool) {
    let begun = Instant::now();
    loop {
        for member in members {
            member.poll(Duration::from_millis(50)).await.expect("poll");
        }
        let assignments: Vec<_> = members.iter().map(|member| member.assignment()).collect();
        if done(&assignments) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "the group does not settle: {assignments:?}");
    }
}

/// One member has all; two share; the one that stays takes over.
pub(crate) async fn rebalance(bootstrap: &str) {
    let name = topic(bootstrap, "rebalance", 4).await;
    let all: BTreeSet<TopicPartition> = partitions(&name, 4).into_iter().collect();
    let group = unique("group");
    let first = join(member(bootstrap, &group), &name).await;
    settle(&[&first], |assignments| assignments[0] == all).await;
    let second = join(member(bootstrap, &group), &name).await;
    settle(&[&first, &second], |assignments| {
        let union: BTreeSet<_> = assignments.iter().flatten().cloned().collect();
        assignments.iter().all(|a| a.len() == 2) && union == all
    })
    .await;
    let admin = Admin::connect(AdminConfig::new(bootstrap)).await.expect("connect");
    let described = admin.describe_groups(&[&group]).await.expect("describe").remove(0).1;
    let described = described.expect("the group exists");
    assert_eq!((described.state.as_str(), described.members.len()), ("Stable", 2));
    assert!(described.members.iter().all(|member| member.assignment.len() == 2));
    assert!(admin.list_groups().await.expect("list").iter().any(|g| g.group_id == group));
    second.close().await.expect("leave");
    settle(&[&first], |assignments| assignments[0] == all).await;
}

/// After `Revoked` the old generation may still commit; a member that was left behind may not.
pub(crate) async fn commit_around_a_rebalance(bootstrap: &str) {
    let name = topic(bootstrap, "around", 2).await;
    let group = unique("group");
    let first = join(member(bootstrap, &group), &name).await;
    settle(&[&first], |assignments| assignments[0].len() == 2).await;
    let old = first.group_metadata().expect("a member");
    let second = join(member(bootstrap, &group), &name).await;
    let begun = Instant::now();
    let revoked = loop {
        second.poll(Duration::from_millis(20)).await.expect("poll");
        if let Some(Rebalance::Revoked(partitions)) =
            first.poll(Duration::from_millis(50)).await.expect("poll").rebalance
        {
            break partitions;
        }
        assert!(begun.elapsed() < PATIENCE, "no partition was revoked");
    };
    assert_eq!(revoked.len(), 2);
    let offsets = [(revoked[0].clone(), OffsetAndMetadata::new(3))];
    first.commit(&offsets).await.expect("the generation is not over yet");
    settle(&[&first, &second], |assignments| assignments.iter().all(|a| a.len() == 1)).await;
    let new = first.group_metadata().expect("a member");
    assert!(new.generation_id > old.generation_id);
    let committed = second.committed(&[revoked[0].clone()]).await.expect("committed");
    assert_eq!(committed[&revoked[0]].offset, 3);
}

/// A group goes on where it committed; without a commit, where the policy says.
pub(crate) async fn resume_and_reset(bootstrap: &str) {
    let name = topic(bootstrap, "resume", 1).await;
    fill(bootstrap, &name, 0, 100).await;
    let partition = TopicPartition::new(name.as_str(), 0);
    let group = unique("group");
    let first = Consumer::connect(member(bootstrap, &group).max_poll_records(30)).await;
    let first = first.expect("connect");
    first.subscribe(&[&name]).expect("subscribe");
    let records = next_records(&first).await;
    assert_eq!((records[0], records.len()), (0, 30), "from the earliest, at most so many");
    assert_eq!(first.position(&partition), Some(30));
    let commit = OffsetAndMetadata { metadata: "m".to_owned(), ..OffsetAndMetadata::new(30) };
    first.commit(&[(partition.clone(), commit)]).await.expect("commit");
    assert_eq!(next_records(&first).await[0], 30, "what was fetched is not thrown away");
    first.seek(&partition, 90).expect("seek");
    assert_eq!(next_records(&first).await[0], 90);
    first.close().await.expect("close");

    let second = join(member(bootstrap, &group), &name).await;
    assert_eq!(next_records(&second).await[0], 30, "from the committed offset");
    let times = [(partition.clone(), 0), (partition.clone(), i64::MAX / 2)];
    let found = second.offsets_for_times(&times[..1]).await.expect("offsets for times");
    assert_eq!(found[&partition].map(|found| found.offset), Some(0));
    let found = second.offsets_for_times(&times[1..]).await.expect("offsets for times");
    assert_eq!(found[&partition], None);
    assert_eq!(
        second.end_offsets(std::slice::from_ref(&partition)).await.expect("ends")[&partition],
        100
    );

    // An offset that does not exist: by policy.
    second.seek(&partition, 5_000).expect("seek");
    assert_eq!(next_records(&second).await[0], 0, "reset to the earliest");
    let strict = reader(bootstrap).auto_offset_reset(AutoOffsetReset::None);
    let strict = Consumer::connect(strict).await.expect("connect");
    strict.assign(std::slice::from_ref(&partition)).expect("assign");
    strict.seek(&partition, 5_000).expect("seek");
    let begun = Instant::now();
    let error = loop {
        match strict.poll(Duration::from_millis(100)).await {
            Err(error) => break error,
            Ok(polled) => assert!(polled.is_empty() && begun.elapsed() < PATIENCE),
        }
    };
    assert!(matches!(error, ClientError::Refused(_)), "{error:?}");
}

/// The first records that polls bring, as numbers.
async fn next_records(consumer: &Consumer) -> Vec<i64> {
    let begun = Instant::now();
    loop {
        let polled = consumer.poll(Duration::from_millis(200)).await.expect("poll");
        let records: Vec<i64> = polled.records().map(|record| record.offset).collect();
        if !records.is_empty() {
            return records;
        }
        assert!(begun.elapsed() < PATIENCE, "no records");
    }
}

/// Commits itself what earlier polls returned, on the way and at the end.
pub(crate) async fn auto_commit(bootstrap: &str) {
    let name = topic(bootstrap, "auto", 1).await;
    fill(bootstrap, &name, 0, 10).await;
    let group = unique("group");
    let config = member(bootstrap, &group).auto_commit(Some(Duration::from_secs(3600)));
    let first = join(config, &name).await;
    assert_eq!(next_records(&first).await.len(), 10);
    first.close().await.expect("close");
    let second = Consumer::connect(member(bootstrap, &group)).await.expect("connect");
    let partition = TopicPartition::new(name.as_str(), 0);
    let committed = second.committed(std::slice::from_ref(&partition)).await.expect("committed");
    assert_eq!(committed[&partition].offset, 10);
}
