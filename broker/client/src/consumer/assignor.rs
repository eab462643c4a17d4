//! How partitions are shared among the members of a classic group: the trait, and three eager ways.
//! The cooperative one is in [`super::cooperative_sticky`].
//!
//! The group's leader (one of the members, chosen by the coordinator) runs [`Assignor::assign`]
//! for all. Inputs and outputs are ordered maps, so the same input gives the same assignment on
//! every machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::records::TopicPartition;

/// A member of the group as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    pub group_instance_id: Option<String>,
    /// Topics that it subscribes to, sorted.
    pub topics: Vec<String>,
    /// What it owned before this rebalance, as it says itself.
    pub owned: Vec<TopicPartition>,
    /// The last generation that it took part in; -1 for a new member, or when it does not say.
    pub generation: i32,
    /// What its assignor's `user_data` gave.
    pub user_data: Bytes,
}

/// How a rebalance takes partitions from members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RebalanceProtocol {
    /// A member gives up everything before it joins again.
    Eager,
    /// A member keeps what it has, gives up what the new assignment does not have, and joins once
    /// more; only then others get it (KIP-429).
    Cooperative,
}

/// What a member is about to tell the group.
#[derive(Debug, Clone, Copy)]
pub struct Joining<'a> {
    /// Topics that it subscribes to, sorted.
    pub topics: &'a [Arc<str>],
    /// What it has. An eager member has given that up, but says what it was, so that it may get
    /// it again.
    pub owned: &'a [TopicPartition],
    /// The last generation that it took part in; -1 for a new member.
    pub generation: i32,
}

/// What one member gets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberAssignment {
    pub partitions: Vec<TopicPartition>,
    pub user_data: Bytes,
}

/// Shares partitions among members.
pub trait Assignor: Send + Sync {
    /// The name that members agree on; another name for every incompatible change.
    fn name(&self) -> &str;

    /// The rebalance protocols in which its assignments make sense. A consumer uses the highest
    /// that all its assignors support. In the cooperative one an assignment must not give a
    /// partition to a member while another one owns it.
    fn protocols(&self) -> &[RebalanceProtocol] {
        &[RebalanceProtocol::Eager]
    }

    /// Attached to this member's subscription, once per join.
    fn user_data(&self, joining: &Joining<'_>) -> Bytes {
        let _ = joining;
        Bytes::new()
    }

    /// `partitions`: number of partitions of each subscribed topic that exists. A member that is
    /// not in the answer gets nothing. An `Err` fails the rebalance with that text.
    fn assign(
        &self,
        partitions: &BTreeMap<String, i32>,
        members: &[Member],
    ) -> Result<BTreeMap<String, MemberAssignment>, String>;
}

/// Each topic is cut into contiguous ranges, one per member. Co-partitions topics.
#[derive(Debug, Clone, Copy, Default)]
pub struct RangeAssignor;

/// All partitions of all topics are dealt in turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobinAssignor;

/// Keeps what members owned as far as balance allows, and deals the rest to the least loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct StickyAssignor;

impl Assignor for RangeAssignor {
    fn name(&self) -> &str {
        "range"
    }

    fn assign(
        &self,
        partitions: &BTreeMap<String, i32>,
        members: &[Member],
    ) -> Result<BTreeMap<String, MemberAssignment>, String> {
        let mut result = empty(members);
        for (topic, count) in partitions {
            let takers = subscribers(topic, members);
            let Ok(taker_count) = i32::try_from(takers.len()) else { continue };
            if taker_count == 0 {
                continue;
            }
            let (share, extra) = (count / taker_count, count % taker_count);
            let name: Arc<str> = topic.as_str().into();
            let mut next = 0;
            for (index, member) in (0_i32..).zip(takers) {
                let end = next + share + i32::from(index < extra);
                give(
                    &mut result,
                    member,
                    (next..end).map(|p| TopicPartition::new(name.clone(), p)),
                );
                next = end;
            }
        }
        Ok(result)
    }
}

