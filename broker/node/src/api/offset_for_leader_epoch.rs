//! OffsetForLeaderEpoch: key 23, versions 2-4.
//!
//! Behaviour: where the log of a leader epoch ended, so that a client can tell whether what it
//! has read was cut off later (KIP-320). The answer names the largest epoch that is not above
//! the one asked for.
//!
//! Version notes:
//! - v2: the client's own leader epoch. v3: replica id. v4: flexible.

use super::{Api, Pending, Place};
use crate::ask::{Ask, EpochEndItem, EpochEndOutcome, PartitionKey, Ticket};
use crate::cluster::shard_of;
use crate::dispatch::{Request, RequestError};
use crate::event::ShardIndex;
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
};
use mainstem_protocol::{ApiKey, ErrorCode, LeaderEpoch, PartitionIndex};
use std::collections::BTreeMap;

pub(crate) const API: Api = Api::new(ApiKey::OffsetForLeaderEpoch, 2, 4, Place::AnyShard, handle);

/// Answers of one request.
pub(crate) struct Gather {
    topics: Vec<OffsetForLeaderTopicResult>,
    slots: Vec<(usize, usize)>,
    missing: usize,
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: OffsetForLeaderEpochRequest = request.decode()?;
    let view = node.view();
    let mut gather = Gather { topics: Vec::new(), slots: Vec::new(), missing: 0 };
    let mut asks: BTreeMap<ShardIndex, Vec<EpochEndItem>> = BTreeMap::new();
    for topic in &body.topics {
        let found = view.topic(&topic.topic);
        let mut answer =
            OffsetForLeaderTopicResult { topic: topic.topic.clone(), ..Default::default() };
        for partition in &topic.partitions {
            let slot = gather.slots.len();
            gather.slots.push((gather.topics.len(), answer.partitions.len()));
            let index = PartitionIndex(partition.partition);
            let key = found.as_ref().map(|(_, id)| PartitionKey { topic: *id, partition: index });
            let mut row = EpochEndOffset { partition: partition.partition, ..Default::default() };
            match key.filter(|key| view.has_partition(key)) {
                Some(key) => {
                    let shard = shard_of(&topic.topic, &key, node.shard_count);
                    asks.entry(shard).or_default().push(EpochEndItem {
                        slot,
                        key,
                        current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
                        epoch: LeaderEpoch(partition.leader_epoch),
                    });
                }
                None => row.error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            }
            answer.partitions.push(row);
        }
        gather.topics.push(answer);
    }
    gather.missing = asks.len();
    for (shard, items) in asks {
        node.ask(shard, request.ticket, Ask::EpochEnd(items));
    }
    finish_or_wait(node, request.ticket, gather);
    Ok(())
}

/// A shard has answered.
pub(crate) fn told(
    node: &mut ShardNode,
    ticket: Ticket,
    mut gather: Gather,
    outcomes: Vec<EpochEndOutcome>,
) {
    gather.missing -= 1;
    for outcome in outcomes {
        node.metrics.error(outcome.error);
        let Some((topic, partition)) = gather.slots.get(outcome.slot).copied() else { continue };
        let row = &mut gather.topics[topic].partitions[partition];
        row.error_code = outcome.error;
        row.leader_epoch = outcome.epoch.0;
        row.end_offset = outcome.end_offset.0;
    }
    finish_or_wait(node, ticket, gather);
}

fn finish_or_wait(node: &mut ShardNode, ticket: Ticket, gather: Gather) {
    if 0 < gather.missing {
        node.pending.insert(ticket, Pending::EpochEnd(gather));
        return;
    }
    let response = OffsetForLeaderEpochResponse { topics: gather.topics, ..Default::default() };
    node.respond(ticket, &response);
}
