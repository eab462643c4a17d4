//! DeleteRecords: key 21, versions 0-2.
//!
//! Behaviour: moves the log start offset of partitions; -1 means the high watermark. A topic
//! whose records are kept by key refuses: POLICY_VIOLATION. So do the broker's own topics:
//! INVALID_TOPIC_EXCEPTION.
//!
//! Version notes:
//! - v2: flexible.

use super::{Api, Pending, Place};
use crate::ask::{Ask, Item};
use crate::dispatch::{Request, RequestError};
use crate::gather::{Gather, Inquiry, Questions};
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use mainstem_protocol::{ApiKey, ErrorCode, Offset};

pub(crate) const API: Api = Api::new(ApiKey::DeleteRecords, 0, 2, Place::AnyShard, handle);

/// Asks for everything up to the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// Forget records.
pub(crate) struct Deletion;

impl Inquiry for Deletion {
    /// The first offset that stays; `None`: the high watermark.
    type Question = Option<Offset>;
    /// The log start offset afterwards.
    type Answer = Offset;
    type Topic = DeleteRecordsTopicResult;
    type Row = DeleteRecordsPartitionResult;
    type Response = DeleteRecordsResponse;

    fn ask(items: Vec<Item<Option<Offset>>>) -> Ask {
        Ask::DeleteRecords(items)
    }

    fn rows(topic: &mut DeleteRecordsTopicResult) -> &mut Vec<DeleteRecordsPartitionResult> {
        &mut topic.partitions
    }

    fn fill(&self, row: &mut DeleteRecordsPartitionResult, answer: Result<Offset, ErrorCode>) {
        row.error_code = answer.err().unwrap_or_default();
        row.low_watermark = answer.unwrap_or(Offset::NONE).0;
    }

    fn response(topics: Vec<DeleteRecordsTopicResult>) -> DeleteRecordsResponse {
        DeleteRecordsResponse { topics, ..Default::default() }
    }

    fn pending(gather: Gather<Deletion>) -> Pending {
        Pending::DeleteRecords(gather)
    }
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: DeleteRecordsRequest = request.decode()?;
    let mut questions = Questions::new(node, Deletion);
    for topic in body.topics {
        let name = topic.name.clone();
        questions.topic(&topic.name, DeleteRecordsTopicResult { name, ..Default::default() });
        for partition in topic.partitions {
            let partition_index = partition.partition_index;
            let row = DeleteRecordsPartitionResult { partition_index, ..Default::default() };
            let before = Some(Offset(partition.offset));
            let before = before.filter(|_| partition.offset != HIGH_WATERMARK);
            questions.partition(partition_index, row, Ok(before));
        }
    }
    questions.send(node, request.ticket);
    Ok(())
}
