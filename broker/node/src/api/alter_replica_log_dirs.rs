//! AlterReplicaLogDirs: key 34, versions 1-2.
//!
//! Behaviour: begins to move partitions to other log directories of this broker and answers before
//! they are there; DescribeLogDirs shows how far they are. A directory that the settings do not
//! name is LOG_DIR_NOT_FOUND, one that has failed KAFKA_STORAGE_ERROR. A partition that is asked
//! for in its own directory stays there, and a move of it that is under way ends.
//!
//! Version notes:
//! - v2: flexible.

use super::{Api, Pending, Place};
use crate::ask::{Ask, MoveItem, MoveOutcome, PartitionKey, Ticket};
use crate::cluster::shard_of;
use crate::dispatch::{Request, RequestError};
use crate::event::ShardIndex;
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use mainstem_protocol::{ApiKey, ErrorCode, PartitionIndex};
use std::collections::BTreeMap;

pub(crate) const API: Api = Api::new(ApiKey::AlterReplicaLogDirs, 1, 2, Place::AnyShard, handle);

/// Answers of one request.
pub(crate) struct Gather {
    topics: Vec<AlterReplicaLogDirTopicResult>,
    slots: Vec<(usize, usize)>,
    missing: usize,
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: AlterReplicaLogDirsRequest = request.decode()?;
    let view = node.view();
    let mut gather = Gather { topics: Vec::new(), slots: Vec::new(), missing: 0 };
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut asks: BTreeMap<ShardIndex, Vec<MoveItem>> = BTreeMap::new();
    let topics = body.dirs.iter().flat_map(|dir| dir.topics.iter().map(move |t| (&dir.path, t)));
    for (path, topic) in topics {
        let dir = node.dirs.find(path);
        let found = view.topic(&topic.name);
        let place = *places.entry(&topic.name).or_insert_with(|| {
            let topic_name = topic.name.clone();
            gather
                .topics
                .push(AlterReplicaLogDirTopicResult { topic_name, partitions: Vec::new() });
            gather.topics.len() - 1
        });
        for partition in &topic.partitions {
            let index = PartitionIndex(*partition);
            let key = found.as_ref().map(|(_, id)| PartitionKey { topic: *id, partition: index });
            let mut error_code = ErrorCode::NONE;
            let rows = &mut gather.topics[place].partitions;
            match (dir, key.filter(|key| view.has_partition(key))) {
                (None, _) => error_code = ErrorCode::LOG_DIR_NOT_FOUND,
                (_, None) => error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                (Some(to), Some(key)) => {
                    let shard = shard_of(&topic.name, &key, node.shard_count);
                    let item = MoveItem { slot: gather.slots.len(), key, to };
                    asks.entry(shard).or_default().push(item);
                }
            }
            node.metrics.error(error_code);
            gather.slots.push((place, rows.len()));
            rows.push(AlterReplicaLogDirPartitionResult {
                partition_index: *partition,
                error_code,
            });
        }
    }
    gather.missing = asks.len();
    for (shard, items) in asks {
        node.ask(shard, request.ticket, Ask::Move(items));
    }
    finish_or_wait(node, request.ticket, gather);
    Ok(())
}

/// A shard has answered.
pub(crate) fn told(
    node: &mut ShardNode,
    ticket: Ticket,
    mut gather: Gather,
    outcomes: Vec<MoveOutcome>,
) {
    gather.missing -= 1;
    for outcome in outcomes {
        node.metrics.error(outcome.error);
        let Some((topic, partition)) = gather.slots.get(outcome.slot).copied() else { continue };
        gather.topics[topic].partitions[partition].error_code = outcome.error;
    }
    finish_or_wait(node, ticket, gather);
}

fn finish_or_wait(node: &mut ShardNode, ticket: Ticket, gather: Gather) {
    if 0 < gather.missing {
        node.pending.insert(ticket, Pending::Moves(gather));
        return;
    }
    let response = AlterReplicaLogDirsResponse { results: gather.topics, ..Default::default() };
    node.respond(ticket, &response);
}
