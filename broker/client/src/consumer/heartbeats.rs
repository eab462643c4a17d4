//! ConsumerGroupHeartbeat: how a member of the consumer protocol (KIP-848) joins, stays, tells what
//! it has, hears what it shall have, and leaves.
//!
//! A heartbeat says everything when the member joins and when it cannot be sure what was heard of
//! it: after a lost connection, another coordinator, a refusal. Otherwise it says what has changed,
//! and then it does not wait for the interval, which the coordinator sets.
//!
//! Versions: since v1 the member makes its own id and keeps it through all memberships (KIP-1082),
//! and may subscribe by a regular expression. In v0 the coordinator makes the id.
//!
//! Invariant: what the member has is told to be less only when the application has given it up and
//! no commit of it is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstem_platform::{Instant, Now, Random, SeededRandom};
use mainstem_protocol::messages::consumer_group_heartbeat::OwnedTopicPartitions;
use mainstem_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use mainstem_protocol::{ErrorCode, TopicId};

use super::joining::millis;
use super::machine::Tag;
use super::membership::{Ask, Farewell, Membership, Phase, Subscription};
use crate::core::wire::Answer;
use crate::core::{Failure, Metadata, Route, Wire};
use crate::error::{Cause, ClientError};

/// The version from which members make their ids and may have patterns.
const CLIENT_MEMBER_ID_FROM: i16 = 1;
const JOIN_EPOCH: i32 = 0;
const LEAVE_EPOCH: i32 = -1;
/// A static member that will be back.
const LEAVE_STATIC_EPOCH: i32 = -2;
/// A coordinator that names no sensible interval is not asked more often than this.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Partitions by the id of their topic.
pub(super) type Ids = BTreeSet<(TopicId, i32)>;

/// What only a member of the consumer protocol has to remember.
#[derive(Debug)]
pub(super) struct Served {
    interval: Duration,
    /// What the coordinator wants this member to have, as it said last.
    pub(super) target: Option<Ids>,
    /// The target, its names and what is owned have not changed since they were compared.
    pub(super) is_settled: bool,
    /// The caller was told of this membership's first assignment.
    pub(super) is_welcomed: bool,
    pub(super) metadata_generation: u64,
    /// What the coordinator has surely heard; `None`: everything is to be said again.
    told: Option<Told>,
    /// What it was told last that this member has.
    reported: Ids,
    /// It may know a pattern of this member, whatever became of the membership: the id stays.
    pattern_told: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    subscription: Subscription,
    /// Of what is owned; `None` when something else was told.
    revision: Option<u64>,
    owned: Ids,
}

impl Told {
    fn has_no_pattern(&self) -> bool {
        !matches!(self.subscription, Subscription::Pattern(_))
    }
}

impl Served {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            target: None,
            is_settled: false,
            is_welcomed: false,
            metadata_generation: 0,
            told: None,
            reported: Ids::new(),
            pattern_told: false,
        }
    }

    /// The membership is over.
    pub(super) fn lost(&mut self) {
        *self = Self { pattern_told: self.pattern_told, ..Self::new(self.interval) };
    }
}

impl Membership {
    pub(super) fn advance_served(
        &mut self,
        now: Now,
        wire: &mut Wire<Tag>,
        metadata: &mut Metadata,
        quiet: bool,
    ) {
        self.reconcile(metadata);
        // What is in flight may be a join; a farewell that overtook it would mean nothing.
        if self.busy {
            return;
        }
        // A coordinator that makes the ids never said one.
        self.leaving.take_if(|farewell| farewell.member_id.is_empty());
        if !(self.leaving.is_some() || self.has_to_beat(now.instant, quiet)) {
            return;
        }
        if !self.backoff.ready(now.instant) {
            return;
        }
        let timeout = self.config.request_timeout;
        let tag = || Tag::Group(Ask::Find);
        let Some(route) = self.coordinator.route(now, wire, timeout, tag) else { return };
        if self.leaving.is_none() {
            self.send_beat(now.instant, wire, route, quiet);
        }
        // What cannot be said to this broker ends the membership.
        if let Some(farewell) = self.leaving.take() {
            self.send_farewell(now.instant, wire, route, farewell);
        }
    }

