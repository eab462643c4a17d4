//! ConsumerGroupHeartbeat: how a member joins, says that it is there, tells what it wants and has,
//! and learns what it may use.
//!
//! A request is full when it says everything: at joining, and when the member is not sure what was
//! heard of it. Otherwise it says only what has changed. The answer has the assignment when the
//! request is full or when the assignment has changed.

use super::append::Answer;
use super::change::ConsumerChange;
use super::draft::Draft;
use super::member::{Current, JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, MemberState};
use super::partitions::{PartitionEpochs, Partitions, contains, without_epochs};
use super::reconcile::{Step, reconcile};
use super::regex::Pattern;
use super::state::ConsumerGroup;
use super::{ConsumerGroupOverrides, ServerAssignor};
use crate::group::coordinator::{GroupCoordinator, GroupTimer};
use crate::group::member::MemberId;
use crate::group::{GroupResponse, TopicDirectory};
use crate::log::{ClientContext, ReplyTo};
use mainstem_platform::{Now, Random};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{PartitionIndex, TopicId};
use mainstem_protocol::messages::consumer_group_heartbeat::{
    Assignment, OwnedTopicPartitions, TopicPartitions,
};
use mainstem_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use std::sync::Arc;
use std::time::Duration;

/// The request version from which members choose their ids (KIP-1082).
const CLIENT_MEMBER_ID_FROM: i16 = 1;

/// Why a request cannot be served: the code and a sentence for people.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) ErrorCode, pub(super) String);

/// One heartbeat with all that the rules ask of it.
pub(super) struct Attempt<'a> {
    pub(super) now: Now,
    pub(super) context: &'a ClientContext,
    pub(super) topics: &'a dyn TopicDirectory,
    pub(super) request: &'a ConsumerGroupHeartbeatRequest,
}

/// A member's part of a decision.
pub(super) struct Progress {
    pub(super) id: MemberId,
    pub(super) before: Current,
    pub(super) after: Current,
}

impl GroupCoordinator {
    pub(in crate::group) fn consumer_heartbeat(
        &mut self,
        now: Now,
        context: &ClientContext,
        topics: &dyn TopicDirectory,
        request: &ConsumerGroupHeartbeatRequest,
        to: ReplyTo,
    ) {
        let attempt = Attempt { now, context, topics, request };
        let result = self.check_request(&attempt).and_then(|()| {
            if request.member_epoch < JOIN_EPOCH {
                self.consumer_leave(&attempt, to)
            } else {
                self.beat(&attempt, to)
            }
        });
        if let Err(Refusal(error_code, message)) = result {
            let response = ConsumerGroupHeartbeatResponse {
                error_code,
                error_message: Some(message),
                ..ConsumerGroupHeartbeatResponse::default()
            };
            self.reply(to, GroupResponse::ConsumerGroupHeartbeat(response));
        }
    }

