//! ListOffsets: key 2, versions 1-11.
//!
//! Behaviour: the earliest and latest offsets (up to the last stable one for read-committed
//! clients), the first record at or after a time, and the record with the largest time. There is
//! no tiered storage: the earliest local offset is the earliest, and what is only remote is -1.
//!
//! Version notes:
//! - v2: isolation level. v4: leader epoch (KIP-320). v6: flexible. v7: largest time (KIP-734).
//! - v8: earliest local (KIP-405). v9: latest tiered (KIP-1005). v10: timeout (KIP-1075).
//! - v11: earliest pending upload (KIP-1023).

use super::{Api, Pending, Place};
use crate::ask::{Ask, Isolation, OffsetItem, OffsetOutcome, OffsetQuestion, PartitionKey, Ticket};
use crate::cluster::shard_of;
use crate::dispatch::{Request, RequestError};
use crate::event::ShardIndex;
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use mainstem_protocol::{ApiKey, ErrorCode, LeaderEpoch, PartitionIndex};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const API: Api = Api::new(ApiKey::ListOffsets, 1, 11, Place::AnyShard, handle);

/// Answers of one request.
pub(crate) struct Gather {
    topics: Vec<ListOffsetsTopicResponse>,
    slots: Vec<(usize, usize)>,
    missing: usize,
    /// Whether the version of the request has a place for the leader epoch.
    with_epochs: bool,
}

/// What a timestamp field asks for. `Err(NONE)` is a question whose answer is "nothing".
fn question(timestamp: i64, version: i16) -> Result<OffsetQuestion, ErrorCode> {
    match timestamp {
        -1 => Ok(OffsetQuestion::Latest),
        -2 => Ok(OffsetQuestion::Earliest),
        -3 if 7 <= version => Ok(OffsetQuestion::MaxTimestamp),
        -4 if 8 <= version => Ok(OffsetQuestion::Earliest),
        -5 if 9 <= version => Err(ErrorCode::NONE),
        -6 if 11 <= version => Err(ErrorCode::NONE),
        ..=-1 => Err(ErrorCode::UNSUPPORTED_VERSION),
        timestamp_ms => Ok(OffsetQuestion::AtTimestamp { timestamp_ms }),
    }
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: ListOffsetsRequest = request.decode()?;
    let isolation = match body.isolation_level {
        1 => Isolation::ReadCommitted,
        _ => Isolation::ReadUncommitted,
    };
    let view = node.view();
    let with_epochs = 4 <= request.version;
    let mut gather = Gather { topics: Vec::new(), slots: Vec::new(), missing: 0, with_epochs };
    let mut asks: BTreeMap<ShardIndex, Vec<OffsetItem>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for topic in &body.topics {
        let found = view.topic(&topic.name);
        let mut answer =
            ListOffsetsTopicResponse { name: topic.name.clone(), ..Default::default() };
        for partition in &topic.partitions {
            let slot = gather.slots.len();
            gather.slots.push((gather.topics.len(), answer.partitions.len()));
            let index = PartitionIndex(partition.partition_index);
            let key = found.as_ref().map(|(_, id)| PartitionKey { topic: *id, partition: index });
            let key = key.filter(|key| view.has_partition(key));
            let question = match (key, seen.insert((topic.name.clone(), index))) {
                (_, false) => Err(ErrorCode::INVALID_REQUEST),
                (None, _) => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                (Some(key), true) => {
                    question(partition.timestamp, request.version).map(|asked| (key, asked))
                }
            };
            let mut row = ListOffsetsPartitionResponse {
                partition_index: partition.partition_index,
                ..Default::default()
            };
            match question {
                Ok((key, question)) => {
                    let current_leader_epoch = LeaderEpoch(partition.current_leader_epoch);
                    let item = OffsetItem { slot, key, current_leader_epoch, question };
                    let shard = shard_of(&topic.name, &key, node.shard_count);
                    asks.entry(shard).or_default().push(item);
                }
                Err(error) => {
                    node.metrics.error(error);
                    row.error_code = error;
                }
            }
            answer.partitions.push(row);
        }
        gather.topics.push(answer);
    }
    gather.missing = asks.len();
    for (shard, items) in asks {
        node.ask(shard, request.ticket, Ask::Offsets { isolation, items });
    }
    finish_or_wait(node, request.ticket, gather);
    Ok(())
}

/// A shard has answered.
pub(crate) fn told(
    node: &mut ShardNode,
    ticket: Ticket,
    mut gather: Gather,
    outcomes: Vec<OffsetOutcome>,
) {
    gather.missing -= 1;
    for outcome in outcomes {
        node.metrics.error(outcome.error);
        let Some((topic, partition)) = gather.slots.get(outcome.slot).copied() else { continue };
        let row = &mut gather.topics[topic].partitions[partition];
        row.error_code = outcome.error;
        row.offset = outcome.offset.0;
        row.timestamp = outcome.timestamp_ms;
        if gather.with_epochs {
            row.leader_epoch = outcome.leader_epoch.0;
        }
    }
    finish_or_wait(node, ticket, gather);
}

fn finish_or_wait(node: &mut ShardNode, ticket: Ticket, gather: Gather) {
    if 0 < gather.missing {
        node.pending.insert(ticket, Pending::ListOffsets(gather));
        return;
    }
    let response = ListOffsetsResponse { topics: gather.topics, ..Default::default() };
    node.respond(ticket, &response);
}
