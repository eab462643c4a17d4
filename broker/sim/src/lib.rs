//! A deterministic world for a whole broker: disk, network and clock from one seed.
//!
//! A [`World`] runs the shards of one broker, the very machines that the server runs, on a simulated
//! disk with virtual time. Around them are actors: clients that speak the wire protocol through a
//! network that delays, and cuts connections. The power fails, processes are killed, stops are clean;
//! the broker starts again on what the disk has kept. When faults have ended and everything has
//! settled, oracles judge what the clients were told against what the log holds.
//!
//! One seed is one run: [`run`] with the same seed does the same steps on every machine. A run that
//! breaks a rule returns [`Failure`], with the seed and the last steps.
//!
//! What is judged (see `oracle`):
//! - no acknowledged record is lost, none is there twice, each producer's order is kept;
//! - what any reader has seen stays, at its offset, for ever;
//! - transactions are visible whole or not at all, as their producer was told;
//! - after the heal everything gets done and no transaction is left open.
//!
//! Absent: several brokers (there is no replication yet), consumer groups, time that runs backwards.

mod oracle;
mod port;
mod run;
mod schedule;
mod trace;
mod workload;
mod world;

pub use run::{Failure, Planted, Summary, run, run_with};
