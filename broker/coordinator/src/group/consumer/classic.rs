//! Classic members in a consumer group: JoinGroup, SyncGroup, Heartbeat and LeaveGroup on the terms
//! of the consumer protocol, so that an application is moved over one instance at a time.
//!
//! A classic member never leads and never waits for others. A join tells what it wants and has, and
//! is one step of its reconciliation; its generation is its member epoch. A sync brings what it
//! may use. A heartbeat tells it to join again when there is something to do: another target,
//! partitions to give up, or partitions that have become free. Between these it has as long as its
//! rebalance timeout.

use super::append::Answer;
use super::change::ConsumerChange;
use super::downgrade::{encode_partitions, subscription_version};
use super::draft::Draft;
use super::member::{ClassicPart, MemberMetadata, MemberState};
use super::partitions::{Partitions, contains, without_epochs};
use super::state::ConsumerGroup;
use crate::group::coordinator::{GroupCoordinator, GroupTimer};
use crate::group::join::JoinAttempt;
use crate::group::member::{MemberId, Protocol};
use crate::group::refuse::{join_error, sync_error};
use crate::group::{GroupResponse, TopicDirectory};
use crate::log::{ClientContext, ReplyTo};
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::consumer_protocol::{
    ConsumerProtocolSubscription, PROTOCOL_TYPE, decode_subscription,
};
use mainstem_protocol::ids::PartitionIndex;
use mainstem_protocol::messages::leave_group::{MemberIdentity, MemberResponse};
use mainstem_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    SyncGroupRequest, SyncGroupResponse,
};
use std::sync::Arc;

/// The version of JoinGroup from which a new member has to ask twice (KIP-394).
const MEMBER_ID_REQUIRED_FROM: i16 = 4;

impl GroupCoordinator {
    /// A classic member joins a consumer group that has members. The session timeout was checked.
    pub(in crate::group) fn join_consumer_group(
        &mut self,
        attempt: &JoinAttempt<'_>,
        topics: &dyn TopicDirectory,
    ) {
        let group_id: Arc<str> = Arc::from(attempt.request.group_id.as_str());
        let is_unknown = attempt.request.member_id.is_empty();
        let id: MemberId = if is_unknown {
            let instance = attempt.request.group_instance_id.as_deref();
            self.new_member_id(instance.unwrap_or(&attempt.context.client_id))
        } else {
            Arc::from(attempt.request.member_id.as_str())
        };
        let refuse = |machine: &mut Self, code| {
            machine.reply(attempt.to, join_error(attempt.context.api_version, &id, code));
        };
        let subscription = match self.check_join(&group_id, attempt, &id) {
            Ok(subscription) => subscription,
            Err(code) => return refuse(self, code),
        };
        let group = self.consumer_groups.remove(&group_id).expect("callers look the group up");
        let mut draft = Draft::new(group);
        if let Some(instance) = attempt.request.group_instance_id.as_deref()
            && let Some(holder) = draft.group.static_members.get(instance).cloned()
            && holder != id
        {
            if self.may_downgrade(&draft.group, &holder) {
                // The last member of the consumer protocol is back as a classic one.
                return match self.downgrade(attempt.now, topics, draft, &holder, None) {
                    Ok(()) => self.join(attempt, topics),
                    Err(code) => refuse(self, code),
                };
            }
            draft.replace_member(&holder, &id);
        }
        let known = draft.group.members.get(&id).cloned();
        let updated = metadata(attempt, &subscription, known.as_ref());
        let changed = known.as_ref().is_none_or(|known| !updated.subscribes_as(known));
        if known.as_ref() != Some(&updated) {
            draft.put(ConsumerChange::Member(Arc::clone(&id), Some(updated)));
        }
        let owned = owned_partitions(&subscription, topics);
        let now = attempt.now;
        let progress =
            self.move_on(&mut draft, now, topics, Arc::clone(&id), changed, Some(&owned));
        let first = attempt.request.protocols.first().map(|protocol| protocol.name.clone());
        let response = JoinGroupResponse {
            generation_id: progress.after.epoch,
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: first,
            member_id: id.to_string(),
            ..JoinGroupResponse::default()
        };
        let answer = answer(attempt.to, attempt.context, GroupResponse::JoinGroup(response));
        if let Err(code) = self.commit_draft(draft, Some(answer)) {
            return refuse(self, code);
        }
        self.timers.clear(&GroupTimer::Rejoin(Arc::clone(&group_id), Arc::clone(&id)));
        self.timers.clear(&GroupTimer::Revocation(Arc::clone(&group_id), Arc::clone(&id)));
        self.arm_consumer_session(now, &group_id, &id);
        self.arm_resync(now, &group_id, &id);
    }

