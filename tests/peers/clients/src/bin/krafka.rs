//! The loads through krafka, a client in Rust: records are queued and their handles awaited later,
//! what a poll brings is iterated.

use std::time::Duration;

use bytes::Bytes;
use client_loads::{
    BATCH_BYTES, BUFFER_BYTES, Compression, FETCH_BYTES_MAX, FETCH_BYTES_MIN, IN_FLIGHT_MAX,
    LINGER, Load, Measurement, Outcome, PARTITION_FETCH_BYTES_MAX, PARTITIONS, POLL, Pace,
    RECORDS_PER_TRANSACTION, REQUEST_BYTES_MAX, Report, TRANSACTIONAL_ID, Task, Values, Window,
    partition,
};
use krafka::consumer::{AutoOffsetReset, Consumer};
use krafka::producer::{Acks, ProducerBuilder, TransactionalProducer};
use krafka::{Kafka, Record};
use tokio::runtime::Handle;

/// Polls that are read ahead; its guide raises this for consumers with much to read.
const POLLS_AHEAD: usize = 4;

async fn connect(task: &Task) -> Outcome<Kafka> {
    let kafka = Kafka::builder(&*task.bootstrap).client_id("load-krafka");
    Ok(kafka.max_in_flight_requests(IN_FLIGHT_MAX).connect().await?)
}

fn producer(kafka: &Kafka, task: &Task) -> ProducerBuilder {
    kafka
        .producer()
        .acks(Acks::All)
        .idempotent(true)
        .linger(if task.load == Load::Latency { Duration::ZERO } else { LINGER })
        .batch_size(BATCH_BYTES)
        .max_request_size(REQUEST_BYTES_MAX)
        .buffer_memory(BUFFER_BYTES)
        .compression(match task.compression {
            Compression::None => krafka::Compression::None,
            Compression::Lz4 => krafka::Compression::Lz4,
        })
}

fn record(task: &Task, number: u64, value: Bytes) -> Record {
    Record::new(&*task.topic, value).partition(partition(number))
}

async fn produce(task: &Task) -> Outcome<Report> {
    let (kafka, values) = (connect(task).await?, Values::new(task.value_bytes));
    let producer = producer(&kafka, task).build().await?;
    for number in 0..u64::from(PARTITIONS) {
        drop(producer.send(record(task, number, values.get(number))).await?);
    }
    let measurement = Measurement::begin(task.duration);
    let (mut sent, mut window) = (0, Window::new());
    while measurement.goes_on(sent) {
        window.push(producer.enqueue(record(task, sent, values.get(sent))).await?)?;
        sent += 1;
    }
    window.settle().await?;
    let report = measurement.end("records", sent, 1e6)?;
    producer.close().await?;
    Ok(report)
}

async fn consumer(kafka: &Kafka, task: &Task) -> Outcome<Consumer> {
    let consumer = kafka
        .consumer_without_group()
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .fetch_min_bytes(i32::try_from(FETCH_BYTES_MIN)?)
        .fetch_max_bytes(i32::try_from(FETCH_BYTES_MAX)?)
        .max_partition_fetch_bytes(i32::try_from(PARTITION_FETCH_BYTES_MAX)?)
        .max_poll_records(i32::try_from(task.poll_records)?)
        .max_buffered_records(i32::try_from(POLLS_AHEAD * task.poll_records)?);
    Ok(consumer.build().await?)
}

async fn assign(consumer: &Consumer, task: &Task) -> Outcome<()> {
    let all = (0..u64::from(PARTITIONS)).map(partition).collect();
    Ok(consumer.assign(&task.topic, all).await?)
}

async fn consume(task: &Task) -> Outcome<Report> {
    let kafka = connect(task).await?;
    let consumer = consumer(&kafka, task).await?;
    let measurement = Measurement::begin(task.duration);
    assign(&consumer, task).await?;
    let (mut records, mut bytes) = (0, 0);
    while records < task.records {
        for record in consumer.poll(POLL).await? {
            bytes += record.value.as_ref().map_or(0, Bytes::len) as u64;
            records += 1;
        }
    }
    let report = measurement.end("records", records, 1e6)?;
    task.check(records, bytes)?;
    consumer.close().await?;
    Ok(report)
}

async fn latency(task: &Task) -> Outcome<Report> {
    // Clients of one `Kafka` share its connections: the producer would wait behind the fetches.
    let (kafka, other) = (connect(task).await?, connect(task).await?);
    let (producer, consumer) =
        (producer(&kafka, task).build().await?, consumer(&other, task).await?);
    assign(&consumer, task).await?;
    let measurement = Measurement::begin(task.duration);
    let (pace, handle, asked) = (Pace::begin(task), Handle::current(), task.clone());
    let sending = pace.spawn(move |pace| {
        let mut window = Window::new();
        pace.send(asked.value_bytes, |number, value| {
            let queued = handle.block_on(producer.enqueue(record(&asked, number, value)));
            window.push(queued?)
        })?;
        handle.block_on(window.settle())
    });
    let mut arrivals = pace.arrivals();
    while !arrivals.complete() {
        for record in consumer.poll(POLL).await? {
            arrivals.take(record.value.as_deref())?;
        }
    }
    sending.join().map_err(|_| "the thread that sends is gone")?;
    arrivals.report(measurement)
}

async fn transaction(
    producer: &TransactionalProducer,
    task: &Task,
    values: &Values,
    first: u64,
) -> Outcome<()> {
    producer.begin()?;
    for number in first..first + RECORDS_PER_TRANSACTION {
        // The commit fails when a record did.
        drop(producer.enqueue(record(task, number, values.get(number))).await?);
    }
    Ok(producer.commit().await?)
}

async fn transactions(task: &Task) -> Outcome<Report> {
    let (kafka, values) = (connect(task).await?, Values::new(task.value_bytes));
    let producer = producer(&kafka, task).build_transactional(TRANSACTIONAL_ID).await?;
    transaction(&producer, task, &values, 0).await?;
    let measurement = Measurement::begin(task.duration);
    let mut done = 0;
    while measurement.has_time() {
        transaction(&producer, task, &values, done * RECORDS_PER_TRANSACTION).await?;
        done += 1;
    }
    let report = measurement.end("transactions", done, 1e3)?;
    producer.close().await?;
    Ok(report)
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let task = Task::from_arguments()?;
    let report = match task.load {
        Load::Produce => produce(&task).await?,
        Load::Consume => consume(&task).await?,
        Load::Latency => latency(&task).await?,
        Load::Transactions => transactions(&task).await?,
        Load::Create | Load::Delete | Load::Fill => return Err("load-mainstem does that".into()),
    };
    println!("{}", report.json());
    Ok(())
}
