//! How long records may stay unsynced: `flush.policy`, `flush.messages` and `flush.ms`.
//!
//! With `flush=commit` every pass asks for a sync, and the two intervals add only that acks=1 waits
//! when the number is reached. With `flush=os` they are what bounds the loss of a power cut.
//!
//! Invariants:
//! - Fewer than `flush.messages` records are answered and not synced: the answer to the append that
//!   makes up the number leaves after the sync, for acks=1 too.
//! - Once records have been unsynced for `flush.ms`, the next sync job takes them. No answer waits
//!   for that.
//! - A partition has at most one timer, and none while nothing of it is unsynced.
//!
//! Absent on purpose: the syncs themselves and the high watermark, see `commit`.

use super::Partition;
use crate::ask::PartitionKey;
use crate::node::{ShardNode, Timer};
use mainstem_metadata::config::{FlushPolicy, TopicSettings};
use mainstem_platform::Instant;
use mainstem_protocol::Offset;
use std::time::Duration;

/// What a partition's configuration says of syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FlushRule {
    pub(crate) policy: FlushPolicy,
    /// `flush.messages`.
    messages: i64,
    /// `flush.ms`; `None` for never.
    interval: Option<Duration>,
}

impl From<&TopicSettings> for FlushRule {
    fn from(settings: &TopicSettings) -> FlushRule {
        let interval = u64::try_from(settings.flush_ms).map(Duration::from_millis);
        FlushRule {
            policy: settings.flush,
            messages: settings.flush_messages,
            interval: interval.ok().filter(|_| settings.flush_ms < i64::MAX),
        }
    }
}

/// What is unsynced of one partition, and since when.
#[derive(Debug)]
pub(super) struct Unsynced {
    /// Everything before was synced or is in the sync under way.
    asked: Offset,
    /// When a pass found the oldest record from `asked` on.
    since: Option<Instant>,
    /// When the partition is looked at again.
    timer: Option<Instant>,
}

impl Unsynced {
    /// What was recovered up to `end` is durable.
    pub(super) fn after(end: Offset) -> Unsynced {
        Unsynced { asked: end, since: None, timer: None }
    }

    /// A sync of everything before `end` was asked for.
    pub(super) fn asked(&mut self, end: Offset) {
        self.asked = end;
        self.since = None;
    }

    /// A pass found the log synced up to `synced` and its end at `end`.
    pub(super) fn found(&mut self, now: Instant, synced: Offset, end: Offset) {
        if self.asked.max(synced) < end {
            self.since.get_or_insert(now);
        }
    }
}

impl Partition {
    /// Whether the number of records that may be unsynced is reached, those in the sync under way
    /// included.
    pub(super) fn is_flush_full(&self) -> bool {
        let unsynced = self.log.log_end_offset().0 - self.log.synced_offset().0;
        self.flush.messages <= unsynced
    }

    /// When the oldest record that no sync was asked for must be synced.
    fn flush_due(&self) -> Option<Instant> {
        Some(self.unsynced.since?.plus(self.flush.interval?))
    }

    /// Whether that time has come.
    pub(super) fn is_flush_late(&self, now: Instant) -> bool {
        self.flush_due().is_some_and(|due| due <= now)
    }
}

impl ShardNode {
    /// Takes over another rule; what is unsynced already follows it from the next commit on.
    pub(crate) fn set_flush_rule(&mut self, key: &PartitionKey, rule: FlushRule) {
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        if partition.flush != rule {
            partition.flush = rule;
            self.partitions.dirty.insert(*key);
        }
    }

    /// Sets the partition's timer to what a commit has left unsynced.
    pub(super) fn set_flush_timer(&mut self, now: Instant, key: &PartitionKey) {
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        // What is late already waits for the sync under way, not for a time.
        let due = match partition.flush.policy {
            FlushPolicy::Os => partition.flush_due().filter(|due| now < *due),
            FlushPolicy::Commit => None,
        };
        if partition.unsynced.timer == due {
            return;
        }
        let before = std::mem::replace(&mut partition.unsynced.timer, due);
        if let Some(at) = before {
            self.timers.remove(&(at, Timer::Flush(*key)));
        }
        if let Some(at) = due {
            self.timers.insert((at, Timer::Flush(*key)));
        }
    }

    /// The partition goes.
    pub(super) fn drop_flush_timer(&mut self, partition: &mut Partition) {
        if let Some(at) = partition.unsynced.timer.take() {
            self.timers.remove(&(at, Timer::Flush(partition.key)));
        }
    }

    /// Records have been unsynced for long enough, unless a sync took them meanwhile.
    pub(crate) fn handle_flush_timer(&mut self, key: &PartitionKey) {
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        partition.unsynced.timer = None;
        self.partitions.dirty.insert(*key);
    }
}
