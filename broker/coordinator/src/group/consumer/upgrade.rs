//! A name that is asked for by a member of the consumer protocol: an existing group, a new one, or
//! a classic group that becomes a consumer group.
//!
//! An empty classic group gives way. One with members is taken over with all that its members have
//! (when the migration policy says so): they become classic members at the group's generation, each
//! with the partitions of its last assignment, and the newcomer's epoch makes them join again, one
//! by one. Members that wait in a round of the classic protocol are told to come again.

use super::change::{ConsumerChange, GroupEpoch, TargetEpoch};
use super::draft::Draft;
use super::heartbeat::Refusal;
use super::member::{ClassicPart, Current, MemberMetadata, MemberState};
use super::partitions::{Partitions, with_epoch};
use super::state::ConsumerGroup;
use crate::group::TopicDirectory;
use crate::group::change::Change;
use crate::group::coordinator::GroupCoordinator;
use crate::group::member::Member;
use crate::group::state::{Group, GroupState};
use mainstem_platform::Now;
use mainstem_protocol::consumer_protocol::{
    ConsumerProtocolSubscription, decode_assignment, decode_subscription,
};
use mainstem_protocol::ids::{PartitionIndex, TopicId};
use mainstem_protocol::{DecodeError, ErrorCode};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

impl GroupCoordinator {
    /// Takes the group out of its place, as a draft. A classic group whose place it takes comes
    /// along; whoever gives the draft up puts it back.
    pub(super) fn open_consumer_group(
        &mut self,
        group_id: &Arc<str>,
        joins: bool,
        topics: &dyn TopicDirectory,
    ) -> Result<(Draft, Option<Group>), Refusal> {
        if let Some(group) = self.consumer_groups.remove(group_id) {
            return Ok((Draft::new(group), None));
        }
        let refused = |text: String| Err(Refusal(ErrorCode::GROUP_ID_NOT_FOUND, text));
        let Some(classic) = self.groups.get(group_id) else {
            if !joins {
                return refused(format!("There is no group {group_id}."));
            }
            if self.config.groups_max <= self.groups.len() + self.consumer_groups.len() {
                let text = "The coordinator has no room for another group.".to_owned();
                return Err(Refusal(ErrorCode::COORDINATOR_NOT_AVAILABLE, text));
            }
            return Ok((Draft::new(ConsumerGroup::new(Arc::clone(group_id))), None));
        };
        if !joins {
            return refused(format!("Group {group_id} does not speak the consumer protocol."));
        }
        let cannot = |why: &str| {
            refused(format!(
                "Classic group {group_id} cannot change to the consumer protocol: {why}."
            ))
        };
        if !classic.members.is_empty() {
            if !self.config.consumer.migration_policy.allows_upgrade() {
                return cannot("the migration policy does not allow it");
            }
            if !classic.is_of_consumers() {
                return cannot("its members are no consumers");
            }
            if self.config.consumer.group_size_max < classic.members.len() {
                return cannot("it has too many members");
            }
        }
        let mut draft = Draft::new(ConsumerGroup::new(Arc::clone(group_id)));
        // Also what is still on its way to the log is taken away by this.
        draft.changes.push(Change::GroupRemoved { group: Arc::clone(group_id) });
        if !classic.members.is_empty() && draft.take_over(classic, topics).is_err() {
            return cannot("a subscription or an assignment cannot be read");
        }
        let classic = self.groups.remove(group_id);
        Ok((draft, classic))
    }

    /// Nothing came of the draft: everything is as it was.
    pub(super) fn give_up_draft(&mut self, draft: Draft, classic: Option<Group>) {
        match classic {
            Some(classic) => {
                self.groups.insert(Arc::clone(&classic.id), classic);
            }
            None => self.put_consumer_group(draft.roll_back()),
        }
    }

    /// The group is a consumer group now: what belonged to the classic one ends.
    pub(super) fn leave_classic_kind(&mut self, now: Now, classic: Group) {
        let group_id = Arc::clone(&classic.id);
        self.timers.retain(|timer| timer.group() != Some(&group_id));
        self.release_waiting(classic, ErrorCode::REBALANCE_IN_PROGRESS);
        self.arm_consumer_group(now, &group_id);
    }
}

