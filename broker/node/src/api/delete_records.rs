//! DeleteRecords: key 21, versions 0-2.
//!
//! Behaviour: moves the log start offset of partitions; -1 means the high watermark. A topic
//! whose records are kept by key refuses: POLICY_VIOLATION.
//!
//! Version notes:
//! - v2: flexible.

use super::{Api, Pending, Place};
use crate::ask::{Ask, DeleteRecordsItem, DeleteRecordsOutcome, PartitionKey, Ticket};
use crate::cluster::{is_internal, shard_of};
use crate::dispatch::{Request, RequestError};
use crate::event::ShardIndex;
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use mainstem_protocol::{ApiKey, ErrorCode, Offset, PartitionIndex};
use std::collections::BTreeMap;

pub(crate) const API: Api = Api::new(ApiKey::DeleteRecords, 0, 2, Place::AnyShard, handle);

/// Asks for everything up to the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// Answers of one request.
pub(crate) struct Gather {
    topics: Vec<DeleteRecordsTopicResult>,
    slots: Vec<(usize, usize)>,
    missing: usize,
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: DeleteRecordsRequest = request.decode()?;
    let view = node.view();
    let mut gather = Gather { topics: Vec::new(), slots: Vec::new(), missing: 0 };
    let mut asks: BTreeMap<ShardIndex, Vec<DeleteRecordsItem>> = BTreeMap::new();
    for topic in &body.topics {
        let found = view.topic(&topic.name);
        let mut answer =
            DeleteRecordsTopicResult { name: topic.name.clone(), ..Default::default() };
        for partition in &topic.partitions {
            let slot = gather.slots.len();
            gather.slots.push((gather.topics.len(), answer.partitions.len()));
            let index = PartitionIndex(partition.partition_index);
            let key = found.as_ref().map(|(_, id)| PartitionKey { topic: *id, partition: index });
            let mut row = DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark: -1,
                ..Default::default()
            };
            match key.filter(|key| view.has_partition(key)) {
                Some(_) if is_internal(&topic.name) => {
                    row.error_code = ErrorCode::INVALID_TOPIC_EXCEPTION;
                }
                Some(key) => {
                    let before = Some(Offset(partition.offset));
                    let before = before.filter(|_| partition.offset != HIGH_WATERMARK);
                    let shard = shard_of(&topic.name, &key, node.shard_count);
                    let item = DeleteRecordsItem { slot, key, before };
                    asks.entry(shard).or_default().push(item);
                }
                None => row.error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            }
            node.metrics.error(row.error_code);
            answer.partitions.push(row);
        }
        gather.topics.push(answer);
    }
    gather.missing = asks.len();
    for (shard, items) in asks {
        node.ask(shard, request.ticket, Ask::DeleteRecords(items));
    }
    finish_or_wait(node, request.ticket, gather);
    Ok(())
}

/// A shard has answered.
pub(crate) fn told(
    node: &mut ShardNode,
    ticket: Ticket,
    mut gather: Gather,
    outcomes: Vec<DeleteRecordsOutcome>,
) {
    gather.missing -= 1;
    for outcome in outcomes {
        node.metrics.error(outcome.error);
        let Some((topic, partition)) = gather.slots.get(outcome.slot).copied() else { continue };
        let row = &mut gather.topics[topic].partitions[partition];
        row.error_code = outcome.error;
        row.low_watermark = outcome.low_watermark.0;
    }
    finish_or_wait(node, ticket, gather);
}

fn finish_or_wait(node: &mut ShardNode, ticket: Ticket, gather: Gather) {
    if 0 < gather.missing {
        node.pending.insert(ticket, Pending::DeleteRecords(gather));
        return;
    }
    let response = DeleteRecordsResponse { topics: gather.topics, ..Default::default() };
    node.respond(ticket, &response);
}
