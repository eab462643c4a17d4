//! Operators: transactions are found, looked into, and one that hangs is ended.

use mainstem_client::{
    AbortTransaction, Admin, AdminConfig, PartitionProducer, ProducerConfig, ProducerRecord,
    TransactionFilter,
};

use super::{partitions, producer, read_all, reader, text, topic, unique};

/// One transaction of two partitions: its coordinator lists it, its partitions know its producer,
/// and in one of them it is aborted past the coordinator.
pub(crate) async fn transactions_are_found_and_ended(bootstrap: &str) {
    let name = topic(bootstrap, "inspected", 2).await;
    let id = unique("txn");
    let writer = producer(ProducerConfig::new(bootstrap).transactional_id(id.as_str())).await;
    writer.init_transactions().await.expect("init");
    writer.begin_transaction().expect("begin");
    for partition in 0..2 {
        let record = ProducerRecord::new(name.as_str(), format!("p{partition}"));
        writer.send(record.partition(partition)).await.expect("send");
    }
    writer.flush().await.expect("flush");

    let admin = Admin::connect(AdminConfig::new(bootstrap)).await.expect("connect an admin");
    let filter = |state: &str| TransactionFilter {
        states: vec![state.to_owned()],
        pattern: Some(format!("{id}|none")),
        ..TransactionFilter::default()
    };
    let listed = admin.list_transactions(&filter("Ongoing")).await.expect("list");
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].transactional_id, &*listed[0].state), (&id, "Ongoing"));
    assert!(admin.list_transactions(&filter("Empty")).await.expect("list").is_empty());
    assert!(admin.list_transactions(&filter("Busy")).await.is_err(), "no such state");

    let unknown = unique("nobody");
    let described = admin.describe_transactions(&[&id, &unknown]).await.expect("describe");
    let open = described[0].1.as_ref().expect("the open one");
    assert_eq!(open.producer_id, listed[0].producer_id);
    assert!(open.start_time_ms.is_some());
    let mut touched = open.partitions.clone();
    touched.sort();
    assert_eq!(touched, partitions(&name, 2));
    let code = described[1].1.as_ref().expect_err("nobody").code();
    assert_eq!(code, Some(105), "TRANSACTIONAL_ID_NOT_FOUND");

    let first = partitions(&name, 2).remove(0);
    let is_open = |it: &PartitionProducer| it.transaction_start == Some(0);
    let producers = admin.describe_producers(&first).await.expect("producers");
    let found = producers.iter().find(|it| is_open(it)).expect("its transaction is open");
    assert_eq!(found.producer_id, open.producer_id);
    let abort = AbortTransaction::of(first.clone(), found);
    let stale = AbortTransaction { producer_epoch: -1, ..abort.clone() };
    assert!(admin.abort_transaction(&stale).await.is_err(), "an epoch of the past");
    admin.abort_transaction(&abort).await.expect("abort");
    let producers = admin.describe_producers(&first).await.expect("producers");
    assert!(!producers.iter().any(is_open));

    // The coordinator knows nothing of it and commits what is left.
    writer.commit_transaction().await.expect("commit");
    let committed = read_all(reader(bootstrap), &name, 2).await;
    assert_eq!(committed.iter().map(text).collect::<Vec<_>>(), ["p1"]);
}
