//! Heartbeats and sessions: who is still there.
//!
//! A session runs out when nothing was heard of a member for its session timeout. Whoever waits for
//! an answer of ours is excused. Commits count as heartbeats too.

use super::GroupResponse;
use super::coordinator::{GroupCoordinator, GroupTimer};
use super::member::{Member, MemberId};
use super::refuse::{join_error, sync_error};
use super::state::{Group, GroupState};
use crate::log::ReplyTo;
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use std::sync::Arc;

impl Group {
    /// Whether the member may speak for itself: it is known, and its static name was not taken over
    /// by another.
    pub(super) fn check_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            let holder = self.static_members.get(instance_id);
            let holder = holder.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if &**holder != member_id {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
        }
        if self.members.contains_key(member_id) {
            Ok(())
        } else {
            Err(ErrorCode::UNKNOWN_MEMBER_ID)
        }
    }
}

impl GroupCoordinator {
    pub(super) fn heartbeat(&mut self, now: Now, request: &HeartbeatRequest, to: ReplyTo) {
        if self.consumer_groups.contains_key(request.group_id.as_str()) {
            return self.heartbeat_consumer_group(now, request, to);
        }
        let code = self.check_heartbeat(now, request).err().unwrap_or(ErrorCode::NONE);
        let response = HeartbeatResponse { error_code: code, ..HeartbeatResponse::default() };
        self.reply(to, GroupResponse::Heartbeat(response));
    }

    fn check_heartbeat(&mut self, now: Now, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let group = self.groups.get(request.group_id.as_str());
        let group = group.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        group.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != group.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let state = group.state;
        let (group_id, id) = (Arc::clone(&group.id), Arc::from(request.member_id.as_str()));
        match state {
            GroupState::Empty => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
            GroupState::PreparingRebalance => {
                self.arm_session(now, &group_id, &id);
                return Err(ErrorCode::REBALANCE_IN_PROGRESS);
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.arm_session(now, &group_id, &id);
            }
        }
        Ok(())
    }

    /// The member was heard: its session runs anew.
    pub(super) fn arm_session(&mut self, now: Now, group_id: &Arc<str>, id: &MemberId) {
        let member = self.groups.get(group_id).and_then(|group| group.members.get(id));
        if let Some(member) = member {
            let until = now.instant.plus(member.session_timeout);
            self.timers.set(GroupTimer::Session(Arc::clone(group_id), Arc::clone(id)), until);
        }
    }

    pub(super) fn session_expired(&mut self, now: Now, group_id: &Arc<str>, id: &MemberId) {
        let group = self.groups.get(group_id);
        let member = group.and_then(|group| group.members.get(id));
        if member.is_some_and(Member::may_expire) {
            self.remove_member(group_id, id);
            self.after_removal(now, group_id);
        }
    }

    pub(super) fn pending_member_expired(&mut self, now: Now, group_id: &Arc<str>, id: &MemberId) {
        let Some(group) = self.groups.get_mut(group_id) else { return };
        if group.pending_members.remove(id) {
            self.maybe_complete_join(now, group_id);
            self.drop_if_forgettable(group_id);
        }
    }

    /// Takes a member out and answers what it waited for.
    pub(super) fn remove_member(&mut self, group_id: &Arc<str>, id: &MemberId) {
        let Some(group) = self.groups.get_mut(group_id) else { return };
        let removed = group.remove(id);
        self.timers.clear(&GroupTimer::Session(Arc::clone(group_id), Arc::clone(id)));
        self.timers.clear(&GroupTimer::PendingMember(Arc::clone(group_id), Arc::clone(id)));
        let Some(member) = removed else { return };
        let code = ErrorCode::UNKNOWN_MEMBER_ID;
        if let Some(waiting) = member.awaiting_join {
            self.reply(waiting.to, join_error(waiting.api_version, id, code));
        }
        if let Some(waiting) = member.awaiting_sync {
            self.reply(waiting.to, sync_error(code));
        }
    }

    /// Members have gone: share their work among the others.
    pub(super) fn after_removal(&mut self, now: Now, group_id: &Arc<str>) {
        let Some(group) = self.groups.get(group_id) else { return };
        match group.state {
            GroupState::Stable | GroupState::CompletingRebalance => {
                self.prepare_rebalance(now, group_id);
            }
            GroupState::PreparingRebalance => self.maybe_complete_join(now, group_id),
            GroupState::Empty => self.drop_if_forgettable(group_id),
        }
    }
}
