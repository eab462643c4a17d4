//! The counters of one shard and the snapshot of them that the shell shows.
//!
//! Invariants: counters only grow; gauges are taken when the snapshot is. The snapshot is plain
//! data without names of a metrics library: the shell chooses how to print it.

use mainstem_protocol::{ApiKey, ErrorCode};
use std::collections::BTreeMap;

/// Counters of one API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApiCounters {
    /// Requests dispatched.
    pub requests: u64,
    /// Bytes of request frames, without length prefix.
    pub request_bytes: u64,
    /// Bytes of responses, with length prefix.
    pub response_bytes: u64,
}

/// Everything counted, and the gauges of the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Per API, in the order of their names.
    pub apis: BTreeMap<&'static str, ApiCounters>,
    /// Error codes answered, by Kafka's name of the code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Record batches appended for clients and coordinators.
    pub batches_appended: u64,
    /// Bytes of record batches appended.
    pub bytes_appended: u64,
    /// Bytes of record batches handed to consumers.
    pub bytes_fetched: u64,
    /// Group commits asked of the pool.
    pub syncs: u64,
    /// Requests refused because they could not be read; their connections were closed.
    pub malformed_requests: u64,
    /// Gauge: open connections.
    pub connections: u64,
    /// Gauge: partitions of this shard.
    pub partitions: u64,
    /// Gauge: partitions of this shard that cannot be used until the broker starts again.
    pub partitions_offline: u64,
    /// Gauge: log directories that have failed; every shard counts all of them.
    pub log_dirs_offline: u64,
    /// Gauge: fetch requests waiting for data.
    pub fetches_waiting: u64,
    /// Gauge: open incremental fetch sessions.
    pub fetch_sessions: u64,
    /// Gauge: bytes in the logs of this shard.
    pub log_bytes: u64,
    /// Gauge: bytes that opening these logs had to read and verify: little after any end, nothing
    /// after a clean one.
    pub recovery_scanned_bytes: u64,
    /// Gauge: of the log that took most, how many segments that were. Those that end before the
    /// recovery point are trusted.
    pub recovery_segments_max: u64,
    /// Gauge: producers with an open transaction on a partition of this shard.
    pub open_transactions: u64,
    /// Gauge: partitions with a transaction that its coordinator should have ended long ago:
    /// nothing was written to it for `transaction.max.timeout.ms` and five minutes. It hangs, and
    /// read-committed consumers with it; more than 0 wants an operator.
    pub partitions_with_late_transactions: u64,
    /// Gauge: requests of clients that were begun and not answered yet.
    pub requests_under_way: u64,
}

/// The counting side.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counted: MetricsSnapshot,
}

impl Metrics {
    pub(crate) fn request(&mut self, api: ApiKey, size_bytes: usize) {
        let counters = self.counted.apis.entry(api.name()).or_default();
        counters.requests += 1;
        counters.request_bytes += size_bytes as u64;
    }

    pub(crate) fn response(&mut self, api: ApiKey, size_bytes: usize) {
        let counters = self.counted.apis.entry(api.name()).or_default();
        counters.response_bytes += size_bytes as u64;
    }

    pub(crate) fn error(&mut self, error: ErrorCode) {
        if error != ErrorCode::NONE {
            *self.counted.errors.entry(error.name()).or_default() += 1;
        }
    }

    pub(crate) fn appended(&mut self, batches: u64, size_bytes: usize) {
        self.counted.batches_appended += batches;
        self.counted.bytes_appended += size_bytes as u64;
    }

    pub(crate) fn fetched(&mut self, size_bytes: usize) {
        self.counted.bytes_fetched += size_bytes as u64;
    }

    pub(crate) fn synced(&mut self) {
        self.counted.syncs += 1;
    }

    pub(crate) fn malformed(&mut self) {
        self.counted.malformed_requests += 1;
    }

    /// The counters; the caller fills the gauges in.
    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        self.counted.clone()
    }
}
