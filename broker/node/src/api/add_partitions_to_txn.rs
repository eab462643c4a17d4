//! AddPartitionsToTxn: key 24, versions 0-5.
//!
//! Behaviour: adds partitions to a transaction before the first batch, for clients of version 1
//! transactions; Produce v12 does it itself. When one partition does not exist, none is added:
//! that one is UNKNOWN_TOPIC_OR_PARTITION, the others OPERATION_NOT_ATTEMPTED.
//!
//! Version notes:
//! - v2: PRODUCER_FENCED (KIP-588). v3: flexible.
//! - v4: several transactions at once, and questions without adding, among brokers (KIP-890).
//! - v5: TRANSACTION_ABORTABLE.

use super::{Api, Place};
use crate::cluster::ClusterView;
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use mainstem_coordinator::transaction::TransactionRequest;
use mainstem_platform::Now;
use mainstem_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
};
use mainstem_protocol::{ApiKey, ErrorCode, PartitionIndex};

pub(crate) const API: Api = Api::new(ApiKey::AddPartitionsToTxn, 0, 5, Place::FirstShard, handle);

/// From here on a request holds several transactions.
const VERSION_SEVERAL: i16 = 4;

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body: AddPartitionsToTxnRequest = request.decode()?;
    let view = node.view();
    let mut topics = body.v3_and_below_topics.iter();
    let mut more = body.transactions.iter().flat_map(|transaction| &transaction.topics);
    if topics.all(|topic| exists(&view, topic)) && more.all(|topic| exists(&view, topic)) {
        node.ask_transactions(now, request, TransactionRequest::AddPartitionsToTxn(body));
        return Ok(());
    }
    let refuse = |topics: &[AddPartitionsToTxnTopic]| -> Vec<AddPartitionsToTxnTopicResult> {
        topics.iter().map(|topic| refuse_topic(&view, topic)).collect()
    };
    let mut response = AddPartitionsToTxnResponse::default();
    if request.version < VERSION_SEVERAL {
        response.results_by_topic_v3_and_below = refuse(&body.v3_and_below_topics);
    } else {
        let result = |transaction: &_| refuse_transaction(transaction, refuse);
        response.results_by_transaction = body.transactions.iter().map(result).collect();
    }
    node.respond(request.ticket, &response);
    Ok(())
}

fn refuse_transaction(
    transaction: &mainstem_protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTransaction,
    refuse: impl Fn(&[AddPartitionsToTxnTopic]) -> Vec<AddPartitionsToTxnTopicResult>,
) -> AddPartitionsToTxnResult {
    AddPartitionsToTxnResult {
        transactional_id: transaction.transactional_id.clone(),
        topic_results: refuse(&transaction.topics),
    }
}

fn has(view: &ClusterView, topic: &str, partition: i32) -> bool {
    let topic = view.image.topic(topic);
    topic.is_some_and(|topic| topic.partition(PartitionIndex(partition)).is_some())
}

fn exists(view: &ClusterView, topic: &AddPartitionsToTxnTopic) -> bool {
    topic.partitions.iter().all(|partition| has(view, &topic.name, *partition))
}

fn refuse_topic(
    view: &ClusterView,
    topic: &AddPartitionsToTxnTopic,
) -> AddPartitionsToTxnTopicResult {
    let result = |partition: &i32| AddPartitionsToTxnPartitionResult {
        partition_index: *partition,
        partition_error_code: match has(view, &topic.name, *partition) {
            true => ErrorCode::OPERATION_NOT_ATTEMPTED,
            false => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        },
    };
    AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic.partitions.iter().map(result).collect(),
    }
}
