//! Produce: key 0, versions 3-13 (advertised from 0).
//!
//! Behaviour: one record batch per partition goes to the partition's shard, which checks and
//! appends it; answers are gathered here. acks=0 is not answered; when something went wrong with
//! it the connection is closed, which is the only way to tell the client. Failures are per
//! partition. The broker's own topics cannot be written to.
//!
//! Version notes:
//! - v0-v2 are advertised because old librdkafka asks for them, and are answered with
//!   UNSUPPORTED_VERSION: their record formats are not stored any more.
//! - v3: record batches, transactional id (KIP-98).
//! - v5: log start offset. v7: zstd (KIP-110). v8: the refused records and why (KIP-467). v9: flexible.
//! - v10: the current leader in the answer (KIP-951).
//! - v12: a transactional batch adds its partition to the transaction (KIP-890).
//! - v13: topics by id (KIP-516).

mod old_versions;

use super::{Api, Pending, Place};
use crate::ask::{
    Acks, AppendAsk, AppendItem, AppendOutcome, Ask, PartitionKey, Ticket, TransactionalWrite,
};
use crate::cluster::{self, ClusterView};
use crate::dispatch::{Request, RequestError};
use crate::event::ShardIndex;
use crate::node::ShardNode;
use mainstem_coordinator::transaction::Participation;
use mainstem_platform::Now;
use mainstem_protocol::compression::Compression;
use mainstem_protocol::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceResponse,
};
use mainstem_protocol::record::BatchView;
use mainstem_protocol::{ApiKey, ErrorCode, PartitionIndex, TopicId};
use mainstem_storage::RecordError;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const API: Api = Api {
    key: ApiKey::Produce,
    versions: 0..=13,
    advertised_min: 0,
    place: Place::AnyShard,
    handle,
};

/// The first version whose batches are stored.
const VERSION_MIN: i16 = 3;
/// From here on batches may be compressed by zstd.
const VERSION_ZSTD: i16 = 7;
/// From here on topics are named by id.
const VERSION_TOPIC_IDS: i16 = 13;

/// Answers of one request.
pub(crate) struct Gather {
    acks: Acks,
    topics: Vec<TopicProduceResponse>,
    /// Where in `topics` each slot is.
    slots: Vec<(usize, usize)>,
    missing: usize,
}

fn handle(node: &mut ShardNode, _: Now, request: &Request) -> Result<(), RequestError> {
    if request.version < VERSION_MIN {
        return old_versions::refuse(node, request);
    }
    let body: ProduceRequest = request.decode()?;
    let acks = match body.acks {
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        -1 => Some(Acks::All),
        _ => None,
    };
    let transaction = transaction(&body, request.version);
    let view = node.view();
    let mut gather = Gather {
        acks: acks.unwrap_or(Acks::Leader),
        topics: Vec::with_capacity(body.topic_data.len()),
        slots: Vec::new(),
        missing: 0,
    };
    let mut asks: BTreeMap<ShardIndex, Vec<AppendItem>> = BTreeMap::new();
    for topic in body.topic_data {
        let mut answer = TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            ..Default::default()
        };
        let found = find_topic(&view, &answer.name, answer.topic_id, request.version);
        for partition in topic.partition_data {
            let slot = gather.slots.len();
            gather.slots.push((gather.topics.len(), answer.partition_responses.len()));
            let index = PartitionIndex(partition.index);
            let placed = match acks {
                None => Err(ErrorCode::INVALID_REQUIRED_ACKS),
                Some(_) => place(node, &view, &found, index),
            };
            answer.partition_responses.push(unanswered(partition.index));
            match (placed, one_batch(partition, request.version)) {
                (Ok((shard, key)), Ok(batches)) => {
                    asks.entry(shard).or_default().push(AppendItem { slot, key, batches });
                    gather.missing += 1;
                }
                (Err(error), _) | (Ok(_), Err(error)) => {
                    if let Some(last) = answer.partition_responses.last_mut() {
                        last.error_code = error;
                    }
                    node.metrics.error(error);
                }
            }
        }
        gather.topics.push(answer);
    }
    for (shard, items) in asks {
        let ask = AppendAsk { acks: gather.acks, transaction: transaction.clone(), items };
        node.ask(shard, request.ticket, Ask::Append(ask));
    }
    finish_or_wait(node, request.ticket, gather);
    Ok(())
}