    fn has_to_beat(&self, now: Instant, quiet: bool) -> bool {
        match self.phase {
            Phase::Joining => true,
            Phase::Member => match &self.served.told {
                None => true,
                Some(told) => {
                    self.heartbeat_at <= now
                        || told.subscription != self.subscription
                        || (quiet && told.revision != Some(self.ownership.revision()))
                }
            },
            Phase::Out | Phase::Assigning | Phase::Syncing(_) => false,
        }
    }

    fn owned_ids(&self) -> Ids {
        self.ownership.owned().iter().map(|(name, id)| (*id, name.partition)).collect()
    }

    fn send_beat(&mut self, now: Instant, wire: &mut Wire<Tag>, route: Route, quiet: bool) {
        let version = wire.version::<ConsumerGroupHeartbeatRequest>(route, i16::MAX);
        let has_own_id = version.is_some_and(|version| CLIENT_MEMBER_ID_FROM <= version);
        if has_own_id && self.member_id.is_empty() {
            self.member_id = new_member_id(wire.random());
        }
        if !has_own_id && version.is_some() && matches!(self.subscription, Subscription::Pattern(_))
        {
            let text = "subscribe: this broker matches no patterns in the consumer protocol";
            return self.give_up(ClientError::Refused(Cause::text(text)));
        }
        let joins = self.phase == Phase::Joining;
        let told = self.served.told.take().filter(|_| !joins);
        let (revision, owned) = match quiet {
            true => (Some(self.ownership.revision()), self.owned_ids()),
            false => (told.as_ref().and_then(|t| t.revision), self.served.reported.clone()),
        };
        let mut request = ConsumerGroupHeartbeatRequest {
            group_id: self.coordinator.key().to_owned(),
            member_id: self.member_id.clone(),
            member_epoch: if joins { JOIN_EPOCH } else { self.generation },
            instance_id: self.config.group_instance_id.clone(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        if told.is_none() {
            request.rebalance_timeout_ms = millis(self.config.rebalance_timeout);
            request.server_assignor.clone_from(&self.config.group_remote_assignor);
        }
        if told.as_ref().is_none_or(|told| told.subscription != self.subscription) {
            self.fill_subscription(&mut request);
        }
        if told.as_ref().is_none_or(|told| told.owned != owned) {
            request.topic_partitions = Some(by_topic(&owned));
        }
        self.served.reported.clone_from(&owned);
        self.served.told = Some(Told { subscription: self.subscription.clone(), revision, owned });
        self.heartbeat_at = now.plus(self.served.interval);
        self.busy = true;
        let timeout = self.config.request_timeout;
        let tag = Tag::Group(Ask::Beat { leaves: false });
        wire.send(now, route, &request, i16::MAX, timeout, tag);
    }

    fn fill_subscription(&mut self, request: &mut ConsumerGroupHeartbeatRequest) {
        let names = self.subscription.topics().iter().map(ToString::to_string).collect();
        request.subscribed_topic_names = Some(names);
        request.subscribed_topic_regex = match &self.subscription {
            Subscription::Pattern(pattern) => {
                self.served.pattern_told = true;
                Some(pattern.to_string())
            }
            // A pattern that is over has to be taken back.
            _ => self.served.pattern_told.then(String::new),
        };
    }

    fn send_farewell(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        route: Route,
        farewell: Farewell,
    ) {
        let is_static = self.config.group_instance_id.is_some();
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.coordinator.key().to_owned(),
            member_id: farewell.member_id,
            member_epoch: if is_static { LEAVE_STATIC_EPOCH } else { LEAVE_EPOCH },
            instance_id: self.config.group_instance_id.clone(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        self.generation = -1;
        self.leave_busy = true;
        let timeout = self.config.request_timeout;
        let tag = Tag::Group(Ask::Beat { leaves: true });
        wire.send(now, route, &request, i16::MAX, timeout, tag);
    }

    pub(super) fn handle_beat(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        leaves: bool,
        result: Result<Answer, Failure>,
    ) {
        if leaves {
            // Nothing depends on the answer: the session would end by itself.
            self.leave_busy = false;
            return;
        }
        self.busy = false;
        match result.and_then(Answer::decode::<ConsumerGroupHeartbeatRequest>) {
            Ok(response) if response.error_code.is_ok() => self.heard(now, response),
            Ok(response) => self.beat_refused(now, wire, response),
            Err(failure @ Failure::Unsupported(_)) => self.fail(failure.into_error()),
            Err(failure) => {
                self.served.told = None;
                self.handle_failure(now, wire, failure);
            }
        }
    }

    fn heard(&mut self, now: Instant, response: ConsumerGroupHeartbeatResponse) {
        self.backoff.succeeded();
        let member_id = response.member_id.unwrap_or_default();
        match self.phase {
            Phase::Joining | Phase::Member => {}
            // The subscription or the membership ended while the heartbeat was under way.
            Phase::Out | Phase::Assigning | Phase::Syncing(_) => {
                if let Some(farewell) = self.leaving.as_mut().filter(|f| f.member_id.is_empty()) {
                    farewell.member_id = member_id;
                }
                return;
            }
        }
        if self.member_id.is_empty() {
            self.member_id = member_id;
        }
        self.phase = Phase::Member;
        self.served.pattern_told &= !self.served.told.as_ref().is_some_and(Told::has_no_pattern);
        self.generation = response.member_epoch;
        self.identity = Some((response.member_epoch, self.member_id.clone()));
        let told_ms = u64::try_from(response.heartbeat_interval_ms).unwrap_or(0);
        self.served.interval = Duration::from_millis(told_ms).max(INTERVAL_MIN);
        self.heartbeat_at = now.plus(self.served.interval);
        if let Some(assignment) = response.assignment {
            let ids = assignment.topic_partitions.into_iter().flat_map(|topic| {
                topic.partitions.into_iter().map(move |partition| (topic.topic_id, partition))
            });
            self.served.target = Some(ids.collect());
            self.served.is_settled = false;
        }
    }

    fn beat_refused(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        response: ConsumerGroupHeartbeatResponse,
    ) {
        self.backoff.failed(now, wire.random());
        self.served.told = None;
        if self.phase == Phase::Out {
            return;
        }
        let code = response.error_code;
        if code == ErrorCode::GROUP_ID_NOT_FOUND && self.phase == Phase::Member {
            // The group was deleted under us; a join makes it again.
            return self.lose();
        }
        if self.handle_code("heartbeat", code) || code.is_retriable() {
            return;
        }
        let mut cause = Cause::of("heartbeat", code);
        if let Some(message) = response.error_message {
            cause.text = format!("{}: {message}", cause.text);
        }
        match code {
            // Another pattern, assignor or group may do.
            ErrorCode::INVALID_REGULAR_EXPRESSION
            | ErrorCode::UNSUPPORTED_ASSIGNOR
            | ErrorCode::GROUP_MAX_SIZE_REACHED
            | ErrorCode::INVALID_REQUEST
            | ErrorCode::TOPIC_AUTHORIZATION_FAILED
            | ErrorCode::GROUP_AUTHORIZATION_FAILED
            | ErrorCode::UNSUPPORTED_VERSION => self.give_up(ClientError::Refused(cause)),
            _ => self.fail(ClientError::Fatal(cause)),
        }
    }

    /// Out of the group, which need not wait until this member's session is over.
    fn give_up(&mut self, error: ClientError) {
        self.leave("what it asked for was refused");
        self.fail(error);
    }

    /// The coordinator knows a later epoch of this member, or none: a heartbeat brings it.
    pub(super) fn epoch_is_stale(&mut self, now: Instant) {
        self.heartbeat_at = now;
    }
}

fn by_topic(ids: &Ids) -> Vec<OwnedTopicPartitions> {
    let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for (topic_id, partition) in ids {
        topics.entry(*topic_id).or_default().push(*partition);
    }
    let part = |(topic_id, partitions)| OwnedTopicPartitions { topic_id, partitions };
    topics.into_iter().map(part).collect()
}

/// 128 random bits as Kafka prints them; none begins with a hyphen, which command lines would take
/// for an option.
fn new_member_id(random: &mut SeededRandom) -> String {
    let bits = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
    let text = TopicId(bits.to_be_bytes()).to_string();
    match text.strip_prefix('-') {
        Some(rest) => format!("a{rest}"),
        None => text,
    }
}
