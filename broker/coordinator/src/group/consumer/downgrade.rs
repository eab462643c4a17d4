//! A consumer group becomes a classic one: at once when it is empty and a classic member comes, and
//! when the last member of the consumer protocol leaves others behind.
//!
//! The members that stay behind keep what they have; the generation is the group epoch, and a
//! rebalance begins, so that they share out among themselves what the last one had.

use super::append::Answer;
use super::draft::Draft;
use super::partitions::Partitions;
use super::state::ConsumerGroup;
use crate::group::TopicDirectory;
use crate::group::change::Change;
use crate::group::coordinator::GroupCoordinator;
use crate::group::join::millis;
use crate::group::member::{Member, MemberId};
use crate::group::state::{Group, GroupState};
use bytes::Bytes;
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::consumer_protocol::{
    ConsumerProtocolAssignment, PROTOCOL_TYPE, consumer_protocol_assignment, encode_assignment,
};
use mainstem_protocol::ids::{PartitionIndex, TopicId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The newest version of the consumers' protocol that is written.
const CONSUMER_PROTOCOL_VERSION_MAX: i16 = 3;

impl GroupCoordinator {
    /// Whether the group becomes a classic one when this member goes.
    pub(super) fn may_downgrade(&self, group: &ConsumerGroup, leaving: &str) -> bool {
        let staying = group.members.len().saturating_sub(1);
        group.is_last_of_consumer_protocol(leaving)
            && 0 < staying
            && staying <= self.config.group_size_max
            && self.config.consumer.migration_policy.allows_downgrade()
    }

    pub(super) fn downgrade(
        &mut self,
        now: Now,
        topics: &dyn TopicDirectory,
        mut draft: Draft,
        leaving: &MemberId,
        answer: Option<Answer>,
    ) -> Result<(), ErrorCode> {
        let group_id = Arc::clone(&draft.group.id);
        let classic = classic_group(&draft.group, topics, leaving, now.wall_ms);
        draft.put_all(draft.group.removal());
        let change = Change::Group { group: Arc::clone(&group_id), snapshot: classic.snapshot() };
        draft.changes.push(change);
        self.commit_draft(draft, answer)?;
        self.timers.retain(|timer| timer.group() != Some(&group_id));
        let ids: Vec<MemberId> = classic.members.keys().cloned().collect();
        self.groups.insert(Arc::clone(&group_id), classic);
        for id in ids {
            self.arm_session(now, &group_id, &id);
        }
        self.prepare_rebalance(now, &group_id);
        Ok(())
    }

    /// An empty consumer group gives way to a classic one of its name.
    pub(in crate::group) fn give_way(&mut self, group_id: &Arc<str>) -> Result<(), ErrorCode> {
        let Some(group) = self.consumer_groups.remove(group_id) else { return Ok(()) };
        let mut draft = Draft::new(group);
        draft.put_all(draft.group.removal());
        // The classic group has its place from now on, so this is not taken back alone.
        draft.changes.push(Change::GroupRemoved { group: Arc::clone(group_id) });
        self.commit_draft(draft, None)
    }
}

fn classic_group(
    from: &ConsumerGroup,
    topics: &dyn TopicDirectory,
    leaving: &str,
    now_ms: i64,
) -> Group {
    let mut group = Group::new(Arc::clone(&from.id), now_ms);
    let name_of = |id: TopicId| topics.topic_name(id).map(str::to_owned);
    for (id, metadata) in &from.members {
        let Some(classic) = metadata.classic.as_ref().filter(|_| **id != *leaving) else {
            continue;
        };
        let has = from.current_of(id).owned();
        let version = subscription_version(classic.protocols.first().map(|p| &p.metadata));
        let member = Member {
            id: Arc::clone(id),
            instance_id: metadata.instance_id.clone(),
            client_id: metadata.client_id.clone(),
            client_host: metadata.client_host.clone(),
            rebalance_timeout: millis(metadata.rebalance_timeout_ms),
            session_timeout: millis(classic.session_timeout_ms),
            protocols: classic.protocols.clone(),
            assignment: encode_partitions(&has, version, name_of),
            order: 0,
            is_new: false,
            awaiting_join: None,
            awaiting_sync: None,
        };
        group.add(member, PROTOCOL_TYPE);
    }
    group.generation = from.group_epoch();
    group.protocol = group.select_protocol();
    group.transition(GroupState::Stable, now_ms);
    group
}

/// The version in which a member speaks of subscriptions, and so reads assignments.
pub(super) fn subscription_version(metadata: Option<&Bytes>) -> i16 {
    let version = metadata.and_then(|bytes| bytes.first_chunk()).map(|b| i16::from_be_bytes(*b));
    version.unwrap_or(0).clamp(0, CONSUMER_PROTOCOL_VERSION_MAX)
}

/// An assignment as classic members read it. Topics without a name are gone and left out.
pub(super) fn encode_partitions(
    of: &Partitions,
    version: i16,
    name_of: impl Fn(TopicId) -> Option<String>,
) -> Bytes {
    let topic = |(id, partitions): (&TopicId, &BTreeSet<PartitionIndex>)| {
        Some(consumer_protocol_assignment::TopicPartition {
            topic: name_of(*id)?,
            partitions: partitions.iter().map(|partition| partition.0).collect(),
        })
    };
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: of.iter().filter_map(topic).collect(),
        user_data: None,
    };
    // Names of topics are short, so this always encodes.
    encode_assignment(&assignment, version).unwrap_or_default()
}
