//! The loads through confluent-kafka, Confluent's client in Rust: deliveries by callback, records of
//! a poll by iteration.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client_loads::{
    BATCH_BYTES, BUFFER_BYTES, FETCH_BYTES_MAX, FETCH_BYTES_MIN, IN_FLIGHT_MAX, LINGER, Load,
    Measurement, Outcome, PARTITION_FETCH_BYTES_MAX, PARTITIONS, POLL, Pace,
    RECORDS_PER_TRANSACTION, REQUEST_BYTES_MAX, Report, TRANSACTIONAL_ID, Task, Values, partition,
};
use confluent_kafka::common::TopicPartition;
use confluent_kafka::common::serialization::{ByteArraySerializer, BytesDeserializer};
use confluent_kafka::consumer::{Consumer, ConsumerConfig, KafkaConsumer};
use confluent_kafka::producer::{
    Callback, KafkaProducer, Producer, ProducerConfig, ProducerRecord, callback,
};
use tokio::runtime::Handle;

type Reader = KafkaConsumer<Bytes, Bytes>;

fn properties(task: &Task, more: &[(&str, String)]) -> HashMap<String, String> {
    let bootstrap = ("bootstrap.servers", task.bootstrap.clone());
    let all = more.iter().cloned().chain([bootstrap]);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

struct Writer {
    producer: KafkaProducer<Vec<u8>, Vec<u8>>,
    delivered: Arc<AtomicU64>,
    topic: String,
}

impl Writer {
    fn new(task: &Task, more: &[(&str, String)]) -> Outcome<Self> {
        let linger = if task.load == Load::Latency { Duration::ZERO } else { LINGER };
        let mut settings = vec![
            ("acks", "all".to_owned()),
            ("enable.idempotence", "true".to_owned()),
            ("linger.ms", linger.as_millis().to_string()),
            ("batch.size", BATCH_BYTES.to_string()),
            ("max.request.size", REQUEST_BYTES_MAX.to_string()),
            ("max.in.flight.requests.per.connection", IN_FLIGHT_MAX.to_string()),
            ("compression.type", task.compression.name().to_owned()),
            ("buffer.memory", BUFFER_BYTES.to_string()),
        ];
        settings.extend_from_slice(more);
        let config = ProducerConfig::new(&properties(task, &settings))?;
        let bytes = ByteArraySerializer::new;
        let producer = KafkaProducer::new(config, bytes(), bytes())?;
        let delivered = Arc::new(AtomicU64::new(0));
        Ok(Self { producer, delivered, topic: task.topic.clone() })
    }

    /// The first delivery that fails ends the program.
    fn callback(&self) -> Option<Box<dyn Callback>> {
        let delivered = self.delivered.clone();
        Some(Box::new(callback::new(move |_, error| {
            if let Some(error) = error {
                eprintln!("{error}");
                std::process::exit(1);
            }
            delivered.fetch_add(1, Ordering::Relaxed);
        })))
    }

    fn record(&self, number: u64, value: &[u8]) -> Outcome<ProducerRecord<Vec<u8>, Vec<u8>>> {
        let (topic, value) = (self.topic.clone(), Some(value.to_vec()));
        Ok(ProducerRecord::with_partition_key(topic, Some(partition(number)), None, value)?)
    }

    async fn send(&self, number: u64, value: &[u8]) -> Outcome<()> {
        let record = self.record(number, value)?;
        drop(self.producer.send_with_callback(record, self.callback()).await?);
        Ok(())
    }

    async fn settle(&self, sent: u64) -> Outcome<()> {
        self.producer.flush().await?;
        let delivered = self.delivered.load(Ordering::Relaxed);
        if delivered == sent { Ok(()) } else { Err(format!("{delivered} of {sent}").into()) }
    }
}

async fn produce(task: &Task) -> Outcome<Report> {
    let (writer, values) = (Writer::new(task, &[])?, Values::new(task.value_bytes));
    let first = u64::from(PARTITIONS);
    for number in 0..first {
        writer.send(number, &values.get(number)).await?;
    }
    writer.settle(first).await?;
    let measurement = Measurement::begin(task.duration);
    let mut sent = 0;
    while measurement.goes_on(sent) {
        writer.send(sent, &values.get(sent)).await?;
        sent += 1;
    }
    writer.settle(first + sent).await?;
    let report = measurement.end("records", sent, 1e6)?;
    writer.producer.close().await?;
    Ok(report)
}

fn consumer(task: &Task) -> Outcome<Reader> {
    let settings = [
        ("auto.offset.reset", "earliest".to_owned()),
        ("enable.auto.commit", "false".to_owned()),
        ("fetch.min.bytes", FETCH_BYTES_MIN.to_string()),
        ("fetch.max.bytes", FETCH_BYTES_MAX.to_string()),
        ("max.partition.fetch.bytes", PARTITION_FETCH_BYTES_MAX.to_string()),
        ("max.poll.records", task.poll_records.to_string()),
        ("group.protocol", "consumer".to_owned()),
    ];
    let config = ConsumerConfig::new(&properties(task, &settings))?;
    Ok(KafkaConsumer::new(config, BytesDeserializer::new(), BytesDeserializer::new())?)
}

async fn assign(consumer: &mut Reader, task: &Task) -> Outcome<()> {
    let all: Vec<TopicPartition> = (0..u64::from(PARTITIONS))
        .map(|number| TopicPartition::new(&*task.topic, partition(number)))
        .collect();
    Ok(consumer.assign(all).await?)
}

async fn consume(task: &Task) -> Outcome<Report> {
    let mut consumer = consumer(task)?;
    let measurement = Measurement::begin(task.duration);
    assign(&mut consumer, task).await?;
    let (mut records, mut bytes) = (0, 0);
    while records < task.records {
        for record in &consumer.poll(POLL).await? {
            bytes += record.value().map_or(0, Bytes::len) as u64;
            records += 1;
        }
    }
    let report = measurement.end("records", records, 1e6)?;
    task.check(records, bytes)?;
    consumer.close().await?;
    Ok(report)
}

async fn latency(task: &Task) -> Outcome<Report> {
    let (writer, mut consumer) = (Writer::new(task, &[])?, consumer(task)?);
    assign(&mut consumer, task).await?;
    let measurement = Measurement::begin(task.duration);
    let (pace, handle, value_bytes) = (Pace::begin(task), Handle::current(), task.value_bytes);
    let sending = pace.spawn(move |pace| {
        let mut sent = 0;
        pace.send(value_bytes, |number, value| {
            sent += 1;
            handle.block_on(writer.send(number, &value))
        })?;
        handle.block_on(writer.settle(sent))
    });
    let mut arrivals = pace.arrivals();
    while !arrivals.complete() {
        for record in &consumer.poll(POLL).await? {
            arrivals.take(record.value().map(|value| &value[..]))?;
        }
    }
    sending.join().map_err(|_| "the thread that sends is gone")?;
    arrivals.report(measurement)
}

async fn transaction(writer: &Writer, values: &Values, first: u64) -> Outcome<()> {
    writer.producer.begin_transaction()?;
    for number in first..first + RECORDS_PER_TRANSACTION {
        // Without a callback, as its documentation has it: the commit fails when a record did.
        let record = writer.record(number, &values.get(number))?;
        drop(Producer::send(&writer.producer, record).await?);
    }
    Ok(writer.producer.commit_transaction().await?)
}

async fn transactions(task: &Task) -> Outcome<Report> {
    let writer = Writer::new(task, &[("transactional.id", TRANSACTIONAL_ID.to_owned())])?;
    let values = Values::new(task.value_bytes);
    writer.producer.init_transactions().await?;
    transaction(&writer, &values, 0).await?;
    let measurement = Measurement::begin(task.duration);
    let mut done = 0;
    while measurement.has_time() {
        transaction(&writer, &values, done * RECORDS_PER_TRANSACTION).await?;
        done += 1;
    }
    let report = measurement.end("transactions", done, 1e3)?;
    writer.producer.close().await?;
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
