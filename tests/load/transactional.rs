//! A transactional producer that works until it is told to stop, and begins again whatever happens to it.
//!
//! Judged, as a read-committed consumer sees it: a committed transaction is there whole, once; an aborted
//! one is not there at all; one whose outcome its producer was not told is there whole or not at all; and
//! the reader reaches the end, so no transaction was left open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstem_client::{ClientError, Delivery, Producer, ProducerConfig, ProducerRecord};
use tokio::task::JoinHandle;

use super::{Moments, PARTITIONS, read_all};

const RECORDS_MAX: u64 = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Committed,
    Aborted,
    /// The producer was told neither.
    Unknown,
}

struct Transaction {
    records: u64,
    outcome: Outcome,
}

pub(crate) struct Transactional {
    topic: String,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<Transaction>>,
}

impl Transactional {
    /// Begins to work, beside whatever else the caller does.
    pub(crate) fn start(bootstrap: &str, topic: &str, seed: u64) -> Transactional {
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(work(
            bootstrap.to_owned(),
            topic.to_owned(),
            Moments(seed),
            Arc::clone(&stop),
        ));
        Transactional { topic: topic.to_owned(), stop, task }
    }

    pub(crate) async fn verify(self, bootstrap: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let transactions = self.task.await.expect("the transactional load");
        let mut seen: BTreeMap<u64, Vec<bool>> = BTreeMap::new();
        read_all(bootstrap, &self.topic, |record| {
            let value = record.value.as_deref().expect("a value");
            let part =
                |at: usize| u64::from_be_bytes(value[at..at + 8].try_into().expect("two numbers"));
            let (id, index) = (part(0), usize::try_from(part(8)).expect("small"));
            let records = transactions[usize::try_from(id).expect("small")].records;
            let there = seen.entry(id).or_insert_with(|| vec![false; records as usize]);
            assert!(!there[index], "record {index} of transaction {id} stands twice");
            there[index] = true;
        })
        .await;
        let mut counts = BTreeMap::new();
        for (id, transaction) in transactions.iter().enumerate() {
            let there = seen.get(&(id as u64));
            let whole = there.is_some_and(|there| there.iter().all(|there| *there));
            let outcome = transaction.outcome;
            match outcome {
                Outcome::Committed => assert!(whole, "committed {id} is not whole: {there:?}"),
                Outcome::Aborted => assert_eq!(there, None, "aborted {id} is seen"),
                Outcome::Unknown => {
                    assert!(there.is_none() || whole, "transaction {id} is torn: {there:?}");
                }
            }
            *counts.entry(format!("{outcome:?}")).or_insert(0) += 1;
        }
        println!("transactional: {counts:?}");
    }
}

/// A producer that owns the id: whatever an earlier one has left open is aborted.
async fn producer(bootstrap: &str) -> Producer {
    loop {
        let config = ProducerConfig::new(bootstrap).transactional_id("load");
        let owned = match Producer::connect(config).await {
            Ok(producer) => producer.init_transactions().await.map(|()| producer),
            Err(error) => Err(error),
        };
        match owned {
            Ok(producer) => return producer,
            Err(error @ (ClientError::Config(_) | ClientError::Refused(_))) => panic!("{error}"),
            // The broker is down, or came back too late for this one: the next one asks again.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn work(
    bootstrap: String,
    topic: String,
    mut moments: Moments,
    stop: Arc<AtomicBool>,
) -> Vec<Transaction> {
    let mut done = Vec::new();
    let mut owner = producer(&bootstrap).await;
    while !stop.load(Ordering::Relaxed) {
        let records = 1 + moments.below(RECORDS_MAX);
        let commit = moments.below(8) != 0;
        let id = done.len() as u64;
        let (outcome, usable) = transact(&owner, &topic, id, records, commit).await;
        done.push(Transaction { records, outcome });
        if !usable {
            owner = producer(&bootstrap).await;
        }
    }
    // The last owner ends what an unanswered one may have left.
    drop(owner);
    producer(&bootstrap).await.close().await.expect("close");
    done
}

/// One transaction; what became of it, and whether its producer can go on.
async fn transact(
    producer: &Producer,
    topic: &str,
    id: u64,
    records: u64,
    commit: bool,
) -> (Outcome, bool) {
    if producer.begin_transaction().is_err() {
        return (Outcome::Aborted, false);
    }
    let mut deliveries: Vec<Delivery> = Vec::new();
    let mut failed = false;
    for index in 0..records {
        let mut value = id.to_be_bytes().to_vec();
        value.extend(index.to_be_bytes());
        let partition = ((id + index) % u64::from(PARTITIONS.unsigned_abs())) as i32;
        match producer.send(ProducerRecord::new(topic, value).partition(partition)).await {
            Ok(delivery) => deliveries.push(delivery),
            Err(_) => failed = true,
        }
    }
    for delivery in deliveries {
        failed |= delivery.await.is_err();
    }
    if commit && !failed {
        return match end(producer, true).await {
            Ok(()) => (Outcome::Committed, true),
            Err(_) => (Outcome::Unknown, end(producer, false).await.is_ok()),
        };
    }
    // Not committed, and nobody will commit it: whoever owns the id next aborts it.
    (Outcome::Aborted, end(producer, false).await.is_ok())
}

async fn end(producer: &Producer, commit: bool) -> Result<(), ClientError> {
    loop {
        let result = match commit {
            true => producer.commit_transaction().await,
            false => producer.abort_transaction().await,
        };
        match result {
            Err(error) if error.is_retriable() => {}
            result => return result,
        }
    }
}
