//! A static member comes back: the same instance id, a new member id (KIP-345).
//!
//! The old id is fenced from now on. If the group is stable and would choose the same protocol, the
//! newcomer simply takes the old one's place, assignment included, and nobody else notices. The
//! exchange is written down before it is answered.

use super::GroupResponse;
use super::append::Then;
use super::change::Change;
use super::coordinator::{GroupCoordinator, GroupTimer};
use super::join::{JoinAttempt, join_response};
use super::member::{MemberId, Waiting};
use super::refuse::{join_error, sync_error};
use super::state::GroupState;
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use std::sync::Arc;

/// An exchange that is on its way to the log.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) group: Arc<str>,
    pub(super) generation: i32,
    pub(super) member: MemberId,
    /// Who led when the newcomer asked; old clients must not mistake themselves for the leader.
    pub(super) leader_before: String,
    pub(super) waiting: Waiting,
}

impl GroupCoordinator {
    pub(super) fn replace_static_member(
        &mut self,
        attempt: &JoinAttempt<'_>,
        group_id: &Arc<str>,
        old_id: &MemberId,
        new_id: &MemberId,
    ) {
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        let leader_before = group.leader.as_deref().unwrap_or_default().to_owned();
        let mut member = group.members.remove(old_id).expect("a static member is a member");
        let (join, sync) = (member.awaiting_join.take(), member.awaiting_sync.take());
        member.id = Arc::clone(new_id);
        member.client_id.clone_from(&attempt.context.client_id);
        member.client_host.clone_from(&attempt.context.client_host);
        let instance = member.instance_id.clone().expect("a static member has an instance id");
        group.static_members.insert(instance, Arc::clone(new_id));
        if group.is_leader(old_id) {
            group.leader = Some(Arc::clone(new_id));
        }
        if group.pending_sync.remove(old_id) {
            group.pending_sync.insert(Arc::clone(new_id));
        }
        group.members.insert(Arc::clone(new_id), member);
        let unchanged_protocol = {
            let chosen = group.protocol.clone();
            self.set_member(attempt, group_id, new_id);
            self.groups[group_id].select_protocol() == chosen
        };
        let fenced = ErrorCode::FENCED_INSTANCE_ID;
        if let Some(waiting) = join {
            self.reply(waiting.to, join_error(waiting.api_version, old_id, fenced));
        }
        if let Some(waiting) = sync {
            self.reply(waiting.to, sync_error(fenced));
        }
        self.timers.clear(&GroupTimer::Session(Arc::clone(group_id), Arc::clone(old_id)));
        self.arm_session(attempt.now, group_id, new_id);

        match self.groups[group_id].state {
            GroupState::Stable if unchanged_protocol => {
                self.store_replacement(attempt, group_id, new_id, leader_before);
            }
            _ => self.rebalance_or_complete_join(attempt.now, group_id),
        }
    }

    fn store_replacement(
        &mut self,
        attempt: &JoinAttempt<'_>,
        group_id: &Arc<str>,
        id: &MemberId,
        leader_before: String,
    ) {
        let partition = self.partition_of(group_id);
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        let member = group.members.get_mut(id).expect("the member was just put there");
        member.awaiting_join = None;
        let replacement = Replacement {
            group: Arc::clone(group_id),
            generation: group.generation,
            member: Arc::clone(id),
            leader_before,
            waiting: attempt.waiting(),
        };
        let snapshot = group.snapshot();
        let change = Change::Group { group: Arc::clone(group_id), snapshot };
        let then = Then::Replaced(replacement);
        if let Err((code, _)) = self.append(partition, vec![change], None, then) {
            // The exchange stands in memory; the newcomer asks again and writes it then.
            self.refuse_join(attempt, code);
        }
    }

    /// The exchange is in the log, or was refused.
    pub(super) fn replaced(
        &mut self,
        now: Now,
        replacement: &Replacement,
        result: Result<(), ErrorCode>,
    ) {
        let Replacement { group: group_id, member: id, waiting, .. } = replacement;
        let group = self.groups.get(group_id);
        let present = group.filter(|group| {
            group.generation == replacement.generation && group.members.contains_key(id)
        });
        let response = match (result, present) {
            (Err(code), _) => join_error(waiting.api_version, id, code),
            // The group went on meanwhile; the newcomer finds out by asking again.
            (Ok(()), None) => join_error(waiting.api_version, id, ErrorCode::UNKNOWN_MEMBER_ID),
            (Ok(()), Some(group)) => {
                let mut response = join_response(group, id, waiting.api_version);
                if let GroupResponse::JoinGroup(response) = &mut response {
                    if 9 <= waiting.api_version {
                        response.skip_assignment = group.is_leader(id);
                    } else {
                        // It has no way to say "you lead, but do not assign": name the old one.
                        response.leader.clone_from(&replacement.leader_before);
                        response.members.clear();
                    }
                }
                response
            }
        };
        self.reply(waiting.to, response);
        self.arm_session(now, group_id, id);
    }
}
