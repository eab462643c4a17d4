//! Metadata: key 3, versions 0-13.
//!
//! Behaviour: brokers, and topics by name, by id, or all. A topic that is not there is made when
//! both the client and the broker want that; the request is then answered when the topic is
//! durable, with its partitions, so the client need not ask again. A partition whose log directory
//! has failed has no leader and the error KAFKA_STORAGE_ERROR.
//!
//! Version notes:
//! - v0: an empty list means all topics. v1: null does, and an empty list means none.
//! - v4: the client may forbid making topics. v7: leader epoch. v8: authorized operations.
//! - v9: flexible. v10: topic ids (KIP-516). v12: topics by id.
//! - v11: no cluster operations any more. v13: an error code of the whole answer.

use super::{Api, Place};
use crate::ask::{PartitionKey, Ticket};
use crate::dispatch::{Request, RequestError};
use crate::event::ShardIndex;
use crate::node::ShardNode;
use crate::seat::ControllerThen;
use crate::{authorized, cluster};
use mainstem_metadata::{Command, TopicImage, validate_topic_name};
use mainstem_platform::Now;
use mainstem_protocol::messages::create_topics::{CreatableTopic, CreatableTopicResult};
use mainstem_protocol::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use mainstem_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use mainstem_protocol::{ApiKey, ErrorCode, TopicId};

pub(crate) const API: Api = Api::new(ApiKey::Metadata, 0, 13, Place::AnyShard, handle);

/// Versions that show cluster operations.
const VERSIONS_CLUSTER_OPERATIONS: std::ops::RangeInclusive<i16> = 8..=10;

/// Who leads a partition that nobody leads.
const NO_LEADER: i32 = -1;

/// From here on a topic that was asked for by id may have no name in the answer.
const VERSION_NULLABLE_NAME: i16 = 12;

/// The request while the topics that it made become durable.
#[derive(Debug)]
pub(crate) struct MetadataWait {
    ticket: Ticket,
    version: i16,
    body: MetadataRequest,
}

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let mut body: MetadataRequest = request.decode()?;
    if request.version == 0 && body.topics.as_ref().is_some_and(Vec::is_empty) {
        body.topics = None;
    }
    let wait = MetadataWait { ticket: request.ticket, version: request.version, body };
    let missing = wait.topics_to_make(node);
    if missing.is_empty() {
        wait.respond(node, &[]);
    } else if node.shard == ShardIndex::FIRST {
        let command = CreateTopicsRequest { topics: missing, ..Default::default() };
        let command = Command::CreateTopics(command);
        node.decide(now, &command, ControllerThen::Metadata(wait));
    } else {
        node.forward(request);
    }
    Ok(())
}

impl MetadataWait {
    fn topics_to_make(&self, node: &ShardNode) -> Vec<CreatableTopic> {
        let mut missing: Vec<CreatableTopic> = Vec::new();
        if !node.config.auto_create_topics || !self.body.allow_auto_topic_creation {
            return missing;
        }
        let view = node.view();
        let names = self.body.topics.iter().flatten().filter_map(|topic| topic.name.as_ref());
        for name in names {
            let there = view.image.topic(name).is_some();
            let twice = missing.iter().any(|topic| topic.name == *name);
            if there || twice || validate_topic_name(name).is_err() {
                continue;
            }
            if cluster::is_internal(name) {
                if name != cluster::METADATA_TOPIC {
                    missing.extend(node.internal_topic(name).topics);
                }
                continue;
            }
            missing.push(CreatableTopic {
                name: name.clone(),
                num_partitions: -1,
                replication_factor: -1,
                ..Default::default()
            });
        }
        missing
    }

    /// The topics were made, or could not be.
    pub(crate) fn answer(self, node: &mut ShardNode, response: &CreateTopicsResponse) {
        self.respond(node, &response.topics);
    }

    fn respond(self, node: &mut ShardNode, made: &[CreatableTopicResult]) {
        let view = node.view();
        let leader = node.config.node_id.0;
        let mut topics: Vec<MetadataResponseTopic> = match &self.body.topics {
            None => view.image.topics().map(|topic| describe(node, topic)).collect(),
            Some(topics) => topics.iter().map(|topic| find(node, topic, made)).collect(),
        };
        if self.body.include_topic_authorized_operations {
            for topic in topics.iter_mut().filter(|topic| topic.error_code == ErrorCode::NONE) {
                topic.topic_authorized_operations = authorized::TOPIC;
            }
        }
        for topic in &mut topics {
            node.metrics.error(topic.error_code);
            // Older versions cannot say that a topic has no name.
            if self.version < VERSION_NULLABLE_NAME && topic.name.is_none() {
                topic.name = Some(String::new());
            }
        }
        let mut response = MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: leader,
                host: node.config.advertised_host.clone(),
                port: i32::from(node.config.advertised_port),
                rack: node.config.rack.clone(),
            }],
            cluster_id: Some(view.cluster_id.to_string()),
            controller_id: leader,
            topics,
            ..Default::default()
        };
        if self.body.include_cluster_authorized_operations
            && VERSIONS_CLUSTER_OPERATIONS.contains(&self.version)
        {
            response.cluster_authorized_operations = authorized::CLUSTER;
        }
        node.respond(self.ticket, &response);
    }
}

fn find(
    node: &ShardNode,
    asked: &MetadataRequestTopic,
    made: &[CreatableTopicResult],
) -> MetadataResponseTopic {
    let view = node.view();
    let by_id = asked.name.is_none();
    let found = match &asked.name {
        Some(name) => view.image.topic(name),
        None => view.image.topic_by_id(asked.topic_id),
    };
    if let Some(topic) = found {
        return describe(node, topic);
    }
    let name = asked.name.as_deref();
    let refused = made.iter().find(|topic| Some(topic.name.as_str()) == name);
    let error_code = match (by_id, name) {
        (true, _) => ErrorCode::UNKNOWN_TOPIC_ID,
        (false, Some(name)) if validate_topic_name(name).is_err() => {
            ErrorCode::INVALID_TOPIC_EXCEPTION
        }
        _ => refused
            .map(|topic| topic.error_code)
            .filter(|error| *error != ErrorCode::NONE)
            .unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    };
    MetadataResponseTopic {
        error_code,
        name: asked.name.clone(),
        topic_id: if by_id { asked.topic_id } else { TopicId::NONE },
        ..Default::default()
    }
}

fn describe(node: &ShardNode, topic: &TopicImage) -> MetadataResponseTopic {
    let numbers = |brokers: &[mainstem_protocol::BrokerId]| -> Vec<i32> {
        brokers.iter().map(|broker| broker.0).collect()
    };
    let partition = |partition: &mainstem_metadata::PartitionImage| {
        let mut row = MetadataResponsePartition {
            partition_index: partition.index.0,
            leader_id: partition.leader.0,
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: numbers(&partition.replicas),
            isr_nodes: numbers(&partition.isr),
            ..Default::default()
        };
        if node.is_offline(&PartitionKey { topic: topic.id, partition: partition.index }) {
            // Nobody leads it, and a client waits and asks again.
            row.error_code = ErrorCode::KAFKA_STORAGE_ERROR;
            row.leader_id = NO_LEADER;
            row.offline_replicas = numbers(&partition.replicas);
        }
        row
    };
    MetadataResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: mainstem_metadata::is_internal(&topic.name),
        partitions: topic.partitions.iter().map(partition).collect(),
        ..Default::default()
    }
}
