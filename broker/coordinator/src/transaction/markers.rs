//! From Prepare to Complete: a marker on every partition, then the record that says so.
//!
//! A round of markers is repeated until every partition has its own. Partitions that are gone need
//! none. A partition that knows a later epoch of the producer has ended this transaction already.
//! When the last one has answered, the Complete record is written; if that fails, it is written
//! again. Nothing of this depends on the client.

use super::append::Then;
use super::coordinator::{TransactionCoordinator, TransactionTimer};
use super::state::Outcome;
use super::{MarkerToken, Markers, TransactionEffect};
use crate::log::TopicPartition;
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where the markers of an id stand.
#[derive(Debug)]
pub(super) struct Round {
    token: MarkerToken,
    /// Partitions that have no marker yet.
    open: BTreeSet<TopicPartition>,
}

impl Round {
    /// Partitions that have no marker yet.
    pub(super) fn open(&self) -> &BTreeSet<TopicPartition> {
        &self.open
    }
}

impl TransactionCoordinator {
    /// The outcome of an id is durable: see that every partition hears of it.
    pub(super) fn begin_markers(&mut self, now: Now, id: &Arc<str>) {
        let Some(transaction) = self.transactions.get(id) else { return };
        let open = transaction.metadata.partitions.clone();
        self.send_markers(now, id, open);
    }

    fn send_markers(&mut self, now: Now, id: &Arc<str>, open: BTreeSet<TopicPartition>) {
        self.end_round(id);
        if open.is_empty() {
            return self.complete(now, id);
        }
        let Some(coordinator_epoch) = self.residency.epoch(self.partition_of(id)) else { return };
        let token = MarkerToken(self.fresh_token());
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let metadata = &transaction.metadata;
        let outcome = metadata.outcome().expect("markers follow a decision");
        let markers = Markers {
            token,
            partitions: open.iter().cloned().collect(),
            producer_id: metadata.producer_id,
            producer_epoch: metadata.producer_epoch,
            commit: outcome == Outcome::Commit,
            coordinator_epoch,
            transaction_version: metadata.client_version.number(),
        };
        transaction.round = Some(Round { token, open });
        self.rounds.insert(token, Arc::clone(id));
        self.emit(TransactionEffect::WriteMarkers(markers));
    }

    fn end_round(&mut self, id: &Arc<str>) {
        let transaction = self.transactions.get_mut(id);
        if let Some(round) = transaction.and_then(|transaction| transaction.round.take()) {
            self.rounds.remove(&round.token);
        }
    }

    /// The partitions of a round have answered, each with `NONE` or an error. Tokens of rounds that
    /// were forgotten are ignored.
    pub fn handle_markers_written(
        &mut self,
        now: Now,
        token: MarkerToken,
        results: &[(TopicPartition, ErrorCode)],
    ) {
        let Some(id) = self.rounds.remove(&token) else { return };
        let Some(transaction) = self.transactions.get_mut(&id) else { return };
        let Some(round) = &mut transaction.round else { return };
        let mut is_fenced = false;
        for (partition, code) in results {
            match *code {
                ErrorCode::NONE
                | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                | ErrorCode::UNKNOWN_TOPIC_ID
                | ErrorCode::INVALID_PRODUCER_EPOCH => {
                    round.open.remove(partition);
                }
                ErrorCode::TRANSACTION_COORDINATOR_FENCED => is_fenced = true,
                _ => {}
            }
        }
        if round.open.is_empty() {
            transaction.round = None;
            self.complete(now, &id);
        } else if is_fenced {
            // Another coordinator drives this id now. It will also write the record.
            tracing::warn!(%id, "markers were fenced by a newer coordinator");
        } else {
            let until = now.instant.plus(self.config.marker_retry_delay);
            self.timers.set(TransactionTimer::Markers(id), until);
        }
    }

    pub(super) fn retry_markers(&mut self, now: Now, id: &Arc<str>) {
        let Some(transaction) = self.transactions.get(id) else { return };
        if transaction.in_transition || !transaction.metadata.state.is_prepared() {
            return;
        }
        let open = transaction.round.as_ref().map(|round| round.open.clone());
        self.send_markers(now, id, open.unwrap_or_default());
    }

    fn complete(&mut self, now: Now, id: &Arc<str>) {
        let Some(transaction) = self.transactions.get(id) else { return };
        if transaction.in_transition || !transaction.metadata.state.is_prepared() {
            return;
        }
        let next = transaction.metadata.completed(now.wall_ms);
        if self.transition(id, Some(next), Then::Completed).is_err() {
            self.complete_later(now, id);
        }
    }

    /// All markers are written, their record is not.
    pub(super) fn complete_later(&mut self, now: Now, id: &Arc<str>) {
        let until = now.instant.plus(self.config.marker_retry_delay);
        self.timers.set(TransactionTimer::Markers(Arc::clone(id)), until);
    }
}
