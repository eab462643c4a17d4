//! Records come back as they were sent: order, keys, headers, nulls, times, compression.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstem_client::{Compression, Header, ProducerConfig, ProducerRecord};

use super::{partitions, producer, read_all, reader, topic};

const RECORDS: usize = 100_000;
const PARTITIONS: i32 = 4;

/// A hundred thousand records in order per partition, at the offsets that were promised.
pub(crate) async fn round_trip(bootstrap: &str, compression: Compression) {
    let name = topic(bootstrap, "round-trip", PARTITIONS).await;
    let producer = producer(ProducerConfig::new(bootstrap).compression(compression)).await;
    // Recent, so that no retention takes the records away while they are looked at.
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("the clock is past 1970");
    let begin_ms = since.as_millis() as i64 - 2 * RECORDS as i64;
    let mut deliveries = Vec::with_capacity(RECORDS);
    for number in 0..RECORDS {
        let record = ProducerRecord::new(name.as_str(), format!("value of record {number:>60}"))
            .key(format!("key-{}", number % 100))
            .timestamp_ms(begin_ms + number as i64);
        deliveries.push(producer.send(record).await.expect("send"));
    }
    producer.flush().await.expect("flush");
    let mut promised: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let at = delivery.await.expect("delivery");
        assert_eq!(promised.insert((at.topic_partition.partition, at.offset), number), None);
    }
    producer.close().await.expect("close");

    let records = read_all(reader(bootstrap), &name, PARTITIONS).await;
    assert_eq!(records.len(), RECORDS);
    let mut last: BTreeMap<i32, i64> = BTreeMap::new();
    for record in records {
        let number = promised[&(record.partition, record.offset)];
        assert_eq!(
            record.value.as_deref(),
            Some(format!("value of record {number:>60}").as_bytes())
        );
        assert_eq!(record.key.as_deref(), Some(format!("key-{}", number % 100).as_bytes()));
        assert_eq!(record.timestamp_ms, begin_ms + number as i64);
        let before = last.insert(record.partition, record.offset).unwrap_or(-1);
        assert_eq!(record.offset, before + 1, "in order, without gaps");
    }
    assert_eq!(last.len(), partitions(&name, PARTITIONS).len(), "every partition has records");
}

/// Nulls, empty values, repeated headers and a fixed partition.
pub(crate) async fn oddities(bootstrap: &str) {
    let name = topic(bootstrap, "oddities", 2).await;
    let producer = producer(ProducerConfig::new(bootstrap)).await;
    let header =
        |value: Option<&'static str>| Header { key: "h".to_owned(), value: value.map(Bytes::from) };
    let mut odd = ProducerRecord::new(name.as_str(), "").partition(1).timestamp_ms(5);
    odd.headers = vec![header(Some("a")), header(None), header(Some("a"))];
    let mut tombstone = ProducerRecord::new(name.as_str(), "").key("k").partition(1);
    tombstone.value = None;
    for record in [odd.clone(), tombstone] {
        producer.send(record).await.expect("send");
    }
    producer.flush().await.expect("flush");
    let records = read_all(reader(bootstrap), &name, 2).await;
    let [first, second] = &records[..] else { panic!("two records, not {}", records.len()) };
    assert_eq!(first.headers, odd.headers);
    assert_eq!((first.partition, first.timestamp_ms), (1, 5));
    assert_eq!((first.key.clone(), first.value.clone()), (None, Some(Bytes::new())));
    assert_eq!((second.key.as_deref(), second.value.clone()), (Some(&b"k"[..]), None));
    let refused = producer.send(ProducerRecord::new(name.as_str(), "x").partition(7)).await;
    assert!(refused.is_err(), "there is no partition 7");
    let large = ProducerRecord::new(name.as_str(), vec![0; 2 * 1024 * 1024]);
    assert!(producer.send(large).await.is_err(), "larger than max_request_bytes");
}
