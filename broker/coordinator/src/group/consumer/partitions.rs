//! Sets of partitions by topic id, as assignments are made of.

use mainstem_protocol::ids::{PartitionIndex, TopicId};
use std::collections::{BTreeMap, BTreeSet};

/// Partitions by topic. No topic without partitions.
pub(crate) type Partitions = BTreeMap<TopicId, BTreeSet<PartitionIndex>>;

/// Partitions by topic, each with the member epoch at which it was assigned (KIP-1251).
pub(crate) type PartitionEpochs = BTreeMap<TopicId, BTreeMap<PartitionIndex, i32>>;

/// The partitions without their epochs.
pub(super) fn without_epochs(of: &PartitionEpochs) -> Partitions {
    let set = |partitions: &BTreeMap<PartitionIndex, i32>| partitions.keys().copied().collect();
    of.iter().map(|(topic, partitions)| (*topic, set(partitions))).collect()
}

/// All partitions, with the same epoch.
pub(super) fn with_epoch(of: &Partitions, epoch: i32) -> PartitionEpochs {
    let map = |set: &BTreeSet<PartitionIndex>| set.iter().map(|p| (*p, epoch)).collect();
    of.iter().map(|(topic, set)| (*topic, map(set))).collect()
}

/// One after the other.
pub(super) fn each(of: &PartitionEpochs) -> impl Iterator<Item = (TopicId, PartitionIndex, i32)> {
    of.iter().flat_map(|(topic, partitions)| {
        partitions.iter().map(|(partition, epoch)| (*topic, *partition, *epoch))
    })
}

/// Adds one partition.
pub(super) fn insert(to: &mut PartitionEpochs, topic: TopicId, partition: PartitionIndex, at: i32) {
    to.entry(topic).or_default().insert(partition, at);
}

/// Whether the partition is among them.
pub(super) fn contains(of: &Partitions, topic: TopicId, partition: PartitionIndex) -> bool {
    of.get(&topic).is_some_and(|set| set.contains(&partition))
}
