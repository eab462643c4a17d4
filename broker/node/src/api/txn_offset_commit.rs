//! TxnOffsetCommit: key 28, versions 0-5.
//!
//! Behaviour: stores offsets inside a transaction; they count when its marker arrives. The
//! transaction coordinator is asked first whether the group's partition is part of the
//! transaction; then the group coordinator fences by generation (KIP-447).
//!
//! Version notes:
//! - v2: leader epoch. v3: generation, member and instance (KIP-447), flexible.
//! - v4: TRANSACTION_ABORTABLE. v5: adds the group's partition to the transaction (KIP-890).

use super::{Api, Place};
use crate::ask::Ticket;
use crate::cluster::GROUP_TOPIC;
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use crate::seat::{Route, context};
use mainstem_coordinator::group::GroupRequest;
use mainstem_coordinator::transaction::{Participation, PartitionsInTransaction};
use mainstem_coordinator::{ClientContext, TopicPartition};
use mainstem_platform::Now;
use mainstem_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};
use mainstem_protocol::{ApiKey, ErrorCode, ProducerEpoch, ProducerId};

pub(crate) const API: Api = Api::new(ApiKey::TxnOffsetCommit, 0, 5, Place::FirstShard, handle);

/// The request while the transaction coordinator is asked.
pub(crate) struct TxnOffsetCommitWait {
    ticket: Ticket,
    context: ClientContext,
    body: TxnOffsetCommitRequest,
    /// Where the group's offsets go.
    pub(crate) partition: TopicPartition,
    pub(crate) participation: Participation,
}

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body: TxnOffsetCommitRequest = request.decode()?;
    let Some(seat) = node.seat.as_ref() else { return Ok(()) };
    let partition = TopicPartition {
        topic: GROUP_TOPIC.into(),
        partition: seat.groups.partition_of(&body.group_id),
    };
    let write = PartitionsInTransaction {
        transactional_id: body.transactional_id.clone(),
        producer_id: ProducerId(body.producer_id),
        producer_epoch: ProducerEpoch(body.producer_epoch),
        partitions: vec![partition.clone()],
        participation: Participation::of_txn_offset_commit(request.version),
    };
    let wait = TxnOffsetCommitWait {
        ticket: request.ticket,
        context: context(request),
        body,
        partition,
        participation: write.participation,
    };
    node.ask_participation(now, write, Route::TxnOffsetCommit(Box::new(wait)));
    Ok(())
}

impl TxnOffsetCommitWait {
    /// The transaction coordinator has answered.
    pub(crate) fn go_on(self, node: &mut ShardNode, now: Now, error: ErrorCode) {
        if error == ErrorCode::NONE {
            let body = GroupRequest::TxnOffsetCommit(self.body);
            node.ask_groups_as(now, &self.context, self.ticket, body);
            return;
        }
        let topics = self.body.topics.iter().map(|topic| TxnOffsetCommitResponseTopic {
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|partition| TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error,
                })
                .collect(),
        });
        let response = TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() };
        node.metrics.error(error);
        node.respond(self.ticket, &response);
    }
}
