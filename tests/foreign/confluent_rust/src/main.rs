//! Round-trips records through a broker with Confluent's Kafka client in Rust: an idempotent producer,
//! a group of two (this client has the consumer protocol alone), offsets, transactions with aborts and
//! a loop that is exactly once.
//!
//! Usage: confluent-rust-round-trip BOOTSTRAP RECORDS
//!
//! Each check that holds is told as a line of JSON; the first that does not ends the program with a
//! message. The whole run has one limit of time, which only something broken reaches.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::time::Duration;

use confluent_kafka::admin::{Admin, AdminClient, AdminClientConfig, NewTopic, OffsetSpec};
use confluent_kafka::common::header::{Header, Headers, RecordHeader, RecordHeaders};
use confluent_kafka::common::serialization::{StringDeserializer, StringSerializer};
use confluent_kafka::common::{KafkaFuture, TopicPartition};
use confluent_kafka::consumer::{
    Consumer, ConsumerConfig, ConsumerRecord, ConsumerRecords, KafkaConsumer, OffsetAndMetadata,
};
use confluent_kafka::producer::{
    KafkaProducer, Producer, ProducerConfig, ProducerRecord, ProducerRecordOptionsBuilder,
    RecordMetadata,
};

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(200);
const FIRST_TIMESTAMP_MS: i64 = 1_500_000_000_000;

type Outcome<T> = Result<T, Box<dyn Error>>;
type Reader = KafkaConsumer<String, String>;
type Writer = KafkaProducer<String, String>;
type Records = ConsumerRecords<String, String>;

fn check(holds: bool, message: impl Into<String>) -> Outcome<()> {
    if holds { Ok(()) } else { Err(message.into().into()) }
}

fn each(records: &Records) -> impl Iterator<Item = &ConsumerRecord<String, String>> {
    records.partitions().flat_map(|partition| records.records_with_partition(partition))
}

struct Trip {
    bootstrap: String,
    admin: Box<dyn Admin>,
    count: usize,
    run: String,
}

impl Trip {
    fn checked(&self, what: &str, how: &str) {
        println!("{{\"checked\": \"{what}\", \"records\": {}, \"how\": \"{how}\"}}", self.count);
    }

