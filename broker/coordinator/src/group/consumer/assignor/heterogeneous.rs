//! The uniform assignor where members want different topics.
//!
//! Members keep what they have. What nobody has goes, topic by topic and those with the fewest
//! takers first, to the member with the least. Then partitions move from the member with the most
//! to the member with the least among those that want the topic, as long as that makes the two more
//! even. Every move makes the sum of the squares of the loads smaller, so this ends.

use super::{Assignable, Assignment, give};
use crate::group::member::MemberId;
use mainstem_protocol::ids::{PartitionIndex, TopicId};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn assign(assignable: &Assignable) -> Assignment {
    let mut takers: BTreeMap<TopicId, Vec<&MemberId>> = BTreeMap::new();
    for (id, member) in &assignable.members {
        for topic in member.topics.iter() {
            takers.entry(*topic).or_default().push(id);
        }
    }
    let mut state = Sharing {
        loads: assignable.members.keys().map(|id| (id, 0)).collect(),
        assignment: assignable.empty(),
    };
    let mut taken: BTreeSet<(TopicId, PartitionIndex)> = BTreeSet::new();
    for (id, member) in &assignable.members {
        for (topic, partition) in assignable.keepable(member) {
            if taken.insert((topic, partition)) {
                state.give(id, topic, partition);
            }
        }
    }
    let mut open: Vec<_> = assignable.partitions().filter(|p| !taken.contains(p)).collect();
    open.sort_by_key(|(topic, partition)| (takers.get(topic).map(Vec::len), *topic, *partition));
    for (topic, partition) in open {
        let least = takers.get(&topic).and_then(|takers| state.least(takers));
        if let Some(id) = least {
            state.give(id, topic, partition);
        }
    }
    state.even_out(&takers);
    state.assignment
}

/// An assignment and how much each member has in it.
struct Sharing<'a> {
    loads: BTreeMap<&'a MemberId, usize>,
    assignment: Assignment,
}

impl<'a> Sharing<'a> {
    fn give(&mut self, id: &'a MemberId, topic: TopicId, partition: PartitionIndex) {
        give(&mut self.assignment, id, topic, partition);
        *self.loads.entry(id).or_default() += 1;
    }

    fn least(&self, takers: &[&'a MemberId]) -> Option<&'a MemberId> {
        takers.iter().copied().min_by_key(|id| self.loads[*id])
    }

    /// The member with the most among those that have something of the topic.
    fn most(&self, takers: &[&'a MemberId], topic: TopicId) -> Option<&'a MemberId> {
        let has = |id: &&MemberId| self.assignment[*id].contains_key(&topic);
        // Of equals the first, as everywhere.
        takers.iter().copied().filter(has).rev().max_by_key(|id| self.loads[*id])
    }

    fn even_out(&mut self, takers: &BTreeMap<TopicId, Vec<&'a MemberId>>) {
        let mut has_moved = true;
        while has_moved {
            has_moved = false;
            for (topic, takers) in takers {
                while self.move_one(*topic, takers) {
                    has_moved = true;
                }
            }
        }
    }

    fn move_one(&mut self, topic: TopicId, takers: &[&'a MemberId]) -> bool {
        let (Some(from), Some(to)) = (self.most(takers, topic), self.least(takers)) else {
            return false;
        };
        if self.loads[from] < self.loads[to] + 2 {
            return false;
        }
        let partitions = self.assignment.get_mut(from).expect("every member has an entry");
        let of_topic = partitions.get_mut(&topic).expect("it has something of the topic");
        let partition = of_topic.pop_last().expect("no topic without partitions");
        if of_topic.is_empty() {
            partitions.remove(&topic);
        }
        *self.loads.get_mut(from).expect("every member has a load") -= 1;
        self.give(to, topic, partition);
        true
    }
}