fn transaction(body: &ProduceRequest, version: i16) -> Option<TransactionalWrite> {
    let transactional_id = Arc::from(body.transactional_id.as_deref()?);
    let participation = Participation::of_produce(version);
    Some(TransactionalWrite { transactional_id, participation })
}

/// The topic's name and id, whichever of them the version carries.
fn find_topic(
    view: &ClusterView,
    name: &str,
    id: TopicId,
    version: i16,
) -> Result<(Arc<str>, TopicId), ErrorCode> {
    let topic = if version < VERSION_TOPIC_IDS {
        view.topic(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?
    } else {
        view.topic_by_id(id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?
    };
    if cluster::is_internal(&topic.0) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    Ok(topic)
}

fn place(
    node: &ShardNode,
    view: &ClusterView,
    found: &Result<(Arc<str>, TopicId), ErrorCode>,
    partition: PartitionIndex,
) -> Result<(ShardIndex, PartitionKey), ErrorCode> {
    let (name, topic) = found.as_ref().map_err(|error| *error)?;
    let key = PartitionKey { topic: *topic, partition };
    if !view.has_partition(&key) {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    Ok((cluster::shard_of(name, &key, node.shard_count), key))
}

/// Exactly one batch, by its length field. What is in it is the partition's to check.
fn one_batch(data: PartitionProduceData, version: i16) -> Result<bytes::Bytes, ErrorCode> {
    /// Base offset and length itself come before what the length counts.
    const LENGTH_END: usize = 12;
    let batches = data.records.unwrap_or_default();
    let Some(length) = batches.get(8..LENGTH_END) else { return Err(ErrorCode::INVALID_RECORD) };
    let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
    match (batches.len() - LENGTH_END).cmp(&length) {
        // Whoever speaks an older version could not read what it sent.
        std::cmp::Ordering::Equal if version < VERSION_ZSTD && is_zstd(&batches) => {
            Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE)
        }
        std::cmp::Ordering::Equal => Ok(batches),
        // Cut short: the client's bytes are damaged.
        std::cmp::Ordering::Less => Err(ErrorCode::CORRUPT_MESSAGE),
        std::cmp::Ordering::Greater => Err(ErrorCode::INVALID_RECORD),
    }
}

fn is_zstd(batch: &[u8]) -> bool {
    BatchView::parse(batch).is_ok_and(|(view, _)| view.compression() == Ok(Compression::Zstd))
}

fn unanswered(index: i32) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        ..Default::default()
    }
}

/// A partition has answered.
pub(crate) fn told(
    node: &mut ShardNode,
    ticket: Ticket,
    mut gather: Gather,
    outcome: AppendOutcome,
) {
    node.metrics.error(outcome.error);
    if let Some((topic, partition)) = gather.slots.get(outcome.slot).copied() {
        let answer = &mut gather.topics[topic].partition_responses[partition];
        answer.error_code = outcome.error;
        answer.error_message = outcome.message;
        answer.record_errors = outcome.record_errors.into_iter().map(record_error).collect();
        answer.base_offset = outcome.base_offset.0;
        answer.log_append_time_ms = outcome.log_append_time_ms;
        answer.log_start_offset = outcome.log_start_offset.0;
        gather.missing -= 1;
    }
    finish_or_wait(node, ticket, gather);
}

fn record_error(error: RecordError) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage {
        batch_index: error.batch_index,
        batch_index_error_message: Some(error.message),
    }
}

fn finish_or_wait(node: &mut ShardNode, ticket: Ticket, gather: Gather) {
    if 0 < gather.missing {
        node.pending.insert(ticket, Pending::Produce(gather));
        return;
    }
    if gather.acks != Acks::None {
        let response = ProduceResponse { responses: gather.topics, ..Default::default() };
        node.respond(ticket, &response);
        return;
    }
    let mut partitions = gather.topics.iter().flat_map(|topic| &topic.partition_responses);
    if partitions.all(|partition| partition.error_code == ErrorCode::NONE) {
        node.respond_nothing(ticket);
    } else {
        node.refuse_ticket(ticket, "a batch that wants no answer could not be appended");
    }
}
