//! Building the state from the log, and going on where the last coordinator stopped.
//!
//! The latest record of an id is all that is known of it. What was prepared is driven to its end
//! with markers of the new coordinator epoch; what is ongoing keeps its timeout.

use super::coordinator::{Transaction, TransactionCoordinator, TransactionTimer};
use super::record::decode;
use bytes::Bytes;
use mainstem_platform::Now;
use mainstem_protocol::ids::{Offset, PartitionIndex};
use std::sync::Arc;

impl TransactionTimer {
    pub(super) fn id(&self) -> Option<&Arc<str>> {
        match self {
            Self::Timeout(id) | Self::Markers(id) | Self::Waiters(id) => Some(id),
            Self::Cleanup => None,
        }
    }
}

impl TransactionCoordinator {
    /// One record of a log that is being loaded, in order.
    pub fn load_record(
        &mut self,
        partition: PartitionIndex,
        offset: Offset,
        key: &Bytes,
        value: Option<&Bytes>,
    ) {
        assert!(self.residency.is_loading(partition), "records come between begin and finish");
        let (id, metadata) = match decode(key, value) {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(error) => {
                // One record that nobody can read must not take all ids down with it.
                tracing::error!(%partition, %offset, %error, "skipping an unreadable record");
                return;
            }
        };
        let id: Arc<str> = Arc::from(id);
        match metadata {
            Some(metadata) => {
                self.transactions.insert(id, Transaction::new(metadata));
            }
            None => {
                self.transactions.remove(&id);
            }
        }
    }

    pub(super) fn resume(&mut self, now: Now, partition: PartitionIndex) {
        let here = self.transactions.keys().filter(|id| self.partition_of(id) == partition);
        let here: Vec<Arc<str>> = here.cloned().collect();
        for id in here {
            if self.transactions[&id].metadata.state.is_prepared() {
                self.begin_markers(now, &id);
            } else {
                self.arm_timeout(now, &id);
            }
        }
    }
}
