//! The loads through rdkafka, the Rust crate over librdkafka: its producer with a thread that polls
//! and a callback for deliveries, and its consumer that is polled for one message after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client_loads::{
    BATCH_BYTES, BUFFER_BYTES, FETCH_BYTES_MAX, FETCH_BYTES_MIN, IN_FLIGHT_MAX, LINGER, Load,
    Measurement, Outcome, PARTITION_FETCH_BYTES_MAX, PARTITIONS, POLL, Pace,
    RECORDS_PER_TRANSACTION, REQUEST_BYTES_MAX, Report, TRANSACTIONAL_ID, Task, Values, partition,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

/// Between two attempts while the queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// Counts deliveries; the first that failed ends the program.
struct Deliveries(Arc<AtomicU64>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            eprintln!("{error}");
            std::process::exit(1);
        }
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Writer {
    producer: ThreadedProducer<Deliveries>,
    delivered: Arc<AtomicU64>,
    topic: String,
}

impl Writer {
    fn new(task: &Task, more: &[(&str, &str)]) -> Outcome<Self> {
        let linger = if task.load == Load::Latency { Duration::ZERO } else { LINGER };
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &task.bootstrap)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", linger.as_millis().to_string())
            .set("batch.size", BATCH_BYTES.to_string())
            .set("message.max.bytes", REQUEST_BYTES_MAX.to_string())
            .set("max.in.flight", IN_FLIGHT_MAX.to_string())
            .set("compression.codec", task.compression.name())
            .set("queue.buffering.max.kbytes", (BUFFER_BYTES / 1024).to_string())
            // The bound is of bytes, as it is for the others.
            .set("queue.buffering.max.messages", "0");
        for (name, value) in more {
            config.set(*name, *value);
        }
        let delivered = Arc::new(AtomicU64::new(0));
        let producer = config.create_with_context(Deliveries(delivered.clone()))?;
        Ok(Self { producer, delivered, topic: task.topic.clone() })
    }

    fn send(&self, number: u64, value: &[u8]) -> Outcome<()> {
        let record = BaseRecord::<(), [u8]>::to(&self.topic).partition(partition(number));
        let mut record = record.payload(value);
        loop {
            let full = RDKafkaErrorCode::QueueFull;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(code), back)) if code == full => record = back,
                Err((error, _)) => return Err(error.into()),
            }
            self.producer.poll(FULL_PAUSE);
        }
    }

    fn settle(&self, sent: u64) -> Outcome<()> {
        self.producer.flush(PATIENCE)?;
        let delivered = self.delivered.load(Ordering::Relaxed);
        if delivered == sent { Ok(()) } else { Err(format!("{delivered} of {sent}").into()) }
    }
}

fn produce(task: &Task) -> Outcome<Report> {
    let (writer, values) = (Writer::new(task, &[])?, Values::new(task.value_bytes));
    let first = u64::from(PARTITIONS);
    for number in 0..first {
        writer.send(number, &values.get(number))?;
    }
    writer.settle(first)?;
    let measurement = Measurement::begin(task.duration);
    let mut sent = 0;
    while measurement.goes_on(sent) {
        writer.send(sent, &values.get(sent))?;
        sent += 1;
    }
    writer.settle(first + sent)?;
    measurement.end("records", sent, 1e6)
}

fn consumer(task: &Task) -> Outcome<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &task.bootstrap)
        // It wants one, and joins none.
        .set("group.id", "client-loads")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("fetch.min.bytes", FETCH_BYTES_MIN.to_string())
        .set("fetch.max.bytes", FETCH_BYTES_MAX.to_string())
        .set("max.partition.fetch.bytes", PARTITION_FETCH_BYTES_MAX.to_string())
        .create()?;
    Ok(consumer)
}

fn assign(consumer: &BaseConsumer, task: &Task) -> Outcome<()> {
    let mut all = TopicPartitionList::new();
    for number in 0..u64::from(PARTITIONS) {
        all.add_partition_offset(&task.topic, partition(number), Offset::Beginning)?;
    }
    Ok(consumer.assign(&all)?)
}

fn consume(task: &Task) -> Outcome<Report> {
    let consumer = consumer(task)?;
    let measurement = Measurement::begin(task.duration);
    assign(&consumer, task)?;
    let (mut records, mut bytes) = (0, 0);
    while records < task.records {
        let Some(message) = consumer.poll(POLL) else { continue };
        bytes += message?.payload().map_or(0, <[u8]>::len) as u64;
        records += 1;
    }
    let report = measurement.end("records", records, 1e6)?;
    task.check(records, bytes)?;
    Ok(report)
}

fn latency(task: &Task) -> Outcome<Report> {
    let (writer, consumer) = (Writer::new(task, &[])?, consumer(task)?);
    assign(&consumer, task)?;
    let measurement = Measurement::begin(task.duration);
    let (pace, value_bytes) = (Pace::begin(task), task.value_bytes);
    let sending = pace.spawn(move |pace| {
        pace.send(value_bytes, |number, value| writer.send(number, &value))?;
        Ok(writer.producer.flush(PATIENCE)?)
    });
    let mut arrivals = pace.arrivals();
    while !arrivals.complete() {
        if let Some(message) = consumer.poll(POLL) {
            arrivals.take(message?.payload())?;
        }
    }
    sending.join().map_err(|_| "the thread that sends is gone")?;
    arrivals.report(measurement)
}

fn transaction(writer: &Writer, values: &Values, first: u64) -> Outcome<()> {
    writer.producer.begin_transaction()?;
    for number in first..first + RECORDS_PER_TRANSACTION {
        writer.send(number, &values.get(number))?;
    }
    Ok(writer.producer.commit_transaction(PATIENCE)?)
}

fn transactions(task: &Task) -> Outcome<Report> {
    let writer = Writer::new(task, &[("transactional.id", TRANSACTIONAL_ID)])?;
    let values = Values::new(task.value_bytes);
    writer.producer.init_transactions(PATIENCE)?;
    transaction(&writer, &values, 0)?;
    let measurement = Measurement::begin(task.duration);
    let mut done = 0;
    while measurement.has_time() {
        transaction(&writer, &values, done * RECORDS_PER_TRANSACTION)?;
        done += 1;
    }
    measurement.end("transactions", done, 1e3)
}

fn main() -> Outcome<()> {
    let task = Task::from_arguments()?;
    let report = match task.load {
        Load::Produce => produce(&task)?,
        Load::Consume => consume(&task)?,
        Load::Latency => latency(&task)?,
        Load::Transactions => transactions(&task)?,
        Load::Create | Load::Delete | Load::Fill => return Err("load-mainstem does that".into()),
    };
    println!("{}", report.json());
    Ok(())
}
