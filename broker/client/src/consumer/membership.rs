//! Membership in a group: what both protocols have in common.
//!
//! ```text
//! Out --poll--> Joining --> (Assigning, the leader only) --> Syncing --> Member
//!  ^               ^                                                      |
//!  |               +------------------ rebalance -------------------------+
//!  +--- left, or lost
//! ```
//!
//! In a classic group members share the work among themselves: [`super::joining`] has its
//! requests. A group of the consumer protocol (KIP-848) is shared by its coordinator, and there are
//! only heartbeats ([`super::heartbeats`], [`super::reconcile`]); it knows neither Assigning nor
//! Syncing. What the application has, and how it learns of changes, is [`super::ownership`].
//!
//! Invariants:
//! - What the application has not given up yet is owned, and the member keeps its place in the
//!   group meanwhile, so that the caller can commit.
//! - One request of this machine is in flight at a time, except that a classic member's heartbeat
//!   and farewell do not wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mainstem_platform::{Instant, Now};
use mainstem_protocol::ErrorCode;

use super::heartbeats::Served;
use super::joining::Classic;
use super::machine::Tag;
use super::ownership::Ownership;
use crate::config::{ConsumerConfig, GroupProtocol};
use crate::core::backoff::Backoff;
use crate::core::coordinator::{Coordinator, CoordinatorKind};
use crate::core::wire::Answer;
use crate::core::{Failure, Metadata, Wire, earlier};
use crate::error::{Cause, ClientError};
use crate::limits::{RETRY_BACKOFF, RETRY_BACKOFF_MAX};
use crate::records::{GroupMetadata, Rebalance, TopicPartition};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Out,
    Joining,
    /// This member leads: it waits for the metadata of `counts`, then shares partitions.
    Assigning,
    /// With the assignments of all members, if this one leads.
    Syncing(BTreeMap<String, Bytes>),
    Member,
}

/// A request of this machine, named in its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Find,
    Join,
    Sync,
    Heartbeat,
    Leave,
    /// ConsumerGroupHeartbeat; it may say farewell.
    Beat {
        leaves: bool,
    },
}

/// What the application wants to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Subscription {
    #[default]
    None,
    /// Sorted. There may be none, as long as no topic matches a pattern.
    Topics(Vec<Arc<str>>),
    /// For the coordinator to match.
    Pattern(Arc<str>),
}

impl Subscription {
    /// The topics that are named.
    pub(crate) fn topics(&self) -> &[Arc<str>] {
        match self {
            Self::Topics(topics) => topics,
            Self::None | Self::Pattern(_) => &[],
        }
    }

    pub(crate) fn names(&self, topic: &Arc<str>) -> bool {
        self.topics().binary_search(topic).is_ok()
    }
}

/// A farewell that has to be sent.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) member_id: String,
    pub(super) reason: &'static str,
}

/// See the module's text.
pub(crate) struct Membership {
    pub(super) config: ConsumerConfig,
    pub(super) coordinator: Coordinator,
    pub(super) subscription: Subscription,
    pub(super) phase: Phase,
    pub(super) ownership: Ownership,
    pub(super) member_id: String,
    /// The member epoch in the consumer protocol.
    pub(super) generation: i32,
    /// The generation and member id of the last join.
    pub(super) identity: Option<(i32, String)>,
    pub(super) classic: Classic,
    pub(super) served: Served,
    /// A poll has come since this member is out.
    polled: bool,
    pub(super) busy: bool,
    pub(super) heartbeat_at: Instant,
    pub(super) leaving: Option<Farewell>,
    /// The farewell is on its way.
    pub(super) leave_busy: bool,
    pub(super) last_poll: Instant,
    pub(super) backoff: Backoff,
    /// For the next poll to report.
    pub(super) failure: Option<ClientError>,
}

impl Membership {
    pub(crate) fn new(config: ConsumerConfig) -> Self {
        let group = config.group_id.clone().unwrap_or_default();
        Self {
            coordinator: Coordinator::new(CoordinatorKind::Group, &group),
            classic: Classic::new(&config.assignors),
            served: Served::new(config.heartbeat_interval),
            config,
            subscription: Subscription::None,
            phase: Phase::Out,
            ownership: Ownership::default(),
            member_id: String::new(),
            generation: -1,
            identity: None,
            polled: false,
            busy: false,
            heartbeat_at: Instant(0),
            leaving: None,
            leave_busy: false,
            last_poll: Instant(0),
            backoff: Backoff::new(RETRY_BACKOFF, RETRY_BACKOFF_MAX),
            failure: None,
        }
    }

