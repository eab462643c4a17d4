//! What every test here needs: a broker, the proxy before it, a topic, and readers of it.

use std::time::{Duration, Instant};

use mainstem_client::{
    Admin, AdminConfig, AutoOffsetReset, Consumer, ConsumerConfig, Isolation, NewTopic, Producer,
    ProducerConfig, ProducerRecord, TopicPartition,
};
use mainstem_protocol::Request;
use mainstem_server::{Embedded, EmbeddedOptions, FlushPolicy};
use tempfile::TempDir;

use super::proxy::{Kept, Proxy, Version};

/// Far more than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const TOPIC: &str = "t";

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Abort,
}

pub(crate) struct Room {
    broker: Option<Embedded>,
    address: String,
    pub(crate) proxy: Proxy,
    data: TempDir,
}

impl Room {
    pub(crate) async fn new(version: Version) -> Self {
        let data = TempDir::new().expect("a directory");
        let broker = start(&data);
        let address = broker.bootstrap();
        let proxy = Proxy::start(&address, version).await;
        let admin = Admin::connect(AdminConfig::new(&address)).await.expect("connect an admin");
        let made = admin.create_topics(&[NewTopic::new(TOPIC, 1)]).await.expect("create topics");
        made.into_iter().for_each(|(name, result)| result.expect(&name));
        Self { broker: Some(broker), address, proxy, data }
    }

    /// A transactional producer that speaks through the proxy.
    pub(crate) async fn producer(&self) -> Producer {
        self.producer_with(|config| config).await
    }

    pub(crate) async fn producer_with(
        &self,
        change: impl FnOnce(ProducerConfig) -> ProducerConfig,
    ) -> Producer {
        let config = ProducerConfig::new(&self.proxy.address).transactional_id("tx");
        let producer = Producer::connect(change(config)).await.expect("connect a producer");
        producer.init_transactions().await.expect("init");
        producer
    }

    /// The broker is killed, and starts again upon what it left behind.
    pub(crate) fn restart(&mut self) {
        self.broker.take().expect("a broker runs").kill();
        let broker = start(&self.data);
        self.address = broker.bootstrap();
        self.proxy.follow(&self.address);
        self.broker = Some(broker);
    }

    /// Carries a request that was kept past the proxy.
    pub(crate) async fn deliver<R: Request>(&self, kept: &Kept) -> R::Response {
        kept.deliver::<R>(&self.address).await
    }

    /// A consumer of a group that reads committed records only: also its committed offsets are
    /// those of ended transactions, for which it waits.
    pub(crate) async fn member(&self) -> Consumer {
        let config = self.consumer_config().group_id("g").isolation(Isolation::ReadCommitted);
        Consumer::connect(config).await.expect("connect a consumer")
    }

    fn consumer_config(&self) -> ConsumerConfig {
        ConsumerConfig::new(&self.address).auto_offset_reset(AutoOffsetReset::Earliest)
    }

    async fn values(&self, isolation: Isolation) -> Vec<String> {
        let consumer = Consumer::connect(self.consumer_config().isolation(isolation)).await;
        let consumer = consumer.expect("connect a consumer");
        let partition = TopicPartition::new(TOPIC, 0);
        let partitions = std::slice::from_ref(&partition);
        consumer.assign(partitions).expect("assign");
        let end = consumer.end_offsets(partitions).await.expect("end offsets")[&partition];
        let mut values = Vec::new();
        let begun = Instant::now();
        while consumer.position(&partition).is_none_or(|position| position < end) {
            assert!(begun.elapsed() < PATIENCE, "the topic was not read to its end in time");
            let polled = consumer.poll(Duration::from_millis(100)).await.expect("poll");
            values.extend(polled.records().map(|record| {
                let value = record.value.as_deref().unwrap_or_default();
                String::from_utf8(value.to_vec()).expect("text")
            }));
        }
        values
    }

    /// What a read-committed consumer sees now.
    pub(crate) async fn committed(&self) -> Vec<String> {
        self.values(Isolation::ReadCommitted).await
    }

    /// All records, whatever became of their transactions.
    pub(crate) async fn everything(&self) -> Vec<String> {
        self.values(Isolation::ReadUncommitted).await
    }

    async fn end_offset(&self, isolation: Isolation) -> i64 {
        let consumer = Consumer::connect(self.consumer_config().isolation(isolation)).await;
        let consumer = consumer.expect("connect a consumer");
        let partition = TopicPartition::new(TOPIC, 0);
        let ends = consumer.end_offsets(std::slice::from_ref(&partition)).await;
        ends.expect("end offsets")[&partition]
    }

    /// Waits until no transaction is open: the last stable offset is the high watermark.
    pub(crate) async fn settle(&self) {
        let begun = Instant::now();
        loop {
            let stable = self.end_offset(Isolation::ReadCommitted).await;
            if stable == self.end_offset(Isolation::ReadUncommitted).await {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "a transaction stays open at {stable}");
            tokio::task::yield_now().await;
        }
    }
}

/// Synced before anything is answered, as a broker that may be killed has to.
fn start(data: &TempDir) -> Embedded {
    Embedded::start_with(EmbeddedOptions {
        data_dir: Some(data.path().to_owned()),
        flush: FlushPolicy::Commit,
        registry: false,
        ..EmbeddedOptions::default()
    })
    .expect("start a broker")
}

/// Writes one record into the open transaction, and waits for its answer.
pub(crate) async fn write(producer: &Producer, value: &str) {
    let record = ProducerRecord::new(TOPIC, value.to_owned()).partition(0);
    let delivery = producer.send(record).await.expect("send");
    delivery.await.expect("the record is written");
}

pub(crate) async fn end(producer: &Producer, end: End) {
    let result = match end {
        End::Commit => producer.commit_transaction().await,
        End::Abort => producer.abort_transaction().await,
    };
    result.unwrap_or_else(|error| panic!("{end:?}: {error}"));
}
