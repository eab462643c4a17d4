//! The loads through Mainstem's own client. This program also makes, fills and deletes topics.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client_loads::{
    BATCH_BYTES, BUFFER_BYTES, Compression, FETCH_BYTES_MAX, FETCH_BYTES_MIN, IN_FLIGHT_MAX,
    LINGER, Load, Measurement, Outcome, PARTITION_FETCH_BYTES_MAX, PARTITIONS, POLL, Pace,
    RECORDS_PER_TRANSACTION, REQUEST_BYTES_MAX, Report, TRANSACTIONAL_ID, Task, Values, Window,
    partition,
};
use mainstem_client::{
    Acks, Admin, AdminConfig, AutoOffsetReset, Consumer, ConsumerConfig, NewTopic, Polled,
    Producer, ProducerConfig, ProducerRecord, Received, RecordBatch, TopicPartition,
};
use tokio::runtime::Handle;

/// Whoever wants so many records at a time reads them by batches.
const BULK_RECORDS: usize = 10_000;

fn producer_config(task: &Task) -> ProducerConfig {
    ProducerConfig::new(&*task.bootstrap)
        .acks(Acks::All)
        .idempotent(true)
        .linger(if task.load == Load::Latency { Duration::ZERO } else { LINGER })
        .batch_size_bytes(BATCH_BYTES)
        .buffer_memory_bytes(BUFFER_BYTES)
        .max_in_flight(IN_FLIGHT_MAX)
        .max_request_bytes(REQUEST_BYTES_MAX)
        .compression(match task.compression {
            Compression::None => mainstem_client::Compression::None,
            Compression::Lz4 => mainstem_client::Compression::Lz4,
        })
}

fn record(topic: &Arc<str>, number: u64, value: Bytes) -> ProducerRecord {
    ProducerRecord::new(topic.clone(), value).partition(partition(number))
}

async fn warm_up(producer: &Producer, topic: &Arc<str>, values: &Values) -> Outcome<()> {
    for number in 0..u64::from(PARTITIONS) {
        producer.send(record(topic, number, values.get(number))).await?.await?;
    }
    Ok(())
}

async fn produce(task: &Task) -> Outcome<Report> {
    let (topic, values) = (Arc::<str>::from(&*task.topic), Values::new(task.value_bytes));
    let producer = Producer::connect(producer_config(task)).await?;
    warm_up(&producer, &topic, &values).await?;
    let measurement = Measurement::begin(task.duration);
    let (mut sent, mut window) = (0, Window::new());
    while measurement.goes_on(sent) {
        window.push(producer.send(record(&topic, sent, values.get(sent))).await?)?;
        sent += 1;
    }
    window.settle().await?;
    let report = measurement.end("records", sent, 1e6)?;
    producer.close().await?;
    Ok(report)
}

async fn fill(task: &Task) -> Outcome<Report> {
    let (topic, values) = (Arc::<str>::from(&*task.topic), Values::new(task.value_bytes));
    let producer = Producer::connect(producer_config(task)).await?;
    let mut window = Window::new();
    for number in 0..task.records {
        window.push(producer.send(record(&topic, number, values.get(number))).await?)?;
    }
    window.settle().await?;
    producer.close().await?;
    Ok(Report::default())
}

async fn consumer(task: &Task) -> Outcome<Consumer> {
    let config = ConsumerConfig::new(&*task.bootstrap)
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .fetch_max_bytes(FETCH_BYTES_MAX)
        .max_partition_fetch_bytes(PARTITION_FETCH_BYTES_MAX)
        .min_bytes(FETCH_BYTES_MIN)
        .max_poll_records(task.poll_records);
    Ok(Consumer::connect(config).await?)
}

fn assign(consumer: &Consumer, task: &Task) -> Outcome<()> {
    let topic = Arc::<str>::from(&*task.topic);
    let all: Vec<TopicPartition> = (0..u64::from(PARTITIONS))
        .map(|number| TopicPartition::new(topic.clone(), partition(number)))
        .collect();
    Ok(consumer.assign(&all)?)
}

fn value_bytes(polled: &Polled) -> u64 {
    polled.records().map(|record| record.value.as_ref().map_or(0, Bytes::len) as u64).sum()
}