    fn check_join(
        &self,
        group_id: &str,
        attempt: &JoinAttempt<'_>,
        id: &MemberId,
    ) -> Result<ConsumerProtocolSubscription, ErrorCode> {
        let request = attempt.request;
        let group = &self.consumer_groups[group_id];
        let instance = request.group_instance_id.as_deref();
        self.check_room(group, id, instance).map_err(|refusal| refusal.0)?;
        let fits = request.protocol_type == PROTOCOL_TYPE
            && request.protocols.iter().any(|offered| group.all_classic_know(&offered.name));
        if !fits {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        let first = request.protocols.first().ok_or(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)?;
        let subscription = decode_subscription(&first.metadata);
        let subscription = subscription.map_err(|_| ErrorCode::INCONSISTENT_GROUP_PROTOCOL)?;
        let is_unknown = request.member_id.is_empty();
        match instance {
            None if is_unknown && MEMBER_ID_REQUIRED_FROM <= attempt.context.api_version => {
                return Err(ErrorCode::MEMBER_ID_REQUIRED);
            }
            // Ids that were given out are not kept, so any id may be a newcomer's. But a newcomer has
            // nothing: this one was taken out meanwhile, and must be told that it has lost all.
            None if !group.members.contains_key(id)
                && subscription
                    .owned_partitions
                    .iter()
                    .any(|owned| !owned.partitions.is_empty()) =>
            {
                return Err(ErrorCode::UNKNOWN_MEMBER_ID);
            }
            // A member that speaks the consumer protocol is not spoken for by anybody else.
            None if group.members.contains_key(id) && !group.is_classic(id) => {
                return Err(ErrorCode::UNKNOWN_MEMBER_ID);
            }
            Some(instance) if !is_unknown => {
                let holder = group.static_members.get(instance);
                let holder = holder.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
                if holder != id {
                    return Err(ErrorCode::FENCED_INSTANCE_ID);
                }
            }
            _ => {}
        }
        Ok(subscription)
    }

    pub(in crate::group) fn sync_consumer_group(
        &mut self,
        now: Now,
        context: &ClientContext,
        topics: &dyn TopicDirectory,
        request: &SyncGroupRequest,
        to: ReplyTo,
    ) {
        let group_id: Arc<str> = Arc::from(request.group_id.as_str());
        let id: MemberId = Arc::from(request.member_id.as_str());
        let group = &self.consumer_groups[&group_id];
        if let Err(code) = group.check_sync(request) {
            if code == ErrorCode::REBALANCE_IN_PROGRESS {
                self.arm_rejoin(now, &group_id, &id);
            }
            return self.reply(to, sync_error(code));
        }
        let protocols = group.members[&id].classic.as_ref().map(|classic| &classic.protocols);
        let first = protocols.and_then(|protocols| protocols.first());
        let version = subscription_version(first.map(|protocol| &protocol.metadata));
        let assigned = without_epochs(&group.current_of(&id).assigned);
        let name_of = |topic| topics.topic_name(topic).map(str::to_owned);
        let response = SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment: encode_partitions(&assigned, version, name_of),
            ..SyncGroupResponse::default()
        };
        self.timers.clear(&GroupTimer::Resync(Arc::clone(&group_id), Arc::clone(&id)));
        self.arm_consumer_session(now, &group_id, &id);
        let answer = answer(to, context, GroupResponse::SyncGroup(response));
        self.answer_in_turn(&group_id, Some(answer));
    }

    pub(in crate::group) fn heartbeat_consumer_group(
        &mut self,
        now: Now,
        request: &HeartbeatRequest,
        to: ReplyTo,
    ) {
        let group_id: Arc<str> = Arc::from(request.group_id.as_str());
        let id: MemberId = Arc::from(request.member_id.as_str());
        let group = &self.consumer_groups[&group_id];
        let instance = request.group_instance_id.as_deref();
        let checked = group.check_classic(&id, instance).and_then(|()| {
            let matches = group.current_of(&id).epoch == request.generation_id;
            if matches { Ok(()) } else { Err(ErrorCode::ILLEGAL_GENERATION) }
        });
        let error_code = match checked {
            Err(code) => code,
            Ok(()) => {
                let must_join = group.has_work_for(&id);
                self.arm_consumer_session(now, &group_id, &id);
                if must_join {
                    self.arm_rejoin(now, &group_id, &id);
                    ErrorCode::REBALANCE_IN_PROGRESS
                } else {
                    ErrorCode::NONE
                }
            }
        };
        let response = HeartbeatResponse { error_code, ..HeartbeatResponse::default() };
        self.reply(to, GroupResponse::Heartbeat(response));
    }

    pub(in crate::group) fn leave_consumer_group(
        &mut self,
        now: Now,
        context: &ClientContext,
        topics: &dyn TopicDirectory,
        request: &LeaveGroupRequest,
        to: ReplyTo,
    ) {
        let group_id: Arc<str> = Arc::from(request.group_id.as_str());
        let group = &self.consumer_groups[&group_id];
        let mut response = LeaveGroupResponse::default();
        let mut leaving: Vec<MemberId> = Vec::new();
        let is_single = context.api_version < 3;
        let only = [MemberIdentity { member_id: request.member_id.clone(), ..Default::default() }];
        for member in if is_single { &only[..] } else { &request.members[..] } {
            let found = group.find_leaving(member).and_then(|id| {
                let is_twice = leaving.contains(&id);
                if is_twice { Err(ErrorCode::UNKNOWN_MEMBER_ID) } else { Ok(id) }
            });
            let error_code = found.as_ref().err().copied().unwrap_or(ErrorCode::NONE);
            leaving.extend(found.ok());
            if is_single {
                response.error_code = error_code;
            } else {
                response.members.push(MemberResponse {
                    member_id: member.member_id.clone(),
                    group_instance_id: member.group_instance_id.clone(),
                    error_code,
                });
            }
        }
        let answer = answer(to, context, GroupResponse::LeaveGroup(response));
        if leaving.is_empty() {
            return self.answer_in_turn(&group_id, Some(answer));
        }
        let group = self.consumer_groups.remove(&group_id).expect("the group was just looked up");
        if let Err(error_code) =
            self.fence_members(now, topics, Draft::new(group), &leaving, Some(answer))
        {
            let response = LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
            self.reply(to, GroupResponse::LeaveGroup(response));
        }
    }
}

