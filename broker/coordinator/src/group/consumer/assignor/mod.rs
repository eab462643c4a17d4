//! Assignors: pure functions from members and topics to who shall have what.
//!
//! All of them give every partition of a wanted topic to exactly one member that wants it, whatever
//! the members have now, and depend on nothing but what they are given.

mod heterogeneous;
mod range;
mod uniform;

use super::config::ServerAssignor;
use super::partitions::Partitions;
use crate::group::member::MemberId;
use mainstem_protocol::ids::{PartitionIndex, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A member as an assignor sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subscriber {
    pub(crate) instance_id: Option<String>,
    /// The existing topics that it wants; shared by members that want the same.
    pub(crate) topics: Arc<BTreeSet<TopicId>>,
    /// What the last target gave it.
    pub(crate) has: Partitions,
}

/// What there is to share out, and among whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Assignable {
    pub(crate) members: BTreeMap<MemberId, Subscriber>,
    /// The number of partitions of each wanted topic.
    pub(crate) topics: BTreeMap<TopicId, i32>,
}

/// An entry for every member.
pub(crate) type Assignment = BTreeMap<MemberId, Partitions>;

pub(super) fn assign(assignor: ServerAssignor, assignable: &Assignable) -> Assignment {
    match assignor {
        ServerAssignor::Range => range::assign(assignable),
        ServerAssignor::Uniform if assignable.is_homogeneous() => uniform::assign(assignable),
        ServerAssignor::Uniform => heterogeneous::assign(assignable),
    }
}

impl Assignable {
    /// Whether all members want the same topics.
    fn is_homogeneous(&self) -> bool {
        let mut subscriptions = self.members.values().map(|member| &member.topics);
        let Some(first) = subscriptions.next() else { return true };
        subscriptions.all(|topics| Arc::ptr_eq(first, topics) || first == topics)
    }

    fn empty(&self) -> Assignment {
        self.members.keys().map(|id| (Arc::clone(id), Partitions::new())).collect()
    }

    /// All partitions, in the order of topics and numbers.
    fn partitions(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
        self.topics
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(|index| (*topic, PartitionIndex(index))))
    }

    /// What a member has and may keep: it wants the topic and the partition exists.
    fn keepable<'a>(
        &'a self,
        member: &'a Subscriber,
    ) -> impl Iterator<Item = (TopicId, PartitionIndex)> + 'a {
        let exists = |topic: &TopicId, partition: &PartitionIndex| {
            let count = self.topics.get(topic).copied().unwrap_or(0);
            member.topics.contains(topic) && (0..count).contains(&partition.0)
        };
        member.has.iter().flat_map(move |(topic, partitions)| {
            let kept = partitions.iter().filter(move |partition| exists(topic, partition));
            kept.map(move |partition| (*topic, *partition))
        })
    }
}

/// Gives a partition to a member.
fn give(to: &mut Assignment, id: &MemberId, topic: TopicId, partition: PartitionIndex) {
    to.entry(Arc::clone(id)).or_default().entry(topic).or_default().insert(partition);
}

#[cfg(test)]
mod tests;
