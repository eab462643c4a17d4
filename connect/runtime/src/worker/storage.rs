//! The three topics: created when missing, read at the start, written by the actor.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainstem_client::{
    Admin, AdminConfig, ClientError, NewTopic, Producer, ProducerConfig, ProducerRecord,
};
use mainstem_protocol::ErrorCode;

use super::machine::Machine;
use super::records::ConfigRecord;
use crate::config::ConnectConfig;
use crate::error::{ConnectError, Result};
use crate::task::read_topic;

/// Partitions of the status topic, as in Kafka Connect.
const STATUS_PARTITIONS: i32 = 5;
/// Tries to reach a broker that is still starting.
const CONNECT_TRIES: u32 = 20;
const CONNECT_PAUSE: Duration = Duration::from_millis(500);

fn failed(operation: &'static str) -> impl Fn(ClientError) -> ConnectError {
    move |source| ConnectError::Broker { operation, source }
}

/// Creates the topics that are missing; gives the id of the cluster.
pub(super) async fn create_topics(config: &ConnectConfig) -> Result<String> {
    let admin = connect(config).await?;
    let cluster = admin.describe_cluster().await.map_err(failed("describe the cluster"))?;
    let topics = [
        // One partition: the order of configurations is the order of their records.
        NewTopic::new(&config.config_topic, 1),
        NewTopic::new(&config.offset_topic, config.offset_partitions),
        NewTopic::new(&config.status_topic, STATUS_PARTITIONS),
    ];
    let topics = topics.map(|topic| topic.config("cleanup.policy", "compact"));
    let operation = "create the storage topics";
    for (_, created) in admin.create_topics(&topics).await.map_err(failed(operation))? {
        match created {
            Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS.0) => {}
            other => other.map_err(failed(operation))?,
        }
    }
    Ok(cluster.cluster_id)
}

async fn connect(config: &ConnectConfig) -> Result<Admin> {
    let mut tries = 0;
    loop {
        match Admin::connect(AdminConfig::new(&config.bootstrap)).await {
            Ok(admin) => return Ok(admin),
            Err(error) if CONNECT_TRIES <= tries => return Err(failed("reach the broker")(error)),
            Err(error) => tracing::debug!("reach the broker: {error}"),
        }
        tries += 1;
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
}

/// The machine as the config topic has it.
pub(super) async fn restore(config: &ConnectConfig) -> Result<Machine> {
    let mut machine = Machine::default();
    let read = read_topic(&config.bootstrap, &config.config_topic, |key, value| {
        let record = std::str::from_utf8(key).ok();
        let record = record.and_then(|key| ConfigRecord::parse(key, value.map(Bytes::as_ref)));
        if let Some(record) = record {
            machine.apply(record);
        }
    });
    read.await.map_err(failed("read the config topic"))?;
    Ok(machine)
}

/// Writes configurations and statuses.
pub(super) struct Storage {
    producer: Producer,
    config_topic: Arc<str>,
    status_topic: Arc<str>,
    offset_topic: Arc<str>,
}

impl Storage {
    pub(super) async fn open(config: &ConnectConfig) -> Result<Storage> {
        let mut settings = ProducerConfig::new(&config.bootstrap);
        settings.client_id = format!("connect-{}-worker", config.group_id);
        settings.linger = Duration::ZERO;
        let producer = Producer::connect(settings).await.map_err(failed("open the producer"))?;
        Ok(Storage {
            producer,
            config_topic: config.config_topic.as_str().into(),
            status_topic: config.status_topic.as_str().into(),
            offset_topic: config.offset_topic.as_str().into(),
        })
    }

    /// Returns when all records are stored.
    pub(super) async fn append(&self, records: &[ConfigRecord]) -> Result<(), ClientError> {
        let entries = records.iter().map(|record| (record.key(), record.value())).collect();
        self.write(&self.config_topic, entries).await
    }

    /// Changes positions of a connector that does not run.
    pub(super) async fn write_offsets(
        &self,
        offsets: Vec<(String, Option<String>)>,
    ) -> Result<(), ClientError> {
        self.write(&self.offset_topic, offsets).await
    }

    async fn write(
        &self,
        topic: &Arc<str>,
        entries: Vec<(String, Option<String>)>,
    ) -> Result<(), ClientError> {
        let mut deliveries = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            deliveries.push(self.producer.send(self.record(topic, key, value)).await?);
        }
        for delivery in deliveries {
            delivery.await?;
        }
        Ok(())
    }

    /// A status is for those who watch; it may be lost with the worker, so nobody waits for it.
    pub(super) async fn write_status(&self, key: String, value: Option<String>) {
        let sent = self.producer.send(self.record(&self.status_topic, key, value)).await;
        if let Err(error) = sent {
            tracing::warn!("write a status: {error}");
        }
    }

    pub(super) async fn close(self) {
        if let Err(error) = self.producer.close().await {
            tracing::debug!("close the worker's producer: {error}");
        }
    }

    fn record(&self, topic: &Arc<str>, key: String, value: Option<String>) -> ProducerRecord {
        ProducerRecord {
            topic: Arc::clone(topic),
            partition: None,
            key: Some(key.into()),
            value: value.map(Bytes::from),
            timestamp_ms: None,
            headers: Vec::new(),
        }
    }
}
