//! What the programs that measure clients have in common: what is asked of them, the settings that
//! all of them use, the values that are sent, and how time, CPU and memory are taken.
//!
//! Each program in `bin/` puts the same loads on a broker through one client, in the way that this
//! client's documentation recommends where throughput matters. It prints one line of JSON, or ends
//! with a message at the first record that is refused or not as it was written. `../clients.py`
//! runs them in turns.
//!
//! Left out on purpose: groups and commits of offsets (the broker's work more than the client's),
//! TLS, more than one broker.

mod measurement;
mod pace;
mod settings;
mod task;
mod values;
mod window;

pub use measurement::{Measurement, Report};
pub use pace::{Arrivals, Pace};
pub use settings::{
    BATCH_BYTES, BUFFER_BYTES, FETCH_BYTES_MAX, FETCH_BYTES_MIN, IN_FLIGHT_MAX, LINGER,
    PARTITION_FETCH_BYTES_MAX, PARTITIONS, POLL, RECORDS_PER_TRANSACTION, REQUEST_BYTES_MAX,
    TRANSACTIONAL_ID,
};
pub use task::{Compression, Load, Task};
pub use values::Values;
pub use window::Window;

/// What a program says when something goes wrong: the text is for whoever runs it.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The partition of the record with this number.
pub fn partition(number: u64) -> i32 {
    i32::try_from(number % u64::from(PARTITIONS)).unwrap_or(0)
}
