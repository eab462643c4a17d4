//! Log directories: what lies where on a broker's disks, and moving it (KIP-113).

use std::collections::BTreeMap;

use mainstem_protocol::BrokerId;
use mainstem_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use mainstem_protocol::messages::describe_log_dirs::DescribeLogDirsResult;
use mainstem_protocol::messages::{AlterReplicaLogDirsRequest, DescribeLogDirsRequest};

use super::machine::Target;
use super::routing::{Answers, in_order};
use super::{Admin, refused};
use crate::error::{ClientError, Result};
use crate::records::{TopicPartition, by_topic};

/// One log directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    pub path: String,
    /// Why it cannot be used, if it cannot: `KAFKA_STORAGE_ERROR`.
    pub error: Option<ClientError>,
    /// Size of the volume; unknown of brokers before Kafka 3.3.
    pub total_bytes: Option<u64>,
    /// What is free of it for the broker.
    pub usable_bytes: Option<u64>,
    pub replicas: Vec<LogDirReplica>,
}

/// A partition in a log directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDirReplica {
    pub topic_partition: TopicPartition,
    pub size_bytes: u64,
    /// How many offsets it is behind: the high watermark, or for a copy that is being moved the
    /// replica that it will replace.
    pub offset_lag: i64,
    /// Being moved here; the one in use lies elsewhere still.
    pub is_future: bool,
}

impl Admin {
    /// The log directories of brokers. One answer per broker, in the order given.
    pub async fn describe_log_dirs(
        &self,
        brokers: &[i32],
    ) -> Result<Vec<(i32, Result<Vec<LogDir>, ClientError>)>> {
        let mut answers = Vec::new();
        for broker in brokers {
            answers.push((*broker, self.log_dirs_of(BrokerId(*broker)).await));
        }
        Ok(answers)
    }

    async fn log_dirs_of(&self, broker: BrokerId) -> Result<Vec<LogDir>> {
        let build = |_| DescribeLogDirsRequest { topics: None };
        let response = self.ask(&Target::Broker(broker), i16::MAX, build).await?;
        refused("describe log dirs", response.error_code, None)?;
        Ok(response.results.into_iter().map(log_dir).collect())
    }

    /// Has a broker bring its replicas of these partitions to another of its log directories. It
    /// answers when it has begun; [`Admin::describe_log_dirs`] shows how far it has come. One answer
    /// per partition, in the order given. Safe to repeat.
    pub async fn move_replicas(
        &self,
        broker: i32,
        partitions: &[TopicPartition],
        to: &str,
    ) -> Result<Answers<()>> {
        let build = |_| AlterReplicaLogDirsRequest {
            dirs: vec![AlterReplicaLogDir {
                path: to.to_owned(),
                topics: by_topic(partitions, |name, of_topic| AlterReplicaLogDirTopic {
                    name,
                    partitions: of_topic.iter().map(|it| it.partition).collect(),
                }),
            }],
        };
        let response = self.ask(&Target::Broker(BrokerId(broker)), i16::MAX, build).await?;
        let mut answers = BTreeMap::new();
        for topic in response.results {
            for row in topic.partitions {
                let partition = TopicPartition::new(topic.topic_name.as_str(), row.partition_index);
                let answer = refused(&partition.to_string(), row.error_code, None);
                answers.insert(partition, answer);
            }
        }
        Ok(in_order(partitions.to_vec(), answers))
    }
}

fn log_dir(dir: DescribeLogDirsResult) -> LogDir {
    let mut replicas = Vec::new();
    for topic in dir.topics {
        replicas.extend(topic.partitions.into_iter().map(|row| LogDirReplica {
            topic_partition: TopicPartition::new(topic.name.as_str(), row.partition_index),
            size_bytes: u64::try_from(row.partition_size).unwrap_or(0),
            offset_lag: row.offset_lag,
            is_future: row.is_future_key,
        }));
    }
    LogDir {
        error: refused(&dir.log_dir, dir.error_code, None).err(),
        path: dir.log_dir,
        total_bytes: u64::try_from(dir.total_bytes).ok(),
        usable_bytes: u64::try_from(dir.usable_bytes).ok(),
        replicas,
    }
}
