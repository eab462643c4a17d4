//! A decision about one group in the making: changes are applied as they are decided, because the
//! next step of the decision builds on them, and can be taken back until the log has them.

use super::change::{ConsumerChange, GroupEpoch};
use super::member::Current;
use super::state::ConsumerGroup;
use crate::group::change::Change;
use crate::group::member::MemberId;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Draft {
    pub(super) group: ConsumerGroup,
    /// For the log, in order.
    pub(super) changes: Vec<Change>,
    /// What takes the changes back, in the order of the changes.
    pub(super) undo: Vec<ConsumerChange>,
}

impl Draft {
    pub(super) fn new(group: ConsumerGroup) -> Self {
        Self { group, changes: Vec::new(), undo: Vec::new() }
    }

    /// Applies a change and keeps it for the log.
    pub(super) fn put(&mut self, change: ConsumerChange) {
        let inverse = self.group.apply(change.clone());
        if inverse == change {
            // Nothing has changed, so nothing is written.
            return;
        }
        self.undo.push(inverse);
        self.changes.push(Change::Consumer { group: Arc::clone(&self.group.id), change });
    }

    pub(super) fn put_all(&mut self, changes: Vec<ConsumerChange>) {
        for change in changes {
            self.put(change);
        }
    }

    /// There will have to be a new assignment. `metadata_hash` is 0 when nobody looked at the
    /// topics.
    pub(super) fn bump_epoch(&mut self, metadata_hash: i64) {
        let epoch = self.group.group_epoch().saturating_add(1);
        self.put(ConsumerChange::Epoch(Some(GroupEpoch { epoch, metadata_hash })));
        if self.group.has_partition_metadata {
            self.put(ConsumerChange::PartitionMetadata { present: false });
        }
    }

    /// Takes a member out, with all that it had.
    pub(super) fn remove_member(&mut self, id: &MemberId) {
        if self.group.current.contains_key(id) {
            self.put(ConsumerChange::Current(Arc::clone(id), None));
        }
        if self.group.target.contains_key(id) {
            self.put(ConsumerChange::Target(Arc::clone(id), None));
        }
        self.put(ConsumerChange::Member(Arc::clone(id), None));
    }

    /// A static member is back under a new id: it takes over what the old one had.
    pub(super) fn replace_member(&mut self, old: &MemberId, new: &MemberId) {
        let metadata = self.group.members.get(old).cloned();
        let target = self.group.target.get(old).cloned();
        let current = self.group.current_of(old);
        self.remove_member(old);
        self.put(ConsumerChange::Member(Arc::clone(new), metadata));
        if target.is_some() {
            self.put(ConsumerChange::Target(Arc::clone(new), target));
        }
        let current = Current { epoch: 0, previous_epoch: 0, ..current };
        self.put(ConsumerChange::Current(Arc::clone(new), Some(current)));
    }

    /// The group as it was before.
    pub(super) fn roll_back(self) -> ConsumerGroup {
        let Self { mut group, undo, .. } = self;
        for inverse in undo.into_iter().rev() {
            group.apply(inverse);
        }
        // What was seen may have been what was taken back: look again.
        group.topics_seen = None;
        group
    }
}
