//! The same measurements through Mainstem's own producer and consumer: one record at a time, as an
//! application does it. Client and broker share the machine, so this measures both together.

use bytes::Bytes;
use mainstem_client::{
    Acks as ClientAcks, AutoOffsetReset, Consumer, ConsumerConfig, Delivery, Producer,
    ProducerConfig, ProducerRecord, TopicPartition,
};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

use super::arguments::{
    Acks, Broker, FetchArguments, LatencyArguments, ProduceArguments, Shape, Writing,
};
use super::latency::{Latencies, Pace};
use super::load::{Done, Measured, Stopwatch};
use super::target::Target;
use super::{runtime, shape};
use crate::failure::Failure;
use crate::produce::codec;

/// Different values that are sent in turn.
const VALUES: usize = 1_024;
/// Records between two looks at the clock.
const RECORDS_PER_LOOK: u64 = 256;
/// Answers that may be waited for; more would only take memory.
const OUTSTANDING_MAX: usize = 1_000_000;
/// The client waits no finer than this.
const TICK: Duration = Duration::from_millis(1);
const POLL: Duration = Duration::from_millis(500);

/// A producer of the shape and the records that it sends in turn.
struct Source {
    producer: Producer,
    target: std::sync::Arc<str>,
    values: Vec<Bytes>,
    partitions: u64,
    sent: u64,
}

impl Source {
    async fn connect(
        broker: &Broker,
        target: &Target,
        shape: &Shape,
        writing: &Writing,
    ) -> Result<Source, Failure> {
        let acks = match writing.acks {
            Acks::All => ClientAcks::All,
            Acks::Leader => ClientAcks::Leader,
        };
        let config = ProducerConfig::new(&broker.cluster.bootstrap)
            .acks(acks)
            .idempotent(acks == ClientAcks::All)
            .linger(Duration::from_millis(writing.linger_ms))
            .batch_size_bytes(shape.batch_bytes as usize)
            .max_in_flight(writing.in_flight.into())
            .compression(codec(shape.compression));
        let mut random = shape::values();
        let value = |_| Bytes::from(shape::value(&mut random, shape.record_bytes));
        Ok(Source {
            producer: Producer::connect(config).await?,
            target: target.topic.clone(),
            values: (0..VALUES).map(value).collect(),
            partitions: shape.partitions.unsigned_abs().into(),
            sent: 0,
        })
    }

    async fn send(&mut self) -> Result<Delivery, Failure> {
        let value = self.values[(self.sent % VALUES as u64) as usize].clone();
        let partition = i32::try_from(self.sent % self.partitions).unwrap_or(0);
        self.sent += 1;
        let record = ProducerRecord::new(self.target.clone(), value).partition(partition);
        Ok(self.producer.send(record).await?)
    }

    /// Sends for so long and waits for all answers. The number of records.
    async fn send_for(&mut self, time: Duration) -> Result<u64, Failure> {
        let (begun, before) = (Instant::now(), self.sent);
        let mut last = None;
        while begun.elapsed() < time {
            for _ in 0..RECORDS_PER_LOOK {
                last = Some(self.send().await?);
            }
        }
        self.producer.flush().await?;
        if let Some(delivery) = last {
            delivery.await?;
        }
        Ok(self.sent - before)
    }
}

/// Sends records as fast as the producer takes them.
pub(super) fn produce(target: &Target, arguments: &ProduceArguments) -> Result<Measured, Failure> {
    let ProduceArguments { broker, shape, writing, window, .. } = arguments;
    runtime()?.block_on(async {
        let mut source = Source::connect(broker, target, shape, writing).await?;
        source.send_for(Duration::from_secs(window.warm_up.into())).await?;
        let stopwatch = Stopwatch::start(broker)?;
        let records = source.send_for(Duration::from_secs(window.seconds.into())).await?;
        stopwatch.stop(counted(records, shape))
    })
}

/// Without a look at the batches: what is moved is taken for what is in them.
fn counted(records: u64, shape: &Shape) -> Done {
    let value_bytes = records * u64::from(shape.record_bytes);
    Done { records, value_bytes, batch_bytes: value_bytes }
}

/// Polls what was written, over and over.
pub(super) fn fetch(target: &Target, arguments: &FetchArguments) -> Result<Measured, Failure> {
    let FetchArguments { broker, shape, window, partition_fetch_bytes, .. } = arguments;
    let partitions: Vec<TopicPartition> = (0..shape.partitions)
        .map(|index| TopicPartition::new(target.topic.clone(), index))
        .collect();
    runtime()?.block_on(async {
        let config = ConsumerConfig::new(&broker.cluster.bootstrap)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .max_partition_fetch_bytes(*partition_fetch_bytes as usize);
        let consumer = Consumer::connect(config).await?;
        consumer.assign(&partitions)?;
        let ends = consumer.end_offsets(&partitions).await?;
        poll_for(&consumer, &ends, Duration::from_secs(window.warm_up.into())).await?;
        let stopwatch = Stopwatch::start(broker)?;
        let time = Duration::from_secs(window.seconds.into());
        let records = poll_for(&consumer, &ends, time).await?;
        stopwatch.stop(counted(records, shape))
    })
}

async fn poll_for(
    consumer: &Consumer,
    ends: &std::collections::BTreeMap<TopicPartition, i64>,
    time: Duration,
) -> Result<u64, Failure> {
    let begun = Instant::now();
    let mut records = 0;
    while begun.elapsed() < time {
        let polled = consumer.poll(POLL).await?;
        for batch in &polled.batches {
            records += batch.records.len() as u64;
            let key = &batch.topic_partition;
            let next = batch.records.last().map(|record| record.offset + 1);
            if next.zip(ends.get(key)).is_some_and(|(next, end)| *end <= next) {
                consumer.seek_to_beginning(std::slice::from_ref(key))?;
            }
        }
    }
    Ok(records)
}

/// Sends every record when it is due; its latency ends when its answer is there.
pub(super) fn latency(target: &Target, arguments: &LatencyArguments) -> Result<Latencies, Failure> {
    let LatencyArguments { broker, shape, writing, window, rate, .. } = arguments;
    runtime()?.block_on(async {
        let mut source = Source::connect(broker, target, shape, writing).await?;
        let interval = Duration::from_secs_f64(1.0 / *rate as f64);
        let pace = Pace::new(interval, window.warm_up, window.seconds);
        let (deliveries, answers) = mpsc::channel(OUTSTANDING_MAX);
        let noting = tokio::spawn(note(answers, pace));
        let mut number = 0;
        while let Some(due) = pace.due(number) {
            if Instant::now() < due {
                tokio::time::sleep(TICK).await;
                continue;
            }
            let delivery = source.send().await?;
            if deliveries.send((due, delivery)).await.is_err() {
                break;
            }
            number += 1;
        }
        drop(deliveries);
        source.producer.flush().await?;
        noting.await.map_err(|error| Failure::doing("wait for answers", &error))?
    })
}

async fn note(
    mut answers: mpsc::Receiver<(Instant, Delivery)>,
    pace: Pace,
) -> Result<Latencies, Failure> {
    let mut latencies = Latencies::new(&pace)?;
    while let Some((due, delivery)) = answers.recv().await {
        delivery.await?;
        latencies.note(&pace, due, 1)?;
    }
    Ok(latencies)
}
