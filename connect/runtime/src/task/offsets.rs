//! Reading a compacted topic from end to end: the last value of every key.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use mainstem_client::{
    AutoOffsetReset, ClientError, Consumer, ConsumerConfig, Isolation, TopicPartition,
};

use super::TaskContext;
use crate::error::TaskError;
use crate::worker::records::{OffsetKey, parse_state_value};

/// How long one poll waits for more.
const POLL_WAIT: Duration = Duration::from_millis(200);

/// Calls `visit` with every record of a topic, in the order of each partition, up to the end as of
/// now.
pub(crate) async fn read_topic(
    bootstrap: &str,
    topic: &str,
    mut visit: impl FnMut(&[u8], Option<&Bytes>),
) -> Result<(), ClientError> {
    let mut config = ConsumerConfig::new(bootstrap);
    config.client_id = "mainstem-connect".to_string();
    config.isolation = Isolation::ReadCommitted;
    config.auto_offset_reset = AutoOffsetReset::Earliest;
    config.auto_commit = None;
    let consumer = Consumer::connect(config).await?;
    let partitions: Vec<TopicPartition> = (0..consumer.partitions_for(topic).await?)
        .map(|partition| TopicPartition::new(topic, partition))
        .collect();
    consumer.assign(&partitions)?;
    let begins = consumer.beginning_offsets(&partitions).await?;
    let ends = consumer.end_offsets(&partitions).await?;
    for (partition, begin) in &begins {
        consumer.seek(partition, *begin)?;
    }
    let mut left: HashMap<TopicPartition, i64> = ends.into_iter().collect();
    left.retain(|partition, end| begins.get(partition).is_none_or(|begin| begin < end));
    while !left.is_empty() {
        let polled = consumer.poll(POLL_WAIT).await?;
        for record in polled.records() {
            if let Some(key) = &record.key {
                visit(key, record.value.as_ref());
            }
        }
        left.retain(|partition, end| consumer.position(partition).is_none_or(|at| at < *end));
    }
    consumer.close().await
}

/// What the offsets topic holds for one task.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Source partition and offset, both JSON, of the whole connector.
    pub positions: BTreeMap<String, String>,
    /// The task's private state.
    pub state: BTreeMap<String, Vec<u8>>,
}

/// Reads the committed positions of a connector and the private state of one task.
pub(super) async fn read_stored(context: &TaskContext) -> Result<Stored, TaskError> {
    let mut stored = Stored::default();
    let config = &context.services.config;
    let read = read_topic(&config.bootstrap, &config.offset_topic, |key, value| {
        match OffsetKey::parse(key) {
            Some(OffsetKey::Partition { connector, partition })
                if connector == context.connector =>
            {
                match value.and_then(|value| String::from_utf8(value.to_vec()).ok()) {
                    Some(offset) => stored.positions.insert(partition, offset),
                    None => stored.positions.remove(&partition),
                };
            }
            Some(OffsetKey::State { connector, task, key })
                if connector == context.connector && task == context.index =>
            {
                match value.and_then(|value| parse_state_value(value)) {
                    Some(bytes) => stored.state.insert(key, bytes),
                    None => stored.state.remove(&key),
                };
            }
            _ => {}
        }
    });
    read.await.map_err(|error| TaskError::from_client("read the offsets topic", &error))?;
    Ok(stored)
}
