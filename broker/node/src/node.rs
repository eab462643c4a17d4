//! One shard of a broker: the struct that ties the parts, and the order of a pass.

use crate::config::NodeConfig;
use crate::effect::Effect;
use crate::event::{Event, ShardIndex};
use mainstem_platform::{Disk, Instant, Now};
use std::collections::VecDeque;
use std::sync::Arc;

/// Why a shard could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration is wrong; nothing was touched. Show it and stop.
    #[error("{0}")]
    Config(#[from] crate::config::ConfigProblems),
    /// The log directory belongs to another cluster or broker, or cannot be read. Stop: an
    /// operator must look.
    #[error("{0}")]
    LogDir(String),
    /// A log could not be opened. Stop: nothing was deleted.
    #[error("open {path}: {problem}")]
    Log { path: String, problem: String },
}

/// One shard of a broker. See the crate's documentation for how a shell drives it.
pub struct ShardNode {
    effects: VecDeque<Effect>,
}

impl ShardNode {
    /// Opens shard `shard` of `shard_count` upon `config.log_dir` of `disk`. Blocks while it reads
    /// logs. `seed` is the shard's only source of randomness.
    pub fn open(
        config: Arc<NodeConfig>,
        shard: ShardIndex,
        shard_count: u16,
        disk: Arc<dyn Disk>,
        seed: u64,
        now: Now,
    ) -> Result<ShardNode, NodeError> {
        let _ = (config, shard, shard_count, disk, seed, now);
        Ok(ShardNode {
            effects: VecDeque::new(),
        })
    }

    /// Something happened.
    pub fn handle_event(&mut self, _now: Now, _event: Event) {}

    /// All events of a pass were handled: group commit.
    pub fn end_pass(&mut self, _now: Now) {}

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When `handle_deadline` is to be called, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has come. Call `end_pass` afterwards as after events.
    pub fn handle_deadline(&mut self, _now: Now) {}
}
