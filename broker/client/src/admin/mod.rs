//! The admin client's handle.

use std::collections::BTreeMap;

use crate::config::AdminConfig;
use crate::error::{ClientError, Result};
use crate::records::{OffsetAndMetadata, TopicPartition};

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// -1: the broker's default.
    pub partitions: i32,
    /// -1: the broker's default.
    pub replication_factor: i16,
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, replication_factor: -1, configs: Vec::new() }
    }

    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((name.into(), value.into()));
        self
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    pub name: String,
    pub internal: bool,
    pub partitions: Vec<PartitionDescription>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    pub partition: i32,
    /// -1 when there is none.
    pub leader: i32,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    pub cluster_id: String,
    pub controller_id: i32,
    pub brokers: Vec<Broker>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    pub group_id: String,
    pub protocol_type: String,
    pub state: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    pub group_id: String,
    pub state: String,
    pub protocol_type: String,
    /// The assignor's name.
    pub protocol: String,
    pub members: Vec<GroupMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    pub member_id: String,
    pub client_id: String,
    pub client_host: String,
    pub assignment: Vec<TopicPartition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` for a secret.
    pub value: Option<String>,
    pub is_default: bool,
    pub read_only: bool,
    pub sensitive: bool,
    pub documentation: Option<String>,
}

/// Which offset is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    Earliest,
    Latest,
    /// The first at or after this time, in milliseconds.
    Timestamp(i64),
}

/// Creates, deletes and describes. Calls that name several things answer for each of them.
pub struct Admin {}

impl Admin {
    pub async fn connect(_config: AdminConfig) -> Result<Self> {
        todo!()
    }

    /// One answer per topic, in the order given.
    pub async fn create_topics(
        &self,
        _topics: &[NewTopic],
    ) -> Result<Vec<(String, Result<(), ClientError>)>> {
        todo!()
    }

    pub async fn delete_topics(
        &self,
        _names: &[&str],
    ) -> Result<Vec<(String, Result<(), ClientError>)>> {
        todo!()
    }

    /// Names of all topics, internal ones too, sorted.
    pub async fn list_topics(&self) -> Result<Vec<String>> {
        todo!()
    }

    pub async fn describe_topics(
        &self,
        _names: &[&str],
    ) -> Result<Vec<(String, Result<TopicDescription, ClientError>)>> {
        todo!()
    }

    pub async fn describe_cluster(&self) -> Result<ClusterDescription> {
        todo!()
    }

    pub async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        todo!()
    }

    pub async fn describe_groups(
        &self,
        _groups: &[&str],
    ) -> Result<Vec<(String, Result<GroupDescription, ClientError>)>> {
        todo!()
    }

    pub async fn delete_groups(
        &self,
        _groups: &[&str],
    ) -> Result<Vec<(String, Result<(), ClientError>)>> {
        todo!()
    }

    /// The settings of one topic.
    pub async fn describe_configs(&self, _topic: &str) -> Result<Vec<ConfigEntry>> {
        todo!()
    }

    pub async fn list_offsets(
        &self,
        _offsets: &[(TopicPartition, OffsetSpec)],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        todo!()
    }

    /// All committed offsets of a group.
    pub async fn group_offsets(
        &self,
        _group: &str,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        todo!()
    }
}
