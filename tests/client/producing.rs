//! Producing: without waiting, to partitions of one's own choice, and what was done in numbers.

use std::sync::Arc;
use std::time::Duration;

use mainstem_client::{
    Compression, Partitioner, Producer, ProducerConfig, ProducerRecord, TrySendError,
};

use super::{producer, read_all, reader, text, topic, unique};

async fn try_until_known(writer: &Producer, mut record: ProducerRecord) {
    loop {
        match writer.try_send(record) {
            Ok(_) => return,
            Err(TrySendError::Unknown(back)) => record = back,
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// A full buffer gives the record back, and takes it when there is room.
pub(crate) async fn nothing_waits_that_must_not(bootstrap: &str) {
    let name = topic(bootstrap, "tried", 1).await;
    let config = ProducerConfig::new(bootstrap)
        .linger(Duration::from_secs(60))
        .batch_size_bytes(4 * 1024)
        .buffer_memory_bytes(8 * 1024);
    let config = ProducerConfig { delivery_timeout: Duration::from_secs(120), ..config };
    let writer = producer(config).await;
    let record = |number: usize| ProducerRecord::new(name.as_str(), format!("{number:05000}"));
    try_until_known(&writer, record(0)).await;
    let mut sent = 1;
    let full = loop {
        match writer.try_send(record(sent)) {
            Ok(_) => sent += 1,
            Err(TrySendError::Full(back)) => break back,
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 1_000_000, "a buffer of 8 KiB is never full");
    };
    assert!(writer.metrics().buffered_bytes <= 8 * 1024);
    let last = writer.send(full).await.expect("waits for room").await.expect("written");
    writer.flush().await.expect("flush");
    assert_eq!(last.offset, i64::try_from(sent).expect("a count"));
    let metrics = writer.metrics();
    assert_eq!(metrics.records_sent, sent as u64 + 1);
    assert_eq!(metrics.records_acknowledged, metrics.records_sent);
    assert_eq!((metrics.records_failed, metrics.batches_outstanding), (0, 0));
    assert_eq!(metrics.buffered_bytes, 0);
}

/// Words that begin with a vowel go to the last partition.
#[derive(Debug)]
struct Vowels;

impl Partitioner for Vowels {
    fn partition(&self, record: &ProducerRecord, partition_count: i32) -> Option<i32> {
        let first = *record.value.as_deref()?.first()?;
        match first {
            b'!' => Some(partition_count),
            first => b"aeiou".contains(&first).then_some(partition_count - 1),
        }
    }
}

/// An application's own partitioner, at a level of compression of its own too.
pub(crate) async fn partitions_are_chosen(bootstrap: &str) {
    let name = topic(bootstrap, "chosen", 3).await;
    let config = ProducerConfig::new(bootstrap)
        .partitioner(Some(Arc::new(Vowels)))
        .compression(Compression::Zstd)
        .compression_level(Some(19));
    let writer = producer(config).await;
    let mut partitions = Vec::new();
    for word in ["apple", "oak", "pear", "elm"] {
        // The key decides where the partitioner does not.
        let record = ProducerRecord::new(name.as_str(), word).key("a");
        let written = writer.send(record).await.expect("send").await.expect("written");
        partitions.push(written.topic_partition.partition);
    }
    assert_eq!(partitions[0..2], [2, 2]);
    assert_eq!(partitions[3], 2);
    let by_hand = ProducerRecord::new(name.as_str(), "iris").partition(1);
    let written = writer.send(by_hand).await.expect("send").await.expect("written");
    assert_eq!(written.topic_partition.partition, 1, "who names a partition gets it");
    let outside = ProducerRecord::new(name.as_str(), "!");
    assert!(writer.send(outside).await.is_err(), "there is no such partition");
    let unknown = ProducerRecord::new(unique("none").as_str(), "x").partition(7);
    assert!(matches!(writer.try_send(unknown), Err(TrySendError::Unknown(_))));
    let mut all: Vec<String> =
        read_all(reader(bootstrap), &name, 3).await.iter().map(text).collect();
    all.sort();
    assert_eq!(all, ["apple", "elm", "iris", "oak", "pear"]);
}
