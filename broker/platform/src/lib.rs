//! Doors to the world: time, randomness and the disk.
//!
//! Every machine of Mainstem is a pure function of what it is told, so whatever it wants from the
//! world comes through this crate: `now` as a value, random numbers from a seed, files from a
//! [`Disk`]. There are two worlds behind the doors.
//!
//! - [`os`]: the operating system. It is the only file within the machines' reach that calls it.
//! - [`simulated`]: a disk in memory that forgets what was not synced, tears writes, runs full and
//!   fails a sync on request, all from one seed.
//!
//! Both disks pass the same conformance suite (`tests/conformance.rs`). Absent on purpose: sockets,
//! threads and timers belong to the shells and are never seen by a machine; a machine that has much
//! independent work hands it to [`Workers`] and does not know who does it.

mod disk;
pub mod os;
mod random;
pub mod simulated;
mod time;
mod workers;

pub use disk::{Disk, Entry, File, Mapping, OpenMode, Space, replace_file};
pub use random::{Random, SeededRandom};
pub use time::{Clock, Instant, Now};
pub use workers::{InOrder, Job, Workers};
