//! SyncGroup: the leader brings the assignment, everybody fetches his part of it.
//!
//! The assignment is written to the log before anybody sees it. A coordinator that takes over can
//! then answer every member of the generation.

use super::append::Then;
use super::change::{Change, GroupSnapshot, MemberSnapshot};
use super::coordinator::{GroupCoordinator, GroupTimer};
use super::member::{Member, MemberId, Waiting};
use super::refuse::sync_error;
use super::state::{Group, GroupState};
use super::{GroupResponse, TopicDirectory};
use crate::log::{ClientContext, ReplyTo};
use bytes::Bytes;
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An assignment on its way to the log.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) group: Arc<str>,
    pub(super) generation: i32,
    pub(super) of: BTreeMap<MemberId, Bytes>,
}

impl GroupCoordinator {
    pub(super) fn sync(
        &mut self,
        now: Now,
        context: &ClientContext,
        topics: &dyn TopicDirectory,
        request: &SyncGroupRequest,
        to: ReplyTo,
    ) {
        if !names_protocol(context.api_version, request) {
            return self.reply(to, sync_error(ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
        }
        let group_id: Arc<str> = Arc::from(request.group_id.as_str());
        if self.consumer_groups.contains_key(&group_id) {
            return self.sync_consumer_group(now, context, topics, request, to);
        }
        let Some(group) = self.groups.get_mut(&group_id) else {
            return self.reply(to, sync_error(ErrorCode::UNKNOWN_MEMBER_ID));
        };
        if let Err(code) = check_sync(group, request) {
            return self.reply(to, sync_error(code));
        }
        let id: MemberId = Arc::from(request.member_id.as_str());
        match group.state {
            GroupState::Empty => self.reply(to, sync_error(ErrorCode::UNKNOWN_MEMBER_ID)),
            GroupState::PreparingRebalance => {
                self.reply(to, sync_error(ErrorCode::REBALANCE_IN_PROGRESS));
            }
            GroupState::CompletingRebalance => {
                let member = group.members.get_mut(&id).expect("the member was checked");
                let waiting = Waiting { to, api_version: context.api_version };
                if let Some(earlier) = member.awaiting_sync.replace(waiting) {
                    let code = ErrorCode::COORDINATOR_NOT_AVAILABLE;
                    self.reply(earlier.to, sync_error(code));
                }
                self.has_synced(&group_id, &id);
                self.maybe_store_assignment(now, &group_id, request);
            }
            GroupState::Stable => {
                self.has_synced(&group_id, &id);
                self.arm_session(now, &group_id, &id);
                let response = sync_response(&self.groups[&group_id], &id);
                self.reply(to, response);
            }
        }
    }

    fn has_synced(&mut self, group_id: &Arc<str>, id: &MemberId) {
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        group.pending_sync.remove(id);
        if group.pending_sync.is_empty() {
            self.timers.clear(&GroupTimer::Sync(Arc::clone(group_id)));
        }
    }

    fn maybe_store_assignment(
        &mut self,
        now: Now,
        group_id: &Arc<str>,
        request: &SyncGroupRequest,
    ) {
        let partition = self.partition_of(group_id);
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        let already = group.assignment_in_flight == Some(group.generation);
        if !group.is_leader(&request.member_id) || already {
            return;
        }
        // Members that the leader forgot get nothing; those that it invented are ignored.
        let mut of: BTreeMap<MemberId, Bytes> =
            group.members.keys().map(|id| (Arc::clone(id), Bytes::new())).collect();
        for assignment in &request.assignments {
            if let Some(part) = of.get_mut(assignment.member_id.as_str()) {
                part.clone_from(&assignment.assignment);
            }
        }
        let mut snapshot = group.snapshot();
        for member in &mut snapshot.members {
            member.assignment = of[member.member_id.as_str()].clone();
        }
        group.assignment_in_flight = Some(group.generation);
        let assignment =
            Assignment { group: Arc::clone(group_id), generation: group.generation, of };
        let change = Change::Group { group: Arc::clone(group_id), snapshot };
        let then = Then::Assigned(assignment);
        if let Err((code, Then::Assigned(assignment))) =
            self.append(partition, vec![change], None, then)
        {
            self.assigned(now, assignment, Err(code));
        }
    }

    /// The assignment is in the log, or was refused.
    pub(super) fn assigned(
        &mut self,
        now: Now,
        assignment: Assignment,
        result: Result<(), ErrorCode>,
    ) {
        let Assignment { group: group_id, generation, of } = assignment;
        let Some(group) = self.groups.get_mut(&group_id) else { return };
        let is_present =
            group.state == GroupState::CompletingRebalance && group.generation == generation;
        if !is_present {
            return;
        }
        group.assignment_in_flight = None;
        if let Err(code) = result {
            self.cancel_assignment(now, &group_id, code);
            return self.rebalance_or_complete_join(now, &group_id);
        }
        for (id, part) in of {
            if let Some(member) = group.members.get_mut(&id) {
                member.assignment = part;
            }
        }
        group.transition(GroupState::Stable, now.wall_ms);
        let mut waiting = Vec::new();
        for member in group.members.values_mut() {
            waiting.extend(member.awaiting_sync.take().map(|w| (Arc::clone(&member.id), w.to)));
        }
        for (id, to) in waiting {
            let response = sync_response(&self.groups[&group_id], &id);
            self.reply(to, response);
            self.arm_session(now, &group_id, &id);
        }
    }

    /// Some members have not fetched their part within the rebalance timeout: go on without them.
    pub(super) fn sync_time_is_up(&mut self, now: Now, group_id: &Arc<str>) {
        let Some(group) = self.groups.get_mut(group_id) else { return };
        let is_waiting =
            matches!(group.state, GroupState::CompletingRebalance | GroupState::Stable);
        if !is_waiting || group.pending_sync.is_empty() {
            return;
        }
        for id in std::mem::take(&mut group.pending_sync) {
            group.remove(&id);
            self.timers.clear(&GroupTimer::Session(Arc::clone(group_id), id));
        }
        self.prepare_rebalance(now, group_id);
    }
}

/// From v5 on a member has to say which protocol it believes to be chosen.
fn names_protocol(api_version: i16, request: &SyncGroupRequest) -> bool {
    api_version < 5 || (request.protocol_type.is_some() && request.protocol_name.is_some())
}

fn check_sync(group: &Group, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
    group.check_member(&request.member_id, request.group_instance_id.as_deref())?;
    if request.generation_id != group.generation {
        return Err(ErrorCode::ILLEGAL_GENERATION);
    }
    let differs = |said: &Option<String>, is: &Option<String>| said.is_some() && said != is;
    if differs(&request.protocol_type, &group.protocol_type)
        || differs(&request.protocol_name, &group.protocol)
    {
        return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
    Ok(())
}

fn sync_response(group: &Group, id: &str) -> GroupResponse {
    let member = &group.members[id];
    GroupResponse::SyncGroup(SyncGroupResponse {
        protocol_type: group.protocol_type.clone(),
        protocol_name: group.protocol.clone(),
        assignment: member.assignment.clone(),
        ..SyncGroupResponse::default()
    })
}

impl Group {
    /// The group as it would be written now.
    pub(super) fn snapshot(&self) -> GroupSnapshot {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let millis =
            |timeout: std::time::Duration| i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let member = |member: &Member| MemberSnapshot {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: millis(member.rebalance_timeout),
            session_timeout_ms: millis(member.session_timeout),
            subscription: member.metadata(protocol),
            assignment: member.assignment.clone(),
        };
        GroupSnapshot {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().map(str::to_owned),
            state_since_ms: self.state_since_ms,
            members: self.members.values().map(member).collect(),
        }
    }
}