/// Counts the records of a batch and the bytes of their values.
fn counted(batch: &RecordBatch) -> Outcome<(u64, u64)> {
    let (mut records, mut bytes) = (0, 0);
    for record in batch {
        bytes += record?.value.map_or(0, <[u8]>::len) as u64;
        records += 1;
    }
    Ok((records, bytes))
}

async fn consume(task: &Task) -> Outcome<Report> {
    let consumer = consumer(task).await?;
    let measurement = Measurement::begin(task.duration);
    assign(&consumer, task)?;
    let (mut records, mut bytes) = (0, 0);
    while records < task.records {
        if BULK_RECORDS <= task.poll_records {
            if let Some(Received::Batch(batch)) = consumer.next_batch(POLL).await? {
                let counted = counted(&batch)?;
                records += counted.0;
                bytes += counted.1;
            }
            continue;
        }
        let polled = consumer.poll(POLL).await?;
        records += polled.records().count() as u64;
        bytes += value_bytes(&polled);
    }
    let report = measurement.end("records", records, 1e6)?;
    task.check(records, bytes)?;
    Ok(report)
}

async fn latency(task: &Task) -> Outcome<Report> {
    let topic = Arc::<str>::from(&*task.topic);
    let producer = Producer::connect(producer_config(task)).await?;
    let consumer = consumer(task).await?;
    assign(&consumer, task)?;
    let measurement = Measurement::begin(task.duration);
    let pace = Pace::begin(task);
    let (handle, value_bytes) = (Handle::current(), task.value_bytes);
    let sending = pace.spawn(move |pace| {
        let mut window = Window::new();
        pace.send(value_bytes, |number, value| {
            window.push(handle.block_on(producer.send(record(&topic, number, value)))?)
        })?;
        handle.block_on(window.settle())
    });
    let mut arrivals = pace.arrivals();
    while !arrivals.complete() {
        for record in consumer.poll(POLL).await?.records() {
            arrivals.take(record.value.as_deref())?;
        }
    }
    sending.join().map_err(|_| "the thread that sends is gone")?;
    arrivals.report(measurement)
}

async fn transaction(
    producer: &Producer,
    topic: &Arc<str>,
    values: &Values,
    first: u64,
) -> Outcome<()> {
    producer.begin_transaction()?;
    for number in first..first + RECORDS_PER_TRANSACTION {
        // The commit fails when a record did.
        drop(producer.send(record(topic, number, values.get(number))).await?);
    }
    Ok(producer.commit_transaction().await?)
}

async fn transactions(task: &Task) -> Outcome<Report> {
    let (topic, values) = (Arc::<str>::from(&*task.topic), Values::new(task.value_bytes));
    let config = producer_config(task).transactional_id(TRANSACTIONAL_ID);
    let producer = Producer::connect(config).await?;
    producer.init_transactions().await?;
    transaction(&producer, &topic, &values, 0).await?;
    let measurement = Measurement::begin(task.duration);
    let mut done = 0;
    while measurement.has_time() {
        transaction(&producer, &topic, &values, done * RECORDS_PER_TRANSACTION).await?;
        done += 1;
    }
    let report = measurement.end("transactions", done, 1e3)?;
    producer.close().await?;
    Ok(report)
}

async fn create(task: &Task) -> Outcome<Report> {
    let admin = Admin::connect(AdminConfig::new(&*task.bootstrap)).await?;
    let topic = NewTopic::new(&*task.topic, i32::try_from(PARTITIONS)?);
    // A minute of dead data would weigh on the next measurement.
    let topic = topic.config("file.delete.delay.ms", "1000");
    for (_, result) in admin.create_topics(&[topic]).await? {
        result?;
    }
    Ok(Report::default())
}

async fn delete(task: &Task) -> Outcome<Report> {
    let admin = Admin::connect(AdminConfig::new(&*task.bootstrap)).await?;
    for (_, result) in admin.delete_topics(&[&*task.topic]).await? {
        result?;
    }
    Ok(Report::default())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let task = Task::from_arguments()?;
    let report = match task.load {
        Load::Create => create(&task).await?,
        Load::Delete => delete(&task).await?,
        Load::Fill => fill(&task).await?,
        Load::Produce => produce(&task).await?,
        Load::Consume => consume(&task).await?,
        Load::Latency => latency(&task).await?,
        Load::Transactions => transactions(&task).await?,
    };
    println!("{}", report.json());
    Ok(())
}
