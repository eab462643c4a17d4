//! Membership in a classic group, eager protocol: join, sync, heartbeat, leave.
//!
//! ```text
//! Out --poll--> Joining --> (Assigning, the leader only) --> Syncing --> Member
//!  ^               ^                                                      |
//!  |               +--poll-- Revoked <--poll-- Revoking <--- rebalance ---+
//!  +--- left                                   (or lost)
//! ```
//!
//! Invariants:
//! - Nothing changes under the caller: partitions go and come only with what a poll returns.
//! - Between the `Revoked` that a poll returned and the next poll the member keeps its generation
//!   and its heartbeats, so that the caller can commit.
//! - One request of this machine is in flight at a time, except that leaving does not wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mainstem_platform::{Instant, Now};
use mainstem_protocol::ErrorCode;

use super::assignor::Member;
use crate::config::ConsumerConfig;
use crate::core::backoff::Backoff;
use crate::core::coordinator::{Coordinator, CoordinatorKind};
use crate::core::earlier;
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
    /// The next poll returns `Revoked`, or `Lost` when the membership is over.
    Revoking {
        lost: bool,
    },
    /// It was returned; the next poll joins.
    Revoked,
}

/// A request of this machine, named in its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Find,
    Join,
    Sync,
    Heartbeat,
    Leave,
}

/// See the module's text.
pub(crate) struct Membership {
    pub(super) config: ConsumerConfig,
    pub(super) coordinator: Coordinator,
    pub(super) topics: Vec<Arc<str>>,
    pub(super) phase: Phase,
    pub(super) member_id: String,
    pub(super) generation: i32,
    /// The generation and member id of the last join.
    pub(super) identity: Option<(i32, String)>,
    pub(super) protocol: String,
    /// Of the group, as its leader sees it.
    pub(super) members: Vec<Member>,
    /// Partitions per topic at the last assignment; empty unless this member leads.
    pub(super) counts: BTreeMap<String, i32>,
    pub(super) assignment: Vec<TopicPartition>,
    /// The last assignment, for assignors that keep it.
    pub(super) owned_before: Vec<TopicPartition>,
    pub(super) announce: Option<Rebalance>,
    pub(super) busy: bool,
    pub(super) heartbeat_busy: bool,
    pub(super) heartbeat_at: Instant,
    pub(super) leaving: Option<String>,
    /// The farewell is on its way.
    pub(super) leave_busy: bool,
    pub(super) last_poll: Instant,
    pub(super) backoff: Backoff,
    /// For the next poll to report.
    pub(super) failure: Option<ClientError>,
    /// Set once the partitions that the caller sees have changed.
    pub(super) assigned: bool,
}

impl Membership {
    pub(crate) fn new(config: ConsumerConfig) -> Self {
        let group = config.group_id.clone().unwrap_or_default();
        Self {
            coordinator: Coordinator::new(CoordinatorKind::Group, &group),
            config,
            topics: Vec::new(),
            phase: Phase::Out,
            member_id: String::new(),
            generation: -1,
            identity: None,
            protocol: String::new(),
            members: Vec::new(),
            counts: BTreeMap::new(),
            assignment: Vec::new(),
            owned_before: Vec::new(),
            announce: None,
            busy: false,
            heartbeat_busy: false,
            heartbeat_at: Instant(0),
            leaving: None,
            leave_busy: false,
            last_poll: Instant(0),
            backoff: Backoff::new(RETRY_BACKOFF, RETRY_BACKOFF_MAX),
            failure: None,
            assigned: false,
        }
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
        !self.topics.is_empty()
    }

    /// Empty: leaves the group.
    pub(crate) fn subscribe(&mut self, topics: Vec<Arc<str>>) {
        if self.topics == topics {
            return;
        }
        self.topics = topics;
        match self.phase {
            Phase::Member if !self.topics.is_empty() => {
                self.phase = Phase::Revoking { lost: false };
            }
            _ if self.topics.is_empty() => self.leave("unsubscribed"),
            // What was joined with the old topics is joined again with the new ones.
            Phase::Assigning | Phase::Syncing(_) => self.phase = Phase::Joining,
            _ => {}
        }
    }

    /// Whether records may be delivered.
    pub(crate) fn is_stable(&self) -> bool {
        self.phase == Phase::Member && self.announce.is_none()
    }

