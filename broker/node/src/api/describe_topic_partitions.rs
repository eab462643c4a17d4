//! DescribeTopicPartitions: key 75, versions 0.
//!
//! Behaviour: topics by name, in the order of their names, or all of them; at most so many
//! partitions as the client and the broker allow. What has no room is left to the next request:
//! the answer's cursor says where it has to go on. There are no eligible leader replicas: the
//! only replica of a partition is always in sync. A partition whose log directory has failed has no
//! leader and the error KAFKA_STORAGE_ERROR.
//!
//! Version notes:
//! - v0: the first, flexible from the start (KIP-966).

use super::{Api, Place};
use crate::ask::PartitionKey;
use crate::authorized;
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_metadata::{PartitionImage, TopicImage, is_internal, validate_topic_name};
use mainstem_platform::Now;
use mainstem_protocol::messages::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, RequestCursor,
    ResponseCursor,
};
use mainstem_protocol::{ApiKey, BrokerId, ErrorCode};
use std::collections::BTreeSet;

pub(crate) const API: Api =
    Api::new(ApiKey::DescribeTopicPartitions, 0, 0, Place::AnyShard, handle);

/// In the place of the leader's number.
const NO_LEADER: i32 = -1;

/// The answer while topics are added to it.
struct Page<'a> {
    response: DescribeTopicPartitionsResponse,
    cursor: Option<&'a RequestCursor>,
    /// Partitions that there is room for.
    room: usize,
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: DescribeTopicPartitionsRequest = request.decode()?;
    let limit = node.config.limits.described_partitions_max;
    let limit = body.response_partition_limit.clamp(1, limit);
    let asked: BTreeSet<&str> = body.topics.iter().map(|topic| topic.name.as_str()).collect();
    let cursor = body.cursor.as_ref();
    if let Some(cursor) = cursor
        && !is_legal(cursor, &asked)
    {
        let error = ErrorCode::INVALID_REQUEST;
        let topics = body.topics.iter().map(|topic| refused(&topic.name, error)).collect();
        node.metrics.error(error);
        let response = DescribeTopicPartitionsResponse { topics, ..Default::default() };
        node.respond(request.ticket, &response);
        return Ok(());
    }
    let room = usize::try_from(limit).unwrap_or(1);
    let mut page = Page { response: DescribeTopicPartitionsResponse::default(), cursor, room };
    let begin = cursor.map_or("", |cursor| cursor.topic_name.as_str());
    let view = node.view();
    let names: Vec<&str> = match asked.is_empty() {
        true => view.image.topics().map(|topic| &*topic.name).collect(),
        false => asked.into_iter().collect(),
    };
    for name in names.into_iter().filter(|name| begin <= *name) {
        if !page.add(node, name, view.image.topic(name).map(|topic| &**topic)) {
            break;
        }
    }
    for topic in &page.response.topics {
        node.metrics.error(topic.error_code);
    }
    node.respond(request.ticket, &page.response);
    Ok(())
}

/// Whether the cursor of an earlier answer fits the topics that are asked for now.
fn is_legal(cursor: &RequestCursor, asked: &BTreeSet<&str>) -> bool {
    let is_asked = asked.is_empty() || asked.contains(cursor.topic_name.as_str());
    is_asked && 0 <= cursor.partition_index
}

impl Page<'_> {
    /// Adds a topic, as far as there is room. False when the page is full and something is left.
    fn add(&mut self, node: &ShardNode, name: &str, topic: Option<&TopicImage>) -> bool {
        if self.room == 0 {
            self.end_at(name, 0);
            return false;
        }
        let Some(topic) = topic else {
            let error = match validate_topic_name(name) {
                Ok(()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                Err(_) => ErrorCode::INVALID_TOPIC_EXCEPTION,
            };
            self.response.topics.push(refused(name, error));
            return true;
        };
        let cursor = self.cursor.filter(|cursor| cursor.topic_name == name);
        let first = cursor.and_then(|cursor| usize::try_from(cursor.partition_index).ok());
        let first = first.unwrap_or(0).min(topic.partitions.len());
        let end = topic.partitions.len().min(first + self.room);
        self.room -= end - first;
        let describe = |partition| describe(node, topic, partition);
        self.response.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.to_owned()),
            topic_id: topic.id,
            is_internal: is_internal(name),
            partitions: topic.partitions[first..end].iter().map(describe).collect(),
            topic_authorized_operations: authorized::TOPIC,
            ..Default::default()
        });
        if end < topic.partitions.len() {
            self.end_at(name, topic.partitions[end].index.0);
            return false;
        }
        true
    }

    fn end_at(&mut self, topic: &str, partition_index: i32) {
        let topic_name = topic.to_owned();
        self.response.next_cursor = Some(ResponseCursor { topic_name, partition_index });
    }
}

fn refused(name: &str, error_code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code,
        name: Some(name.to_owned()),
        ..Default::default()
    }
}

fn describe(
    node: &ShardNode,
    topic: &TopicImage,
    partition: &PartitionImage,
) -> DescribeTopicPartitionsResponsePartition {
    let numbers = |brokers: &[BrokerId]| brokers.iter().map(|broker| broker.0).collect();
    let mut row = DescribeTopicPartitionsResponsePartition {
        partition_index: partition.index.0,
        leader_id: partition.leader.0,
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: numbers(&partition.replicas),
        isr_nodes: numbers(&partition.isr),
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..Default::default()
    };
    if node.is_offline(&PartitionKey { topic: topic.id, partition: partition.index }) {
        row.error_code = ErrorCode::KAFKA_STORAGE_ERROR;
        row.leader_id = NO_LEADER;
        row.offline_replicas = numbers(&partition.replicas);
    }
    row
}
