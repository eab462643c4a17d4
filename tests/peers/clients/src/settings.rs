//! Settings that all clients get, named as they are in each.

use std::time::Duration;

/// Partitions of each topic; record `i` goes to partition `i % PARTITIONS`.
pub const PARTITIONS: u32 = 6;
/// How long a batch waits for more records, but in `latency`, where nothing waits.
pub const LINGER: Duration = Duration::from_millis(5);
/// A batch is full at this size, before compression.
pub const BATCH_BYTES: usize = 64 * 1024;
/// Produce requests that a connection has under way.
pub const IN_FLIGHT_MAX: usize = 5;
/// What a producer holds that is not acknowledged.
pub const BUFFER_BYTES: usize = 32 * 1024 * 1024;
/// One produce request.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// One partition in a fetch response.
pub const PARTITION_FETCH_BYTES_MAX: usize = 1024 * 1024;
/// One fetch response.
pub const FETCH_BYTES_MAX: usize = 50 * 1024 * 1024;
/// A fetch is answered as soon as there is anything.
pub const FETCH_BYTES_MIN: usize = 1;
/// How long one poll may wait; no load depends upon it.
pub const POLL: Duration = Duration::from_millis(500);
/// Records between two commits.
pub const RECORDS_PER_TRANSACTION: u64 = 100;
pub const TRANSACTIONAL_ID: &str = "client-loads";