    /// The owner must exchange its partitions for `assignment`.
    pub(crate) fn take_assigned(&mut self) -> Option<Vec<TopicPartition>> {
        std::mem::take(&mut self.assigned).then(|| self.assignment.clone())
    }

    /// A poll begins. True when it may join, which ends what the caller could still commit.
    pub(crate) fn begin_poll(&mut self, now: Instant) -> bool {
        self.last_poll = now;
        let joins = match self.phase {
            Phase::Out => !self.topics.is_empty() && self.leaving.is_none(),
            Phase::Revoked => true,
            _ => false,
        };
        if joins {
            self.phase = Phase::Joining;
            self.assignment.clear();
        }
        joins
    }

    /// What a poll has to return about the assignment.
    pub(crate) fn poll_rebalance(&mut self, now: Instant) -> Option<Rebalance> {
        self.last_poll = now;
        if let Phase::Revoking { lost } = self.phase {
            // The caller need not give back what it was never told about.
            if self.announce.take().is_some() || self.assignment.is_empty() {
                self.assignment.clear();
                self.assigned = true;
                self.phase = Phase::Joining;
                return None;
            }
            self.phase = Phase::Revoked;
            let partitions = self.assignment.clone();
            return Some(match lost {
                true => Rebalance::Lost(partitions),
                false => Rebalance::Revoked(partitions),
            });
        }
        self.announce.take()
    }

    /// The group goes on without this member.
    pub(crate) fn lose(&mut self) {
        self.generation = -1;
        self.member_id.clear();
        self.rebalance(true);
    }

    pub(super) fn rebalance(&mut self, lost: bool) {
        match self.phase {
            Phase::Member => self.phase = Phase::Revoking { lost },
            Phase::Revoking { .. } if lost => self.phase = Phase::Revoking { lost },
            Phase::Assigning | Phase::Syncing(_) => self.phase = Phase::Joining,
            Phase::Out | Phase::Joining | Phase::Revoking { .. } | Phase::Revoked => {}
        }
    }

    /// Leaves the group; the request is sent when it can be.
    pub(crate) fn leave(&mut self, reason: &str) {
        // A static member stays until its session times out, so that a restart changes nothing.
        if self.generation >= 0 && self.config.group_instance_id.is_none() {
            self.leaving = Some(reason.to_owned());
        }
        self.phase = Phase::Out;
        self.identity = None;
        self.announce = None;
        self.assignment.clear();
        self.assigned = true;
    }

    pub(crate) fn has_left(&self) -> bool {
        self.phase == Phase::Out && self.leaving.is_none() && !self.leave_busy
    }

    /// A caller that does not poll holds up partitions that others could process.
    pub(super) fn check_poll_interval(&mut self, now: Instant) {
        let idle = now.saturating_duration_since(self.last_poll);
        if self.phase == Phase::Member && idle >= self.config.rebalance_timeout {
            self.leaving = Some("the time between two polls is over".to_owned());
            self.phase = Phase::Revoking { lost: true };
        }
    }

    pub(super) fn heartbeats(&self) -> bool {
        self.generation >= 0
            && matches!(
                self.phase,
                Phase::Member | Phase::Revoking { lost: false } | Phase::Revoked
            )
    }

    /// What every request of a member may be told; false: something special to the request.
    pub(super) fn handle_code(&mut self, operation: &str, code: ErrorCode) -> bool {
        match code {
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                self.coordinator.forget();
            }
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => {}
            ErrorCode::REBALANCE_IN_PROGRESS => self.rebalance(false),
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => self.lose(),
            ErrorCode::FENCED_INSTANCE_ID => {
                self.failure = Some(ClientError::Fenced(Cause::of(operation, code)));
                self.generation = -1;
                self.phase = Phase::Out;
                self.topics.clear();
            }
            _ => return false,
        }
        true
    }

    pub(crate) fn deadline(&self, now: Now) -> Option<Instant> {
        let own =
            earlier(self.backoff.deadline(now.instant), self.coordinator.deadline(now.instant));
        if !self.heartbeats() {
            return own;
        }
        // What is due already waits for the coordinator, not for time.
        let ahead = |at: &Instant| now.instant < *at;
        let next = (!self.heartbeat_busy).then_some(self.heartbeat_at).filter(ahead);
        let stale = Some(self.last_poll.plus(self.config.rebalance_timeout)).filter(ahead);
        earlier(own, earlier(next, stale))
    }
}
