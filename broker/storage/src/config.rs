//! The settings of one log: Kafka's topic configs that mean something to storage.
//!
//! Defaults are Kafka's. Values come checked from the owner; relations that storage itself relies on
//! are asserted in [`LogConfig::check`].

use mainstem_protocol::compression::{Compression, Level};

/// Whose time a record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The broker's, stamped into the batch header at append.
    LogAppendTime,
}

/// What may leave the log, and why (`cleanup.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments go by time and size.
    pub delete: bool,
    /// Older values of a key go; records must have keys.
    pub compact: bool,
}

/// How one log behaves. See Kafka's topic configs of the same names.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment is rolled before it would pass this size.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment that is not empty is rolled at this age, which is counted from the
    /// timestamp of its first batch to that of the next one.
    pub segment_ms: i64,
    /// `segment.jitter.ms`: at most so much is taken off that age, by chance, so that partitions which
    /// were begun together do not roll together.
    pub segment_jitter_ms: i64,
    /// `file.delete.delay.ms`: how long files that were dropped stay on the disk. The owner's.
    pub file_delete_delay_ms: i64,
    /// `segment.index.bytes`: preallocated size of each index of the active segment; never less than
    /// two entries.
    pub segment_index_bytes: u32,
    /// `index.interval.bytes`: bytes of log between two index entries.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`: largest batch, as it is stored (compressed).
    pub max_message_bytes: u32,
    /// `retention.ms`; `None` keeps for ever.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`; `None` sets no limit.
    pub retention_bytes: Option<u64>,
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `delete.retention.ms`: how long a tombstone (or the marker of an emptied transaction) stays.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: records younger than this are not compacted.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: records that are older are compacted whatever the dirty ratio.
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`: a larger share of never compacted bytes makes compaction worth it.
    pub min_cleanable_dirty_ratio: f64,
    /// `compression.type`: what batches of clients are stored as; `None` (`producer`) stores them as
    /// they come.
    pub compression: Option<Compression>,
    /// `compression.<codec>.level`, for a batch that is packed anew.
    pub compression_level: Level,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `producer.id.expiration.ms`: how long an idle producer's state is kept.
    pub producer_id_expiration_ms: i64,
    /// Whether batches of clients are looked into, decompressed when they must be. Kafka always
    /// does; a topic may trade the check for speed.
    pub validate_records: bool,
    /// Largest size a batch may take when decompressed: the bound on a hostile batch.
    pub decompressed_bytes_max: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            file_delete_delay_ms: 60_000,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            max_message_bytes: (1 << 20) + 12,
            retention_ms: Some(7 * 24 * 3_600_000),
            retention_bytes: None,
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            delete_retention_ms: 24 * 3_600_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            compression: None,
            compression_level: Level::DEFAULT,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            producer_id_expiration_ms: 24 * 3_600_000,
            validate_records: true,
            decompressed_bytes_max: 64 << 20,
        }
    }
}

impl LogConfig {
    /// The age at which a segment is rolled: a compacted log must not keep records in the active
    /// segment, where they are not compacted, for longer than `max.compaction.lag.ms`.
    pub(crate) fn segment_age_max_ms(&self) -> i64 {
        if self.cleanup_policy.compact && 0 < self.max_compaction_lag_ms {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }

    /// Asserts what the code below relies on.
    ///
    /// # Panics
    /// When a relation does not hold: the owner has let a bad value through.
    pub(crate) fn check(&self) {
        assert!(self.segment_bytes <= i32::MAX as u32, "index positions are 32 bits with a sign");
        assert!(self.max_message_bytes >= 61, "a batch header alone takes 61 bytes");
    }
}
