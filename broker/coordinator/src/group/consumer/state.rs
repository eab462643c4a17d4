//! A consumer group: its data, the only writer of them, and the questions that the rules ask.
//!
//! Each part has its own record in the log and its own map here, so that applying a change is
//! setting one entry, in whatever order compaction has left the records. A member is who has
//! metadata; the other maps may know more while a log is being read.

use super::change::{ConsumerChange, GroupEpoch, ResolvedRegex, TargetEpoch};
use super::member::{Current, MemberMetadata};
use super::partitions::{Partitions, each};
use crate::group::member::MemberId;
use mainstem_protocol::ids::{PartitionIndex, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The group epoch, and that of the empty target, of a group that is not in the log. Epoch 0 is
/// the word for joining.
pub(super) const INITIAL_EPOCH: i32 = 1;

#[derive(Debug, Clone)]
pub(crate) struct ConsumerGroup {
    pub(crate) id: Arc<str>,
    pub(super) epoch: Option<GroupEpoch>,
    pub(super) target_epoch: Option<TargetEpoch>,
    pub(crate) members: BTreeMap<MemberId, MemberMetadata>,
    pub(super) current: BTreeMap<MemberId, Current>,
    pub(super) target: BTreeMap<MemberId, Partitions>,
    pub(super) regexes: BTreeMap<String, ResolvedRegex>,
    /// The log has a list of topics from a broker before 4.1.
    pub(super) has_partition_metadata: bool,
    /// Who has an instance id. Follows from the members.
    pub(super) static_members: BTreeMap<String, MemberId>,
    /// Who has a partition, in use or not given up yet. Follows from the current assignments.
    pub(super) owners: BTreeMap<(TopicId, PartitionIndex), MemberId>,
    /// The version of the topics that the group was last compared with; not in the log.
    pub(super) topics_seen: Option<i64>,
}

impl ConsumerGroup {
    pub(crate) fn new(id: Arc<str>) -> Self {
        Self {
            id,
            epoch: None,
            target_epoch: None,
            members: BTreeMap::new(),
            current: BTreeMap::new(),
            target: BTreeMap::new(),
            regexes: BTreeMap::new(),
            has_partition_metadata: false,
            static_members: BTreeMap::new(),
            owners: BTreeMap::new(),
            topics_seen: None,
        }
    }

    /// The only writer: the same at load and in life. Gives the change that takes it back.
    pub(crate) fn apply(&mut self, change: ConsumerChange) -> ConsumerChange {
        match change {
            ConsumerChange::Epoch(epoch) => {
                ConsumerChange::Epoch(std::mem::replace(&mut self.epoch, epoch))
            }
            ConsumerChange::PartitionMetadata { present } => {
                let present = std::mem::replace(&mut self.has_partition_metadata, present);
                ConsumerChange::PartitionMetadata { present }
            }
            ConsumerChange::TargetEpoch(epoch) => {
                ConsumerChange::TargetEpoch(std::mem::replace(&mut self.target_epoch, epoch))
            }
            ConsumerChange::Member(id, metadata) => {
                let before = self.set_member(&id, metadata);
                ConsumerChange::Member(id, before)
            }
            ConsumerChange::Target(id, target) => {
                let before = put(&mut self.target, &id, target);
                ConsumerChange::Target(id, before)
            }
            ConsumerChange::Current(id, current) => {
                let before = self.set_current(&id, current);
                ConsumerChange::Current(id, before)
            }
            ConsumerChange::Regex(regex, resolved) => {
                let before = put(&mut self.regexes, &regex, resolved);
                ConsumerChange::Regex(regex, before)
            }
        }
    }

    fn set_member(
        &mut self,
        id: &MemberId,
        metadata: Option<MemberMetadata>,
    ) -> Option<MemberMetadata> {
        let instance = metadata.as_ref().and_then(|metadata| metadata.instance_id.clone());
        let before = put(&mut self.members, id, metadata);
        if let Some(old) = before.as_ref().and_then(|metadata| metadata.instance_id.as_ref())
            && self.static_members.get(old) == Some(id)
        {
            self.static_members.remove(old);
        }
        if let Some(instance) = instance {
            self.static_members.insert(instance, Arc::clone(id));
        }
        before
    }

    fn set_current(&mut self, id: &MemberId, current: Option<Current>) -> Option<Current> {
        if let Some(before) = self.current.get(id) {
            for (topic, partition, _) in each(&before.assigned).chain(each(&before.revoking)) {
                if self.owners.get(&(topic, partition)) == Some(id) {
                    self.owners.remove(&(topic, partition));
                }
            }
        }
        if let Some(now) = &current {
            for (topic, partition, _) in each(&now.assigned).chain(each(&now.revoking)) {
                self.owners.insert((topic, partition), Arc::clone(id));
            }
        }
        put(&mut self.current, id, current)
    }

    /// Whether nothing of the group is left.
    pub(crate) fn is_vacant(&self) -> bool {
        self.epoch.is_none()
            && self.target_epoch.is_none()
            && self.members.is_empty()
            && self.current.is_empty()
            && self.target.is_empty()
            && self.regexes.is_empty()
            && !self.has_partition_metadata
    }

    pub(crate) fn group_epoch(&self) -> i32 {
        self.epoch.map_or(INITIAL_EPOCH, |epoch| epoch.epoch)
    }

    pub(super) fn metadata_hash(&self) -> i64 {
        self.epoch.map_or(0, |epoch| epoch.metadata_hash)
    }

    pub(super) fn assignment_epoch(&self) -> i32 {
        self.target_epoch.map_or(INITIAL_EPOCH, |epoch| epoch.epoch)
    }

    /// What the member has; nothing for one that has not got anything yet.
    pub(super) fn current_of(&self, id: &str) -> Current {
        self.current.get(id).cloned().unwrap_or_default()
    }

    pub(super) fn is_classic(&self, id: &str) -> bool {
        self.members.get(id).is_some_and(|member| member.classic.is_some())
    }

    /// Whether all members but this one are classic ones, and this one is not.
    pub(super) fn is_last_of_consumer_protocol(&self, id: &str) -> bool {
        let speaks_consumer = |(other, member): (&MemberId, &MemberMetadata)| {
            (&**other == id) == member.classic.is_none()
        };
        self.members.contains_key(id) && self.members.iter().all(speaks_consumer)
    }

    /// The name of the state that clients see.
    pub(crate) fn state_name(&self) -> &'static str {
        let target = self.assignment_epoch();
        if self.members.is_empty() {
            "Empty"
        } else if target < self.group_epoch() {
            "Assigning"
        } else if self.members.keys().all(|id| self.current_of(id).is_reconciled_to(target)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// Whether somebody in the group wants the topic.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        let resolved = |regex: &String| {
            self.regexes.get(regex).is_some_and(|resolved| resolved.topics.contains(topic))
        };
        let wants = |member: &MemberMetadata| {
            member.topics.contains(topic) || member.regex.as_ref().is_some_and(resolved)
        };
        self.members.values().any(wants)
    }

    /// All that is in the log of the group, taken away in an order that never leaves a part without
    /// what it belongs to.
    pub(crate) fn removal(&self) -> Vec<ConsumerChange> {
        let mut changes = Vec::new();
        for id in self.current.keys() {
            changes.push(ConsumerChange::Current(Arc::clone(id), None));
        }
        for id in self.target.keys() {
            changes.push(ConsumerChange::Target(Arc::clone(id), None));
        }
        changes.extend(self.target_epoch.map(|_| ConsumerChange::TargetEpoch(None)));
        for id in self.members.keys() {
            changes.push(ConsumerChange::Member(Arc::clone(id), None));
        }
        for regex in self.regexes.keys() {
            changes.push(ConsumerChange::Regex(regex.clone(), None));
        }
        if self.has_partition_metadata {
            changes.push(ConsumerChange::PartitionMetadata { present: false });
        }
        changes.extend(self.epoch.map(|_| ConsumerChange::Epoch(None)));
        changes
    }
}

fn put<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, key: &K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    }
}
