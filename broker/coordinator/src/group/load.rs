//! Building the state from the log, and the markers that end transactions in it.
//!
//! Loading and living apply the same changes. What only loading adds is life: a group that was
//! written with members gets them back, with sessions that run from the end of the load, so that
//! members which are still there have time to be heard.

use super::change::{Change, GroupSnapshot, MemberSnapshot};
use super::consumer::{ConsumerChange, ConsumerGroup};
use super::coordinator::GroupCoordinator;
use super::join::millis;
use super::member::{Member, MemberId, Protocol};
use super::record::decode;
use super::state::{Group, GroupState};
use bytes::Bytes;
use mainstem_platform::Now;
use mainstem_protocol::ids::{Offset, PartitionIndex, ProducerId};
use std::sync::Arc;

impl GroupCoordinator {
    /// One record of a log that is being loaded, in order. `transaction` is the producer id of a
    /// transactional batch. Markers go to [`Self::load_marker`].
    pub fn load_record(
        &mut self,
        partition: PartitionIndex,
        offset: Offset,
        transaction: Option<ProducerId>,
        key: &Bytes,
        value: Option<&Bytes>,
    ) {
        assert!(self.residency.is_loading(partition), "records come between begin and finish");
        let change = match decode(offset, key, value) {
            Ok(Some(change)) => change,
            Ok(None) => return,
            Err(error) => {
                // One record that nobody can read must not take all groups down with it.
                tracing::error!(%partition, %offset, %error, "skipping an unreadable record");
                return;
            }
        };
        match &change {
            Change::Group { group, snapshot } => {
                // A later record of the other kind: the group was converted.
                self.consumer_groups.remove(group);
                self.groups.insert(Arc::clone(group), revive(group, snapshot));
            }
            Change::GroupRemoved { group } => {
                self.groups.remove(group);
            }
            Change::Consumer { group, change } => self.load_consumer(group, change.clone()),
            Change::Offset { .. } | Change::OffsetRemoved { .. } => {}
        }
        self.apply(partition, offset, transaction, change);
    }

    /// One marker of a log that is being loaded.
    pub fn load_marker(&mut self, partition: PartitionIndex, producer: ProducerId, commit: bool) {
        self.offsets.end_transaction(partition, producer, commit);
    }

    /// A transaction's marker is in the log of the partition and past the high watermark. All
    /// appends before it have been reported.
    pub fn handle_marker(&mut self, partition: PartitionIndex, producer: ProducerId, commit: bool) {
        if self.residency.check(partition).is_ok() {
            self.offsets.end_transaction(partition, producer, commit);
        }
    }

    fn load_consumer(&mut self, group_id: &Arc<str>, change: ConsumerChange) {
        let group = self.consumer_groups.remove(group_id);
        let mut group = group.unwrap_or_else(|| ConsumerGroup::new(Arc::clone(group_id)));
        group.apply(change);
        if !group.is_vacant() {
            self.groups.remove(group_id);
            self.consumer_groups.insert(Arc::clone(group_id), group);
        }
    }

    pub(super) fn revive_members(&mut self, now: Now, partition: PartitionIndex) {
        let of_partition = |id: &&Arc<str>| self.partition_of(id) == partition;
        let consumer: Vec<_> = self.consumer_groups.keys().filter(of_partition).cloned().collect();
        for group in consumer {
            self.arm_consumer_group(now, &group);
        }
        let mut members: Vec<(Arc<str>, MemberId)> = Vec::new();
        for (id, group) in &self.groups {
            if self.partition_of(id) == partition {
                members.extend(group.members.keys().map(|m| (Arc::clone(id), Arc::clone(m))));
            }
        }
        for (group, member) in members {
            self.arm_session(now, &group, &member);
        }
    }
}

/// A group as its record describes it: stable with members, or empty.
pub(super) fn revive(id: &Arc<str>, snapshot: &GroupSnapshot) -> Group {
    let mut group = Group::new(Arc::clone(id), snapshot.state_since_ms);
    for member in &snapshot.members {
        group.add(revive_member(member, snapshot), &snapshot.protocol_type);
    }
    let is_empty = snapshot.members.is_empty();
    group.state = if is_empty { GroupState::Empty } else { GroupState::Stable };
    group.protocol_type = Some(snapshot.protocol_type.clone()).filter(|kind| !kind.is_empty());
    group.protocol.clone_from(&snapshot.protocol);
    group.generation = snapshot.generation;
    group.leader = snapshot.leader.as_deref().map(Arc::from);
    group.durable = Some(snapshot.clone());
    group
}

fn revive_member(member: &MemberSnapshot, snapshot: &GroupSnapshot) -> Member {
    let protocol = snapshot
        .protocol
        .clone()
        .map(|name| Protocol { name, metadata: member.subscription.clone() });
    Member {
        id: Arc::from(member.member_id.as_str()),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout: millis(member.rebalance_timeout_ms),
        session_timeout: millis(member.session_timeout_ms),
        // Only the chosen protocol is in the log; the others come back with the next join.
        protocols: protocol.into_iter().collect(),
        assignment: member.assignment.clone(),
        order: 0,
        is_new: false,
        awaiting_join: None,
        awaiting_sync: None,
    }
}