    fn check_request(&self, attempt: &Attempt<'_>) -> Result<(), Refusal> {
        let request = attempt.request;
        let invalid = |text: &str| Err(Refusal(ErrorCode::INVALID_REQUEST, text.to_owned()));
        let is_empty = |text: &Option<String>| text.as_deref().is_some_and(str::is_empty);
        let has_id = CLIENT_MEMBER_ID_FROM <= attempt.context.api_version
            || request.member_epoch != JOIN_EPOCH;
        if has_id && request.member_id.is_empty() {
            return invalid("The member id is empty.");
        }
        if is_empty(&request.instance_id) {
            return invalid("The instance id is empty; leave it out.");
        }
        if is_empty(&request.rack_id) {
            return invalid("The rack is empty; leave it out.");
        }
        match request.member_epoch {
            JOIN_EPOCH => {
                if request.rebalance_timeout_ms == -1 {
                    return invalid("Who joins has to tell a rebalance timeout.");
                }
                if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
                    return invalid("Who joins has to say that it owns no partition.");
                }
                if !attempt.tells_subscription() {
                    return invalid("Who joins has to tell a subscription.");
                }
            }
            LEAVE_STATIC_EPOCH if request.instance_id.is_none() => {
                return invalid("Only static members leave for a while: tell the instance id.");
            }
            LEAVE_EPOCH | LEAVE_STATIC_EPOCH | 1.. => {}
            _ => return invalid("No member has an epoch like this."),
        }
        if let Some(name) = &request.server_assignor {
            let known = &self.config.consumer.assignors;
            if ServerAssignor::find(name).is_none_or(|wish| !known.contains(&wish)) {
                let names: Vec<&str> = known.iter().map(|assignor| assignor.name()).collect();
                let text = format!("There is no assignor {name}. There are: {}.", names.join(", "));
                return Err(Refusal(ErrorCode::UNSUPPORTED_ASSIGNOR, text));
            }
        }
        if let Some(regex) = attempt.regex()
            && let Err(problem) = Pattern::new(regex)
        {
            let text = format!("The pattern of topics cannot be used: {problem}.");
            return Err(Refusal(ErrorCode::INVALID_REGULAR_EXPRESSION, text));
        }
        Ok(())
    }

    fn beat(&mut self, attempt: &Attempt<'_>, to: ReplyTo) -> Result<(), Refusal> {
        let group_id: Arc<str> = Arc::from(attempt.request.group_id.as_str());
        let joins = attempt.request.member_epoch == JOIN_EPOCH;
        let (mut draft, classic) = self.open_consumer_group(&group_id, joins, attempt.topics)?;
        let decided = self.decide_beat(&mut draft, attempt);
        let progress = match decided {
            Ok(progress) => progress,
            Err(refusal) => {
                self.give_up_draft(draft, classic);
                return Err(refusal);
            }
        };
        let response = self.heartbeat_response(&draft.group, attempt, &progress);
        let answer = Answer {
            to,
            api_version: attempt.context.api_version,
            response: GroupResponse::ConsumerGroupHeartbeat(response),
        };
        if let Err(code) = self.commit_draft(draft, Some(answer)) {
            self.groups.extend(classic.map(|group| (group_id, group)));
            return Err(Refusal(code, "The coordinator cannot write now.".to_owned()));
        }
        if let Some(classic) = classic {
            self.leave_classic_kind(attempt.now, classic);
        }
        self.arm_consumer_session(attempt.now, &group_id, &progress.id);
        self.arm_revocation(attempt.now, &group_id, &progress);
        Ok(())
    }

    fn decide_beat(
        &mut self,
        draft: &mut Draft,
        attempt: &Attempt<'_>,
    ) -> Result<Progress, Refusal> {
        let request = attempt.request;
        let id: MemberId = if request.member_id.is_empty() {
            self.new_consumer_member_id()
        } else {
            Arc::from(request.member_id.as_str())
        };
        let instance = request.instance_id.as_deref();
        self.check_room(&draft.group, &id, instance)?;
        draft.find_or_join(&id, attempt)?;
        let known = draft.group.members.get(&id).cloned().unwrap_or_default();
        let is_new = !draft.group.members.contains_key(&id);
        let mut updated = known.clone();
        updated.instance_id = request.instance_id.clone().or(updated.instance_id);
        updated.rack_id = request.rack_id.clone().or(updated.rack_id);
        if request.rebalance_timeout_ms != -1 {
            updated.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        updated.server_assignor = request.server_assignor.clone().or(updated.server_assignor);
        if let Some(names) = &request.subscribed_topic_names {
            updated.topics = names.iter().cloned().collect();
        }
        if let Some(regex) = &request.subscribed_topic_regex {
            // An empty pattern takes the pattern back.
            updated.regex = Some(regex.clone()).filter(|regex| !regex.is_empty());
        }
        updated.client_id.clone_from(&attempt.context.client_id);
        updated.client_host.clone_from(&attempt.context.client_host);
        updated.classic = None;
        let subscription_changed = !updated.subscribes_as(&known);
        if is_new || updated != known {
            draft.put(ConsumerChange::Member(Arc::clone(&id), Some(updated)));
        }
        let owned = request.topic_partitions.as_deref().map(owned_partitions);
        let (now, topics) = (attempt.now, attempt.topics);
        Ok(self.move_on(draft, now, topics, id, subscription_changed, owned.as_ref()))
    }

    /// The steps that follow when a member has said what it wants: a new epoch, a new target, and
    /// the member's own move towards it.
    pub(super) fn move_on(
        &self,
        draft: &mut Draft,
        now: Now,
        topics: &dyn TopicDirectory,
        id: MemberId,
        subscription_changed: bool,
        owned: Option<&Partitions>,
    ) -> Progress {
        let now_ms = now.wall_ms;
        let before = draft.group.current_of(&id);
        draft.refresh_topics(subscription_changed, topics, now_ms);
        let interval = self.overrides_of(&draft.group.id).assignment_interval;
        let interval = interval.unwrap_or(self.config.consumer.assignment_interval);
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        draft.refresh_target(&self.config.consumer.assignors, interval_ms, topics, now_ms);
        let after = draft.step_of(&id, topics, subscription_changed, owned);
        if after != before || !draft.group.current.contains_key(&id) {
            draft.put(ConsumerChange::Current(Arc::clone(&id), Some(after.clone())));
        }
        Progress { id, before, after }
    }

    pub(super) fn check_room(
        &self,
        group: &ConsumerGroup,
        id: &MemberId,
        instance: Option<&str>,
    ) -> Result<(), Refusal> {
        let has_place = group.members.contains_key(id)
            || instance.is_some_and(|instance| group.static_members.contains_key(instance));
        let max = self.config.consumer.group_size_max;
        if has_place || group.members.len() < max {
            return Ok(());
        }
        let text = format!("The group is full: it has room for {max} members.");
        Err(Refusal(ErrorCode::GROUP_MAX_SIZE_REACHED, text))
    }

    /// A random id, as Kafka prints a UUID.
    pub(super) fn new_consumer_member_id(&mut self) -> MemberId {
        let (high, low) = (self.random.next_u64(), self.random.next_u64());
        let bytes = u128::from(high) << 64 | u128::from(low);
        // No id begins with a hyphen, which command lines would take for an option.
        let text = TopicId(bytes.to_be_bytes()).to_string();
        Arc::from(text.strip_prefix('-').map_or(text.clone(), |rest| format!("a{rest}")))
    }

    pub(super) fn overrides_of(&self, group_id: &str) -> ConsumerGroupOverrides {
        self.overrides.get(group_id).copied().unwrap_or_default()
    }

    fn heartbeat_interval(&self, group_id: &str) -> Duration {
        let own = self.overrides_of(group_id).heartbeat_interval;
        own.unwrap_or(self.config.consumer.heartbeat_interval)
    }

    fn heartbeat_response(
        &self,
        group: &ConsumerGroup,
        attempt: &Attempt<'_>,
        progress: &Progress,
    ) -> ConsumerGroupHeartbeatResponse {
        let interval = self.heartbeat_interval(&group.id);
        let Progress { id, before, after } = progress;
        let changed = before.assigned != after.assigned;
        ConsumerGroupHeartbeatResponse {
            member_id: Some(id.to_string()),
            member_epoch: after.epoch,
            heartbeat_interval_ms: i32::try_from(interval.as_millis()).unwrap_or(i32::MAX),
            assignment: (attempt.is_full() || changed).then(|| told(&after.assigned)),
            ..ConsumerGroupHeartbeatResponse::default()
        }
    }

    /// A member that has to give up partitions has its rebalance timeout to do so.
    pub(super) fn arm_revocation(&mut self, now: Now, group_id: &Arc<str>, progress: &Progress) {
        let timer = GroupTimer::Revocation(Arc::clone(group_id), Arc::clone(&progress.id));
        if progress.after.state != MemberState::UnrevokedPartitions {
            self.timers.clear(&timer);
        } else if progress.before != progress.after {
            let group = self.consumer_groups.get(group_id);
            let member = group.and_then(|group| group.members.get(&progress.id));
            let timeout = member.map_or(0, |member| member.rebalance_timeout_ms);
            let timeout = Duration::from_millis(u64::try_from(timeout).unwrap_or(0));
            self.timers.set(timer, now.instant.plus(timeout));
        }
    }
}

