//! Which partitions of an internal topic this machine answers for, and which are still loading.

use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{LeaderEpoch, PartitionIndex};
use std::collections::BTreeMap;

/// How far a partition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Loading,
    Active,
}

/// The partitions that live here. A partition that is not named belongs to somebody else.
#[derive(Debug, Default)]
pub(crate) struct Residency {
    partitions: BTreeMap<PartitionIndex, (Stage, LeaderEpoch)>,
}

impl Residency {
    pub(crate) fn begin_load(&mut self, partition: PartitionIndex, epoch: LeaderEpoch) {
        self.partitions.insert(partition, (Stage::Loading, epoch));
    }

    /// False when the partition was resigned or reloaded meanwhile.
    pub(crate) fn finish_load(&mut self, partition: PartitionIndex) -> bool {
        match self.partitions.get_mut(&partition) {
            Some((stage @ Stage::Loading, _)) => {
                *stage = Stage::Active;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn resign(&mut self, partition: PartitionIndex) {
        self.partitions.remove(&partition);
    }

    /// The leader epoch under which the partition is held; it is the coordinator epoch of markers.
    pub(crate) fn epoch(&self, partition: PartitionIndex) -> Option<LeaderEpoch> {
        self.partitions.get(&partition).map(|(_, epoch)| *epoch)
    }

    pub(crate) fn is_loading(&self, partition: PartitionIndex) -> bool {
        matches!(self.partitions.get(&partition), Some((Stage::Loading, _)))
    }

    /// Whether the machine may answer from this partition's state.
    pub(crate) fn check(&self, partition: PartitionIndex) -> Result<(), ErrorCode> {
        match self.partitions.get(&partition) {
            Some((Stage::Active, _)) => Ok(()),
            Some((Stage::Loading, _)) => Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
            None => Err(ErrorCode::NOT_COORDINATOR),
        }
    }

    pub(crate) fn any_loading(&self) -> bool {
        self.partitions.values().any(|(stage, _)| *stage == Stage::Loading)
    }
}
