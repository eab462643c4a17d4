//! WriteTxnMarkers: key 27, versions 1-2.
//!
//! Behaviour: writes the end of transactions into partitions, past their coordinator. Brokers of a
//! cluster send it to each other; from a client it is an operator who ends a transaction that its
//! coordinator does not know any more (KIP-664). A partition checks the epochs of producer and
//! coordinator as always. Each partition is answered when its marker is durable.
//!
//! Version notes:
//! - v1: flexible. v2: the version of the transaction (KIP-1228), with which a partition demands
//!   a higher epoch than the one that it knows.

use super::{Api, Pending, Place};
use crate::ask::{Ticket, TransactionEnd};
use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use crate::seat::MarkersFor;
use mainstem_coordinator::TopicPartition;
use mainstem_platform::Now;
use mainstem_protocol::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use mainstem_protocol::{ApiKey, ErrorCode, ProducerEpoch, ProducerId};
use std::collections::BTreeMap;

pub(crate) const API: Api = Api::new(ApiKey::WriteTxnMarkers, 1, 2, Place::FirstShard, handle);

/// Answers of one request.
pub(crate) struct MarkersWait {
    results: Vec<WritableTxnMarkerResult>,
    /// Markers whose partitions have not all answered.
    missing: usize,
}

fn handle(node: &mut ShardNode, now: Now, request: &Request) -> Result<(), RequestError> {
    let body: WriteTxnMarkersRequest = request.decode()?;
    let results = body.markers.iter().map(unanswered).collect();
    let wait = MarkersWait { results, missing: body.markers.len() };
    if wait.missing == 0 {
        node.respond(request.ticket, &WriteTxnMarkersResponse::default());
        return Ok(());
    }
    node.pending.insert(request.ticket, Pending::Markers(wait));
    for (place, marker) in body.markers.into_iter().enumerate() {
        let end = TransactionEnd {
            producer_id: ProducerId(marker.producer_id),
            producer_epoch: ProducerEpoch(marker.producer_epoch),
            commit: marker.transaction_result,
            coordinator_epoch: marker.coordinator_epoch,
            transaction_version: i16::from(marker.transaction_version),
        };
        let partitions = marker.topics.iter().flat_map(|topic| {
            let indexes = topic.partition_indexes.iter();
            indexes.map(|index| TopicPartition::new(&topic.name, *index))
        });
        let whom = MarkersFor::Client { request: request.ticket, place };
        node.send_markers(now, whom, end, partitions.collect());
    }
    Ok(())
}

fn unanswered(marker: &WritableTxnMarker) -> WritableTxnMarkerResult {
    let row = |index: &i32| WritableTxnMarkerPartitionResult {
        partition_index: *index,
        ..Default::default()
    };
    let topics = marker.topics.iter().map(|topic| WritableTxnMarkerTopicResult {
        name: topic.name.clone(),
        partitions: topic.partition_indexes.iter().map(row).collect(),
    });
    WritableTxnMarkerResult { producer_id: marker.producer_id, topics: topics.collect() }
}

/// All partitions of the marker at `place` have answered.
pub(crate) fn marked(
    node: &mut ShardNode,
    request: Ticket,
    place: usize,
    codes: &[(TopicPartition, ErrorCode)],
) {
    // The client may have gone meanwhile; its markers are written all the same.
    let Some(Pending::Markers(mut wait)) = node.pending.remove(&request) else { return };
    let codes: BTreeMap<&TopicPartition, ErrorCode> =
        codes.iter().map(|(partition, code)| (partition, *code)).collect();
    for topic in &mut wait.results[place].topics {
        for row in &mut topic.partitions {
            let partition = TopicPartition::new(&topic.name, row.partition_index);
            row.error_code = codes[&partition];
            node.metrics.error(row.error_code);
        }
    }
    wait.missing -= 1;
    if 0 < wait.missing {
        node.pending.insert(request, Pending::Markers(wait));
        return;
    }
    node.respond(request, &WriteTxnMarkersResponse { markers: wait.results });
}
