//! LeaveGroup: members say goodbye, one by one or in a batch (v3+), also on behalf of a static
//! member that is known only by its instance id.

use super::coordinator::GroupCoordinator;
use super::member::MemberId;
use super::{GroupResponse, TopicDirectory};
use crate::log::{ClientContext, ReplyTo};
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::leave_group::{MemberIdentity, MemberResponse};
use mainstem_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use std::sync::Arc;

impl GroupCoordinator {
    pub(super) fn leave(
        &mut self,
        now: Now,
        context: &ClientContext,
        topics: &dyn TopicDirectory,
        request: &LeaveGroupRequest,
        to: ReplyTo,
    ) {
        let group_id: Arc<str> = Arc::from(request.group_id.as_str());
        if self.consumer_groups.contains_key(&group_id) {
            return self.leave_consumer_group(now, context, topics, request, to);
        }
        let mut response = LeaveGroupResponse::default();
        let mut anybody = false;
        if context.api_version < 3 {
            let only = MemberIdentity {
                member_id: request.member_id.clone(),
                ..MemberIdentity::default()
            };
            let result = self.leave_one(&group_id, &only);
            anybody = result.is_ok();
            response.error_code = result.err().unwrap_or(ErrorCode::NONE);
        } else {
            for member in &request.members {
                let result = self.leave_one(&group_id, member);
                anybody |= result.is_ok();
                response.members.push(MemberResponse {
                    member_id: member.member_id.clone(),
                    group_instance_id: member.group_instance_id.clone(),
                    error_code: result.err().unwrap_or(ErrorCode::NONE),
                });
            }
        }
        self.reply(to, GroupResponse::LeaveGroup(response));
        if anybody {
            self.after_removal(now, &group_id);
        }
    }

    fn leave_one(&mut self, group_id: &Arc<str>, who: &MemberIdentity) -> Result<(), ErrorCode> {
        let group = self.groups.get(group_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        let instance_id = who.group_instance_id.as_deref();
        let id: MemberId = match instance_id {
            Some(instance_id) if who.member_id.is_empty() => {
                let holder = group.static_members.get(instance_id).cloned();
                holder.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?
            }
            _ => {
                let is_pending = group.pending_members.contains(who.member_id.as_str());
                if !is_pending || instance_id.is_some() {
                    group.check_member(&who.member_id, instance_id)?;
                }
                Arc::from(who.member_id.as_str())
            }
        };
        self.remove_member(group_id, &id);
        Ok(())
    }
}
