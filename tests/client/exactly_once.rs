//! Read, process, write, with offsets in the transaction: every input counts once, whatever
//! members come, go, or come back as zombies.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mainstem_client::{
    ClientError, Consumer, ConsumerRecord, GroupMetadata, OffsetAndMetadata, Producer,
    ProducerConfig, ProducerRecord, Rebalance, TopicPartition,
};

use super::{PATIENCE, producer, read_all, reader, text, topic, unique};

const PARTITIONS: i32 = 4;
const RECORDS: usize = 2_000;

struct Worker {
    consumer: Consumer,
    producer: Producer,
    output: String,
}

impl Worker {
    async fn start(bootstrap: &str, group: &str, input: &str, output: &str) -> Self {
        let config = reader(bootstrap)
            .group_id(group)
            .max_poll_records(100)
            .session_timeout(Duration::from_secs(6))
            .heartbeat_interval(Duration::from_millis(200));
        let consumer = Consumer::connect(config).await.expect("connect a consumer");
        consumer.subscribe(&[input]).expect("subscribe");
        let producer =
            producer(ProducerConfig::new(bootstrap).transactional_id(unique("eos"))).await;
        producer.init_transactions().await.expect("init");
        Self { consumer, producer, output: output.to_owned() }
    }

    /// One poll and its transaction. A transaction that the group refuses is undone.
    async fn step(&self) -> Option<Rebalance> {
        let polled = self.consumer.poll(Duration::from_millis(50)).await.expect("poll");
        let records: Vec<ConsumerRecord> = polled.records().cloned().collect();
        let group = self.consumer.group_metadata().expect("a group id was given");
        if !records.is_empty() && !self.process(&records, &group).await {
            self.go_back().await;
        }
        polled.rebalance
    }

    /// False when the transaction was aborted.
    async fn process(&self, records: &[ConsumerRecord], group: &GroupMetadata) -> bool {
        self.producer.begin_transaction().expect("begin");
        match self.write(records, group).await {
            Ok(()) => true,
            Err(error @ (ClientError::Abortable(_) | ClientError::Rejoin(_))) => {
                self.producer.abort_transaction().await.unwrap_or_else(|abort| {
                    panic!("abort after {error}: {abort}");
                });
                false
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn write(
        &self,
        records: &[ConsumerRecord],
        group: &GroupMetadata,
    ) -> Result<(), ClientError> {
        let mut offsets = BTreeMap::new();
        for record in records {
            let copy =
                ProducerRecord::new(self.output.as_str(), text(record)).partition(record.partition);
            self.producer.send(copy).await?;
            let from = TopicPartition { topic: record.topic.clone(), partition: record.partition };
            offsets.insert(from, OffsetAndMetadata::new(record.offset + 1));
        }
        let offsets: Vec<_> = offsets.into_iter().collect();
        self.producer.send_offsets(&offsets, group).await?;
        self.producer.commit_transaction().await
    }

    /// To the committed offsets, from where the work is done again.
    async fn go_back(&self) {
        let assigned: Vec<TopicPartition> = self.consumer.assignment().into_iter().collect();
        let committed = self.consumer.committed(&assigned).await.expect("committed");
        for partition in &assigned {
            let offset = committed.get(partition).map_or(0, |committed| committed.offset);
            // The next poll may take the partition away meanwhile; then there is nothing to do.
            let _gone = self.consumer.seek(partition, offset);
        }
    }
}

/// Two members that compete, one of which is replaced on the way.
pub(crate) async fn two_members(bootstrap: &str) {
    let input = topic(bootstrap, "eos-in", PARTITIONS).await;
    let output = topic(bootstrap, "eos-out", PARTITIONS).await;
    let group = unique("group");
    let source = producer(ProducerConfig::new(bootstrap)).await;
    for number in 0..RECORDS {
        let partition = (number % PARTITIONS as usize) as i32;
        let record = ProducerRecord::new(input.as_str(), number.to_string()).partition(partition);
        source.send(record).await.expect("send");
    }
    source.flush().await.expect("flush");

    let first = Worker::start(bootstrap, &group, &input, &output).await;
    while first.consumer.assignment().is_empty() {
        first.step().await;
    }
    first.step().await;
    let mut second = Worker::start(bootstrap, &group, &input, &output).await;
    let begun = Instant::now();
    let mut replaced = false;
    loop {
        first.step().await;
        second.step().await;
        if !replaced && !second.consumer.assignment().is_empty() {
            // It goes without a word: its transaction and its membership time out or are fenced.
            second = Worker::start(bootstrap, &group, &input, &output).await;
            replaced = true;
        }
        let done = read_all(reader(bootstrap), &output, PARTITIONS).await.len() >= RECORDS;
        if replaced && done {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the work is not done in time");
    }
    check(bootstrap, &output).await;
}

async fn check(bootstrap: &str, output: &str) {
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    for record in read_all(reader(bootstrap), output, PARTITIONS).await {
        *seen.entry(text(&record).parse().expect("a number")).or_default() += 1;
    }
    assert_eq!(seen.len(), RECORDS, "every input has an output");
    assert!(seen.values().all(|times| *times == 1), "and only one");
}

/// A member that the group has left behind cannot commit what it had in hand.
pub(crate) async fn zombie_member(bootstrap: &str) {
    let input = topic(bootstrap, "zombie-in", PARTITIONS).await;
    let output = topic(bootstrap, "zombie-out", PARTITIONS).await;
    let group = unique("group");
    let source = producer(ProducerConfig::new(bootstrap)).await;
    for number in 0..100 {
        let record = ProducerRecord::new(input.as_str(), number.to_string()).partition(0);
        source.send(record).await.expect("send");
    }
    source.flush().await.expect("flush");
    let zombie = Worker::start(bootstrap, &group, &input, &output).await;
    let begun = Instant::now();
    let in_hand = loop {
        let polled = zombie.consumer.poll(Duration::from_millis(50)).await.expect("poll");
        let records: Vec<ConsumerRecord> = polled.records().cloned().collect();
        if !records.is_empty() {
            break records;
        }
        assert!(begun.elapsed() < PATIENCE, "no records");
    };
    let old = zombie.consumer.group_metadata().expect("a member");
    // The zombie stops polling while another joins; the group goes on without it once it
    // rejoins in a later generation.
    let heir = Worker::start(bootstrap, &group, &input, &output).await;
    loop {
        heir.consumer.poll(Duration::from_millis(20)).await.expect("poll");
        zombie.consumer.poll(Duration::from_millis(20)).await.expect("poll");
        let now = zombie.consumer.group_metadata().expect("a member");
        if now.generation_id > old.generation_id {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "no rebalance");
    }
    zombie.producer.begin_transaction().expect("begin");
    let late = zombie.write(&in_hand, &old).await.expect_err("a stale generation must not commit");
    assert!(matches!(late, ClientError::Abortable(_)), "{late:?}");
    zombie.producer.abort_transaction().await.expect("abort");
    assert!(read_all(reader(bootstrap), &output, PARTITIONS).await.is_empty());
    // The producer is as good as new.
    zombie.producer.begin_transaction().expect("begin");
    zombie.producer.commit_transaction().await.expect("commit");
}
