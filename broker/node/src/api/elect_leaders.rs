//! ElectLeaders: key 43, versions 0-2.
//!
//! Behaviour: one broker holds every partition and leads it, so there is never anything to elect:
//! a partition that is named is ELECTION_NOT_NEEDED, and one that does not exist is
//! UNKNOWN_TOPIC_OR_PARTITION. Who asks for all partitions (null) is shown those that need an
//! election, as in Kafka: topics without rows.
//!
//! Version notes:
//! - v1: types of elections, an error of the whole answer (KIP-460). v2: flexible.

use super::{Api, Place};
use crate::cluster::ClusterView;
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
    TopicPartitions,
};
use mainstem_protocol::{ApiKey, ErrorCode, PartitionIndex};

pub(crate) const API: Api = Api::new(ApiKey::ElectLeaders, 0, 2, Place::AnyShard, handle);

/// Elections of the preferred replica, and of any live one.
const ELECTION_TYPES: std::ops::RangeInclusive<i8> = 0..=1;

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: ElectLeadersRequest = request.decode()?;
    let view = node.view();
    let mut response = ElectLeadersResponse::default();
    let is_legal = ELECTION_TYPES.contains(&body.election_type);
    // Version 0 has no place for an error of the whole answer.
    if !is_legal && 1 <= request.version {
        response.error_code = ErrorCode::INVALID_REQUEST;
    }
    let judge = |topic: &str, partition: i32| match (is_legal, exists(&view, topic, partition)) {
        (false, _) => ErrorCode::INVALID_REQUEST,
        (true, true) => ErrorCode::ELECTION_NOT_NEEDED,
        (true, false) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    };
    response.replica_election_results = match body.topic_partitions {
        Some(topics) => topics.into_iter().map(|topic| results(topic, judge)).collect(),
        None => view.image.topics().map(|topic| nothing_to_elect(&topic.name)).collect(),
    };
    let rows = response.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
    for row in rows {
        node.metrics.error(row.error_code);
    }
    node.respond(request.ticket, &response);
    Ok(())
}

fn exists(view: &ClusterView, topic: &str, partition: i32) -> bool {
    let topic = view.image.topic(topic);
    topic.is_some_and(|topic| topic.partition(PartitionIndex(partition)).is_some())
}

fn results(
    topic: TopicPartitions,
    judge: impl Fn(&str, i32) -> ErrorCode,
) -> ReplicaElectionResult {
    let row = |partition: &i32| {
        let error_code = judge(&topic.topic, *partition);
        let error_message = Some(error_code.message().to_owned());
        PartitionResult { partition_id: *partition, error_code, error_message }
    };
    let partition_result = topic.partitions.iter().map(row).collect();
    ReplicaElectionResult { topic: topic.topic, partition_result }
}

fn nothing_to_elect(topic: &str) -> ReplicaElectionResult {
    ReplicaElectionResult { topic: topic.to_owned(), ..Default::default() }
}
