//! Round-trips records through a broker with krafka, a Kafka client in Rust: an idempotent producer,
//! a group of two, offsets, transactions with aborts and a loop that is exactly once.
//!
//! Usage: krafka-round-trip BOOTSTRAP RECORDS
//!
//! Each check that holds is told as a line of JSON; the first that does not ends the program with a
//! message. The whole run has one limit of time, which only something broken reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use krafka::admin::{NewTopic, OffsetSpec, TopicPartition};
use krafka::consumer::{AutoOffsetReset, Consumer, ConsumerRecord, IsolationLevel};
use krafka::producer::{Acks, TopicPartitionOffset};
use krafka::{Compression, Kafka, Record};

const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(200);
const FIRST_TIMESTAMP_MS: i64 = 1_500_000_000_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn check(holds: bool, message: impl Into<String>) -> Outcome<()> {
    if holds { Ok(()) } else { Err(message.into().into()) }
}

struct Trip {
    bootstrap: String,
    kafka: Kafka,
    count: usize,
    run: String,
}

impl Trip {
    fn checked(&self, what: &str, how: &str) {
        println!("{{\"checked\": \"{what}\", \"records\": {}, \"how\": \"{how}\"}}", self.count);
    }

    async fn create(&self, name: &str) -> Outcome<String> {
        let topic = format!("krafka-{name}-{}", self.run);
        let wanted = [NewTopic::new(&*topic, PARTITIONS, 1)?];
        for (_, result) in self.kafka.admin().create_topics(wanted, Default::default()).await? {
            result?;
        }
        Ok(topic)
    }

    /// Clients of one `Kafka` share its connections, and a broker answers a connection's requests in order:
    /// a member must not wait behind the JoinGroup of another, so that each has a `Kafka` of its own.
    async fn member(&self, group: &str) -> Outcome<Consumer> {
        let kafka = connect(&self.bootstrap).await?;
        let consumer = kafka
            .consumer(group)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .isolation_level(IsolationLevel::ReadCommitted)
            .session_timeout(Duration::from_secs(10))
            .heartbeat_interval(Duration::from_millis(500))
            .enable_auto_commit(false);
        Ok(consumer.build().await?)
    }

    async fn produce(&self, topic: &str) -> Outcome<()> {
        let codecs = [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ];
        for (index, codec) in codecs.into_iter().enumerate() {
            let producer =
                self.kafka.producer().acks(Acks::All).idempotent(true).compression(codec);
            let producer = producer.linger(Duration::from_millis(5)).build().await?;
            let mut handles = Vec::new();
            // In the order of their timestamps, so that an offset by timestamp is the middle of the log.
            for number in index * self.count / codecs.len()..(index + 1) * self.count / codecs.len()
            {
                handles.push(producer.enqueue(record(topic, number)).await?);
            }
            for handle in handles {
                drop(handle.await?);
            }
            producer.close().await?;
        }
        Ok(())
    }

    async fn group(&self, topic: &str) -> Outcome<()> {
        let group = format!("krafka-group-{}", self.run);
        let members = [self.member(&group).await?, self.member(&group).await?];
        for member in &members {
            member.subscribe([topic]).await?;
        }
        let mut held = [0; 2];
        while held != [2, 2] {
            let (first, second) = tokio::join!(members[0].poll(POLL), members[1].poll(POLL));
            drop((first?, second?));
            for (held, member) in held.iter_mut().zip(&members) {
                *held = member.assignment().await.get(topic).map_or(0, Vec::len);
            }
        }
        for member in &members {
            for partition in member.assignment().await.remove(topic).unwrap_or_default() {
                member.seek_to_beginning(topic, partition).await?;
            }
        }
        let mut seen = BTreeSet::new();
        while seen.len() < self.count {
            let (first, second) = tokio::join!(members[0].poll(POLL), members[1].poll(POLL));
            for read in first?.iter().chain(&second?) {
                let number = verify(read)?;
                check(seen.insert(number), format!("value {number} came twice"))?;
            }
        }
        for member in members {
            member.commit().await?;
            member.close().await?;
        }
        let late = self.member(&group).await?;
        late.subscribe([topic]).await?;
        while late.assignment().await.get(topic).map_or(0, Vec::len) != PARTITIONS as usize {
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
            (OffsetSpec::Timestamp(middle), expected / 2, "offsets by timestamp"),
        ] {
            let all = (0..PARTITIONS)
                .map(|partition| (TopicPartition::new(topic, partition), spec.clone()));
            let mut total = 0;
            for (_, listed) in self.kafka.admin().list_offsets(all, Default::default()).await? {
                total += listed?.offset;
            }
            check(
                (total - sum).abs() <= i64::from(PARTITIONS),
                format!("{what}: {total}, not {sum}"),
            )?;
        }
        Ok(())
    }

    /// Everything in a topic, by a reader without a group.
    async fn read(&self, topic: &str, expected: usize) -> Outcome<Vec<String>> {
        let reader = self
            .kafka
            .consumer_without_group()
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .isolation_level(IsolationLevel::ReadCommitted)
            .build()
            .await?;
        reader.assign(topic, (0..PARTITIONS).collect()).await?;
        let mut values = Vec::new();
        while values.len() < expected {
            let records = reader.poll(POLL).await?;
            values
                .extend(records.iter().map(|read| read.value_str().unwrap_or_default().to_owned()));
        }
        reader.close().await?;
        Ok(values)
    }

