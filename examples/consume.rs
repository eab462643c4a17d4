//! Consumes as a member of a group: partitions come and go, and what was processed is committed.
//!
//! `cargo run --example consume [HOST:PORT]`. Start it twice: the two share the partitions.

#![expect(clippy::print_stdout, reason = "a program says how far it is")]

use std::time::{Duration, Instant};

use mainstem_client::{
    AutoOffsetReset, ClientError, Consumer, ConsumerConfig, OffsetAndMetadata, Rebalance, Received,
    RecordBatch, TopicPartition,
};

/// It ends when nothing came for so long.
const QUIET: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let bootstrap = std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    let read = run(&bootstrap, "readings", "example-readers").await?;
    println!("{read} records were read");
    Ok(())
}

pub(crate) async fn run(bootstrap: &str, topic: &str, group: &str) -> Result<u64, ClientError> {
    let config =
        ConsumerConfig::new(bootstrap).group_id(group).auto_offset_reset(AutoOffsetReset::Earliest);
    let consumer = Consumer::connect(config).await?;
    consumer.subscribe(&[topic])?;
    let mut read = 0;
    let mut last = None;
    while last.is_none_or(|at: Instant| at.elapsed() < QUIET) {
        match consumer.next_batch(Duration::from_millis(100)).await? {
            Some(Received::Batch(batch)) => {
                read += process(&batch)?;
                // After its records are processed: they are read at least once.
                commit(&consumer, batch.topic_partition(), batch.next_offset()).await?;
                last = Some(Instant::now());
            }
            Some(Received::Rebalance(Rebalance::Assigned { partitions, .. })) => {
                println!("{} partitions are ours", partitions.len());
                last = Some(Instant::now());
            }
            // Everything is committed already. Whoever keeps state of a partition puts it away here.
            Some(Received::Rebalance(Rebalance::Revoked(_) | Rebalance::Lost(_))) => {}
            None => {}
        }
    }
    consumer.close().await?;
    Ok(read)
}

fn process(batch: &RecordBatch) -> Result<u64, ClientError> {
    let mut read = 0;
    for record in batch {
        let record = record?;
        let _reading = record.value.unwrap_or_default();
        read += 1;
    }
    Ok(read)
}

async fn commit(
    consumer: &Consumer,
    partition: &TopicPartition,
    offset: i64,
) -> Result<(), ClientError> {
    match consumer.commit(&[(partition.clone(), OffsetAndMetadata::new(offset))]).await {
        // The group went on without us: the next batch tells. Others will read these records again.
        Err(ClientError::Rejoin(_)) => Ok(()),
        result => result,
    }
}
