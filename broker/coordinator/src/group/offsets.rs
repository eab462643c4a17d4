//! The table of offsets: committed ones, and those that wait for a transaction's marker.
//!
//! The table belongs to all partitions of `__consumer_offsets` that live here; each group knows
//! its own. A transaction's offsets are kept per partition of the log, because its marker comes to
//! each partition separately.

use crate::log::TopicPartition;
use mainstem_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, ProducerId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One committed or pending offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OffsetEntry {
    pub(super) offset: Offset,
    /// Leader epoch of the record before `offset`, -1 when the client did not say.
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) metadata: Arc<str>,
    /// Wall time of the commit.
    pub(super) commit_ms: i64,
    /// Set when the client chose a retention time (v2 to v4 of the request).
    pub(super) expire_ms: Option<i64>,
    /// Where the entry stands in the log; of two entries the later one holds.
    pub(super) record_offset: Offset,
}

/// A group's offsets. Never empty in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupOffsets {
    pub(super) log_partition: PartitionIndex,
    pub(super) committed: BTreeMap<TopicPartition, OffsetEntry>,
    /// How many open transactions (and appends under way) have an offset for the partition.
    pub(super) unstable: BTreeMap<TopicPartition, u32>,
}

type Pending = BTreeMap<(Arc<str>, TopicPartition), OffsetEntry>;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OffsetTable {
    groups: BTreeMap<Arc<str>, GroupOffsets>,
    transactions: BTreeMap<(PartitionIndex, ProducerId), Pending>,
}

impl OffsetTable {
    pub(super) fn group(&self, group: &str) -> Option<&GroupOffsets> {
        self.groups.get(group)
    }

    /// All groups that have offsets.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &GroupOffsets)> {
        self.groups.iter()
    }

    pub(super) fn get(&self, group: &str, partition: &TopicPartition) -> Option<&OffsetEntry> {
        self.groups.get(group)?.committed.get(partition)
    }

    /// Whether a transaction may still change the partition's offset.
    pub(super) fn is_unstable(&self, group: &str, partition: &TopicPartition) -> bool {
        self.groups.get(group).is_some_and(|offsets| offsets.unstable.contains_key(partition))
    }

    fn entry(&mut self, log_partition: PartitionIndex, group: &Arc<str>) -> &mut GroupOffsets {
        self.groups.entry(Arc::clone(group)).or_insert_with(|| GroupOffsets {
            log_partition,
            committed: BTreeMap::new(),
            unstable: BTreeMap::new(),
        })
    }

    fn drop_if_empty(&mut self, group: &str) {
        let empty = |o: &GroupOffsets| o.committed.is_empty() && o.unstable.is_empty();
        if self.groups.get(group).is_some_and(empty) {
            self.groups.remove(group);
        }
    }

    /// Takes over a committed offset, unless a later one is known.
    pub(super) fn commit(
        &mut self,
        log_partition: PartitionIndex,
        group: &Arc<str>,
        partition: TopicPartition,
        entry: OffsetEntry,
    ) {
        let committed = &mut self.entry(log_partition, group).committed;
        let known = committed.get(&partition).map(|known| known.record_offset);
        if known < Some(entry.record_offset) {
            committed.insert(partition, entry);
        }
    }

    pub(super) fn remove(&mut self, group: &str, partition: &TopicPartition) {
        if let Some(offsets) = self.groups.get_mut(group) {
            offsets.committed.remove(partition);
        }
        self.drop_if_empty(group);
    }

    /// Keeps an offset until its producer's marker comes.
    pub(super) fn pend(
        &mut self,
        log_partition: PartitionIndex,
        producer: ProducerId,
        group: &Arc<str>,
        partition: TopicPartition,
        entry: OffsetEntry,
    ) {
        let pending = self.transactions.entry((log_partition, producer)).or_default();
        let key = (Arc::clone(group), partition.clone());
        if pending.insert(key, entry).is_none() {
            self.mark_unstable(log_partition, group, partition);
        }
    }

    /// Counts a reason for which the partition's offset may still change.
    pub(super) fn mark_unstable(
        &mut self,
        log_partition: PartitionIndex,
        group: &Arc<str>,
        partition: TopicPartition,
    ) {
        *self.entry(log_partition, group).unstable.entry(partition).or_default() += 1;
    }

    /// Takes back one `mark_unstable`.
    pub(super) fn unmark_unstable(&mut self, group: &str, partition: &TopicPartition) {
        if let Some(offsets) = self.groups.get_mut(group)
            && let Some(count) = offsets.unstable.get_mut(partition)
        {
            *count -= 1;
            if *count == 0 {
                offsets.unstable.remove(partition);
            }
        }
        self.drop_if_empty(group);
    }

    /// Ends a producer's transaction: its offsets become visible, or never were.
    pub(super) fn end_transaction(
        &mut self,
        log_partition: PartitionIndex,
        producer: ProducerId,
        commit: bool,
    ) {
        let pending = self.transactions.remove(&(log_partition, producer)).unwrap_or_default();
        for ((group, partition), entry) in pending {
            if commit {
                self.commit(log_partition, &group, partition.clone(), entry);
            }
            self.unmark_unstable(&group, &partition);
        }
    }

    /// Forgets everything that a partition of the log holds.
    pub(super) fn forget(&mut self, log_partition: PartitionIndex) {
        self.groups.retain(|_, offsets| offsets.log_partition != log_partition);
        self.transactions.retain(|(partition, _), _| *partition != log_partition);
    }
}
