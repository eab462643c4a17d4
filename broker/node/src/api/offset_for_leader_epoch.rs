//! OffsetForLeaderEpoch: key 23, versions 2-4.
//!
//! Behaviour: where the log of a leader epoch ended, so that a client can tell whether what it
//! has read was cut off later (KIP-320). The answer names the largest epoch that is not above
//! the one asked for; for an epoch that the log cannot know it is -1 and -1.
//!
//! Version notes:
//! - v2: the client's own leader epoch. v3: replica id. v4: flexible.

use super::{Api, Pending, Place};
use crate::ask::{Ask, EpochEndQuestion, Item};
use crate::dispatch::{Request, RequestError};
use crate::gather::{Gather, Inquiry, Questions};
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
};
use mainstem_protocol::{ApiKey, ErrorCode, LeaderEpoch, Offset};

pub(crate) const API: Api = Api::new(ApiKey::OffsetForLeaderEpoch, 2, 4, Place::AnyShard, handle);

/// Where do epochs end?
pub(crate) struct EpochEnds;

impl Inquiry for EpochEnds {
    type Question = EpochEndQuestion;
    /// The epoch and its end.
    type Answer = (LeaderEpoch, Offset);
    type Topic = OffsetForLeaderTopicResult;
    type Row = EpochEndOffset;
    type Response = OffsetForLeaderEpochResponse;

    fn ask(items: Vec<Item<EpochEndQuestion>>) -> Ask {
        Ask::EpochEnd(items)
    }

    fn rows(topic: &mut OffsetForLeaderTopicResult) -> &mut Vec<EpochEndOffset> {
        &mut topic.partitions
    }

    fn fill(&self, row: &mut EpochEndOffset, answer: Result<(LeaderEpoch, Offset), ErrorCode>) {
        match answer {
            Ok((epoch, end)) => (row.leader_epoch, row.end_offset) = (epoch.0, end.0),
            Err(error) => row.error_code = error,
        }
    }

    fn response(topics: Vec<OffsetForLeaderTopicResult>) -> OffsetForLeaderEpochResponse {
        OffsetForLeaderEpochResponse { topics, ..Default::default() }
    }

    fn pending(gather: Gather<EpochEnds>) -> Pending {
        Pending::EpochEnd(gather)
    }
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: OffsetForLeaderEpochRequest = request.decode()?;
    let mut questions = Questions::new(node, EpochEnds);
    for topic in body.topics {
        let name = topic.topic.clone();
        let answer = OffsetForLeaderTopicResult { topic: name, ..Default::default() };
        questions.topic(&topic.topic, answer);
        for asked in topic.partitions {
            let question = EpochEndQuestion {
                current_leader_epoch: LeaderEpoch(asked.current_leader_epoch),
                epoch: LeaderEpoch(asked.leader_epoch),
            };
            let row = EpochEndOffset { partition: asked.partition, ..Default::default() };
            questions.partition(asked.partition, row, Ok(question));
        }
    }
    questions.send(node, request.ticket);
    Ok(())
}
