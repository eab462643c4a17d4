//! Streams against a broker: what is committed through crashes, restores and rebalances.
//!
//! The word counts give out every update, so exactly once can be seen record by record: for each
//! word the results are 1, 2, 3 and so on, without a gap and without a repetition.

pub(crate) mod windows;
pub(crate) mod words;

/// Every test of the suite, given to a macro that makes them run against some broker.
macro_rules! suite {
    ($against:ident) => {
        $against! {
            crashes => streams::words::crashes;
            wiped_state => streams::words::wiped_state;
            two_instances => streams::words::two_instances;
            exact_to_the_end => streams::windows::exact_to_the_end;
        }
    };
}
pub(crate) use suite;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mainstem_client::{
    Admin, AdminConfig, AutoOffsetReset, Consumer, ConsumerConfig, Header, Isolation, NewTopic,
    Producer, ProducerConfig, ProducerRecord, TopicPartition,
};
use mainstem_streams::{App, Config, END_OF_STREAM_HEADER, Topology};

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// One application and its topics on a broker, under names that no other test has.
pub(crate) struct World {
    pub(crate) bootstrap: String,
    name: String,
    state: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(bootstrap: &str, name: &str) -> World {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{number}", since.as_millis());
        let state = tempfile::tempdir().expect("make a folder for state");
        World { bootstrap: bootstrap.to_owned(), name, state }
    }

    pub(crate) fn topic(&self, topic: &str) -> String {
        format!("{}-{topic}", self.name)
    }

    pub(crate) async fn create(&self, topic: &str, partitions: i32) {
        let admin = Admin::connect(AdminConfig::new(&self.bootstrap)).await.expect("connect");
        // The records are of long ago; they must not be deleted for their age.
        let topic = NewTopic::new(self.topic(topic), partitions).config("retention.ms", "-1");
        for (name, answer) in admin.create_topics(&[topic]).await.expect("create topics") {
            answer.unwrap_or_else(|error| panic!("create {name}: {error}"));
        }
    }

    /// Starts an instance; each `home` has a state directory of its own.
    pub(crate) async fn start(&self, topology: Topology, home: &str) -> App {
        let config = Config::new(&self.name, &self.bootstrap)
            .state_dir(self.state.path().join(home))
            .commit_interval(Duration::from_millis(20))
            .session_timeout(Duration::from_secs(6));
        App::start(topology, config).await.expect("start the application")
    }

    /// Loses the state of a home.
    pub(crate) fn wipe(&self, home: &str) {
        std::fs::remove_dir_all(self.state.path().join(home)).expect("remove the state");
    }

    /// Writes records by their keys' hash.
    pub(crate) async fn produce(&self, topic: &str, records: &[(&str, &str, i64)]) {
        let producer = Producer::connect(ProducerConfig::new(&self.bootstrap)).await;
        let producer = producer.expect("connect");
        let mut deliveries = Vec::new();
        for (key, value, timestamp_ms) in records {
            let record =
                ProducerRecord::new(self.topic(topic), Bytes::copy_from_slice(value.as_bytes()))
                    .key(Bytes::copy_from_slice(key.as_bytes()))
                    .timestamp_ms(*timestamp_ms);
            deliveries.push(producer.send(record).await.expect("send"));
        }
        producer.flush().await.expect("flush");
        for delivery in deliveries {
            delivery.await.expect("be acknowledged");
        }
        producer.close().await.expect("close");
    }

    /// Ends every partition of a topic.
    pub(crate) async fn end(&self, topic: &str, partitions: i32) {
        let producer = Producer::connect(ProducerConfig::new(&self.bootstrap)).await;
        let producer = producer.expect("connect");
        for partition in 0..partitions {
            let mut record = ProducerRecord::new(self.topic(topic), Bytes::new());
            record.partition = Some(partition);
            record.timestamp_ms = Some(0);
            record.headers.push(Header { key: END_OF_STREAM_HEADER.to_owned(), value: None });
            let delivery = producer.send(record).await.expect("send");
            delivery.await.expect("be acknowledged");
        }
        producer.close().await.expect("close");
    }

    /// A reader of everything that is committed to a topic.
    pub(crate) async fn reader(&self, topic: &str, partitions: i32) -> Reader {
        let config = ConsumerConfig::new(&self.bootstrap)
            .isolation(Isolation::ReadCommitted)
            .auto_offset_reset(AutoOffsetReset::Earliest);
        let consumer = Consumer::connect(config).await.expect("connect");
        let places = (0..partitions).map(|p| TopicPartition::new(self.topic(topic), p));
        consumer.assign(&places.collect::<Vec<_>>()).expect("assign");
        Reader { consumer, read: BTreeMap::new(), count: 0 }
    }
}

/// What was read of a topic so far: the values of each key in order.
pub(crate) struct Reader {
    consumer: Consumer,
    pub(crate) read: BTreeMap<Vec<u8>, Vec<u64>>,
    pub(crate) count: usize,
}

impl Reader {
    /// Reads until there are so many records in all.
    pub(crate) async fn read_to(&mut self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.count < count {
            assert!(Instant::now() < deadline, "{} of {count} results came", self.count);
            self.read_some().await;
        }
    }

    async fn read_some(&mut self) {
        let polled = self.consumer.poll(Duration::from_millis(100)).await.expect("poll");
        for record in polled.records() {
            let value = record.value.as_deref().expect("a value");
            let value = u64::from_be_bytes(value.try_into().expect("eight bytes"));
            let key = record.key.as_deref().expect("a key").to_vec();
            self.read.entry(key).or_default().push(value);
            self.count += 1;
        }
    }

    /// Reads on for a while, in case that more comes than there should be.
    pub(crate) async fn read_all(&mut self) {
        for _ in 0..5 {
            self.read_some().await;
        }
    }
}
