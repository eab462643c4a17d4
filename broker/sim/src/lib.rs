//! A deterministic world for a whole broker: disk, network and clock from one seed.
//!
//! A [`run`] has the shards of one broker, the very machines that the server runs, on a simulated
//! disk with virtual time. Around them are actors: clients that speak the wire protocol through a
//! network that delays, cuts, and delivers what nobody waits for any more. The power fails, processes
//! are killed, stops are clean, disks fill up and fail; the broker starts again on what the disk has
//! kept. A crash comes at any moment: between events, between two effects of a shard, between two
//! operations of a machine on its disk, in the middle of a recovery. When faults have ended and
//! everything has settled, oracles judge what the clients were told.
//!
//! One seed is one run: [`run`] with the same seed does the same steps on every machine. A run that
//! breaks a rule returns [`Failure`], with the seed, the oracle and the last steps. [`soak`] runs many.
//!
//! What is judged (see `oracle`):
//! - no acknowledged record is lost, none is there twice, each producer's order is kept;
//! - what any reader has seen stays, at its offset, for ever;
//! - transactions are visible whole or not at all, as their producer was told;
//! - a partition has one owner in a group at a time; who lost it cannot commit it;
//! - committed offsets are never older than acknowledged, nor of transactions that are not committed;
//! - what is read, processed and written in transactions is there exactly once, in order;
//! - after the heal everything gets done: no transaction is left open, groups come to their end.
//!
//! Absent: several brokers (there is no replication yet), several log directories, topics that come and
//! go, static members, groups that change their protocol, compaction of anything but the broker's own
//! topics, time that runs backwards.

mod oracle;
mod port;
mod run;
mod schedule;
mod soak;
mod trace;
mod workload;
mod world;

pub use run::{Failure, Planted, Summary, run, run_with};
pub use soak::{Report, soak};
