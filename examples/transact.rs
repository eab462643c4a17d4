//! Reads, processes and writes exactly once: results and positions are committed together.
//!
//! `cargo run --example transact [HOST:PORT]`

#![expect(clippy::print_stdout, reason = "a program says how far it is")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mainstem_client::{
    AutoOffsetReset, ClientError, Consumer, ConsumerConfig, Isolation, OffsetAndMetadata, Polled,
    Producer, ProducerConfig, ProducerRecord, TopicPartition,
};

/// It ends when nothing came for so long.
const QUIET: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let bootstrap = std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    let written = run(&bootstrap, "readings", "shouted", "example-shouters").await?;
    println!("{written} records were written");
    Ok(())
}

pub(crate) async fn run(
    bootstrap: &str,
    from: &str,
    to: &str,
    group: &str,
) -> Result<u64, ClientError> {
    let config = ConsumerConfig::new(bootstrap)
        .group_id(group)
        .isolation(Isolation::ReadCommitted)
        .auto_offset_reset(AutoOffsetReset::Earliest);
    let consumer = Consumer::connect(config).await?;
    consumer.subscribe(&[from])?;
    // An id that only this instance has: whoever starts with it again fences the one before.
    let config = ProducerConfig::new(bootstrap).transactional_id(format!("{group}-0"));
    let producer = Producer::connect(config).await?;
    producer.init_transactions().await?;
    let mut written = 0;
    let mut last = None;
    while last.is_none_or(|at: Instant| at.elapsed() < QUIET) {
        let polled = consumer.poll(Duration::from_millis(100)).await?;
        if polled.batches.is_empty() {
            continue;
        }
        last = Some(Instant::now());
        match transact(&consumer, &producer, &polled, to).await {
            Ok(records) => written += records,
            // Nothing of it happened. What was polled is polled again.
            Err(ClientError::Abortable(_) | ClientError::Rejoin(_)) => {
                producer.abort_transaction().await?;
                rewind(&consumer, &polled)?;
            }
            // `Fenced`: somebody else goes on with our work. Everything else ends us too.
            Err(error) => return Err(error),
        }
    }
    producer.close().await?;
    consumer.close().await?;
    Ok(written)
}

async fn transact(
    consumer: &Consumer,
    producer: &Producer,
    polled: &Polled,
    to: &str,
) -> Result<u64, ClientError> {
    producer.begin_transaction()?;
    let mut written = 0;
    let mut positions: BTreeMap<TopicPartition, OffsetAndMetadata> = BTreeMap::new();
    for record in polled.records() {
        let text = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default());
        // An error of one of its records fails the commit: nobody has to wait for each.
        producer.send(ProducerRecord::new(to, text.to_uppercase())).await?;
        let partition = TopicPartition::new(record.topic.clone(), record.partition);
        positions.insert(partition, OffsetAndMetadata::new(record.offset + 1));
        written += 1;
    }
    let positions: Vec<_> = positions.into_iter().collect();
    if let Some(member) = consumer.group_metadata() {
        producer.send_offsets(&positions, &member).await?;
    }
    producer.commit_transaction().await?;
    Ok(written)
}

fn rewind(consumer: &Consumer, polled: &Polled) -> Result<(), ClientError> {
    for batch in &polled.batches {
        if let Some(first) = batch.records.first() {
            // A partition that went to another member meanwhile is not ours to rewind.
            let _ = consumer.seek(&batch.topic_partition, first.offset);
        }
    }
    Ok(())
}
