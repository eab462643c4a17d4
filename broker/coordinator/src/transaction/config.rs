//! The limits and times of transactions, with Kafka's names and defaults.

use std::time::Duration;

/// Settings of a [`super::TransactionCoordinator`].
#[derive(Debug, Clone)]
pub struct TransactionConfig {
    /// Partitions of `__transaction_state`; `transaction.state.log.num.partitions`.
    pub state_partitions: i32,
    /// Partitions of `__consumer_offsets`, to know where a group's offsets go.
    pub offsets_partitions: i32,
    /// The longest a client may keep a transaction open; `transaction.max.timeout.ms`.
    pub transaction_timeout_max: Duration,
    /// Transactional ids unused for longer are forgotten; `transactional.id.expiration.ms`.
    pub transactional_id_expiration: Duration,
    /// How often to look for them.
    pub transactional_id_cleanup_interval: Duration,
    /// Pause before markers that could not be written are tried again.
    pub marker_retry_delay: Duration,
    /// How long partitions may wait for their transactional id to be free before the client is told
    /// to come again; `add.partitions.to.txn.retry.backoff.max.ms`.
    pub add_wait: Duration,
    /// Requests that may wait so for one transactional id.
    pub add_waiters_max: usize,
    /// Appends in flight; beyond it writes are refused with `COORDINATOR_NOT_AVAILABLE`.
    pub appends_in_flight_max: usize,
    /// Requests that wait for a block of producer ids.
    pub id_waiters_max: usize,
    /// Transactional ids that are remembered; beyond it new ones are refused.
    pub transactional_ids_max: usize,
    /// Partitions that one transaction may touch.
    pub partitions_per_transaction_max: usize,
}

impl Default for TransactionConfig {
    fn default() -> Self {
        Self {
            state_partitions: 50,
            offsets_partitions: 50,
            transaction_timeout_max: Duration::from_secs(900),
            transactional_id_expiration: Duration::from_secs(7 * 24 * 3_600),
            transactional_id_cleanup_interval: Duration::from_secs(3_600),
            marker_retry_delay: Duration::from_millis(100),
            add_wait: Duration::from_millis(100),
            add_waiters_max: 1_000,
            appends_in_flight_max: 10_000,
            id_waiters_max: 10_000,
            transactional_ids_max: 1_000_000,
            partitions_per_transaction_max: 20_000,
        }
    }
}