impl Attempt<'_> {
    fn regex(&self) -> Option<&str> {
        self.request.subscribed_topic_regex.as_deref().filter(|regex| !regex.is_empty())
    }

    fn tells_subscription(&self) -> bool {
        self.request.subscribed_topic_names.is_some()
            || self.request.subscribed_topic_regex.is_some()
    }

    fn is_full(&self) -> bool {
        self.request.member_epoch == JOIN_EPOCH
            || (self.request.rebalance_timeout_ms != -1
                && self.tells_subscription()
                && self.request.topic_partitions.is_some())
    }
}

impl Draft {
    /// Sees to it that the member may speak: it is known at its epoch, or it joins.
    fn find_or_join(&mut self, id: &MemberId, attempt: &Attempt<'_>) -> Result<(), Refusal> {
        let request = attempt.request;
        let joins = request.member_epoch == JOIN_EPOCH;
        let group = &self.group;
        let Some(instance) = request.instance_id.as_deref() else {
            return match group.members.contains_key(id) {
                true if joins => Ok(()),
                true => check_epoch(group, id, request),
                false if joins => Ok(()),
                false => Err(group.unknown_member(id)),
            };
        };
        let Some(holder) = group.static_members.get(instance).cloned() else {
            return if joins { Ok(()) } else { Err(group.unknown_instance(instance)) };
        };
        if !joins {
            group.check_instance(&holder, id, instance)?;
            return check_epoch(group, id, request);
        }
        let is_away = group.current_of(&holder).epoch == LEAVE_STATIC_EPOCH;
        if holder == *id {
            if is_away {
                let current = group.current_of(id);
                let current = Current { epoch: 0, previous_epoch: 0, ..current };
                self.put(ConsumerChange::Current(Arc::clone(id), Some(current)));
            }
            return Ok(());
        }
        // A classic member does not say that it will be back; whoever comes takes its place.
        if !is_away && !group.is_classic(&holder) {
            let text = format!("The instance id {instance} still belongs to member {holder}.");
            return Err(Refusal(ErrorCode::UNRELEASED_INSTANCE_ID, text));
        }
        self.replace_member(&holder, id);
        Ok(())
    }

