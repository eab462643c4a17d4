//! Every fixed limit of the client, with the reason for its size.

use std::time::Duration;

/// A frame from a broker that announces more is refused before anything is reserved. Larger than
/// any fetch that a config allows, smaller than what would hurt a small machine.
pub(crate) const FRAME_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Requests that wait for an answer on one connection. Machines stay far below; it bounds the
/// shell's queue to the socket.
pub(crate) const REQUESTS_IN_FLIGHT_MAX: usize = 64;

/// Events from all sockets that wait for the driver. A full queue stops reading from sockets.
pub(crate) const NET_EVENTS_MAX: usize = 64;

/// Time for a connection, TLS included, and for the exchange of versions.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// First wait after a failed connection, doubled for each further failure.
pub(crate) const RECONNECT_BACKOFF: Duration = Duration::from_millis(50);
pub(crate) const RECONNECT_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// First wait before a request is made again, doubled for each further failure.
pub(crate) const RETRY_BACKOFF: Duration = Duration::from_millis(100);
pub(crate) const RETRY_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// A transaction is briefly not ready for its next request while the previous one's markers are
/// written; that takes milliseconds, so the wait is shorter.
pub(crate) const CONCURRENT_TRANSACTIONS_BACKOFF: Duration = Duration::from_millis(10);

/// Age at which metadata is asked for again without a reason.
pub(crate) const METADATA_AGE_MAX: Duration = Duration::from_secs(300);

/// Batches of one partition that the broker remembers per idempotent producer; with more of them
/// unacknowledged a duplicate could not be told from a gap.
pub(crate) const UNACKED_BATCHES_PER_PARTITION: usize = 5;

/// What one batch may grow to when it is decompressed, as a multiple of the frame limit.
pub(crate) const BATCH_UNCOMPRESSED_BYTES_MAX: usize = FRAME_BYTES_MAX;

/// Operations (commits, lookups, ...) of one client that wait for their answer.
pub(crate) const OPERATIONS_MAX: usize = 10_000;

/// Topics that one client may follow; forgotten first when unused.
pub(crate) const TOPICS_MAX: usize = 10_000;

/// Time for all of an authentication.
pub(crate) const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(10);

/// The part of it that a token provider may take; shorter, so that its silence can be told.
pub(crate) const TOKEN_TIMEOUT: Duration = Duration::from_secs(8);

/// What a broker may say in one step of SASL: SCRAM takes some hundred bytes, OAUTHBEARER's
/// reasons a few more.
pub(crate) const SASL_TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Longest reason of a broker that an error repeats.
pub(crate) const SASL_REASON_CHARS_MAX: usize = 1_000;

/// What a broker may ask of SCRAM. The RFC wants no fewer; Kafka stores no more than 16,384, and
/// this many take a moment and not more.
pub(crate) const SCRAM_ITERATIONS_MIN: u32 = 4_096;
pub(crate) const SCRAM_ITERATIONS_MAX: u32 = 100_000;

/// A PEM file with certificates or a key.
#[cfg(feature = "tls")]
pub(crate) const PEM_BYTES_MAX: u64 = 16 * 1024 * 1024;

const _: () = assert!(RECONNECT_BACKOFF.as_millis() <= RECONNECT_BACKOFF_MAX.as_millis());
const _: () = assert!(TOKEN_TIMEOUT.as_millis() < AUTHENTICATION_TIMEOUT.as_millis());
const _: () = assert!(RETRY_BACKOFF.as_millis() <= RETRY_BACKOFF_MAX.as_millis());
