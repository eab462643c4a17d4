//! Compaction of a shard's logs: which log is next, and the way of a task between log and disk pool.
//!
//! At most one task of a shard is under way: its steps are done by the pool, one after the other, and
//! the log is asked in between. The log that needs it most comes first, as in Kafka: one with a record
//! past its `max.compaction.lag.ms`, else the one with the largest share of dirty bytes.
//!
//! A log that turns out to be damaged is not compacted again before the next start; it is served as
//! before. A disk that fails takes its log directory offline, as a failed sync does.
//!
//! Invariant: no log is compacted while it moves to another directory. A move that is asked for
//! meanwhile begins when the task under way has ended (see `moving`), so a task never comes back to a
//! log that was opened anew.

use super::{Partition, Partitions};
use crate::ask::PartitionKey;
use crate::effect::Effect;
use crate::event::CompactionToken;
use crate::log_dirs::LogDirIndex;
use crate::node::{ShardNode, Timer};
use mainstem_platform::{Now, Random};
use mainstem_storage::{CompactionTask, StorageError};
use std::path::{Path, PathBuf};

/// The task under way.
pub(super) struct Compacting {
    token: CompactionToken,
    key: PartitionKey,
}

impl Partitions {
    /// The log that needs compaction most. An error comes with the directory where it happened.
    fn next_to_compact(
        &mut self,
        now: Now,
    ) -> Result<Option<PartitionKey>, (LogDirIndex, StorageError)> {
        let mut most: Option<(bool, f64, PartitionKey)> = None;
        let resting = |partition: &&mut Partition| partition.moving.is_none();
        for partition in self.map.values_mut().filter(resting) {
            let need =
                partition.log.compaction_need(now).map_err(|error| (partition.dir, error))?;
            let Some(need) = need else { continue };
            let (overdue, ratio) = (need.is_overdue, need.dirty_ratio);
            if most.is_none_or(|(other, least, _)| (other, least) < (overdue, ratio)) {
                most = Some((overdue, ratio, partition.key));
            }
        }
        Ok(most.map(|(_, _, key)| key))
    }

    /// Whether a task of this log is under way.
    pub(super) fn is_compacting(&self, key: &PartitionKey) -> bool {
        self.compacting.as_ref().is_some_and(|compacting| compacting.key == *key)
    }
}

impl ShardNode {
    /// The timer of compaction.
    pub(crate) fn clean(&mut self, now: Now) {
        let next = now.instant.plus(self.config.cleaner_backoff);
        self.timers.insert((next, Timer::Cleaning));
        self.compact_next(now);
    }

    fn compact_next(&mut self, now: Now) {
        if self.partitions.compacting.is_some() {
            return;
        }
        let memory_bytes = self.config.cleaner_dedupe_buffer_bytes / usize::from(self.shard_count);
        let salt = self.random.next_u64();
        let begun = self.partitions.next_to_compact(now).and_then(|key| {
            let Some(key) = key else { return Ok(None) };
            let Some(partition) = self.partitions.map.get_mut(&key) else { return Ok(None) };
            let task = partition.log.begin_compaction(now, memory_bytes, salt);
            let task = task.map_err(|error| (partition.dir, error))?;
            if task.is_none() {
                // Its recovery point must reach the disk first.
                self.partitions.dirty.insert(key);
            }
            Ok(task.map(|task| (key, task)))
        });
        match begun {
            Ok(Some((key, task))) => {
                let token = CompactionToken(self.partitions.last_compaction.0 + 1);
                self.partitions.last_compaction = token;
                self.partitions.compacting = Some(Compacting { token, key });
                self.effects.push_back(Effect::Compact { token, task: Box::new(task) });
            }
            Ok(None) => {}
            Err((dir, error)) => {
                self.storage_failed(dir, "compaction", &error);
            }
        }
    }

    /// The pool has done a step.
    pub(crate) fn handle_compacted(
        &mut self,
        now: Now,
        token: CompactionToken,
        task: Box<CompactionTask>,
        result: Result<(), StorageError>,
    ) {
        let Some(compacting) = self.partitions.compacting.take_if(|it| it.token == token) else {
            return;
        };
        let key = compacting.key;
        // The partition may have been removed or have gone offline meanwhile. What was written is
        // removed with its folder, or at the next start.
        let Some(partition) = self.partitions.map.get_mut(&key) else {
            self.compact_next(now);
            return;
        };
        let (dir, delay_ms) = (partition.dir, partition.log.config().file_delete_delay_ms);
        let went_on = match result {
            Ok(()) => partition.log.continue_compaction(*task),
            Err(error) => Err(error),
        };
        match went_on {
            Ok(went_on) => {
                self.partitions.dirty.insert(key);
                self.remove_later(now, went_on.removed, delay_ms);
                match went_on.task {
                    Some(task) => {
                        self.partitions.compacting = Some(compacting);
                        self.effects.push_back(Effect::Compact { token, task: Box::new(task) });
                    }
                    None => {
                        self.begin_waiting_move(&key);
                        self.compact_next(now);
                    }
                }
            }
            Err(error) => {
                if self.storage_failed(dir, "compaction", &error) {
                    return;
                }
                if let Some(partition) = self.partitions.map.get_mut(&key) {
                    partition.log.give_up_compaction(&error);
                    tracing::error!(topic = &*partition.topic, %error, "compaction is given up");
                }
                self.begin_waiting_move(&key);
            }
        }
    }

    /// Removes files when `file.delete.delay.ms` is over. A stop before that leaves them to the next
    /// start.
    pub(crate) fn remove_later(&mut self, now: Now, paths: Vec<PathBuf>, delay_ms: i64) {
        if paths.is_empty() {
            return;
        }
        let number = self.partitions.next_removal;
        self.partitions.next_removal += 1;
        self.partitions.removals.insert(number, paths);
        let delay = std::time::Duration::from_millis(delay_ms.max(0).unsigned_abs());
        self.timers.insert((now.instant.plus(delay), Timer::Removal(number)));
    }

    /// Files of a folder that goes as a whole need not be removed one by one.
    pub(super) fn forget_removals(&mut self, folder: &Path) {
        self.partitions.removals.retain(|_, paths| {
            paths.retain(|path| !path.starts_with(folder));
            !paths.is_empty()
        });
    }

    /// The delay of some files is over.
    pub(crate) fn handle_removal(&mut self, number: u64) {
        if let Some(paths) = self.partitions.removals.remove(&number) {
            self.effects.push_back(Effect::Remove { paths });
        }
    }
}