    async fn transactions(&self) -> Outcome<()> {
        let topic = self.create("transactions").await?;
        let id = format!("krafka-tx-{}", self.run);
        let producer = self.kafka.producer().build_transactional(id).await?;
        let mut kept = BTreeSet::new();
        for transaction in 0..20 {
            producer.begin()?;
            let mut handles = Vec::new();
            for index in 0..(self.count / 20).max(1) {
                let value = format!("{transaction}-{index}");
                let partition = i32::try_from(index)? % PARTITIONS;
                handles.push(
                    producer
                        .enqueue(Record::new(&*topic, value.clone()).partition(partition))
                        .await?,
                );
                if transaction % 3 != 2 {
                    kept.insert(value);
                }
            }
            for handle in handles {
                drop(handle.await?);
            }
            if transaction % 3 == 2 { producer.abort().await? } else { producer.commit().await? }
        }
        producer.close().await?;
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
        let id = format!("krafka-loop-{}", self.run);
        let consumer = self.member(&id).await?;
        consumer.subscribe([source]).await?;
        let producer = self.kafka.producer().build_transactional(&*id).await?;
        let (mut done, mut transactions) = (0, 0);
        while done < self.count {
            let records = consumer.poll(POLL).await?;
            if records.is_empty() {
                continue;
            }
            let mut first = BTreeMap::new();
            let mut next = BTreeMap::new();
            producer.begin()?;
            let mut handles = Vec::new();
            for read in &records {
                let value = read.value.clone().unwrap_or_default();
                handles.push(producer.enqueue(Record::new(&*target, value)).await?);
                first.entry(read.partition).or_insert(read.offset);
                next.insert(read.partition, read.offset + 1);
            }
            for handle in handles {
                drop(handle.await?);
            }
            let offsets: Vec<_> = next
                .into_iter()
                .map(|(part, offset)| TopicPartitionOffset::new(source, part, offset))
                .collect();
            let metadata = consumer.group_metadata().await.ok_or("not a member of the group")?;
            producer.send_offsets(&offsets, &metadata).await?;
            transactions += 1;
            if transactions == 2 {
                producer.abort().await?;
                for (partition, offset) in first {
                    consumer.seek(source, partition, offset).await?;
                }
            } else {
                producer.commit().await?;
                done += records.len();
            }
        }
        producer.close().await?;
        consumer.close().await?;
        let values = self.read(&target, self.count).await?;
        let distinct: BTreeSet<_> = values.iter().collect();
        check(values.len() == self.count && distinct.len() == self.count, "the copy is not exact")
    }

    async fn administer(&self) -> Outcome<()> {
        let admin = self.kafka.admin();
        check(!admin.describe_cluster(Default::default()).await?.brokers.is_empty(), "no brokers")?;
        let topics = admin.list_topics(Default::default()).await?;
        let ours: Vec<_> = topics.into_iter().filter(|name| name.ends_with(&self.run)).collect();
        for (_, description) in admin.describe_topics(&ours, Default::default()).await? {
            check(description?.partitions.len() == PARTITIONS as usize, "partitions")?;
        }
        let group = format!("krafka-group-{}", self.run);
        for (_, result) in admin.describe_consumer_groups([&*group], Default::default()).await? {
            drop(result?);
        }
        for (_, result) in admin.delete_consumer_groups([&*group], Default::default()).await? {
            result?;
        }
        for (_, result) in admin.delete_topics(&ours, Default::default()).await? {
            result?;
        }
        Ok(())
    }

    async fn everything(&self) -> Outcome<()> {
        let topic = self.create("plain").await?;
        self.produce(&topic).await?;
        self.checked("produce", "all codecs, idempotent, keys, headers and timestamps");
        self.group(&topic).await?;
        self.checked("consume", "every record once");
        self.checked("groups", "two members, committed offsets, a later member");
        self.offsets(&topic).await?;
        self.checked("offsets", "beginning, end, by timestamp");
        self.transactions().await?;
        self.exactly_once(&topic).await?;
        self.checked("transactions", "commits, aborts, offsets within transactions");
        self.administer().await?;
        self.checked("admin", "topics, groups, cluster");
        Ok(())
    }
}

async fn connect(bootstrap: &str) -> Outcome<Kafka> {
    Ok(Kafka::builder(bootstrap).client_id("round-trip").connect().await?)
}

fn record(topic: &str, number: usize) -> Record {
    let partition = i32::try_from(number).unwrap_or(0) % PARTITIONS;
    Record::new(topic, format!("value-{number}"))
        .partition(partition)
        .key(format!("key-{}", number % 97))
        .header("number", number.to_string())
        .timestamp(FIRST_TIMESTAMP_MS + i64::try_from(number).unwrap_or(0))
}

fn verify(read: &ConsumerRecord) -> Outcome<usize> {
    let number = read
        .value_str()
        .and_then(|value| value.strip_prefix("value-"))
        .ok_or("another value")?
        .parse()?;
    let wrote = record(&read.topic, number);
    check(Some(read.partition) == wrote.partition, format!("the partition of {number}"))?;
    check(read.key == wrote.key, format!("the key of {number}"))?;
    check(Some(read.timestamp) == wrote.timestamp, format!("the timestamp of {number}"))?;
    check(
        read.header_str("number") == Some(&*number.to_string()),
        format!("the header of {number}"),
    )?;
    Ok(number)
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, bootstrap, records] = arguments.as_slice() else {
        return Err("usage: krafka-round-trip BOOTSTRAP RECORDS".into());
    };
    println!("{{\"client\": \"krafka\", \"language\": \"Rust\", \"version\": \"0.28.1\"}}");
    let kafka = connect(bootstrap).await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let run = format!("{}-{}", std::process::id(), now.as_millis());
    let trip = Trip { bootstrap: bootstrap.clone(), kafka, count: records.parse()?, run };
    tokio::time::timeout(PATIENCE, trip.everything())
        .await
        .map_err(|_| "it did not come to its end in time")?
}