impl Assignor for RoundRobinAssignor {
    fn name(&self) -> &str {
        "roundrobin"
    }

    fn assign(
        &self,
        partitions: &BTreeMap<String, i32>,
        members: &[Member],
    ) -> Result<BTreeMap<String, MemberAssignment>, String> {
        let mut result = empty(members);
        let order = sorted(members);
        let mut turn = 0;
        for partition in all(partitions) {
            // At most one round: a topic that nobody takes is skipped.
            for _ in 0..order.len() {
                let member = order[turn % order.len()];
                turn += 1;
                if member.topics.iter().any(|topic| **topic == *partition.topic) {
                    give(&mut result, &member.id, [partition]);
                    break;
                }
            }
        }
        Ok(result)
    }
}

impl Assignor for StickyAssignor {
    fn name(&self) -> &str {
        "mainstem-sticky"
    }

    fn assign(
        &self,
        partitions: &BTreeMap<String, i32>,
        members: &[Member],
    ) -> Result<BTreeMap<String, MemberAssignment>, String> {
        let mut result = empty(members);
        let order = sorted(members);
        if order.is_empty() {
            return Ok(result);
        }
        let mut free: BTreeSet<TopicPartition> = all(partitions).collect();
        let ceiling = free.len().div_ceil(order.len());
        for member in &order {
            let mut owned = member.owned.clone();
            owned.sort();
            for partition in owned {
                let taken = result.get(&member.id).map_or(0, |a| a.partitions.len());
                let wanted = member.topics.iter().any(|topic| **topic == *partition.topic);
                if taken < ceiling && wanted && free.remove(&partition) {
                    give(&mut result, &member.id, [partition]);
                }
            }
        }
        for partition in free {
            let least = order
                .iter()
                .filter(|m| m.topics.iter().any(|topic| **topic == *partition.topic))
                .min_by_key(|m| result.get(&m.id).map_or(0, |a| a.partitions.len()));
            if let Some(member) = least {
                give(&mut result, &member.id, [partition]);
            }
        }
        Ok(result)
    }
}

pub(super) fn empty(members: &[Member]) -> BTreeMap<String, MemberAssignment> {
    members.iter().map(|m| (m.id.clone(), MemberAssignment::default())).collect()
}

/// Static members are ordered by their instance id, so that a restart changes nothing.
pub(super) fn sorted(members: &[Member]) -> Vec<&Member> {
    let mut order: Vec<&Member> = members.iter().collect();
    order.sort_by(|a, b| rank(a).cmp(&rank(b)));
    order
}

fn rank(member: &Member) -> (bool, &str, &str) {
    match &member.group_instance_id {
        Some(instance) => (false, instance, &member.id),
        None => (true, "", &member.id),
    }
}

fn subscribers<'a>(topic: &str, members: &'a [Member]) -> Vec<&'a str> {
    let takes = |member: &&Member| member.topics.iter().any(|name| name == topic);
    sorted(members).into_iter().filter(takes).map(|member| member.id.as_str()).collect()
}

pub(super) fn all(partitions: &BTreeMap<String, i32>) -> impl Iterator<Item = TopicPartition> + '_ {
    partitions.iter().flat_map(|(topic, count)| {
        let name: Arc<str> = topic.as_str().into();
        (0..*count).map(move |partition| TopicPartition::new(name.clone(), partition))
    })
}

fn give(
    result: &mut BTreeMap<String, MemberAssignment>,
    member: &str,
    partitions: impl IntoIterator<Item = TopicPartition>,
) {
    if let Some(assignment) = result.get_mut(member) {
        assignment.partitions.extend(partitions);
    }
}

/// The protocol that consumers with these assignors speak; `None` when they have none in common.
pub(crate) fn common_protocol(assignors: &[Arc<dyn Assignor>]) -> Option<RebalanceProtocol> {
    [RebalanceProtocol::Cooperative, RebalanceProtocol::Eager]
        .into_iter()
        .find(|protocol| assignors.iter().all(|a| a.protocols().contains(protocol)))
}