    pub(super) fn is_classic(&self) -> bool {
        self.config.group_protocol == GroupProtocol::Classic
    }

    /// Who this member was last. It stays when the membership is lost, so that a coordinator can
    /// tell what comes late from what never belonged to a group.
    pub(crate) fn metadata(&self) -> GroupMetadata {
        let (generation_id, member_id) = self.identity.clone().unwrap_or((-1, String::new()));
        let instance = self.config.group_instance_id.clone();
        GroupMetadata {
            group_id: self.coordinator.key().to_owned(),
            generation_id,
            member_id,
            group_instance_id: instance.filter(|_| self.identity.is_some()),
        }
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscription != Subscription::None
    }

    /// Whether the coordinator would take commits of what is owned.
    pub(crate) fn is_member(&self) -> bool {
        self.generation >= 0 && self.phase != Phase::Out
    }

    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    pub(crate) fn hands_over(&self) -> bool {
        self.ownership.hands_over()
    }

    /// See [`Ownership::tenure`].
    pub(crate) fn tenure(&self) -> u64 {
        self.ownership.tenure()
    }

    /// See [`Ownership::take_changed`].
    pub(crate) fn take_changed(&mut self) -> Option<Vec<TopicPartition>> {
        self.ownership.take_changed()
    }

    /// In whose name offsets are looked up, where the protocol wants to know.
    pub(crate) fn claim(&self) -> Option<(String, i32)> {
        let is_claimed = !self.is_classic() && self.is_member();
        is_claimed.then(|| (self.member_id.clone(), self.generation))
    }

    /// Whether commits have to wait: the generation that they would name is about to be another.
    pub(crate) fn holds_commits(&self) -> bool {
        match self.phase {
            Phase::Out | Phase::Member => false,
            Phase::Joining => self.busy,
            Phase::Assigning | Phase::Syncing(_) => true,
        }
    }

    /// [`Subscription::None`] leaves the group.
    pub(crate) fn subscribe(&mut self, subscription: Subscription) {
        if self.subscription == subscription {
            return;
        }
        self.subscription = subscription;
        if !self.is_subscribed() {
            self.leave("unsubscribed");
        } else if self.is_classic() {
            self.subscription_changed();
        }
    }

    /// Out of the group until the next poll.
    pub(crate) fn await_poll(&mut self) {
        self.polled = false;
    }

    /// Whether the topic has to be known, whatever is owned.
    pub(crate) fn needs(&self, topic: &Arc<str>) -> bool {
        self.subscription.names(topic) || self.leads_with(topic)
    }

    /// A poll begins: what the last one returned as revoked or lost goes now.
    pub(crate) fn begin_poll(&mut self, now: Instant) {
        self.last_poll = now;
        if self.ownership.begin_poll() {
            self.served.is_settled = false;
        }
        self.polled = true;
    }

    /// What a poll has to return about the assignment.
    pub(crate) fn poll_rebalance(&mut self, now: Instant) -> Option<Rebalance> {
        self.last_poll = now;
        self.ownership.poll_rebalance()
    }

    /// The group goes on without this member. It joins again when the caller knows.
    pub(crate) fn lose(&mut self) {
        self.generation = -1;
        if self.is_classic() {
            self.member_id.clear();
        }
        self.classic.lost();
        self.served.lost();
        self.ownership.lose();
        self.phase = Phase::Out;
        self.polled = self.ownership.is_settled();
    }

    /// Leaves the group; the request is sent when it can be.
    pub(crate) fn leave(&mut self, reason: &'static str) {
        let is_in = match self.config.group_protocol {
            // A static member stays until its session times out, so that a restart changes
            // nothing.
            GroupProtocol::Classic => {
                self.generation >= 0 && self.config.group_instance_id.is_none()
            }
            GroupProtocol::Consumer => self.busy || self.generation > 0,
        };
        if is_in {
            self.leaving = Some(Farewell { member_id: self.member_id.clone(), reason });
        }
        self.phase = Phase::Out;
        self.polled = false;
        self.identity = None;
        self.classic.lost();
        self.served.lost();
        self.ownership.clear();
    }

