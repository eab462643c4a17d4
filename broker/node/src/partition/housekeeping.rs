//! Keeping logs small: retention, compaction, idle producers. Runs on the shard's timer.
//!
//! Absent on purpose: removal itself. Files are renamed here and removed by the shell.

use crate::effect::Effect;
use crate::node::{ShardNode, Timer};
use mainstem_platform::Now;
use mainstem_storage::StorageError;

impl ShardNode {
    pub(crate) fn housekeep(&mut self, now: Now) {
        let next = now.instant.plus(self.config.housekeeping_interval);
        self.timers.insert((next, Timer::Housekeeping));
        self.snapshot_metadata(now.wall_ms);
        let mut paths = Vec::new();
        let mut failed = Vec::new();
        // The files of a partition that is being copied stay as they are until it has moved.
        for partition in self.partitions.map.values_mut().filter(|p| p.moving.is_none()) {
            partition.log.expire_producers(now);
            let mut removed = partition.log.apply_retention(now);
            if partition.log.config().cleanup_policy.compact {
                removed = removed.and_then(|mut removed| {
                    removed.extend(partition.log.compact(now)?);
                    Ok(removed)
                });
            }
            match removed {
                Ok(removed) if removed.is_empty() => {}
                // What was rewritten becomes durable with the next commit.
                Ok(removed) => {
                    self.partitions.dirty.insert(partition.key);
                    paths.extend(removed);
                }
                // Old data stays a while longer; the next round tries again.
                Err(error) => {
                    tracing::error!(topic = &*partition.topic, %error, "keep a log small");
                    if let StorageError::Disk { source, .. } = &error
                        && source.kind() != std::io::ErrorKind::StorageFull
                    {
                        failed.push((partition.dir, error.to_string()));
                    }
                }
            }
        }
        for (dir, reason) in failed {
            self.fail_dir(dir, &reason);
        }
        if !paths.is_empty() {
            self.effects.push_back(Effect::Remove { paths });
        }
    }
}
