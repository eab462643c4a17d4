//! AlterReplicaLogDirs: key 34, versions 1-2.
//!
//! Behaviour: begins to move partitions to other log directories of this broker and answers before
//! they are there; DescribeLogDirs shows how far they are. A directory that the settings do not
//! name is LOG_DIR_NOT_FOUND, one that has failed KAFKA_STORAGE_ERROR. A partition that is asked
//! for in its own directory stays there, and a move of it that is under way ends. Of two
//! directories for one partition the later one counts.
//!
//! Version notes:
//! - v2: flexible.

use super::{Api, Pending, Place};
use crate::ask::{Ask, Item};
use crate::dispatch::{Request, RequestError};
use crate::gather::{Gather, Inquiry, Questions};
use crate::log_dirs::LogDirIndex;
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use mainstem_protocol::{ApiKey, ErrorCode};
use std::collections::BTreeMap;

pub(crate) const API: Api = Api::new(ApiKey::AlterReplicaLogDirs, 1, 2, Place::AnyShard, handle);

/// Move to another directory.
pub(crate) struct Moves;

impl Inquiry for Moves {
    /// Where to.
    type Question = LogDirIndex;
    type Answer = ();
    type Topic = AlterReplicaLogDirTopicResult;
    type Row = AlterReplicaLogDirPartitionResult;
    type Response = AlterReplicaLogDirsResponse;

    fn ask(items: Vec<Item<LogDirIndex>>) -> Ask {
        Ask::Move(items)
    }

    fn rows(
        topic: &mut AlterReplicaLogDirTopicResult,
    ) -> &mut Vec<AlterReplicaLogDirPartitionResult> {
        &mut topic.partitions
    }

    fn fill(&self, row: &mut AlterReplicaLogDirPartitionResult, answer: Result<(), ErrorCode>) {
        row.error_code = answer.err().unwrap_or_default();
    }

    fn response(results: Vec<AlterReplicaLogDirTopicResult>) -> AlterReplicaLogDirsResponse {
        AlterReplicaLogDirsResponse { results, ..Default::default() }
    }

    fn pending(gather: Gather<Moves>) -> Pending {
        Pending::Moves(gather)
    }
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: AlterReplicaLogDirsRequest = request.decode()?;
    let mut targets: BTreeMap<String, BTreeMap<i32, Option<LogDirIndex>>> = BTreeMap::new();
    for dir in body.dirs {
        let to = node.dirs.find(&dir.path);
        for topic in dir.topics {
            let places = targets.entry(topic.name).or_default();
            places.extend(topic.partitions.into_iter().map(|partition| (partition, to)));
        }
    }
    let mut questions = Questions::new(node, Moves);
    for (topic_name, places) in targets {
        let partitions = Vec::with_capacity(places.len());
        let result = AlterReplicaLogDirTopicResult { topic_name: topic_name.clone(), partitions };
        questions.topic(&topic_name, result);
        for (partition_index, to) in places {
            let row = AlterReplicaLogDirPartitionResult { partition_index, ..Default::default() };
            questions.partition(partition_index, row, to.ok_or(ErrorCode::LOG_DIR_NOT_FOUND));
        }
    }
    questions.send(node, request.ticket);
    Ok(())
}
