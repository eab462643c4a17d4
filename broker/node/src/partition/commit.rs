//! Group commit: what a pass appended becomes durable together, and the high watermark follows.
//!
//! At the end of a pass all partitions with new batches go into one sync job for each log
//! directory. While it runs, new appends gather; the next job takes all of them. So the rate of
//! syncs follows the disk, and the size of a group follows the load.
//!
//! Invariants:
//! - At most one job of a directory is under way; a slow directory holds no other one up.
//! - With `flush=commit` the high watermark moves only by a finished job; with `flush=os` it moves
//!   at the end of the pass, and only closed segments are synced, in the background. What
//!   `flush.messages` and `flush.ms` add to that is in `flush`.
//! - A failed job takes its directory offline. It is not retried: the kernel may have dropped the
//!   pages.

use super::Partition;
use crate::ask::PartitionKey;
use crate::effect::{Effect, SyncJob};
use crate::event::SyncToken;
use crate::log_dirs::LogDirIndex;
use crate::node::ShardNode;
use mainstem_metadata::config::FlushPolicy;
use mainstem_platform::Now;
use mainstem_protocol::Offset;
use mainstem_storage::{SyncReceipt, SyncTask};
use std::collections::BTreeMap;

/// A job under way.
pub(super) struct Syncing {
    token: SyncToken,
    receipts: Vec<(PartitionKey, SyncReceipt)>,
}

impl Syncing {
    /// Whether a partition waits for this job.
    pub(super) fn holds(&self, key: &PartitionKey) -> bool {
        self.receipts.iter().any(|(of, _)| of == key)
    }

    /// A partition is gone, or its log is another one now.
    pub(super) fn forget(&mut self, key: &PartitionKey) {
        self.receipts.retain(|(of, _)| of != key);
    }
}

/// What a dirty partition wants at the end of a pass.
struct Wish {
    /// The high watermark may move here now.
    committed: Option<Offset>,
    task: Option<SyncTask>,
    /// Another sync is wanted when the one under way is over.
    again: bool,
}

impl Partition {
    fn wish(&mut self, now: Now, may_sync: bool) -> Wish {
        let end = self.log.log_end_offset();
        self.unsynced.found(now.instant, self.log.synced_offset(), end);
        let full = self.is_flush_full();
        let wanted = match self.flush.policy {
            FlushPolicy::Commit => true,
            FlushPolicy::Os => full || self.is_flush_late(now.instant),
        };
        let task = match (may_sync, wanted) {
            (true, true) => {
                self.unsynced.asked(end);
                self.log.unsynced()
            }
            (true, false) => self.log.unsynced_closed(),
            (false, _) => None,
        };
        let committed = match self.flush.policy {
            FlushPolicy::Commit => may_sync && task.is_none(),
            FlushPolicy::Os => !full,
        };
        Wish { committed: committed.then_some(end), task, again: wanted && !may_sync }
    }
}

/// The tasks of one directory and what proves them.
#[derive(Default)]
struct Group {
    tasks: Vec<SyncTask>,
    receipts: Vec<(PartitionKey, SyncReceipt)>,
}

impl ShardNode {
    /// Commits what the pass appended, or leaves it to the next commit while one is under way.
    pub(crate) fn commit_pass(&mut self, now: Now) {
        self.write_all_accepted(now);
        if self.partitions.dirty.is_empty() {
            return;
        }
        let dirty = std::mem::take(&mut self.partitions.dirty);
        let mut groups: BTreeMap<LogDirIndex, Group> = BTreeMap::new();
        let mut committed = Vec::new();
        for key in dirty {
            let Some(partition) = self.partitions.map.get_mut(&key) else { continue };
            let dir = partition.dir;
            let may_sync = !self.partitions.syncing.contains_key(&dir);
            let wish = partition.wish(now, may_sync);
            if wish.again {
                self.partitions.dirty.insert(key);
            }
            self.set_flush_timer(now.instant, &key);
            committed.extend(wish.committed.map(|offset| (key, offset)));
            if let Some(task) = wish.task {
                let group = groups.entry(dir).or_default();
                group.receipts.push((key, task.receipt));
                group.tasks.push(task);
            }
        }
        for (dir, Group { tasks, receipts }) in groups {
            let token = SyncToken(self.partitions.last_sync.0 + 1);
            self.partitions.last_sync = token;
            self.partitions.syncing.insert(dir, Syncing { token, receipts });
            self.metrics.synced();
            self.effects.push_back(Effect::Sync { token, job: SyncJob { tasks } });
        }
        for (key, offset) in committed {
            self.commit(now, &key, offset);
        }
    }

    /// A job is over.
    pub(crate) fn handle_synced(&mut self, now: Now, token: SyncToken, result: Result<(), String>) {
        let of_token = |(_, syncing): &(&LogDirIndex, &Syncing)| syncing.token == token;
        let Some(dir) = self.partitions.syncing.iter().find(of_token).map(|(dir, _)| *dir) else {
            return;
        };
        let Some(syncing) = self.partitions.syncing.remove(&dir) else { return };
        if let Err(reason) = result {
            self.fail_dir(dir, &reason);
            return;
        }
        for (key, receipt) in syncing.receipts {
            let Some(partition) = self.partitions.map.get_mut(&key) else { continue };
            if let Err(error) = partition.log.synced(receipt)
                && self.storage_failed(dir, "write a recovery point", &error)
            {
                return;
            }
            self.commit(now, &key, receipt.up_to);
        }
        self.end_waiting_moves(now, dir);
    }

    /// Everything before `offset` counts as written: answers leave, fetches see it.
    pub(crate) fn commit(&mut self, _: Now, key: &PartitionKey, offset: Offset) {
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        partition.log.set_high_watermark(offset);
        let high_watermark = partition.log.high_watermark();
        let mut over = Vec::new();
        while partition.waits.front().is_some_and(|(at, _)| *at <= high_watermark) {
            over.extend(partition.waits.pop_front().map(|(_, then)| then));
        }
        for then in over {
            self.then(then);
        }
        self.wake_watchers(key);
    }
}
