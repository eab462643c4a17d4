//! Topics and the cluster.

use std::collections::BTreeMap;

use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use mainstem_protocol::messages::delete_topics::DeleteTopicState;
use mainstem_protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use mainstem_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest, MetadataRequest,
    MetadataResponse,
};

use super::machine::Target;
use super::{
    Admin, Broker, ClusterDescription, NewTopic, OffsetSpec, PartitionDescription,
    TopicDescription, refused,
};
use crate::core::list_offsets::{EARLIEST, LATEST};
use crate::error::{Cause, ClientError, Result};
use crate::records::TopicPartition;

impl Admin {
    /// One answer per topic, in the order given.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
    ) -> Result<Vec<(String, Result<(), ClientError>)>> {
        let new = |topic: &NewTopic| CreatableTopic {
            name: topic.name.clone(),
            num_partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            configs: topic.configs.iter().map(creatable).collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest {
            topics: topics.iter().map(new).collect(),
            timeout_ms: self.timeout_ms(),
            ..CreateTopicsRequest::default()
        };
        let response = self.call(Target::Any, i16::MAX, move |_| request).await?;
        let answers = response.topics.into_iter().map(|topic| {
            let result = refused("create topic", topic.error_code, topic.error_message);
            (topic.name, result)
        });
        Ok(in_order(topics.iter().map(|topic| topic.name.as_str()), answers))
    }

    /// One answer per topic, in the order given.
    pub async fn delete_topics(
        &self,
        names: &[&str],
    ) -> Result<Vec<(String, Result<(), ClientError>)>> {
        let owned: Vec<String> = names.iter().map(ToString::to_string).collect();
        let timeout_ms = self.timeout_ms();
        let state = |name| DeleteTopicState { name: Some(name), ..DeleteTopicState::default() };
        let build = move |version| match version {
            ..6 => DeleteTopicsRequest {
                topic_names: owned,
                timeout_ms,
                ..DeleteTopicsRequest::default()
            },
            _ => DeleteTopicsRequest {
                topics: owned.into_iter().map(state).collect(),
                timeout_ms,
                ..DeleteTopicsRequest::default()
            },
        };
        let response = self.call(Target::Any, i16::MAX, build).await?;
        let answers = response.responses.into_iter().map(|topic| {
            let result = refused("delete topic", topic.error_code, topic.error_message);
            (topic.name.unwrap_or_default(), result)
        });
        Ok(in_order(names.iter().copied(), answers))
    }

    /// Names of all topics, internal ones too, sorted.
    pub async fn list_topics(&self) -> Result<Vec<String>> {
        let response = self.metadata_of(None).await?;
        let mut names: Vec<String> = response.topics.into_iter().filter_map(|t| t.name).collect();
        names.sort();
        Ok(names)
    }

    /// One answer per topic, in the order given.
    pub async fn describe_topics(
        &self,
        names: &[&str],
    ) -> Result<Vec<(String, Result<TopicDescription, ClientError>)>> {
        let response = self.metadata_of(Some(names)).await?;
        let answers = response.topics.into_iter().map(|topic| {
            let name = topic.name.clone().unwrap_or_default();
            let result = refused("topic", topic.error_code, None).map(|()| description(topic));
            (name, result)
        });
        Ok(in_order(names.iter().copied(), answers))
    }

    async fn metadata_of(&self, names: Option<&[&str]>) -> Result<MetadataResponse> {
        let named = |name: &&str| MetadataRequestTopic {
            name: Some((*name).to_owned()),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: names.map(|names| names.iter().map(named).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        self.ask(&Target::Any, i16::MAX, |_| request.clone()).await
    }

    pub async fn describe_cluster(&self) -> Result<ClusterDescription> {
        let request = DescribeClusterRequest::default();
        let response = self.ask(&Target::Any, 1, |_| request.clone()).await?;
        refused("describe cluster", response.error_code, response.error_message)?;
        let broker =
            |broker: mainstem_protocol::messages::describe_cluster::DescribeClusterBroker| Broker {
                id: broker.broker_id,
                host: broker.host,
                port: broker.port,
                rack: broker.rack,
            };
        Ok(ClusterDescription {
            cluster_id: response.cluster_id,
            controller_id: response.controller_id,
            brokers: response.brokers.into_iter().map(broker).collect(),
        })
    }

    /// -1 for a time after the last record.
    pub async fn list_offsets(
        &self,
        offsets: &[(TopicPartition, OffsetSpec)],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let time = |spec: &OffsetSpec| match spec {
            OffsetSpec::Earliest => EARLIEST,
            OffsetSpec::Latest => LATEST,
            OffsetSpec::Timestamp(time) => (*time).max(0),
        };
        let times = offsets.iter().map(|(partition, spec)| (partition.clone(), time(spec)));
        self.look_up(times.collect()).await
    }
}

fn creatable((name, value): &(String, String)) -> CreatableTopicConfig {
    CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) }
}

fn description(topic: MetadataResponseTopic) -> TopicDescription {
    let mut partitions: Vec<PartitionDescription> = topic
        .partitions
        .into_iter()
        .map(|partition| PartitionDescription {
            partition: partition.partition_index,
            leader: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes,
            isr: partition.isr_nodes,
        })
        .collect();
    partitions.sort_by_key(|partition| partition.partition);
    TopicDescription {
        name: topic.name.unwrap_or_default(),
        internal: topic.is_internal,
        partitions,
    }
}

/// Answers in the order of the question; what was not answered may be asked again.
pub(super) fn in_order<'a, T>(
    names: impl Iterator<Item = &'a str>,
    answers: impl Iterator<Item = (String, Result<T, ClientError>)>,
) -> Vec<(String, Result<T, ClientError>)> {
    let mut by_name: BTreeMap<String, Result<T, ClientError>> = answers.collect();
    let answer = |name: &str| {
        let missing = || {
            let cause = Cause::of(name, ErrorCode::UNKNOWN_SERVER_ERROR);
            Err(ClientError::Retriable(cause))
        };
        (name.to_owned(), by_name.remove(name).unwrap_or_else(missing))
    };
    names.map(answer).collect()
}
