//! Transactions that their client forgot, and ids that nobody uses.

use super::append::Then;
use super::coordinator::{TransactionCoordinator, TransactionTimer};
use super::state::{ClientVersion, TransactionState};
use mainstem_platform::Now;
use mainstem_protocol::ids::ProducerEpoch;
use std::sync::Arc;
use std::time::Duration;

/// Sees to it that unused ids are looked for in time.
pub(super) fn arm_cleanup(coordinator: &mut TransactionCoordinator, now: Now) {
    let until = now.instant.plus(coordinator.config.transactional_id_cleanup_interval);
    coordinator.timers.set(TransactionTimer::Cleanup, until);
}

impl TransactionCoordinator {
    /// Sets or clears the id's timeout, by its state. Wall time says when the transaction began,
    /// because that outlives a crash; from here on the monotonic clock runs.
    pub(super) fn arm_timeout(&mut self, now: Now, id: &Arc<str>) {
        let timer = TransactionTimer::Timeout(Arc::clone(id));
        let Some(transaction) = self.transactions.get(id) else {
            return self.timers.clear(&timer);
        };
        let metadata = &transaction.metadata;
        if metadata.state != TransactionState::Ongoing {
            return self.timers.clear(&timer);
        }
        let due_ms = metadata.start_ms.saturating_add(metadata.timeout_ms.into());
        // A wall clock that was set back must not prolong a transaction beyond its timeout.
        let most_ms = i64::from(metadata.timeout_ms.max(0));
        let left_ms = due_ms.saturating_sub(now.wall_ms).clamp(0, most_ms);
        let left = Duration::from_millis(left_ms.unsigned_abs());
        self.timers.set(timer, now.instant.plus(left));
    }

    pub(super) fn time_is_up(&mut self, now: Now, id: &Arc<str>) {
        let Some(transaction) = self.transactions.get(id) else { return };
        let metadata = &transaction.metadata;
        if metadata.state != TransactionState::Ongoing {
            return;
        }
        let later = now.instant.plus(self.config.marker_retry_delay);
        if transaction.in_transition {
            // Its client is just changing it; look again when that is through.
            return self.timers.set(TransactionTimer::Timeout(Arc::clone(id)), later);
        }
        // With version 2 the client may go on under the raised epoch: nobody else has taken the id.
        let last = match metadata.client_version {
            ClientVersion::V1 => ProducerEpoch::NONE,
            ClientVersion::V2 => metadata.producer_epoch,
        };
        let next = metadata.fenced(last, now.wall_ms);
        if self.transition(id, Some(next), Then::Fenced { to: None }).is_err() {
            self.timers.set(TransactionTimer::Timeout(Arc::clone(id)), later);
        }
    }

    /// Forgets ids at rest that were not touched for the time of their expiration.
    pub(super) fn clean_up(&mut self, now: Now) {
        let most_ms = i64::try_from(self.config.transactional_id_expiration.as_millis());
        let most_ms = most_ms.unwrap_or(i64::MAX);
        let unused: Vec<Arc<str>> = self
            .transactions
            .iter()
            .filter(|(_, transaction)| {
                let metadata = &transaction.metadata;
                !transaction.in_transition
                    && metadata.state.is_at_rest()
                    && most_ms <= now.wall_ms.saturating_sub(metadata.update_ms)
            })
            .map(|(id, _)| Arc::clone(id))
            .collect();
        for id in unused {
            // What does not get through now is found again by the next look.
            let is_served = self.residency.check(self.partition_of(&id)).is_ok();
            if is_served && self.transition(&id, None, Then::Forgotten).is_err() {
                break;
            }
        }
        arm_cleanup(self, now);
    }
}
