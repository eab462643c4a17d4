//! A whole broker as one machine.
//!
//! A broker is one [`ShardNode`] per shard. A shard takes [`Event`]s (frames of clients, messages
//! of other shards, finished syncs), steps its machines and gives [`Effect`]s back (responses,
//! messages, syncs). The shell around it owns sockets, threads and clocks; the same machine runs
//! in the deterministic simulator.
//!
//! One pass of a shell: drain events through `handle_event`, call `end_pass` once (the group
//! commit of the pass), carry out what `poll_effect` gives until it gives nothing, sleep until the
//! next event or `deadline`, at which `handle_deadline` is called.
//!
//! Reading order: `event`, `effect`, `shard_message` and `ask` are the borders; `node` ties the
//! parts; `session` and `dispatch` turn frames into requests; `api` holds one file per API key,
//! `gather` what those that ask many partitions share; `partition` is the back half that owns
//! logs; `seat` is what only shard zero has: controller, coordinators, registry.
//!
//! Absent on purpose: tokio, sockets, threads, clocks, unordered maps. Files only through `Disk`.

mod api;
mod ask;
mod authorized;
mod cluster;
mod command;
mod config;
mod copy_job;
mod dispatch;
mod effect;
mod event;
mod fetch_session;
mod gather;
mod limits;
mod log_dirs;
mod metrics;
mod node;
mod partition;
mod placement;
mod seat;
mod session;
mod shard_message;
mod stopping;

#[cfg(test)]
mod tests;

pub use command::{LocalCommand, LocalReply};
pub use config::{ConfigProblem, ConfigProblems, FlushPolicy, NodeConfig};
pub use copy_job::{CopyFailure, CopyFault, CopyJob};
pub use effect::{Effect, ResponseSegment, SyncJob};
pub use event::{
    CommandToken, CompactionToken, ConnectionId, CopyToken, Event, ShardIndex, SyncToken,
};
pub use limits::Limits;
pub use metrics::{ApiCounters, MetricsSnapshot};
pub use node::{NodeError, ShardNode};
pub use shard_message::ShardMessage;
