//! Transactions: all or nothing for a read-committed consumer.

use mainstem_client::{
    ClientError, Consumer, Isolation, OffsetAndMetadata, Producer, ProducerConfig, ProducerRecord,
    TopicPartition,
};

use super::{partitions, producer, read_all, reader, text, topic, unique};

async fn send(producer: &Producer, topic: &str, values: impl IntoIterator<Item = String>) {
    for (index, value) in values.into_iter().enumerate() {
        let record = ProducerRecord::new(topic, value).partition((index % 2) as i32);
        producer.send(record).await.expect("send");
    }
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

/// Committed and aborted transactions by turns; then an empty one of each kind.
pub(crate) async fn commit_and_abort(bootstrap: &str) {
    let name = topic(bootstrap, "transactions", 2).await;
    let config = ProducerConfig::new(bootstrap).transactional_id(unique("txn"));
    let producer = producer(config).await;
    assert!(producer.begin_transaction().is_err(), "not before init_transactions");
    producer.init_transactions().await.expect("init");
    let outside = producer.send(ProducerRecord::new(name.as_str(), "outside")).await;
    assert!(outside.is_err(), "no record outside a transaction");
    for turn in 0..10 {
        producer.begin_transaction().expect("begin");
        if turn % 2 == 0 {
            send(&producer, &name, numbered(&format!("kept-{turn}"), 50)).await;
            producer.commit_transaction().await.expect("commit");
        } else {
            send(&producer, &name, numbered(&format!("dropped-{turn}"), 50)).await;
            producer.flush().await.expect("flush");
            producer.abort_transaction().await.expect("abort");
        }
    }
    producer.begin_transaction().expect("begin an empty one");
    producer.commit_transaction().await.expect("commit nothing");
    producer.begin_transaction().expect("begin an empty one");
    producer.abort_transaction().await.expect("abort nothing");

    let committed = read_all(reader(bootstrap), &name, 2).await;
    assert_eq!(committed.len(), 250);
    assert!(committed.iter().all(|record| text(record).starts_with("kept-")));
    let everything = reader(bootstrap).isolation(Isolation::ReadUncommitted);
    assert_eq!(read_all(everything, &name, 2).await.len(), 500);
}

/// A read-committed consumer does not see past an open transaction.
pub(crate) async fn open_transaction_is_invisible(bootstrap: &str) {
    let name = topic(bootstrap, "open", 2).await;
    let txn = producer(ProducerConfig::new(bootstrap).transactional_id(unique("txn"))).await;
    txn.init_transactions().await.expect("init");
    txn.begin_transaction().expect("begin");
    send(&txn, &name, numbered("open", 10)).await;
    txn.flush().await.expect("flush");
    let plain = producer(ProducerConfig::new(bootstrap)).await;
    send(&plain, &name, numbered("plain", 10)).await;
    plain.flush().await.expect("flush");

    let consumer = Consumer::connect(reader(bootstrap)).await.expect("connect");
    let parts = partitions(&name, 2);
    let ends = consumer.end_offsets(&parts).await.expect("ends");
    assert_eq!(ends.values().copied().collect::<Vec<_>>(), [0, 0], "the last stable offset");
    assert!(read_all(reader(bootstrap), &name, 2).await.is_empty());
    txn.commit_transaction().await.expect("commit");
    assert_eq!(read_all(reader(bootstrap), &name, 2).await.len(), 20);
}

/// A second producer with the same transactional id fences the first, and aborts what it began.
pub(crate) async fn zombie_is_fenced(bootstrap: &str) {
    let name = topic(bootstrap, "zombie", 2).await;
    let id = unique("txn");
    let old = producer(ProducerConfig::new(bootstrap).transactional_id(&id)).await;
    old.init_transactions().await.expect("init");
    old.begin_transaction().expect("begin");
    send(&old, &name, numbered("old", 10)).await;
    old.flush().await.expect("flush");
    let new = producer(ProducerConfig::new(bootstrap).transactional_id(&id)).await;
    new.init_transactions().await.expect("init the successor");
    let late = old.commit_transaction().await.expect_err("the zombie must not commit");
    assert!(matches!(late, ClientError::Fenced(_)), "{late:?}");
    new.begin_transaction().expect("begin");
    send(&new, &name, numbered("new", 10)).await;
    new.commit_transaction().await.expect("commit");
    let records = read_all(reader(bootstrap), &name, 2).await;
    assert_eq!(records.len(), 10);
    assert!(records.iter().all(|record| text(record).starts_with("new-")));
}

/// Offsets that ride on a transaction count when it commits, with their metadata, and only then.
pub(crate) async fn offsets_in_a_transaction(bootstrap: &str) {
    let name = topic(bootstrap, "offsets", 1).await;
    let txn = producer(ProducerConfig::new(bootstrap).transactional_id(unique("txn"))).await;
    txn.init_transactions().await.expect("init");
    let config = reader(bootstrap).group_id(unique("group"));
    let consumer = Consumer::connect(config).await.expect("connect");
    let group = consumer.group_metadata().expect("a group id was given");
    let partition = TopicPartition::new(name.as_str(), 0);
    let at = |offset: i64| OffsetAndMetadata {
        metadata: format!("stream time {offset}"),
        ..OffsetAndMetadata::new(offset)
    };
    for (offset, commit) in [(5, true), (9, false)] {
        txn.begin_transaction().expect("begin");
        txn.send_offsets(&[(partition.clone(), at(offset))], &group).await.expect("send offsets");
        if commit {
            txn.commit_transaction().await.expect("commit");
        } else {
            txn.abort_transaction().await.expect("abort");
        }
        let committed =
            consumer.committed(std::slice::from_ref(&partition)).await.expect("committed");
        assert_eq!(committed[&partition].offset, 5);
        assert_eq!(committed[&partition].metadata, "stream time 5");
    }
}
