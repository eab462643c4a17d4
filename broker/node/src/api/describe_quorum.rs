//! DescribeQuorum: key 55, versions 0-2.
//!
//! Behaviour: the metadata log has one writer, this broker: it leads, it is the only voter, and
//! nobody observes. The offsets are those of the log. Only `__cluster_metadata-0` has a quorum;
//! who asks for anything else is UNKNOWN_TOPIC_OR_PARTITION.
//!
//! Version notes:
//! - v0: flexible (KIP-595). v1: times of fetches (KIP-836).
//! - v2: directory ids, which there are none of; endpoints (KIP-853). The broker's own endpoint
//!   serves what a controller would.

use super::{Api, Place};
use crate::cluster::METADATA_TOPIC;
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use crate::seat::METADATA_KEY;
use mainstem_platform::Now;
use mainstem_protocol::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState,
    RequestTopicData, TopicData,
};
use mainstem_protocol::{ApiKey, ErrorCode, TopicId};

pub(crate) const API: Api = Api::new(ApiKey::DescribeQuorum, 0, 2, Place::FirstShard, handle);

/// Name of the listener that clients reach the broker by.
const LISTENER: &str = "PLAINTEXT";

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body: DescribeQuorumRequest = request.decode()?;
    let topics = match names_the_metadata_log(&body.topics) {
        true => quorum(node, now).into_iter().collect(),
        false => body.topics.into_iter().map(refuse).collect(),
    };
    let mut response = DescribeQuorumResponse { topics, error_message: None, ..Default::default() };
    if 2 <= request.version {
        response.nodes = vec![Node {
            node_id: node.config.node_id.0,
            listeners: vec![Listener {
                name: LISTENER.to_owned(),
                host: node.config.advertised_host.clone(),
                port: node.config.advertised_port,
            }],
        }];
    }
    node.respond(request.ticket, &response);
    Ok(())
}

fn names_the_metadata_log(topics: &[RequestTopicData]) -> bool {
    let [topic] = topics else { return false };
    let [partition] = &topic.partitions[..] else { return false };
    topic.topic_name == METADATA_TOPIC && partition.partition_index == METADATA_KEY.partition.0
}

fn quorum(node: &ShardNode, now: Now) -> Option<TopicData> {
    let partition = node.partitions.get(&METADATA_KEY)?;
    let voter = ReplicaState {
        replica_id: node.config.node_id.0,
        replica_directory_id: TopicId::NONE,
        log_end_offset: partition.log.log_end_offset().0,
        // The leader has just fetched from itself.
        last_fetch_timestamp: now.wall_ms,
        last_caught_up_timestamp: now.wall_ms,
    };
    let data = PartitionData {
        partition_index: METADATA_KEY.partition.0,
        error_message: None,
        leader_id: node.config.node_id.0,
        leader_epoch: partition.leader_epoch.0,
        high_watermark: partition.log.high_watermark().0,
        current_voters: vec![voter],
        ..Default::default()
    };
    Some(TopicData { topic_name: METADATA_TOPIC.to_owned(), partitions: vec![data] })
}

fn refuse(topic: RequestTopicData) -> TopicData {
    let error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    let partitions = topic.partitions.iter().map(|partition| PartitionData {
        partition_index: partition.partition_index,
        error_code,
        error_message: Some(error_code.message().to_owned()),
        leader_id: -1,
        leader_epoch: -1,
        high_watermark: -1,
        ..Default::default()
    });
    TopicData { topic_name: topic.topic_name, partitions: partitions.collect() }
}
