//! When a disk fails: a log directory goes offline with all its partitions, or one partition alone.
//!
//! Words: an *offline* partition exists and cannot be used until the broker starts again. It
//! answers KAFKA_STORAGE_ERROR. One that only found no room when it was opened is tried again, see
//! `opening`.
//!
//! Invariants:
//! - Nothing is tried again in a directory after a failed write or sync. One that is full has not
//!   failed: a write that finds no room is refused and leaves the log as it was, so the directory
//!   stays online, where retention, deletions and moves can make room.
//! - Everybody who waits for an offline partition is answered, and nobody with a yes.
//! - All shards know all offline partitions, since Metadata is answered on any of them.
//! - Without the directory of the metadata log there is no broker: then it halts. That directory is
//!   always the last one that may fail.

use super::{Offline, Partition, Then};
use crate::ask::{PartitionKey, Told};
use crate::cluster::{GROUP_TOPIC, TRANSACTION_TOPIC};
use crate::effect::Effect;
use crate::event::ShardIndex;
use crate::log_dirs::LogDirIndex;
use crate::node::ShardNode;
use crate::shard_message::ShardMessage;
use mainstem_protocol::ErrorCode;
use mainstem_storage::StorageError;

impl ShardNode {
    /// A write or a sync in a directory has failed.
    pub(crate) fn fail_dir(&mut self, dir: LogDirIndex, reason: &str) {
        if self.over || !self.dirs.fail(dir) {
            return;
        }
        let path = self.dirs.path(dir).display().to_string();
        if dir == LogDirIndex::FIRST {
            self.halt(format!("log directory {path}, which holds the metadata, failed: {reason}"));
            return;
        }
        tracing::error!(path, reason, "a log directory goes offline");
        self.tell_shards(|| ShardMessage::DirFailed { dir });
        self.leave_dir(dir);
    }

    /// Something went wrong with files of a directory that is beside the point of what is answered.
    /// Takes the directory offline when its disk failed, and says whether it did.
    pub(crate) fn storage_failed(
        &mut self,
        dir: LogDirIndex,
        action: &str,
        error: &StorageError,
    ) -> bool {
        if error.is_disk_failure() {
            self.fail_dir(dir, &format!("{action}: {error}"));
            return true;
        }
        tracing::error!(action, %error, "is left undone");
        false
    }

    /// Another shard has seen a directory fail.
    pub(crate) fn handle_dir_failed(&mut self, dir: LogDirIndex) {
        if self.dirs.fail(dir) {
            self.leave_dir(dir);
        }
    }

    fn leave_dir(&mut self, dir: LogDirIndex) {
        self.partitions.syncing.remove(&dir);
        let here = |partition: &&Partition| partition.dir == dir;
        let keys: Vec<PartitionKey> =
            self.partitions.map.values().filter(here).map(|partition| partition.key).collect();
        for key in &keys {
            self.detach(key);
        }
        self.tell_offline(&keys);
        self.forget_moves_to(dir);
    }

    /// One partition cannot be used any more; its directory can.
    pub(crate) fn take_offline(&mut self, key: &PartitionKey, reason: &str) {
        let Some(partition) = self.partitions.map.get(key) else { return };
        let topic = &*partition.topic;
        tracing::error!(topic, partition = key.partition.0, reason, "a partition goes offline");
        self.detach(key);
        self.tell_offline(&[*key]);
    }

    /// Lets a partition go and answers all who wait for it.
    fn detach(&mut self, key: &PartitionKey) {
        let Some(partition) = self.partitions.map.remove(key) else { return };
        let topic = partition.topic.clone();
        let offline = Offline { topic, dir: partition.dir, wants_room: false };
        self.partitions.offline.insert(*key, offline);
        if let Some(seat) = self.seat.as_mut() {
            match &*partition.topic {
                GROUP_TOPIC => seat.groups.resign(key.partition),
                TRANSACTION_TOPIC => seat.transactions.resign(key.partition),
                _ => {}
            }
        }
        self.drop_future(&partition);
        self.dismiss(partition, ErrorCode::KAFKA_STORAGE_ERROR);
    }

    /// Answers all who wait for a partition that is gone.
    pub(super) fn dismiss(&mut self, mut partition: Partition, error: ErrorCode) {
        self.partitions.dirty.remove(&partition.key);
        self.drop_flush_timer(&mut partition);
        for syncing in self.partitions.syncing.values_mut() {
            syncing.forget(&partition.key);
        }
        for (asker, slot) in partition.take_unverified() {
            self.tell(asker, Told::Appended(super::append::refused(slot, error, None)));
        }
        self.refuse_unwritten(&mut partition, error);
        for (_, then) in std::mem::take(&mut partition.waits) {
            self.refuse_then(then, error);
        }
        self.wake_all_watchers(&partition);
    }

    /// What was to happen after an append does not happen.
    pub(super) fn refuse_then(&mut self, then: Then, error: ErrorCode) {
        match then {
            Then::Tell(asker, Told::Appended(outcome)) => {
                let refused = super::append::refused(outcome.slot, error, None);
                self.tell(asker, Told::Appended(refused));
            }
            Then::Tell(asker, Told::Marked { key, .. }) => {
                self.tell(asker, Told::Marked { key, error });
            }
            Then::Tell(asker, told) => self.tell(asker, told),
            Then::Seat(then) => self.refuse_seat(*then, error),
        }
    }

    /// Why a partition of this shard is not open.
    pub(crate) fn absence(&self, key: &PartitionKey) -> ErrorCode {
        match self.partitions.offline.contains_key(key) {
            true => ErrorCode::KAFKA_STORAGE_ERROR,
            false => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        }
    }

    /// Whether a partition of any shard is offline.
    pub(crate) fn is_offline(&self, key: &PartitionKey) -> bool {
        self.partitions.offline.contains_key(key) || self.partitions.offline_elsewhere.contains(key)
    }

    /// Lets the other shards know.
    pub(super) fn tell_offline(&mut self, keys: &[PartitionKey]) {
        if !keys.is_empty() {
            self.tell_shards(|| ShardMessage::WentOffline(keys.to_vec()));
        }
    }

    /// Partitions of another shard went offline.
    pub(crate) fn handle_went_offline(&mut self, keys: Vec<PartitionKey>) {
        self.partitions.offline_elsewhere.extend(keys);
    }

    /// Partitions of another shard found room.
    pub(crate) fn handle_came_online(&mut self, keys: &[PartitionKey]) {
        for key in keys {
            self.partitions.offline_elsewhere.remove(key);
        }
    }

    /// Says something to all other shards.
    pub(crate) fn tell_shards(&mut self, message: impl Fn() -> ShardMessage) {
        let others = (0..self.shard_count).map(ShardIndex).filter(|shard| *shard != self.shard);
        let effects = others.map(|shard| Effect::ToShard { shard, message: message() });
        self.effects.extend(effects);
    }
}