    fn properties(&self, more: &[(&str, &str)]) -> HashMap<String, String> {
        let bootstrap = ("bootstrap.servers", self.bootstrap.as_str());
        let all = more.iter().copied().chain([bootstrap]);
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn writer(&self, more: &[(&str, &str)]) -> Outcome<Writer> {
        let config = ProducerConfig::new(&self.properties(more))?;
        Ok(KafkaProducer::new(config, StringSerializer::new(), StringSerializer::new())?)
    }

    fn reader(&self, group: &str) -> Outcome<Reader> {
        let config = ConsumerConfig::new(&self.properties(&[
            ("group.id", group),
            ("group.protocol", "consumer"),
            ("auto.offset.reset", "earliest"),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
        ]))?;
        Ok(KafkaConsumer::new(config, StringDeserializer::new(), StringDeserializer::new())?)
    }

    async fn create(&self, name: &str) -> Outcome<String> {
        let topic = format!("confluent-rust-{name}-{}", self.run);
        let wanted =
            NewTopic::with_num_partitions_replication_factor(&*topic, Some(PARTITIONS), Some(1));
        self.admin.create_topics(&[wanted]).all().get().await?;
        Ok(topic)
    }

    async fn produce(&self, topic: &str) -> Outcome<()> {
        let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
        for (index, codec) in codecs.into_iter().enumerate() {
            let writer = self.writer(&[("compression.type", codec), ("linger.ms", "5")])?;
            let mut sent = Vec::new();
            // In the order of their timestamps, so that an offset by timestamp is the middle of the log.
            for number in index * self.count / codecs.len()..(index + 1) * self.count / codecs.len()
            {
                sent.push(writer.send(record(topic, number)?).await?);
            }
            written(&writer, sent).await?;
            writer.close().await?;
        }
        Ok(())
    }

    async fn group(&self, topic: &str) -> Outcome<()> {
        let group = format!("confluent-rust-group-{}", self.run);
        let (mut first, mut second) = (self.reader(&group)?, self.reader(&group)?);
        first.subscribe_with_topics(vec![topic.to_owned()]).await?;
        second.subscribe_with_topics(vec![topic.to_owned()]).await?;
        let half = PARTITIONS as usize / 2;
        while first.assignment().len() != half || second.assignment().len() != half {
            let (one, other) = tokio::join!(first.poll(POLL), second.poll(POLL));
            drop((one?, other?));
        }
        for member in [&mut first, &mut second] {
            let all: Vec<TopicPartition> = member.assignment().into_iter().collect();
            member.seek_to_beginning(&all).await?;
        }
        let mut seen = BTreeSet::new();
        while seen.len() < self.count {
            let (one, other) = tokio::join!(first.poll(POLL), second.poll(POLL));
            for read in each(&one?).chain(each(&other?)) {
                let number = verify(read)?;
                check(seen.insert(number), format!("value {number} came twice"))?;
            }
        }
        for mut member in [first, second] {
            member.commit_sync().await?;
            member.close().await?;
        }
        let mut late = self.reader(&group)?;
        late.subscribe_with_topics(vec![topic.to_owned()]).await?;
        while late.assignment().len() != PARTITIONS as usize {
            check(late.poll(POLL).await?.is_empty(), "a committed record came again")?;
        }
        late.close().await?;
        Ok(())
    }

    async fn offsets(&self, topic: &str) -> Outcome<()> {
        let middle = FIRST_TIMESTAMP_MS + i64::try_from(self.count / 2)?;
        let expected = i64::try_from(self.count)?;
        for (spec, sum, what) in [
            (OffsetSpec::Earliest, 0, "the beginning"),
            (OffsetSpec::Latest, expected, "the end"),
            (OffsetSpec::for_timestamp(middle), expected / 2, "offsets by timestamp"),
        ] {
            let all = (0..PARTITIONS)
                .map(|partition| (TopicPartition::new(topic, partition), spec.clone()))
                .collect();
            let listed = self.admin.list_offsets(&all).all().get().await?;
            let total: i64 = listed.values().map(|info| info.offset()).sum();
            check(
                (total - sum).abs() <= i64::from(PARTITIONS),
                format!("{what}: {total}, not {sum}"),
            )?;
        }
        Ok(())
    }

    /// Everything in a topic, by a reader that is no member of its group.
    async fn read(&self, topic: &str, expected: usize) -> Outcome<Vec<String>> {
        let mut reader = self.reader(&format!("confluent-rust-read-{topic}"))?;
        let all: Vec<TopicPartition> =
            (0..PARTITIONS).map(|partition| TopicPartition::new(topic, partition)).collect();
        reader.assign(all.clone()).await?;
        reader.seek_to_beginning(&all).await?;
        let mut values = Vec::new();
        while values.len() < expected {
            let records = reader.poll(POLL).await?;
            values.extend(each(&records).map(|read| read.value().cloned().unwrap_or_default()));
        }
        reader.close().await?;
        Ok(values)
    }

    async fn transactions(&self) -> Outcome<()> {
        let topic = self.create("transactions").await?;
        let id = format!("confluent-rust-tx-{}", self.run);
        let writer = self.writer(&[("transactional.id", &id)])?;
        writer.init_transactions().await?;
        let mut kept = BTreeSet::new();
        for transaction in 0..20 {
            writer.begin_transaction()?;
            let mut sent = Vec::new();
            for index in 0..(self.count / 20).max(1) {
                let value = format!("{transaction}-{index}");
                sent.push(
                    writer.send(ProducerRecord::new(topic.clone(), Some(value.clone()))).await?,
                );
                if transaction % 3 != 2 {
                    kept.insert(value);
                }
            }
            written(&writer, sent).await?;
            if transaction % 3 == 2 {
                writer.abort_transaction().await?;
            } else {
                writer.commit_transaction().await?;
            }
        }
        writer.close().await?;
        let values = self.read(&topic, kept.len()).await?;
        check(
            values.len() == kept.len(),
            format!("{} committed records, not {}", values.len(), kept.len()),
        )?;
        check(
            values.into_iter().collect::<BTreeSet<_>>() == kept,
            "read committed saw other records",
        )
    }

    async fn exactly_once(&self, source: &str) -> Outcome<()> {
        let target = self.create("doubled").await?;
        let id = format!("confluent-rust-loop-{}", self.run);
        let mut reader = self.reader(&id)?;
        reader.subscribe_with_topics(vec![source.to_owned()]).await?;
        let writer = self.writer(&[("transactional.id", &id)])?;
        writer.init_transactions().await?;
        let (mut done, mut transactions) = (0, 0);
        while done < self.count {
            let records = reader.poll(POLL).await?;
            if records.is_empty() {
                continue;
            }
            let mut first = HashMap::new();
            let mut next = HashMap::new();
            writer.begin_transaction()?;
            let mut sent = Vec::new();
            for read in each(&records) {
                let copy = ProducerRecord::new(target.clone(), read.value().cloned());
                sent.push(writer.send(copy).await?);
                let partition = TopicPartition::new(source, read.partition());
                first.entry(partition.clone()).or_insert(read.offset());
                next.insert(partition, OffsetAndMetadata::new(read.offset() + 1)?);
            }
            written(&writer, sent).await?;
            let member = reader.group_metadata();
            writer.send_offsets_to_transaction(next, &*member).await?;
            transactions += 1;
            if transactions == 2 {
                writer.abort_transaction().await?;
                for (partition, offset) in first {
                    reader.seek_with_offset(partition, offset).await?;
                }
            } else {
                writer.commit_transaction().await?;
                done += records.count();
            }
        }
        writer.close().await?;
        reader.close().await?;
        let values = self.read(&target, self.count).await?;
        let distinct: BTreeSet<_> = values.iter().collect();
        check(values.len() == self.count && distinct.len() == self.count, "the copy is not exact")
    }

    async fn administer(&self) -> Outcome<()> {
        let admin = &self.admin;
        check(!admin.describe_cluster().nodes().get().await?.is_empty(), "no brokers")?;
        let topics = admin.list_topics().names().get().await?;
        let ours: Vec<_> = topics.into_iter().filter(|name| name.ends_with(&self.run)).collect();
        let described = admin.describe_topics_with_topic_names(&ours).all_topic_names();
        for topic in described.ok_or("topics by name")?.get().await?.into_values() {
            check(topic.partitions().len() == PARTITIONS as usize, "partitions")?;
        }
        let groups = [format!("confluent-rust-group-{}", self.run)];
        let described = admin.describe_consumer_groups(&groups).all().get().await?;
        check(described.len() == 1, "the group is described")?;
        admin.delete_consumer_groups(&groups).all().get().await?;
        admin.delete_topics_with_string_slice(&ours).all().get().await?;
        Ok(())
    }

    async fn everything(&self) -> Outcome<()> {
        let topic = self.create("plain").await?;
        self.produce(&topic).await?;
        self.checked("produce", "all codecs, idempotent, keys, headers and timestamps");
        self.group(&topic).await?;
        self.checked("consume", "every record once");
        self.checked("groups", "consumer protocol: two members, committed offsets, a later member");
        self.offsets(&topic).await?;
        self.checked("offsets", "beginning, end, by timestamp");
        self.transactions().await?;
        self.exactly_once(&topic).await?;
        self.checked("transactions", "commits, aborts, offsets within transactions");
        self.administer().await?;
        self.checked("admin", "topics, groups, cluster");
        self.admin.close().await;
        Ok(())
    }
}

/// All records are acknowledged.
async fn written(writer: &Writer, sent: Vec<KafkaFuture<RecordMetadata>>) -> Outcome<()> {
    writer.flush().await?;
    for one in sent {
        one.get().await?;
    }
    Ok(())
}

fn record(topic: &str, number: usize) -> Outcome<ProducerRecord<String, String>> {
    let header = RecordHeader::new("number".to_owned(), Some(number.to_string().into_bytes()));
    let options = ProducerRecordOptionsBuilder::new()
        .set_topic(topic.to_owned())
        .set_partition(Some(i32::try_from(number)? % PARTITIONS))
        .set_timestamp(Some(FIRST_TIMESTAMP_MS + i64::try_from(number)?))
        .set_key(Some(format!("key-{}", number % 97)))
        .set_value(Some(format!("value-{number}")))
        .set_headers(Some(RecordHeaders::with_header_slice(&[header])))
        .build()?;
    Ok(ProducerRecord::with_options(options)?)
}

fn verify(read: &ConsumerRecord<String, String>) -> Outcome<usize> {
    let value = read.value().ok_or("no value")?;
    let number = value.strip_prefix("value-").ok_or("another value")?.parse()?;
    let wrote = record(read.topic(), number)?;
    check(Some(read.partition()) == wrote.partition(), format!("the partition of {number}"))?;
    check(read.key() == wrote.key(), format!("the key of {number}"))?;
    check(Some(read.timestamp()) == wrote.timestamp(), format!("the timestamp of {number}"))?;
    let header = read.headers().last_header("number").and_then(Header::value);
    let expected = number.to_string();
    check(header == Some(expected.as_bytes()), format!("the header of {number}"))?;
    Ok(number)
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, bootstrap, records] = arguments.as_slice() else {
        return Err("usage: confluent-rust-round-trip BOOTSTRAP RECORDS".into());
    };
    println!("{{\"client\": \"confluent-kafka\", \"language\": \"Rust\", \"version\": \"1.0.0\"}}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let run = format!("{}-{}", std::process::id(), now.as_millis());
    let properties = HashMap::from([("bootstrap.servers".to_owned(), bootstrap.clone())]);
    let admin = AdminClient::create(AdminClientConfig::new(&properties)?)?;
    let trip = Trip { bootstrap: bootstrap.clone(), admin, count: records.parse()?, run };
    tokio::time::timeout(PATIENCE, trip.everything())
        .await
        .map_err(|_| "it did not come to its end in time")?
}
