//! Empty consumer groups go: when somebody deletes them, and when their last offset has expired.

use super::draft::Draft;
use crate::group::change::Change;
use crate::group::coordinator::GroupCoordinator;
use std::sync::Arc;

impl GroupCoordinator {
    /// What has to be written to forget a group.
    pub(in crate::group) fn consumer_removal(&self, group_id: &Arc<str>) -> Vec<Change> {
        let Some(group) = self.consumer_groups.get(group_id) else { return Vec::new() };
        let removed = |change| Change::Consumer { group: Arc::clone(group_id), change };
        group.removal().into_iter().map(removed).collect()
    }

    /// Groups without members and without offsets are forgotten.
    pub(in crate::group) fn expire_consumer_groups(&mut self) {
        let is_bare = |id: &Arc<str>| {
            self.offsets.group(id).is_none()
                && self.residency.check(self.partition_of(id)).is_ok()
                && !self.consumer_appends.contains_key(id)
        };
        let bare = self
            .consumer_groups
            .iter()
            .filter(|(id, group)| group.members.is_empty() && is_bare(id));
        let bare: Vec<Arc<str>> = bare.map(|(id, _)| Arc::clone(id)).collect();
        for id in bare {
            let group = self.consumer_groups.remove(&id).expect("the group was just listed");
            let mut draft = Draft::new(group);
            draft.put_all(draft.group.removal());
            // What cannot be written now is found again by the next look.
            let _ = self.commit_draft(draft, None);
        }
    }
}
