//! The response of a fetch, made of the outcomes of its last round.
//!
//! Invariant: records are file ranges named by their place in a list; the response has their
//! lengths, the list goes beside it to the shell.

use super::waiting::{Entry, Waiting};
use crate::ask::{ReadOutcome, Ticket};
use crate::fetch_session::{FetchKey, Told};
use crate::node::ShardNode;
use bytes::Bytes;
use mainstem_protocol::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchResponse, FetchableTopicResponse, PartitionData,
};
use mainstem_protocol::{ErrorCode, RecordsRef};
use mainstem_storage::FileRange;
use std::collections::BTreeMap;

pub(super) fn respond(node: &mut ShardNode, ticket: Ticket, waiting: Waiting) {
    let mut response = FetchResponse { session_id: waiting.session.id(), ..Default::default() };
    let mut files: Vec<Vec<FileRange>> = Vec::new();
    let mut left = u64::from(waiting.bytes_max.unsigned_abs());
    let mut total = 0_u64;
    let mut topics: BTreeMap<FetchKey, usize> = BTreeMap::new();
    for Entry { key, wish, mut outcome } in waiting.entries {
        // Shards read side by side, each within the whole bound and each with one batch for sure;
        // what is too much is left out here, and the client comes back for it.
        let size_bytes = u64::from(outcome.size_bytes);
        let bound = left.min(u64::from(wish.bytes_max.max(0).unsigned_abs()));
        if bound < size_bytes && 0 < total {
            outcome.ranges.clear();
            outcome.size_bytes = 0;
            outcome.aborted = outcome.aborted.map(|_| Vec::new());
        }
        left = left.saturating_sub(u64::from(outcome.size_bytes));
        total += u64::from(outcome.size_bytes);
        node.metrics.error(outcome.error);
        let urgent = outcome.error != ErrorCode::NONE
            || outcome.diverging.is_some()
            || 0 < outcome.size_bytes;
        let told = Told {
            high_watermark: outcome.high_watermark,
            log_start_offset: outcome.log_start_offset,
        };
        let news = node.fetch_sessions.must_tell(waiting.session, &key, told);
        if !urgent && !news {
            continue;
        }
        if 0 < outcome.size_bytes {
            node.fetch_sessions.served(waiting.session, &key);
        }
        let topic = FetchKey { partition: 0, ..key.clone() };
        let index = *topics.entry(topic).or_insert_with(|| {
            response.responses.push(FetchableTopicResponse {
                topic: key.topic.to_string(),
                topic_id: key.topic_id,
                ..Default::default()
            });
            response.responses.len() - 1
        });
        let data = partition_data(key.partition, outcome, &mut files);
        response.responses[index].partitions.push(data);
    }
    node.metrics.fetched(usize::try_from(total).unwrap_or(usize::MAX));
    node.respond_with_files(ticket, &response, &files);
}

fn partition_data(
    partition: i32,
    outcome: ReadOutcome,
    files: &mut Vec<Vec<FileRange>>,
) -> PartitionData {
    let aborted = |aborted: Vec<mainstem_storage::AbortedTransaction>| {
        let wire = |transaction: mainstem_storage::AbortedTransaction| AbortedTransaction {
            producer_id: transaction.producer_id.0,
            first_offset: transaction.first_offset.0,
        };
        aborted.into_iter().map(wire).collect()
    };
    let records = if outcome.ranges.is_empty() {
        RecordsRef::Bytes(Bytes::new())
    } else {
        let id = u32::try_from(files.len()).unwrap_or(u32::MAX);
        files.push(outcome.ranges);
        RecordsRef::External { id, len: outcome.size_bytes }
    };
    let mut data = PartitionData {
        partition_index: partition,
        error_code: outcome.error,
        high_watermark: outcome.high_watermark.0,
        last_stable_offset: outcome.last_stable_offset.0,
        log_start_offset: outcome.log_start_offset.0,
        aborted_transactions: outcome.aborted.map(aborted),
        records: Some(records),
        ..Default::default()
    };
    if let Some((epoch, end)) = outcome.diverging {
        data.diverging_epoch = EpochEndOffset { epoch: epoch.0, end_offset: end.0 };
    }
    data
}
