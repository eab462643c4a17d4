//! Every limit of the Connect worker, in one place.
//!
//! A plugin is somebody else's program: it gets memory, time and bytes by the spoon, and exceeding
//! any of them costs the plugin its task, never the worker.

use std::time::Duration;

/// Linear memory of one task. Most need a few MiB; one that sorts a file holds it. Untouched pages
/// cost nothing.
pub(crate) const GUEST_MEMORY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes that one call may pass from guest to host: a full batch and its columns, with room.
pub(crate) const GUEST_CALL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Entries of a guest's tables; a Rust component needs a few hundred.
pub(crate) const GUEST_TABLE_ELEMENTS_MAX: usize = 100_000;
/// Resource handles (open files, tasks) of one guest.
pub(crate) const GUEST_HANDLES_MAX: usize = 1_000;

/// How often running guests are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(10);
/// Time that one call into a guest may compute. Waiting in the host does not count.
pub(crate) const CALL_COMPUTE_MAX: Duration = Duration::from_secs(30);
/// The same for describing and validating, which somebody waits for.
pub(crate) const DESCRIBE_COMPUTE_MAX: Duration = Duration::from_secs(2);
/// Longest `clock.sleep-ms`.
pub(crate) const GUEST_SLEEP_MAX: Duration = Duration::from_secs(1);

/// Longest log line of a guest, and of a trace kept in a status.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Names of counters and gauges per task.
pub(crate) const METRIC_NAMES_MAX: usize = 64;
/// Bytes of one `files.reader.read`.
pub(crate) const FILE_READ_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// Entries of one `files.entries`.
pub(crate) const DIRECTORY_ENTRIES_MAX: usize = 10_000;
/// Keys and bytes of a task's private state.
pub(crate) const STATE_KEYS_MAX: usize = 10_000;
pub(crate) const STATE_VALUE_BYTES_MAX: usize = 512 * 1024;

/// Records and arena bytes of one poll of a source.
pub(crate) const POLL_RECORDS_MAX: u32 = 4_000;
pub(crate) const POLL_BYTES_MAX: u32 = 1024 * 1024;
/// Records in one source transaction before it is committed.
pub(crate) const TRANSACTION_RECORDS_MAX: usize = 50_000;
/// Records handed to a sink in one `put`.
pub(crate) const PUT_RECORDS_MAX: usize = 4_000;

/// After this time without a heartbeat a sink's partitions go to a new task. A worker that was killed
/// is back within a second and then waits for just this; brokers allow no less than 6 seconds.
pub(crate) const SINK_SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// Largest component file.
pub(crate) const PLUGIN_BYTES_MAX: u64 = 64 * 1024 * 1024;
pub(crate) const PLUGINS_MAX: usize = 1_000;
pub(crate) const CONNECTORS_MAX: usize = 10_000;
pub(crate) const TASKS_PER_CONNECTOR_MAX: u32 = 1_000;
pub(crate) const CONFIG_BYTES_MAX: usize = 256 * 1024;
/// Commands waiting for the worker.
pub(crate) const COMMANDS_WAITING_MAX: usize = 256;
/// How long a REST request waits for the worker, as in Kafka Connect.
pub(crate) const REQUEST_WAIT_MAX: Duration = Duration::from_secs(90);

/// Starts of a failed task after a passing error, before it stays failed.
pub(crate) const RESTARTS_MAX: u32 = 10;
/// Longest pause before a restart.
pub(crate) const RESTART_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long a task may take to end after it was told to.
pub(crate) const STOP_WAIT_MAX: Duration = Duration::from_secs(10);

// A batch must fit into the guest that builds it, twice: once as arena, once while it is handed
// over.
const _: () = assert!(3 * (POLL_BYTES_MAX as usize) < GUEST_MEMORY_BYTES_MAX);
const _: () = assert!(FILE_READ_BYTES_MAX as usize * 4 < GUEST_MEMORY_BYTES_MAX);
