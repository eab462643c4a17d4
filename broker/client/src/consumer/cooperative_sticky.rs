//! The cooperative assignor: balanced, close to what members have, and never two owners.
//!
//! It speaks with Kafka's own of this name: members tell what they own and since which generation,
//! in the subscription's fields or, before version 2 of it, with the generation as user data (four
//! bytes, big-endian).
//!
//! 1. Who owns a partition keeps it, if the member took part in the latest generation that any of
//!    them names. Claims of other members, and two claims of one partition, count for nothing.
//! 2. What is free goes to the least loaded member that wants it.
//! 3. As long as a partition can go from a member to one that has at least two fewer, it goes.
//! 4. What would go from one member directly to another is left out. The old owner sees that it
//!    is not assigned to it any more, gives it up and joins again; then it is free.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::assignor::{
    Assignor, Joining, Member, MemberAssignment, RebalanceProtocol, all, empty, sorted,
};
use crate::records::TopicPartition;

/// Keeps what members own as far as balance allows; they go on reading it while the group
/// rebalances.
#[derive(Debug, Clone, Copy, Default)]
pub struct CooperativeStickyAssignor;

/// Members by their place in the order of ids.
struct Shares<'a> {
    members: Vec<&'a Member>,
    shares: Vec<BTreeSet<TopicPartition>>,
    /// Who wants each topic.
    takers: BTreeMap<&'a str, Vec<usize>>,
}

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &str {
        "cooperative-sticky"
    }

    fn protocols(&self) -> &[RebalanceProtocol] {
        &[RebalanceProtocol::Cooperative, RebalanceProtocol::Eager]
    }

    fn user_data(&self, joining: &Joining<'_>) -> Bytes {
        let mut bytes = BytesMut::with_capacity(4);
        bytes.put_i32(joining.generation);
        bytes.freeze()
    }

    fn assign(
        &self,
        partitions: &BTreeMap<String, i32>,
        members: &[Member],
    ) -> Result<BTreeMap<String, MemberAssignment>, String> {
        let mut result = empty(members);
        let mut shares = Shares::new(members);
        let free = shares.keep(all(partitions).collect());
        shares.deal(free);
        while shares.even_out() {}
        for (member, share) in shares.members.iter().zip(shares.shares) {
            if let Some(assignment) = result.get_mut(&member.id) {
                assignment.partitions = share.into_iter().collect();
            }
        }
        for (id, partition) in moving(members, &result) {
            if let Some(assignment) = result.get_mut(&id) {
                assignment.partitions.retain(|other| *other != partition);
            }
        }
        Ok(result)
    }
}

/// The last generation that a member took part in.
fn generation_of(member: &Member) -> i32 {
    match member.user_data.first_chunk::<4>() {
        Some(told) if member.generation < 0 => i32::from_be_bytes(*told),
        _ => member.generation,
    }
}

/// What the assignment gives to one member while another one still owns it.
pub(super) fn moving(
    members: &[Member],
    assigned: &BTreeMap<String, MemberAssignment>,
) -> Vec<(String, TopicPartition)> {
    let mut owners: BTreeMap<&TopicPartition, Vec<&str>> = BTreeMap::new();
    for member in members {
        for partition in &member.owned {
            owners.entry(partition).or_default().push(&member.id);
        }
    }
    let mut moving = Vec::new();
    for (id, assignment) in assigned {
        for partition in &assignment.partitions {
            let owned = owners.get(partition);
            if owned.is_some_and(|owners| !owners.contains(&id.as_str())) {
                moving.push((id.clone(), partition.clone()));
            }
        }
    }
    moving
}

impl<'a> Shares<'a> {
    fn new(members: &'a [Member]) -> Self {
        let members = sorted(members);
        let mut takers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, member) in members.iter().enumerate() {
            for topic in &member.topics {
                takers.entry(topic).or_default().push(index);
            }
        }
        Self { shares: vec![BTreeSet::new(); members.len()], members, takers }
    }

    /// Leaves with members what is rightly theirs, and gives back the rest.
    fn keep(&mut self, mut free: BTreeSet<TopicPartition>) -> BTreeSet<TopicPartition> {
        let Some(latest) = self.members.iter().map(|m| generation_of(m)).max() else {
            return free;
        };
        let mut claims: BTreeMap<&TopicPartition, BTreeSet<usize>> = BTreeMap::new();
        for (index, member) in self.members.iter().enumerate() {
            if generation_of(member) == latest {
                for partition in &member.owned {
                    claims.entry(partition).or_default().insert(index);
                }
            }
        }
        for (partition, claimants) in claims {
            let mut claimants = claimants.into_iter();
            let (Some(owner), None) = (claimants.next(), claimants.next()) else { continue };
            let wanted = self.takers.get(&*partition.topic).is_some_and(|t| t.contains(&owner));
            if wanted && free.remove(partition) {
                self.shares[owner].insert(partition.clone());
            }
        }
        free
    }

    /// The least loaded member that wants the topic.
    fn lightest(&self, topic: &str) -> Option<usize> {
        let takers = self.takers.get(topic)?;
        takers.iter().copied().min_by_key(|index| self.shares[*index].len())
    }

    /// Those that few want go first, while there is a choice.
    fn deal(&mut self, free: BTreeSet<TopicPartition>) {
        let mut free: Vec<TopicPartition> = free.into_iter().collect();
        free.sort_by_key(|partition| self.takers.get(&*partition.topic).map_or(0, Vec::len));
        for partition in free {
            if let Some(index) = self.lightest(&partition.topic) {
                self.shares[index].insert(partition);
            }
        }
    }

    /// Moves one partition from the most loaded member that can give one away. Each move makes the
    /// sum of the squares of loads smaller, so there is a last one.
    fn even_out(&mut self) -> bool {
        let mut order: Vec<usize> = (0..self.shares.len()).collect();
        order.sort_by_key(|index| Reverse(self.shares[*index].len()));
        let least = order.last().map_or(0, |index| self.shares[*index].len());
        // Who would get a partition of the topic; most moves need to know it of one topic only.
        let mut targets: BTreeMap<Arc<str>, Option<usize>> = BTreeMap::new();
        for from in order {
            let load = self.shares[from].len();
            if load < least + 2 {
                return false;
            }
            let goes = self.shares[from].iter().rev().find_map(|partition| {
                let topic = &partition.topic;
                let to = targets.entry(topic.clone()).or_insert_with(|| self.lightest(topic));
                let to = (*to).filter(|to| self.shares[*to].len() + 2 <= load)?;
                Some((partition.clone(), to))
            });
            if let Some((partition, to)) = goes {
                self.shares[from].remove(&partition);
                self.shares[to].insert(partition);
                return true;
            }
        }
        false
    }
}
