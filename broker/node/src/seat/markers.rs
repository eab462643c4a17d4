//! The end of a transaction on its partitions: one question per shard, one result per partition.
//!
//! A *round* is one end on its way to all its partitions, for the coordinator that decided it or
//! for a client that ends a transaction past its coordinator.
//!
//! Invariants:
//! - Who asked hears of a round once, when every partition has answered.
//! - `UNKNOWN_TOPIC_OR_PARTITION` means that the topic is durably gone.
//! - The group coordinator learns of a marker in `__consumer_offsets` before the transaction
//!   counts as ended, so a commit that was answered is visible to the next OffsetFetch.

use crate::api::markers_written;
use crate::ask::{Ask, MarkersAsk, PartitionKey, Ticket, TransactionEnd};
use crate::cluster::{GROUP_TOPIC, shard_of};
use crate::event::ShardIndex;
use crate::node::ShardNode;
use mainstem_coordinator::TopicPartition;
use mainstem_coordinator::transaction::{MarkerToken, Markers};
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use std::collections::BTreeMap;

/// Who hears of the end of a round.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MarkersFor {
    Coordinator(MarkerToken),
    /// One marker of a WriteTxnMarkers request, by its place there.
    Client {
        request: Ticket,
        place: usize,
    },
}

/// Markers of one transaction on their way.
pub(super) struct MarkerRound {
    whom: MarkersFor,
    end: TransactionEnd,
    waiting: BTreeMap<PartitionKey, TopicPartition>,
    results: Vec<(TopicPartition, ErrorCode)>,
}

impl ShardNode {
    pub(super) fn write_markers(&mut self, now: Now, markers: Markers) {
        let end = TransactionEnd {
            producer_id: markers.producer_id,
            producer_epoch: markers.producer_epoch,
            commit: markers.commit,
            coordinator_epoch: markers.coordinator_epoch.0,
            transaction_version: markers.transaction_version,
        };
        self.send_markers(now, MarkersFor::Coordinator(markers.token), end, markers.partitions);
    }

    /// Sends the end of a transaction to partitions. One that is named twice is asked once.
    pub(crate) fn send_markers(
        &mut self,
        now: Now,
        whom: MarkersFor,
        end: TransactionEnd,
        partitions: Vec<TopicPartition>,
    ) {
        let view = self.view();
        let ticket = self.take_ticket();
        let mut round = MarkerRound { whom, end, waiting: BTreeMap::new(), results: Vec::new() };
        let mut asks: BTreeMap<ShardIndex, Vec<PartitionKey>> = BTreeMap::new();
        for partition in partitions {
            let topic = view.image.topic(&partition.topic);
            let key = topic
                .map(|topic| PartitionKey { topic: topic.id, partition: partition.partition })
                .filter(|key| view.has_partition(key));
            match key {
                Some(key) => {
                    let shard = shard_of(&partition.topic, &key, self.shard_count);
                    if round.waiting.insert(key, partition).is_none() {
                        asks.entry(shard).or_default().push(key);
                    }
                }
                None => {
                    round.results.push((partition, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
                }
            }
        }
        for (shard, items) in asks {
            self.ask(shard, ticket, Ask::Markers(MarkersAsk { end, items }));
        }
        self.finish_or_wait(now, ticket, round);
    }

    /// One partition has its marker, or cannot have it.
    pub(crate) fn handle_marked(
        &mut self,
        now: Now,
        ticket: Ticket,
        key: PartitionKey,
        error: ErrorCode,
    ) {
        let Some(seat) = self.seat.as_mut() else { return };
        let Some(mut round) = seat.markers.remove(&ticket) else { return };
        if let Some(partition) = round.waiting.remove(&key) {
            if &*partition.topic == GROUP_TOPIC && error == ErrorCode::NONE {
                let TransactionEnd { producer_id, commit, .. } = round.end;
                seat.groups.handle_marker(partition.partition, producer_id, commit);
            }
            round.results.push((partition, error));
        }
        self.finish_or_wait(now, ticket, round);
    }

    fn finish_or_wait(&mut self, now: Now, ticket: Ticket, round: MarkerRound) {
        let Some(seat) = self.seat.as_mut() else { return };
        if !round.waiting.is_empty() {
            seat.markers.insert(ticket, round);
            return;
        }
        match round.whom {
            MarkersFor::Coordinator(token) => {
                seat.transactions.handle_markers_written(now, token, &round.results);
            }
            MarkersFor::Client { request, place } => {
                markers_written(self, request, place, &round.results);
            }
        }
    }
}
