//! Reading by batches: the same records as one by one, without copies.

use std::time::Duration;

use mainstem_client::{
    Compression, Consumer, ConsumerConfig, ProducerConfig, ProducerRecord, Received, RecordBatch,
    TopicPartition,
};

use super::{PATIENCE, partitions, producer, reader, topic, unique};

/// The next batch with records; rebalances are not expected here.
async fn next(consumer: &Consumer) -> RecordBatch {
    match consumer.next_batch(PATIENCE).await.expect("next batch") {
        Some(Received::Batch(batch)) => batch,
        other => panic!("no batch: {other:?}"),
    }
}

fn values(batch: &RecordBatch) -> Vec<String> {
    let value = |record: mainstem_client::Result<mainstem_client::RecordView<'_>>| {
        let value = record.expect("a record").value.expect("a value");
        String::from_utf8(value.to_vec()).expect("text")
    };
    batch.records().map(value).collect()
}

async fn assigned(config: ConsumerConfig, partitions: &[TopicPartition]) -> Consumer {
    let consumer = Consumer::connect(config).await.expect("connect a consumer");
    consumer.assign(partitions).expect("assign");
    consumer
}

/// What was sent comes back in order, from every compression, with keys, headers and times.
pub(crate) async fn batches_are_read_in_place(bootstrap: &str) {
    let name = topic(bootstrap, "batches", 2).await;
    // Recent, so that no retention takes the records away while they are looked at.
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("the clock is past 1970");
    let begin_ms = since.as_millis() as i64;
    let mut expected = [Vec::new(), Vec::new()];
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    for codec in codecs {
        let linger = Duration::from_millis(50);
        let writer =
            producer(ProducerConfig::new(bootstrap).compression(codec).linger(linger)).await;
        for number in 0..20 {
            let text = format!("{codec:?} {number}");
            let record = ProducerRecord::new(name.as_str(), text.clone())
                .partition(number % 2)
                .key(format!("k{number}"))
                .header("h", "1")
                .timestamp_ms(begin_ms + i64::from(number));
            writer.send(record).await.expect("send");
            expected[(number % 2) as usize].push(text);
        }
        writer.close().await.expect("close");
    }
    let all = partitions(&name, 2);
    let consumer = assigned(reader(bootstrap), &all).await;
    let mut seen = [Vec::new(), Vec::new()];
    while seen.iter().map(Vec::len).sum::<usize>() < 100 {
        let batch = next(&consumer).await;
        let partition = batch.topic_partition().clone();
        let of_partition = &mut seen[partition.partition as usize];
        for record in &batch {
            let record = record.expect("a record");
            assert_eq!(record.offset, i64::try_from(of_partition.len()).expect("an offset"));
            let headers: Vec<_> = record.headers().collect();
            assert_eq!(headers, [(&b"h"[..], Some(&b"1"[..]))]);
            let text = String::from_utf8(record.value.expect("a value").to_vec()).expect("text");
            let number: i64 = text.rsplit(' ').next().expect("a number").parse().expect("a number");
            assert_eq!(record.key, Some(format!("k{number}").as_bytes()));
            assert_eq!(record.timestamp_ms, begin_ms + number);
            of_partition.push(text);
        }
        assert_eq!(consumer.position(&partition), Some(batch.next_offset()));
        assert!(batch.next_offset() <= batch.high_watermark());
    }
    assert_eq!(seen, expected);
    assert!(consumer.next_batch(Duration::from_millis(10)).await.expect("nothing").is_none());
}

/// Positions in the middle of a batch, records and batches in turn, and aborted data.
pub(crate) async fn batches_begin_where_we_are(bootstrap: &str) {
    let name = topic(bootstrap, "positions", 1).await;
    let config = ProducerConfig::new(bootstrap).transactional_id(unique("batches"));
    let writer = producer(config.linger(Duration::from_millis(50))).await;
    writer.init_transactions().await.expect("init");
    for (transaction, commits) in [("a", true), ("b", false), ("c", true)] {
        writer.begin_transaction().expect("begin");
        for number in 0..10 {
            let record = ProducerRecord::new(name.as_str(), format!("{transaction}{number}"));
            writer.send(record).await.expect("send");
        }
        if commits {
            writer.commit_transaction().await.expect("commit");
        } else {
            writer.abort_transaction().await.expect("abort");
        }
    }
    let all = partitions(&name, 1);
    let consumer = assigned(reader(bootstrap).max_poll_records(3), &all).await;
    consumer.seek(&all[0], 4).expect("seek");
    assert_eq!(values(&next(&consumer).await), ["a4", "a5", "a6", "a7", "a8", "a9"]);
    let polled = consumer.poll(PATIENCE).await.expect("poll");
    let polled: Vec<_> = polled.records().map(super::text).collect();
    assert_eq!(polled, ["c0", "c1", "c2"], "what was aborted is passed over");
    assert_eq!(values(&next(&consumer).await), ["c3", "c4", "c5", "c6", "c7", "c8", "c9"]);
    consumer.seek_to_beginning(&all).expect("seek");
    assert_eq!(values(&next(&consumer).await)[0], "a0");
    consumer.pause(&all);
    assert!(consumer.next_batch(Duration::from_millis(10)).await.expect("paused").is_none());
}
