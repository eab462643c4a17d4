//! The limits and times of group coordination, with Kafka's names and defaults.

use super::consumer::ConsumerGroupConfig;
use std::time::Duration;

/// Settings of a [`super::GroupCoordinator`].
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// Partitions of `__consumer_offsets`; `offsets.topic.num.partitions`.
    pub offsets_partitions: i32,
    /// How long a new group waits for more members; `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`
    pub session_timeout_max: Duration,
    /// Members in one group; `group.max.size`. Kafka has no limit by default; we do.
    pub group_size_max: usize,
    /// Groups that have or had members; beyond it new ones are refused.
    pub groups_max: usize,
    /// Bytes of the text a client may store beside an offset; `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// How long offsets outlive their group's last member; `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval: Duration,
    /// How long a new member may wait in its first join without a heartbeat.
    pub new_member_join_timeout: Duration,
    /// Appends in flight; beyond it writes are refused with `COORDINATOR_NOT_AVAILABLE`.
    pub appends_in_flight_max: usize,
    /// Groups of the consumer protocol.
    pub consumer: ConsumerGroupConfig,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            offsets_partitions: 50,
            initial_rebalance_delay: Duration::from_secs(3),
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(1_800),
            group_size_max: 10_000,
            groups_max: 100_000,
            offset_metadata_bytes_max: 4_096,
            offsets_retention: Duration::from_secs(7 * 24 * 3_600),
            offsets_retention_check_interval: Duration::from_secs(600),
            new_member_join_timeout: Duration::from_secs(300),
            appends_in_flight_max: 10_000,
            consumer: ConsumerGroupConfig::default(),
        }
    }
}
