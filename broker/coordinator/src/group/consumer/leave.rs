//! Members go: by a farewell (-1), for a while (-2, static members only), or because their time is
//! up.
//!
//! A member that goes takes its partitions with it at once, and the group epoch rises; the new
//! target is computed with the next heartbeat of somebody who stays. A static member that goes for
//! a while keeps what it has until it is back under its instance id, or its session ends.

use super::append::Answer;
use super::change::ConsumerChange;
use super::draft::Draft;
use super::heartbeat::{Attempt, Refusal};
use super::member::{Current, LEAVE_STATIC_EPOCH};
use super::partitions::PartitionEpochs;
use crate::group::coordinator::{GroupCoordinator, GroupTimer};
use crate::group::member::MemberId;
use crate::group::{GroupResponse, TopicDirectory};
use crate::log::ReplyTo;
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::ConsumerGroupHeartbeatResponse;
use std::sync::Arc;

impl GroupCoordinator {
    pub(super) fn consumer_leave(
        &mut self,
        attempt: &Attempt<'_>,
        to: ReplyTo,
    ) -> Result<(), Refusal> {
        let request = attempt.request;
        let group_id: Arc<str> = Arc::from(request.group_id.as_str());
        let id: MemberId = Arc::from(request.member_id.as_str());
        let (draft, _) = self.open_consumer_group(&group_id, false, attempt.topics)?;
        let group = &draft.group;
        let known = match request.instance_id.as_deref() {
            None if group.members.contains_key(&id) => Ok(()),
            None => Err(group.unknown_member(&id)),
            Some(instance) => match group.static_members.get(instance) {
                None => Err(group.unknown_instance(instance)),
                Some(holder) => group.check_instance(holder, &id, instance),
            },
        };
        if let Err(refusal) = known {
            self.put_consumer_group(draft.roll_back());
            return Err(refusal);
        }
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(id.to_string()),
            member_epoch: request.member_epoch,
            ..ConsumerGroupHeartbeatResponse::default()
        };
        let answer = Answer {
            to,
            api_version: attempt.context.api_version,
            response: GroupResponse::ConsumerGroupHeartbeat(response),
        };
        let left = if request.member_epoch == LEAVE_STATIC_EPOCH {
            self.leave_for_a_while(draft, &id, answer)
        } else {
            self.fence_members(attempt.now, attempt.topics, draft, &[id], Some(answer))
        };
        left.map_err(|code| Refusal(code, "The coordinator cannot write now.".to_owned()))
    }

    /// What it was about to give up it has given up; the rest waits for it.
    fn leave_for_a_while(
        &mut self,
        mut draft: Draft,
        id: &MemberId,
        answer: Answer,
    ) -> Result<(), ErrorCode> {
        let away = Current {
            epoch: LEAVE_STATIC_EPOCH,
            revoking: PartitionEpochs::new(),
            ..draft.group.current_of(id)
        };
        let group_id = Arc::clone(&draft.group.id);
        draft.put(ConsumerChange::Current(Arc::clone(id), Some(away)));
        self.commit_draft(draft, Some(answer))?;
        self.timers.clear(&GroupTimer::Revocation(group_id, Arc::clone(id)));
        Ok(())
    }

    /// Takes members out of their group. If only classic members stay behind, the group becomes a
    /// classic one.
    pub(super) fn fence_members(
        &mut self,
        now: Now,
        topics: &dyn TopicDirectory,
        mut draft: Draft,
        ids: &[MemberId],
        answer: Option<Answer>,
    ) -> Result<(), ErrorCode> {
        let group_id = Arc::clone(&draft.group.id);
        if let [id] = ids
            && self.may_downgrade(&draft.group, id)
        {
            return self.downgrade(now, topics, draft, id, answer);
        }
        for id in ids {
            draft.remove_member(id);
        }
        draft.bump_epoch(0);
        self.commit_draft(draft, answer)?;
        for id in ids {
            self.clear_member_timers(&group_id, id);
        }
        Ok(())
    }
}