impl ConsumerGroup {
    /// Whether every classic member knows the protocol.
    fn all_classic_know(&self, protocol: &str) -> bool {
        let mut classic = self.members.values().filter_map(|member| member.classic.as_ref());
        classic.all(|classic| classic.protocols.iter().any(|known| known.name == protocol))
    }

    /// Whether the member is a classic one and still the one behind its instance id.
    fn check_classic(&self, id: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            let holder = self.static_members.get(instance).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            if **holder != *id {
                return Err(ErrorCode::FENCED_INSTANCE_ID);
            }
        }
        if self.is_classic(id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        let id = request.member_id.as_str();
        self.check_classic(id, request.group_instance_id.as_deref())?;
        let current = self.current_of(id);
        if current.epoch != request.generation_id {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let classic = self.members[id].classic.as_ref();
        let first = classic.and_then(|classic| classic.protocols.first());
        let differs = |said: &Option<String>, is: Option<&str>| {
            said.as_deref().is_some_and(|said| Some(said) != is)
        };
        if differs(&request.protocol_type, Some(PROTOCOL_TYPE))
            || differs(&request.protocol_name, first.map(|protocol| protocol.name.as_str()))
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        // Who has to give up partitions has joined for this epoch already, and gives them up first.
        if current.epoch < self.group_epoch() && current.state != MemberState::UnrevokedPartitions {
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }

    /// Whether a classic member should join again.
    fn has_work_for(&self, id: &MemberId) -> bool {
        let current = self.current_of(id);
        let waits_in_vain = || {
            let Some(target) = self.target.get(id) else { return false };
            let assigned = without_epochs(&current.assigned);
            target.iter().any(|(topic, partitions)| {
                partitions.iter().any(|partition| {
                    let owner = self.owners.get(&(*topic, *partition));
                    !contains(&assigned, *topic, *partition)
                        && owner.is_some_and(|owner| owner != id)
                })
            })
        };
        match current.state {
            _ if current.epoch < self.group_epoch() => true,
            MemberState::Stable => false,
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => !waits_in_vain(),
        }
    }

    fn find_leaving(&self, who: &MemberIdentity) -> Result<MemberId, ErrorCode> {
        let instance = who.group_instance_id.as_deref();
        let id: MemberId = match instance {
            // An operator removes a static member, known by its instance id only.
            Some(instance) if who.member_id.is_empty() => {
                let holder = self.static_members.get(instance).cloned();
                holder.ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?
            }
            _ => Arc::from(who.member_id.as_str()),
        };
        self.check_classic(&id, instance)?;
        Ok(id)
    }
}

fn answer(to: ReplyTo, context: &ClientContext, response: GroupResponse) -> Answer {
    Answer { to, api_version: context.api_version, response }
}

fn metadata(
    attempt: &JoinAttempt<'_>,
    subscription: &ConsumerProtocolSubscription,
    known: Option<&MemberMetadata>,
) -> MemberMetadata {
    let millis =
        |timeout: std::time::Duration| i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let rack_id = subscription.rack_id.clone().filter(|rack| !rack.is_empty());
    let known = known.cloned().unwrap_or_default();
    let protocols: Vec<Protocol> = attempt.protocols();
    MemberMetadata {
        instance_id: attempt.request.group_instance_id.clone().or(known.instance_id),
        rack_id: rack_id.or(known.rack_id),
        client_id: attempt.context.client_id.clone(),
        client_host: attempt.context.client_host.clone(),
        topics: subscription.topics.iter().cloned().collect(),
        regex: None,
        rebalance_timeout_ms: millis(attempt.rebalance_timeout()),
        server_assignor: None,
        classic: Some(ClassicPart {
            session_timeout_ms: attempt.request.session_timeout_ms,
            protocols,
        }),
    }
}

/// What the member says that it still has. One that knows no cooperative rebalancing has given
/// everything up before it joins, and says nothing.
fn owned_partitions(
    subscription: &ConsumerProtocolSubscription,
    topics: &dyn TopicDirectory,
) -> Partitions {
    let mut owned = Partitions::new();
    for topic in &subscription.owned_partitions {
        if let Some(id) = topics.topic_id(&topic.topic) {
            let of = owned.entry(id).or_default();
            of.extend(topic.partitions.iter().copied().map(PartitionIndex));
        }
    }
    owned
}
