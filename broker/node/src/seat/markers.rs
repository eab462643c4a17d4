//! The end of a transaction on its partitions: one question per shard, one result per partition.
//!
//! Invariants:
//! - The coordinator hears of a round once, when every partition has answered.
//! - `UNKNOWN_TOPIC_OR_PARTITION` means that the topic is durably gone.
//! - The group coordinator learns of a marker in `__consumer_offsets` before the transaction
//!   counts as ended, so a commit that was answered is visible to the next OffsetFetch.

use crate::ask::{Ask, MarkersAsk, PartitionKey, Ticket};
use crate::cluster::{GROUP_TOPIC, shard_of};
use crate::event::ShardIndex;
use crate::node::ShardNode;
use mainstem_coordinator::TopicPartition;
use mainstem_coordinator::transaction::{MarkerToken, Markers};
use mainstem_platform::Now;
use mainstem_protocol::{ErrorCode, ProducerId};
use std::collections::BTreeMap;

/// Markers of one transaction on their way.
pub(super) struct MarkerRound {
    token: MarkerToken,
    producer_id: ProducerId,
    commit: bool,
    waiting: BTreeMap<PartitionKey, TopicPartition>,
    results: Vec<(TopicPartition, ErrorCode)>,
}

impl ShardNode {
    pub(super) fn write_markers(&mut self, now: Now, markers: Markers) {
        let view = self.view();
        let ticket = self.take_ticket();
        let mut round = MarkerRound {
            token: markers.token,
            producer_id: markers.producer_id,
            commit: markers.commit,
            waiting: BTreeMap::new(),
            results: Vec::new(),
        };
        let mut asks: BTreeMap<ShardIndex, Vec<PartitionKey>> = BTreeMap::new();
        for partition in markers.partitions {
            let topic = view.image.topic(&partition.topic);
            let key = topic
                .map(|topic| PartitionKey { topic: topic.id, partition: partition.partition })
                .filter(|key| view.has_partition(key));
            match key {
                Some(key) => {
                    let shard = shard_of(&partition.topic, &key, self.shard_count);
                    asks.entry(shard).or_default().push(key);
                    round.waiting.insert(key, partition);
                }
                None => {
                    round.results.push((partition, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
                }
            }
        }
        for (shard, items) in asks {
            let ask = MarkersAsk {
                producer_id: markers.producer_id,
                producer_epoch: markers.producer_epoch,
                commit: markers.commit,
                coordinator_epoch: markers.coordinator_epoch.0,
                transaction_version: markers.transaction_version,
                items,
            };
            self.ask(shard, ticket, Ask::Markers(ask));
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
                let (producer_id, commit) = (round.producer_id, round.commit);
                seat.groups.handle_marker(partition.partition, producer_id, commit);
            }
            round.results.push((partition, error));
        }
        self.finish_or_wait(now, ticket, round);
    }

    fn finish_or_wait(&mut self, now: Now, ticket: Ticket, round: MarkerRound) {
        let Some(seat) = self.seat.as_mut() else { return };
        if round.waiting.is_empty() {
            seat.transactions.handle_markers_written(now, round.token, &round.results);
        } else {
            seat.markers.insert(ticket, round);
        }
    }
}
