//! DescribeProducers: key 61, versions 0.
//!
//! Behaviour: the producers that partitions remember, with the first offset of the transaction
//! that each has open there. An operator finds transactions by it that nobody ends (KIP-664).
//!
//! Version notes:
//! - v0: the first, flexible from the start.

use super::{Api, Pending, Place};
use crate::ask::{Ask, Item};
use crate::dispatch::{Request, RequestError};
use crate::gather::{Gather, Inquiry, Questions};
use crate::node::ShardNode;
use mainstem_metadata::validate_topic_name;
use mainstem_platform::Now;
use mainstem_protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
    TopicResponse,
};
use mainstem_protocol::{ApiKey, ErrorCode, Offset};
use mainstem_storage::ProducerView;

pub(crate) const API: Api = Api::new(ApiKey::DescribeProducers, 0, 0, Place::AnyShard, handle);

/// Who writes here?
pub(crate) struct Producers;

impl Inquiry for Producers {
    type Question = ();
    type Answer = Vec<ProducerView>;
    type Topic = TopicResponse;
    type Row = PartitionResponse;
    type Response = DescribeProducersResponse;

    fn ask(items: Vec<Item<()>>) -> Ask {
        Ask::Producers(items)
    }

    fn rows(topic: &mut TopicResponse) -> &mut Vec<PartitionResponse> {
        &mut topic.partitions
    }

    fn fill(&self, row: &mut PartitionResponse, answer: Result<Vec<ProducerView>, ErrorCode>) {
        match answer {
            Ok(producers) => row.active_producers = producers.iter().map(state).collect(),
            Err(error) => {
                row.error_code = error;
                row.error_message = Some(error.message().to_owned());
            }
        }
    }

    fn response(topics: Vec<TopicResponse>) -> DescribeProducersResponse {
        DescribeProducersResponse { topics, ..Default::default() }
    }

    fn pending(gather: Gather<Producers>) -> Pending {
        Pending::Producers(gather)
    }
}

fn state(producer: &ProducerView) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id.0,
        producer_epoch: i32::from(producer.epoch.0),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp_ms,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.transaction_start.unwrap_or(Offset::NONE).0,
    }
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    let body: DescribeProducersRequest = request.decode()?;
    let mut questions = Questions::new(node, Producers);
    for topic in body.topics {
        let is_legal = validate_topic_name(&topic.name).is_ok();
        let question = if is_legal { Ok(()) } else { Err(ErrorCode::INVALID_TOPIC_EXCEPTION) };
        let name = topic.name.clone();
        questions.topic(&topic.name, TopicResponse { name, ..Default::default() });
        for partition_index in topic.partition_indexes {
            let row = PartitionResponse { partition_index, ..Default::default() };
            questions.partition(partition_index, row, question);
        }
    }
    questions.send(node, request.ticket);
    Ok(())
}
