//! JoinGroup: how a member comes into a group.
//!
//! The answer waits until the join phase of a generation completes (`rebalance`), except where
//! nothing has changed and the present generation can be told at once. Since v4 a dynamic member
//! first gets an id and asks again with it, so that a client that gives up and asks anew does not
//! leave a nameless member behind (KIP-394).

use super::coordinator::{GroupCoordinator, GroupTimer};
use super::member::{Member, MemberId, Protocol, Waiting};
use super::refuse::join_error;
use super::state::{Group, GroupState};
use super::{GroupResponse, TopicDirectory};
use crate::log::{ClientContext, ReplyTo};
use bytes::Bytes;
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::join_group::JoinGroupResponseMember;
use mainstem_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use std::sync::Arc;
use std::time::Duration;

/// One request to join, with all that the rules ask of it.
pub(super) struct JoinAttempt<'a> {
    pub(super) now: Now,
    pub(super) context: &'a ClientContext,
    pub(super) request: &'a JoinGroupRequest,
    pub(super) to: ReplyTo,
}

impl JoinAttempt<'_> {
    pub(super) fn waiting(&self) -> Waiting {
        Waiting { to: self.to, api_version: self.context.api_version }
    }

    pub(super) fn session_timeout(&self) -> Duration {
        millis(self.request.session_timeout_ms)
    }

    /// Version 0 has only one timeout.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        match self.request.rebalance_timeout_ms {
            -1 => self.session_timeout(),
            timeout_ms => millis(timeout_ms),
        }
    }

    pub(super) fn protocols(&self) -> Vec<Protocol> {
        let protocols = self.request.protocols.iter();
        protocols.map(|p| Protocol { name: p.name.clone(), metadata: p.metadata.clone() }).collect()
    }

    /// Kafka's rule: same names and same metadata in the same order.
    fn matches(&self, member: &Member) -> bool {
        let theirs = self.request.protocols.iter().map(|p| (&p.name, &p.metadata));
        theirs.eq(member.protocols.iter().map(|p| (&p.name, &p.metadata)))
    }
}