    /// The member's next assignment.
    fn step_of(
        &self,
        id: &MemberId,
        topics: &dyn TopicDirectory,
        subscription_changed: bool,
        owned: Option<&Partitions>,
    ) -> Current {
        let group = &self.group;
        let current = group.current_of(id);
        if current.is_reconciled_to(group.assignment_epoch()) && !subscription_changed {
            return current;
        }
        let nothing = Partitions::new();
        let member = group.members.get(id).expect("the member was just put there");
        let is_taken = |topic: TopicId, partition: PartitionIndex| {
            group.owners.get(&(topic, partition)).is_some_and(|owner| owner != id)
        };
        reconcile(&Step {
            current: &current,
            target_epoch: group.assignment_epoch(),
            target: group.target.get(id).unwrap_or(&nothing),
            subscribed: &group.topics_wanted_by(member, topics),
            subscription_changed,
            owned,
            is_taken: &is_taken,
        })
    }
}

impl ConsumerGroup {
    pub(super) fn unknown_member(&self, id: &str) -> Refusal {
        let text = format!("Group {} has no member {id}.", self.id);
        Refusal(ErrorCode::UNKNOWN_MEMBER_ID, text)
    }

    pub(super) fn unknown_instance(&self, instance: &str) -> Refusal {
        Refusal(ErrorCode::UNKNOWN_MEMBER_ID, format!("Nobody has the instance id {instance}."))
    }

    /// Whether the member is still the one behind its instance id.
    pub(super) fn check_instance(
        &self,
        holder: &MemberId,
        id: &str,
        instance: &str,
    ) -> Result<(), Refusal> {
        if **holder == *id {
            return Ok(());
        }
        let text = format!("Member {holder} has taken over the instance id {instance}.");
        Err(Refusal(ErrorCode::FENCED_INSTANCE_ID, text))
    }
}

/// A member must show its epoch. The one before will do as long as it has nothing that it may not
/// have: then it only has not heard of the new one.
fn check_epoch(
    group: &ConsumerGroup,
    id: &MemberId,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<(), Refusal> {
    let current = group.current_of(id);
    let shown = request.member_epoch;
    let fenced = || {
        let text = format!(
            "The member shows epoch {shown} and is at {}: it has to give up its partitions and \
             join again.",
            current.epoch
        );
        Err(Refusal(ErrorCode::FENCED_MEMBER_EPOCH, text))
    };
    if current.epoch < shown {
        return fenced();
    }
    let owned = request.topic_partitions.as_deref().map(owned_partitions);
    let may_not_have_heard =
        shown == current.previous_epoch && has_only(owned.as_ref(), &current.assigned);
    if shown < current.epoch && !may_not_have_heard {
        return fenced();
    }
    Ok(())
}

fn has_only(owned: Option<&Partitions>, assigned: &PartitionEpochs) -> bool {
    let assigned = without_epochs(assigned);
    let Some(owned) = owned else { return false };
    owned.iter().all(|(topic, partitions)| {
        partitions.iter().all(|partition| contains(&assigned, *topic, *partition))
    })
}

fn owned_partitions(owned: &[OwnedTopicPartitions]) -> Partitions {
    let mut partitions = Partitions::new();
    for topic in owned {
        let of = partitions.entry(topic.topic_id).or_default();
        of.extend(topic.partitions.iter().copied().map(PartitionIndex));
    }
    partitions
}

fn told(assigned: &PartitionEpochs) -> Assignment {
    let topic = |(topic_id, partitions): (&TopicId, &std::collections::BTreeMap<_, _>)| {
        let partitions = partitions.keys().map(|partition: &PartitionIndex| partition.0);
        TopicPartitions { topic_id: *topic_id, partitions: partitions.collect() }
    };
    Assignment { topic_partitions: assigned.iter().map(topic).collect() }
}
