//! ListOffsets: key 2, versions 1-11.
//!
//! Behaviour: the earliest and latest offsets (up to the last stable one for read-committed
//! clients), the first record at or after a time, and the record with the largest time. There is
//! no tiered storage: the earliest local offset is the earliest, and for what is only remote or
//! on its way there the answer is "nothing": no error, and -1 everywhere.
//!
//! Version notes:
//! - v2: isolation level. v4: leader epoch (KIP-320). v6: flexible. v7: largest time (KIP-734).
//! - v8: earliest local (KIP-405). v9: latest tiered (KIP-1005). v10: timeout (KIP-1075).
//! - v11: earliest pending upload (KIP-1023).

use super::{Api, Pending, Place};
use crate::ask::{Ask, FoundOffset, Isolation, Item, OffsetQuestion, SoughtOffset};
use crate::dispatch::{Request, RequestError};
use crate::gather::{Gather, Inquiry, Questions};
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use mainstem_protocol::{ApiKey, ErrorCode, LeaderEpoch};
use std::collections::BTreeSet;

pub(crate) const API: Api = Api::new(ApiKey::ListOffsets, 1, 11, Place::AnyShard, handle);

/// From here on the answer has a place for the leader epoch.
const VERSION_EPOCHS: i16 = 4;

/// What stands where?
pub(crate) struct Offsets {
    with_epochs: bool,
}

impl Inquiry for Offsets {
    type Question = OffsetQuestion;
    type Answer = FoundOffset;
    type Topic = ListOffsetsTopicResponse;
    type Row = ListOffsetsPartitionResponse;
    type Response = ListOffsetsResponse;

    fn ask(items: Vec<Item<OffsetQuestion>>) -> Ask {
        Ask::Offsets(items)
    }

    fn rows(topic: &mut ListOffsetsTopicResponse) -> &mut Vec<ListOffsetsPartitionResponse> {
        &mut topic.partitions
    }

    fn fill(&self, row: &mut ListOffsetsPartitionResponse, answer: Result<FoundOffset, ErrorCode>) {
        match answer {
            Ok(found) => {
                row.offset = found.offset.0;
                row.timestamp = found.timestamp_ms;
                if self.with_epochs {
                    row.leader_epoch = found.leader_epoch.0;
                }
            }
            Err(error) => row.error_code = error,
        }
    }

    fn response(topics: Vec<ListOffsetsTopicResponse>) -> ListOffsetsResponse {
        ListOffsetsResponse { topics, ..Default::default() }
    }

    fn pending(gather: Gather<Offsets>) -> Pending {
        Pending::ListOffsets(gather)
    }
}

/// What a timestamp field asks for. Negative numbers are words, each from its version on.
fn sought(timestamp: i64, version: i16) -> Result<SoughtOffset, ErrorCode> {
    match timestamp {
        -1 => Ok(SoughtOffset::Latest),
        -2 => Ok(SoughtOffset::Earliest),
        -3 if 7 <= version => Ok(SoughtOffset::MaxTimestamp),
        -4 if 8 <= version => Ok(SoughtOffset::Earliest),
        -5 if 9 <= version => Ok(SoughtOffset::Tiered),
        -6 if 11 <= version => Ok(SoughtOffset::Tiered),
        ..=-1 => Err(ErrorCode::UNSUPPORTED_VERSION),
        timestamp_ms => Ok(SoughtOffset::AtTimestamp { timestamp_ms }),
    }
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: ListOffsetsRequest = request.decode()?;
    let isolation = match body.isolation_level {
        1 => Isolation::ReadCommitted,
        _ => Isolation::ReadUncommitted,
    };
    let with_epochs = VERSION_EPOCHS <= request.version;
    let mut questions = Questions::new(node, Offsets { with_epochs });
    let mut seen = BTreeSet::new();
    for topic in &body.topics {
        let name = topic.name.clone();
        questions.topic(&topic.name, ListOffsetsTopicResponse { name, ..Default::default() });
        for partition in &topic.partitions {
            let partition_index = partition.partition_index;
            let question = match seen.insert((&topic.name, partition_index)) {
                false => Err(ErrorCode::INVALID_REQUEST),
                true => sought(partition.timestamp, request.version).map(|sought| OffsetQuestion {
                    isolation,
                    current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
                    sought,
                }),
            };
            let row = ListOffsetsPartitionResponse { partition_index, ..Default::default() };
            questions.partition(partition_index, row, question);
        }
    }
    questions.send(node, request.ticket);
    Ok(())
}
