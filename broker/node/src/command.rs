//! What the shell itself may ask of a shard: the schema registry and the numbers.
//!
//! Words: a *command* comes from the HTTP side of the shell, a *reply* goes back to it.
//! Registry commands go to shard zero. Metrics are per shard; the shell adds them up.

use crate::metrics::MetricsSnapshot;

/// A question of the shell.
#[derive(Debug)]
pub enum LocalCommand {
    /// The schema registry; answered when what it writes is durable.
    Registry(mainstem_registry::Command),
    /// All counters and gauges of this shard.
    Metrics,
}

/// The answer.
#[derive(Debug)]
pub enum LocalReply {
    /// Of the registry's machine.
    Registry(mainstem_registry::Reply),
    /// Boxed: it is by far the largest.
    Metrics(Box<MetricsSnapshot>),
    /// The command could not be carried out now (the storage refused, or this is not shard
    /// zero). The shell answers 500 with this text.
    Failed { reason: String },
}
