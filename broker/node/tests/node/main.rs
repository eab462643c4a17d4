//! Tests of the whole machine at wire level: a broker without a shell, on a disk in memory.

mod answers;
mod configs;
mod coordinator_crashes;
mod driver;
mod exactly_once;
mod flush;
mod groups;
mod idempotence;
mod inspection;
mod limits;
mod log_dirs;
mod metadata;
mod metadata_snapshots;
mod moves;
mod offsets;
mod produce_fetch;
mod recovery;
mod registry;
mod sessions;
mod transactions;
mod versions;
