//! Waiting for one partition does not hold up another.

use std::time::{Duration, Instant};

use mainstem_client::{Consumer, ProducerConfig, ProducerRecord, TopicPartition};

use super::{PATIENCE, partitions, producer, reader, topic};

/// Records of a busy partition come while an idle one on the same broker is polled for long, and
/// a full buffer of a paused one holds up nobody.
pub(crate) async fn long_polls_delay_nobody(bootstrap: &str) {
    let name = topic(bootstrap, "polling", 3).await;
    let producer = producer(ProducerConfig::new(bootstrap)).await;
    for number in 0..2_000 {
        let record = ProducerRecord::new(name.as_str(), vec![b'x'; 1_000]).partition(0);
        producer.send(record.key(number.to_string())).await.expect("send");
    }
    producer.flush().await.expect("flush");

    // With a wait of 20 s a single fetch that waits for the wrong partition fails the test.
    let config = reader(bootstrap)
        .max_wait(Duration::from_secs(20))
        .max_partition_fetch_bytes(64 * 1024)
        .max_poll_records(50);
    let consumer = Consumer::connect(config).await.expect("connect");
    let parts = partitions(&name, 3);
    consumer.assign(&parts).expect("assign");
    consumer.pause(&[TopicPartition::new(name.as_str(), 2)]);
    let begun = Instant::now();
    let mut count = 0;
    while count < 2_000 {
        let polled = consumer.poll(Duration::from_secs(1)).await.expect("poll");
        count += polled.records().count();
        assert!(
            begun.elapsed() < Duration::from_secs(19),
            "{count} records in {:?}",
            begun.elapsed()
        );
    }
    // The consumer waits at the broker now; a new record ends the wait.
    producer.send(ProducerRecord::new(name.as_str(), "late").partition(1)).await.expect("send");
    producer.flush().await.expect("flush");
    let begun = Instant::now();
    loop {
        let polled = consumer.poll(Duration::from_secs(1)).await.expect("poll");
        if polled.records().any(|record| record.partition == 1) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "the record is held up");
    }
    assert!(begun.elapsed() < PATIENCE);
}
