//! Keeping logs small: retention and idle producers. Runs on the shard's timer.
//!
//! Absent on purpose: compaction, which takes its time, and removal itself. Files are renamed here and
//! removed by the shell.

use crate::node::{ShardNode, Timer};
use mainstem_platform::Now;

impl ShardNode {
    pub(crate) fn housekeep(&mut self, now: Now) {
        let next = now.instant.plus(self.config.housekeeping_interval);
        self.timers.insert((next, Timer::Housekeeping));
        self.snapshot_metadata(now.wall_ms);
        let mut gone = Vec::new();
        let mut failed = Vec::new();
        // The files of a partition that is being copied stay as they are until it has moved.
        for partition in self.partitions.map.values_mut().filter(|p| p.moving.is_none()) {
            partition.log.expire_producers(now);
            match partition.log.apply_retention(now) {
                Ok(removed) if removed.is_empty() => {}
                // The log's new start becomes durable with the next commit.
                Ok(removed) => {
                    self.partitions.dirty.insert(partition.key);
                    gone.push((removed, partition.log.config().file_delete_delay_ms));
                }
                // Old data stays a while longer; the next round tries again.
                Err(error) => failed.push((partition.dir, error)),
            }
        }
        for (dir, error) in failed {
            self.storage_failed(dir, "keep a log small", &error);
        }
        for (paths, delay_ms) in gone {
            self.remove_later(now, paths, delay_ms);
        }
    }
}