pub(super) fn millis(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

impl GroupCoordinator {
    pub(super) fn join(&mut self, attempt: &JoinAttempt<'_>, topics: &dyn TopicDirectory) {
        let request = attempt.request;
        let session = attempt.session_timeout();
        if session < self.config.session_timeout_min || self.config.session_timeout_max < session {
            return self.refuse_join(attempt, ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        let is_unknown = request.member_id.is_empty();
        let group_id: Arc<str> = Arc::from(request.group_id.as_str());
        if let Some(group) = self.consumer_groups.get(&group_id) {
            if !group.members.is_empty() {
                return self.join_consumer_group(attempt, topics);
            }
            if let Err(code) = self.give_way(&group_id) {
                return self.refuse_join(attempt, code);
            }
        }
        if !self.groups.contains_key(&group_id) {
            if !is_unknown {
                return self.refuse_join(attempt, ErrorCode::UNKNOWN_MEMBER_ID);
            }
            if self.config.groups_max <= self.groups.len() + self.consumer_groups.len() {
                return self.refuse_join(attempt, ErrorCode::COORDINATOR_NOT_AVAILABLE);
            }
            let group = Group::new(Arc::clone(&group_id), attempt.now.wall_ms);
            self.groups.insert(Arc::clone(&group_id), group);
        }
        let size_max = self.config.group_size_max;
        let group = self.groups.get_mut(&group_id).expect("the group was just looked up");
        if !has_room(group, &request.member_id, size_max) {
            group.pending_members.remove(request.member_id.as_str());
            return self.refuse_join(attempt, ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        if !group.supports(&request.protocol_type, &attempt.protocols()) {
            self.refuse_join(attempt, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
            return self.drop_if_forgettable(&group_id);
        }
        if is_unknown {
            self.join_as_new(attempt, &group_id);
        } else {
            self.join_as_known(attempt, &group_id);
        }
    }

    pub(super) fn refuse_join(&mut self, attempt: &JoinAttempt<'_>, code: ErrorCode) {
        let version = attempt.context.api_version;
        self.reply(attempt.to, join_error(version, &attempt.request.member_id, code));
    }

    pub(super) fn drop_if_forgettable(&mut self, group_id: &str) {
        if self.groups.get(group_id).is_some_and(Group::is_forgettable) {
            self.groups.remove(group_id);
        }
    }

    fn join_as_new(&mut self, attempt: &JoinAttempt<'_>, group_id: &Arc<str>) {
        let instance = attempt.request.group_instance_id.as_deref();
        let id = self.new_member_id(instance.unwrap_or(&attempt.context.client_id));
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        if let Some(instance) = instance {
            match group.static_members.get(instance).cloned() {
                Some(old) => self.replace_static_member(attempt, group_id, &old, &id),
                None => self.add_member(attempt, group_id, id),
            }
            return;
        }
        let member_id_required = 4 <= attempt.context.api_version;
        if !member_id_required {
            return self.add_member(attempt, group_id, id);
        }
        if self.config.group_size_max <= group.pending_members.len() {
            return self.refuse_join(attempt, ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        group.pending_members.insert(Arc::clone(&id));
        let timer = GroupTimer::PendingMember(Arc::clone(group_id), Arc::clone(&id));
        self.timers.set(timer, attempt.now.instant.plus(attempt.session_timeout()));
        let version = attempt.context.api_version;
        self.reply(attempt.to, join_error(version, &id, ErrorCode::MEMBER_ID_REQUIRED));
    }

    fn join_as_known(&mut self, attempt: &JoinAttempt<'_>, group_id: &Arc<str>) {
        let request = attempt.request;
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        let id: MemberId = Arc::from(request.member_id.as_str());
        if group.pending_members.contains(&id) {
            if request.group_instance_id.is_some() {
                // An id of this kind is never given to a static member.
                return self.refuse_join(attempt, ErrorCode::UNKNOWN_MEMBER_ID);
            }
            return self.add_member(attempt, group_id, id);
        }
        let instance = request.group_instance_id.as_deref();
        if let Err(code) = group.check_member(&id, instance) {
            return self.refuse_join(attempt, code);
        }
        let member = &group.members[&id];
        let unchanged = attempt.matches(member);
        match group.state {
            // The group has lost its members meanwhile: begin anew.
            GroupState::Empty => self.refuse_join(attempt, ErrorCode::UNKNOWN_MEMBER_ID),
            // The first answer may have been lost: tell the same again.
            GroupState::CompletingRebalance if unchanged => {
                let response = join_response(group, &id, attempt.context.api_version);
                self.reply(attempt.to, response);
            }
            // A follower that has nothing new to say asks for its assignment next. A leader that
            // joins again wants a new assignment.
            GroupState::Stable if unchanged && !group.is_leader(&id) => {
                let response = join_response(group, &id, attempt.context.api_version);
                self.reply(attempt.to, response);
            }
            _ => self.update_member(attempt, group_id, &id),
        }
    }

    fn add_member(&mut self, attempt: &JoinAttempt<'_>, group_id: &Arc<str>, id: MemberId) {
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        let member = Member {
            id: Arc::clone(&id),
            instance_id: attempt.request.group_instance_id.clone(),
            client_id: attempt.context.client_id.clone(),
            client_host: attempt.context.client_host.clone(),
            rebalance_timeout: attempt.rebalance_timeout(),
            session_timeout: attempt.session_timeout(),
            protocols: attempt.protocols(),
            assignment: Bytes::new(),
            order: 0,
            is_new: true,
            awaiting_join: Some(attempt.waiting()),
            awaiting_sync: None,
        };
        let in_first_join = group.state == GroupState::PreparingRebalance
            && group.previous_state == GroupState::Empty;
        group.new_member_added |= in_first_join;
        group.add(member, &attempt.request.protocol_type);
        self.timers.clear(&GroupTimer::PendingMember(Arc::clone(group_id), Arc::clone(&id)));
        // A new member has no heartbeats to send yet, so its session cannot run; but a client that
        // went away while it waited must not stay for ever.
        let until = attempt.now.instant.plus(self.config.new_member_join_timeout);
        self.timers.set(GroupTimer::Session(Arc::clone(group_id), id), until);
        self.rebalance_or_complete_join(attempt.now, group_id);
    }

    /// A member joins again: it takes part in the running rebalance or begins one.
    fn update_member(&mut self, attempt: &JoinAttempt<'_>, group_id: &Arc<str>, id: &MemberId) {
        self.set_member(attempt, group_id, id);
        self.rebalance_or_complete_join(attempt.now, group_id);
    }

    /// Takes over what the member says of itself, and remembers that it waits.
    pub(super) fn set_member(
        &mut self,
        attempt: &JoinAttempt<'_>,
        group_id: &Arc<str>,
        id: &MemberId,
    ) {
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        let member = group.members.get_mut(id).expect("callers have checked the member");
        member.protocols = attempt.protocols();
        member.rebalance_timeout = attempt.rebalance_timeout();
        member.session_timeout = attempt.session_timeout();
        let earlier = member.awaiting_join.replace(attempt.waiting());
        if let Some(earlier) = earlier {
            // The client asked again before it was answered: it does not listen to this any more.
            let code = ErrorCode::COORDINATOR_NOT_AVAILABLE;
            self.reply(earlier.to, join_error(earlier.api_version, id, code));
        }
    }
}

/// Whether one more member may come in. While members rejoin, those who wait are counted: that
/// throws the last ones out when the limit was lowered.
fn has_room(group: &Group, member_id: &str, size_max: usize) -> bool {
    let member = group.members.get(member_id);
    match group.state {
        GroupState::Empty => true,
        GroupState::PreparingRebalance => {
            member.is_some_and(|member| member.awaiting_join.is_some())
                || group.awaiting_join_count() < size_max
        }
        GroupState::CompletingRebalance | GroupState::Stable => {
            member.is_some() || group.members.len() < size_max
        }
    }
}

/// The present generation as one member is told. Only the leader is told who the others are.
pub(super) fn join_response(group: &Group, id: &str, api_version: i16) -> GroupResponse {
    let protocol = group.protocol.clone().unwrap_or_default();
    let tell = |member: &Member| JoinGroupResponseMember {
        member_id: member.id.to_string(),
        group_instance_id: member.instance_id.clone(),
        metadata: member.metadata(&protocol),
    };
    let members =
        if group.is_leader(id) { group.members.values().map(tell).collect() } else { Vec::new() };
    GroupResponse::JoinGroup(JoinGroupResponse {
        generation_id: group.generation,
        protocol_type: group.protocol_type.clone(),
        protocol_name: match (&group.protocol, api_version) {
            (None, 7..) => None,
            _ => Some(protocol.clone()),
        },
        leader: group.leader.as_deref().unwrap_or_default().to_owned(),
        member_id: id.to_owned(),
        members,
        ..JoinGroupResponse::default()
    })
}