    pub(crate) fn has_left(&self) -> bool {
        self.phase == Phase::Out && self.leaving.is_none() && !self.leave_busy
    }

    /// What cannot be mended by trying again: out of the group, with an error for the next poll.
    pub(super) fn fail(&mut self, error: ClientError) {
        self.failure = Some(error);
        self.generation = -1;
        self.identity = None;
        self.subscription = Subscription::None;
        self.phase = Phase::Out;
        self.polled = false;
        self.classic.lost();
        self.served.lost();
        self.ownership.clear();
    }

    /// `quiet`: nothing that was given up is still being committed.
    pub(crate) fn advance(
        &mut self,
        now: Now,
        wire: &mut Wire<Tag>,
        metadata: &mut Metadata,
        quiet: bool,
    ) {
        self.check_poll_interval(now.instant);
        let is_free = self.leaving.is_none() && self.ownership.is_settled();
        if self.phase == Phase::Out && self.polled && self.is_subscribed() && is_free {
            self.phase = Phase::Joining;
        }
        match self.config.group_protocol {
            GroupProtocol::Classic => self.advance_classic(now, wire, metadata, quiet),
            GroupProtocol::Consumer => self.advance_served(now, wire, metadata, quiet),
        }
    }

    pub(crate) fn handle_answer(
        &mut self,
        now: Now,
        wire: &mut Wire<Tag>,
        metadata: &mut Metadata,
        ask: Ask,
        result: Result<Answer, Failure>,
    ) {
        match ask {
            Ask::Find => {
                if let Err(error) = self.coordinator.handle_found(now.instant, wire, result) {
                    self.failure = Some(error);
                }
            }
            Ask::Beat { leaves } => self.handle_beat(now.instant, wire, leaves, result),
            Ask::Join | Ask::Sync | Ask::Heartbeat | Ask::Leave => {
                self.handle_classic(now, wire, metadata, ask, result);
            }
        }
    }

    /// A caller that does not poll holds up partitions that others could process.
    fn check_poll_interval(&mut self, now: Instant) {
        let idle = now.saturating_duration_since(self.last_poll);
        if self.phase == Phase::Member && idle >= self.config.rebalance_timeout {
            let member_id = self.member_id.clone();
            let reason = "the time between two polls is over";
            self.leaving = Some(Farewell { member_id, reason });
            self.lose();
            self.polled = false;
        }
    }

    pub(super) fn handle_failure(&mut self, now: Instant, wire: &mut Wire<Tag>, failure: Failure) {
        match failure {
            Failure::Unsupported(_) => self.failure = Some(failure.into_error()),
            Failure::Disconnected(_) | Failure::Malformed(_) => {
                self.coordinator.disconnected(now, wire);
            }
        }
    }

    /// What every request of a member may be told; false: something special to the request.
    pub(super) fn handle_code(&mut self, operation: &str, code: ErrorCode) -> bool {
        match code {
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                self.coordinator.forget();
            }
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => {}
            ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::FENCED_MEMBER_EPOCH => self.lose(),
            ErrorCode::FENCED_INSTANCE_ID => {
                self.fail(ClientError::Fenced(Cause::of(operation, code)));
            }
            _ => return false,
        }
        true
    }

    pub(crate) fn deadline(&self, now: Now) -> Option<Instant> {
        let own =
            earlier(self.backoff.deadline(now.instant), self.coordinator.deadline(now.instant));
        if self.phase != Phase::Member {
            return own;
        }
        // What is due already waits for the coordinator, not for time.
        let ahead = |at: &Instant| now.instant < *at;
        let in_flight = if self.is_classic() { self.classic.heartbeat_busy } else { self.busy };
        let next = (!in_flight).then_some(self.heartbeat_at).filter(ahead);
        let stale = Some(self.last_poll.plus(self.config.rebalance_timeout)).filter(ahead);
        earlier(own, earlier(next, stale))
    }
}
