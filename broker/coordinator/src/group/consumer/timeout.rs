//! What lasts too long in a consumer group: silence, giving up partitions, and the rounds of
//! classic members. Each ends with the member outside of the group.
//!
//! A write that cannot be made now is tried again a little later: nobody else would.

use super::draft::Draft;
use super::member::MemberState;
use super::state::ConsumerGroup;
use crate::group::TopicDirectory;
use crate::group::coordinator::{GroupCoordinator, GroupTimer};
use crate::group::member::MemberId;
use mainstem_platform::Now;
use std::sync::Arc;
use std::time::Duration;

/// When to try again what the log had no room for.
const RETRY: Duration = Duration::from_millis(500);

impl GroupCoordinator {
    /// The member was heard: its session runs anew.
    pub(super) fn arm_consumer_session(&mut self, now: Now, group_id: &Arc<str>, id: &MemberId) {
        let group = self.consumer_groups.get(group_id);
        let Some(member) = group.and_then(|group| group.members.get(id)) else { return };
        let timeout = match &member.classic {
            Some(classic) => {
                Duration::from_millis(u64::try_from(classic.session_timeout_ms).unwrap_or(0))
            }
            None => {
                let own = self.overrides_of(group_id).session_timeout;
                own.unwrap_or(self.config.consumer.session_timeout)
            }
        };
        let timer = GroupTimer::Session(Arc::clone(group_id), Arc::clone(id));
        self.timers.set(timer, now.instant.plus(timeout));
    }

    /// Gives all members of a group their time anew: after a load, and when a decision was taken
    /// back.
    pub(in crate::group) fn arm_consumer_group(&mut self, now: Now, group_id: &Arc<str>) {
        let Some(group) = self.consumer_groups.get(group_id) else { return };
        let ids: Vec<MemberId> = group.members.keys().cloned().collect();
        for id in ids {
            self.arm_consumer_session(now, group_id, &id);
            let group = &self.consumer_groups[group_id];
            let is_revoking = group.current_of(&id).state == MemberState::UnrevokedPartitions;
            if is_revoking && !group.is_classic(&id) {
                let timeout = rebalance_timeout(group, &id);
                let timer = GroupTimer::Revocation(Arc::clone(group_id), id);
                self.timers.set(timer, now.instant.plus(timeout));
            }
        }
    }

    /// A timer of a member of a consumer group has run out. False when the group is not one.
    pub(in crate::group) fn consumer_time_is_up(
        &mut self,
        now: Now,
        topics: &dyn TopicDirectory,
        timer: &GroupTimer,
    ) -> bool {
        let (group_id, id) = match timer {
            GroupTimer::Session(group, id)
            | GroupTimer::Revocation(group, id)
            | GroupTimer::Rejoin(group, id)
            | GroupTimer::Resync(group, id) => (group, id),
            _ => return false,
        };
        let Some(group) = self.consumer_groups.get(group_id) else { return false };
        let has_stopped = matches!(timer, GroupTimer::Revocation(..))
            && group.current_of(id).state != MemberState::UnrevokedPartitions;
        if has_stopped || !group.members.contains_key(id) {
            return true;
        }
        let group = self.consumer_groups.remove(group_id).expect("the group was just looked up");
        let ids = [Arc::clone(id)];
        if self.fence_members(now, topics, Draft::new(group), &ids, None).is_err() {
            self.timers.set(timer.clone(), now.instant.plus(RETRY));
        }
        true
    }

    /// A classic member has to come to the new round within its rebalance timeout.
    pub(super) fn arm_rejoin(&mut self, now: Now, group_id: &Arc<str>, id: &MemberId) {
        let timer = GroupTimer::Rejoin(Arc::clone(group_id), Arc::clone(id));
        let Some(group) = self.consumer_groups.get(group_id) else { return };
        let timeout = rebalance_timeout(group, id);
        if !self.timers.is_set(&timer) {
            self.timers.set(timer, now.instant.plus(timeout));
        }
    }

    /// A classic member has to fetch its assignment within its rebalance timeout.
    pub(super) fn arm_resync(&mut self, now: Now, group_id: &Arc<str>, id: &MemberId) {
        let Some(group) = self.consumer_groups.get(group_id) else { return };
        let timeout = rebalance_timeout(group, id);
        let timer = GroupTimer::Resync(Arc::clone(group_id), Arc::clone(id));
        self.timers.set(timer, now.instant.plus(timeout));
    }

    pub(super) fn clear_member_timers(&mut self, group: &Arc<str>, id: &MemberId) {
        for timer in
            [GroupTimer::Session, GroupTimer::Revocation, GroupTimer::Rejoin, GroupTimer::Resync]
        {
            self.timers.clear(&timer(Arc::clone(group), Arc::clone(id)));
        }
    }
}

fn rebalance_timeout(group: &ConsumerGroup, id: &str) -> Duration {
    let timeout_ms = group.members.get(id).map_or(0, |member| member.rebalance_timeout_ms);
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}
