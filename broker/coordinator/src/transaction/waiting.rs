//! Partitions that come while their transactional id is busy.
//!
//! A producer writes to several partitions at once, and begins its next transaction while the
//! markers of the last one are being written. To send it away each time would cost it a retry with a
//! pause. So such requests wait a moment: when the id is free, all of them become one record. When
//! the moment is over, they are sent away with `CONCURRENT_TRANSACTIONS` after all.

use super::coordinator::{TransactionCoordinator, TransactionTimer};
use super::partitions::{AddWaiter, Wish};
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use std::sync::Arc;

impl TransactionCoordinator {
    /// Lets a wish wait until the id is free.
    pub(super) fn wait_to_add(&mut self, now: Now, wish: Wish, waiter: AddWaiter) {
        let id: Arc<str> = Arc::from(wish.transactional_id.as_str());
        let most = self.config.add_waiters_max;
        let waiting = self.waiting_adds.entry(Arc::clone(&id)).or_default();
        if most <= waiting.len() {
            return self.added(waiter, Err(ErrorCode::CONCURRENT_TRANSACTIONS));
        }
        if waiting.is_empty() {
            let until = now.instant.plus(self.config.add_wait);
            self.timers.set(TransactionTimer::Waiters(id), until);
        }
        waiting.push((wish, waiter));
    }

    /// Something has come through for the id: if it is free now, those who wait have their turn.
    pub(super) fn serve_waiting(&mut self, now: Now, id: &Arc<str>) {
        let Some(transaction) = self.transactions.get(id) else {
            return self.dismiss_waiting(id, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        };
        if transaction.in_transition || transaction.metadata.state.is_prepared() {
            return;
        }
        let Some(waiting) = self.waiting_adds.remove(id) else { return };
        self.timers.clear(&TransactionTimer::Waiters(Arc::clone(id)));
        let mut groups: Vec<(Wish, Vec<AddWaiter>)> = Vec::new();
        for (wish, waiter) in waiting {
            match groups.iter_mut().find(|(known, _)| known.is_of_same_producer(&wish)) {
                Some((known, waiters)) => {
                    known.partitions.extend(wish.partitions);
                    waiters.push(waiter);
                }
                None => groups.push((wish, vec![waiter])),
            }
        }
        // Only one producer is the present one; the others are answered with what is wrong.
        for (wish, waiters) in groups {
            self.add_for_all(now, &wish, waiters);
        }
    }

    /// The moment is over, or the id is gone.
    pub(super) fn dismiss_waiting(&mut self, id: &Arc<str>, code: ErrorCode) {
        self.timers.clear(&TransactionTimer::Waiters(Arc::clone(id)));
        for (_, waiter) in self.waiting_adds.remove(id).unwrap_or_default() {
            self.added(waiter, Err(code));
        }
    }
}
