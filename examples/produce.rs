//! Produces: records with keys, their deliveries looked at while more are sent.
//!
//! `cargo run --example produce [HOST:PORT]`

#![expect(clippy::print_stdout, reason = "a program says how far it is")]

use std::collections::VecDeque;

use mainstem_client::{ClientError, Compression, Producer, ProducerConfig, ProducerRecord};

/// Deliveries that are looked at later. The buffer bounds memory; this bounds how late an error is
/// noticed.
const WINDOW: usize = 1_000;

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let bootstrap = std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    let written = run(&bootstrap, "readings", 10_000).await?;
    println!("{written} records were written");
    Ok(())
}

pub(crate) async fn run(bootstrap: &str, topic: &str, count: u32) -> Result<u32, ClientError> {
    // Idempotent, with acks from all in-sync replicas: that is the default.
    let config = ProducerConfig::new(bootstrap).compression(Compression::Lz4);
    let producer = Producer::connect(config).await?;
    let mut deliveries = VecDeque::new();
    let mut written = 0;
    for number in 0..count {
        // Records with the same key go to the same partition, and keep their order.
        let key = format!("sensor-{}", number % 10);
        let record = ProducerRecord::new(topic, format!("reading {number}")).key(key);
        // Waits only when the buffer is full.
        deliveries.push_back(producer.send(record).await?);
        if deliveries.len() > WINDOW
            && let Some(oldest) = deliveries.pop_front()
        {
            oldest.await?;
            written += 1;
        }
    }
    producer.flush().await?;
    for delivery in deliveries {
        delivery.await?;
        written += 1;
    }
    producer.close().await?;
    Ok(written)
}
