//! The join phase: it begins when the membership changes, waits for everybody, and ends with a new
//! generation.
//!
//! A group that was empty waits a fixed delay, prolonged while members keep coming, so that the
//! start of a hundred consumers is one rebalance and not a hundred. Otherwise the phase ends when
//! all known members have joined, or when the longest rebalance timeout is over; dynamic members
//! that have not come are dropped then, static ones are kept until their session ends.

use super::append::Then;
use super::change::Change;
use super::coordinator::{GroupCoordinator, GroupTimer};
use super::join::join_response;
use super::refuse::sync_error;
use super::state::{GroupState, InitialDelay};
use bytes::Bytes;
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use std::sync::Arc;

impl GroupCoordinator {
    /// Something about the membership changed: begin a rebalance, or see whether the running one
    /// is complete now.
    pub(super) fn rebalance_or_complete_join(&mut self, now: Now, group_id: &Arc<str>) {
        let Some(group) = self.groups.get(group_id) else { return };
        if group.can_rebalance() {
            self.prepare_rebalance(now, group_id);
        } else {
            self.maybe_complete_join(now, group_id);
        }
    }

    pub(super) fn prepare_rebalance(&mut self, now: Now, group_id: &Arc<str>) {
        let Some(group) = self.groups.get_mut(group_id) else { return };
        let was = group.state;
        if was == GroupState::CompletingRebalance {
            self.cancel_assignment(now, group_id, ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.timers.clear(&GroupTimer::Sync(Arc::clone(group_id)));
        let delay = self.config.initial_rebalance_delay;
        let group = self.groups.get_mut(group_id).expect("the group was just looked up");
        group.transition(GroupState::PreparingRebalance, now.wall_ms);
        if was == GroupState::Empty && !delay.is_zero() {
            let remaining = group.rebalance_timeout().saturating_sub(delay);
            group.initial_delay = Some(InitialDelay { delay, remaining });
            group.new_member_added = false;
            self.timers.set(GroupTimer::Join(Arc::clone(group_id)), now.instant.plus(delay));
        } else if group.all_have_joined() {
            self.complete_join(now, group_id);
        } else {
            let until = now.instant.plus(group.rebalance_timeout());
            self.timers.set(GroupTimer::Join(Arc::clone(group_id)), until);
        }
    }

    /// Completes the join phase if nobody is missing. The initial delay is always waited for.
    pub(super) fn maybe_complete_join(&mut self, now: Now, group_id: &Arc<str>) {
        let Some(group) = self.groups.get(group_id) else { return };
        let is_preparing = group.state == GroupState::PreparingRebalance;
        if is_preparing && group.initial_delay.is_none() && group.all_have_joined() {
            self.complete_join(now, group_id);
        }
    }

    pub(super) fn join_time_is_up(&mut self, now: Now, group_id: &Arc<str>) {
        let most = self.config.initial_rebalance_delay;
        let Some(group) = self.groups.get_mut(group_id) else { return };
        if group.state != GroupState::PreparingRebalance {
            return;
        }
        if let Some(InitialDelay { delay, remaining }) = group.initial_delay
            && group.new_member_added
            && !remaining.is_zero()
        {
            let next = InitialDelay {
                delay: most.min(remaining),
                remaining: remaining.saturating_sub(delay),
            };
            group.new_member_added = false;
            group.initial_delay = Some(next);
            let until = now.instant.plus(next.delay);
            return self.timers.set(GroupTimer::Join(Arc::clone(group_id)), until);
        }
        self.complete_join(now, group_id);
    }

    fn complete_join(&mut self, now: Now, group_id: &Arc<str>) {
        self.timers.clear(&GroupTimer::Join(Arc::clone(group_id)));
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        group.initial_delay = None;
        group.new_member_added = false;
        let missing = group
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && member.instance_id.is_none());
        let missing: Vec<_> = missing.map(|member| Arc::clone(&member.id)).collect();
        for id in missing {
            group.remove(&id);
            self.timers.clear(&GroupTimer::Session(Arc::clone(group_id), id));
        }
        if !group.members.is_empty() && !group.elect_joined_leader() {
            // Only static members are left and none has come: wait until their sessions end.
            let until = now.instant.plus(group.rebalance_timeout());
            return self.timers.set(GroupTimer::Join(Arc::clone(group_id)), until);
        }
        group.generation = group.generation.checked_add(1).unwrap_or(0);
        group.pending_sync.clear();
        if group.members.is_empty() {
            self.become_empty(now, group_id);
        } else {
            self.begin_sync(now, group_id);
        }
    }

    /// The last member is gone. That is written down, because retention counts from here.
    fn become_empty(&mut self, now: Now, group_id: &Arc<str>) {
        let partition = self.partition_of(group_id);
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        group.protocol = None;
        group.leader = None;
        group.transition(GroupState::Empty, now.wall_ms);
        let snapshot = group.snapshot();
        let change = Change::Group { group: Arc::clone(group_id), snapshot };
        // Nobody waits for it. If it is lost, a reload finds the last assignment and lets the
        // members' sessions run out again.
        let _ = self.append(partition, vec![change], None, Then::Nothing);
    }

    fn begin_sync(&mut self, now: Now, group_id: &Arc<str>) {
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        group.protocol = group.select_protocol();
        group.transition(GroupState::CompletingRebalance, now.wall_ms);
        let ids: Vec<_> = group.members.keys().cloned().collect();
        let until = now.instant.plus(group.rebalance_timeout());
        self.timers.set(GroupTimer::Sync(Arc::clone(group_id)), until);
        for id in ids {
            let group = self.groups.get_mut(group_id).expect("the group was just looked up");
            group.pending_sync.insert(Arc::clone(&id));
            let member = group.members.get_mut(&id).expect("ids are of the group's members");
            member.is_new = false;
            if let Some(waiting) = member.awaiting_join.take() {
                let response = join_response(&self.groups[group_id], &id, waiting.api_version);
                self.reply(waiting.to, response);
            }
            self.arm_session(now, group_id, &id);
        }
    }

    /// The assignment that members wait for will not come in this generation.
    pub(super) fn cancel_assignment(&mut self, now: Now, group_id: &Arc<str>, code: ErrorCode) {
        let group = self.groups.get_mut(group_id).expect("callers look the group up");
        group.assignment_in_flight = None;
        let mut waiting = Vec::new();
        for member in group.members.values_mut() {
            member.assignment = Bytes::new();
            waiting.extend(member.awaiting_sync.take().map(|w| (Arc::clone(&member.id), w.to)));
        }
        for (id, to) in waiting {
            self.reply(to, sync_error(code));
            self.arm_session(now, group_id, &id);
        }
    }
}