impl Draft {
    fn take_over(
        &mut self,
        classic: &Group,
        topics: &dyn TopicDirectory,
    ) -> Result<(), DecodeError> {
        let generation = classic.generation;
        let mut owned: BTreeSet<(TopicId, PartitionIndex)> = BTreeSet::new();
        let mut targets = Vec::new();
        for member in classic.members.values() {
            let metadata = metadata_of(classic, member)?;
            let assigned = assigned_to(member, topics, &mut owned)?;
            self.put(ConsumerChange::Member(Arc::clone(&member.id), Some(metadata)));
            targets.push((Arc::clone(&member.id), assigned));
        }
        for (id, assigned) in &mut targets {
            let kept = kept_by(classic, &classic.members[id], topics, &mut owned)?;
            for (topic, partitions) in kept {
                assigned.entry(topic).or_default().extend(partitions);
            }
        }
        let epoch = GroupEpoch { epoch: generation, metadata_hash: 0 };
        self.put(ConsumerChange::Epoch(Some(epoch)));
        for (id, target) in &targets {
            self.put(ConsumerChange::Target(Arc::clone(id), Some(target.clone())));
        }
        let target = TargetEpoch { epoch: generation, computed_ms: 0 };
        self.put(ConsumerChange::TargetEpoch(Some(target)));
        for (id, target) in targets {
            let current = Current {
                epoch: generation,
                previous_epoch: generation,
                state: MemberState::Stable,
                assigned: with_epoch(&target, generation),
                revoking: Default::default(),
            };
            self.put(ConsumerChange::Current(id, Some(current)));
        }
        Ok(())
    }
}

/// All protocols of a consumer carry the same subscription; the chosen one is what counts.
fn subscription_of(
    classic: &Group,
    member: &Member,
) -> Result<ConsumerProtocolSubscription, DecodeError> {
    let chosen =
        member.protocols.iter().find(|known| Some(&known.name) == classic.protocol.as_ref());
    match chosen.or_else(|| member.protocols.first()) {
        Some(protocol) => decode_subscription(&protocol.metadata),
        None => Ok(ConsumerProtocolSubscription::default()),
    }
}

fn metadata_of(classic: &Group, member: &Member) -> Result<MemberMetadata, DecodeError> {
    let subscription = subscription_of(classic, member)?;
    let millis = |timeout: Duration| i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    Ok(MemberMetadata {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id.filter(|rack| !rack.is_empty()),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        topics: subscription.topics.into_iter().collect(),
        regex: None,
        rebalance_timeout_ms: millis(member.rebalance_timeout),
        server_assignor: None,
        classic: Some(ClassicPart {
            session_timeout_ms: millis(member.session_timeout),
            protocols: member.protocols.clone(),
        }),
    })
}

/// What the leader gave the members. A partition that it gave to two stays with the first: from now
/// on nobody shares.
fn assigned_to(
    member: &Member,
    topics: &dyn TopicDirectory,
    owned: &mut BTreeSet<(TopicId, PartitionIndex)>,
) -> Result<Partitions, DecodeError> {
    let assignment = decode_assignment(&member.assignment)?;
    let assigned = assignment.assigned_partitions.into_iter();
    Ok(claim(assigned.map(|topic| (topic.topic, topic.partitions)), topics, owned))
}

/// What a member said that it has. While a round is under way there may be no assignment, but a
/// member that rebalances cooperatively goes on with what it has.
fn kept_by(
    classic: &Group,
    member: &Member,
    topics: &dyn TopicDirectory,
    owned: &mut BTreeSet<(TopicId, PartitionIndex)>,
) -> Result<Partitions, DecodeError> {
    if classic.state == GroupState::Stable {
        return Ok(Partitions::new());
    }
    let kept = subscription_of(classic, member)?.owned_partitions.into_iter();
    Ok(claim(kept.map(|topic| (topic.topic, topic.partitions)), topics, owned))
}

fn claim(
    partitions: impl Iterator<Item = (String, Vec<i32>)>,
    topics: &dyn TopicDirectory,
    owned: &mut BTreeSet<(TopicId, PartitionIndex)>,
) -> Partitions {
    let mut claimed = Partitions::new();
    for (topic, numbers) in partitions {
        let Some(id) = topics.topic_id(&topic) else { continue };
        for partition in numbers.into_iter().map(PartitionIndex) {
            if owned.insert((id, partition)) {
                claimed.entry(id).or_default().insert(partition);
            }
        }
    }
    claimed
}
