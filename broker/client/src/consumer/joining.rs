//! Membership in a classic group: join, sync, heartbeat, leave.
//!
//! A rebalance takes from the caller what the protocol asks for: everything (eager), or what is
//! not subscribed to any more (cooperative, KIP-429). Only then the member joins again. In the
//! cooperative protocol it tells what it keeps; what the new assignment does not have is given up
//! after the sync, and the member joins once more, so that others can get it. What is asked and
//! told is in [`requests`], what the leader does for all in [`super::leading`].

mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use mainstem_platform::{Instant, Now};
use mainstem_protocol::consumer_protocol::decode_assignment;
use mainstem_protocol::messages::{HeartbeatRequest, JoinGroupRequest, SyncGroupRequest};
use mainstem_protocol::{ErrorCode, TopicId};

use super::assignor::{Assignor, Member, RebalanceProtocol, common_protocol};
use super::machine::Tag;
use super::membership::{Ask, Farewell, Membership, Phase};
use crate::core::wire::Answer;
use crate::core::{Failure, Metadata, Wire};
use crate::error::{Cause, ClientError};
use crate::records::TopicPartition;
pub(super) use requests::{BLOB_VERSION, millis};

/// What only a member of a classic group has to remember.
#[derive(Debug)]
pub(super) struct Classic {
    pub(super) is_cooperative: bool,
    pub(super) protocol: String,
    /// Of the group, as its leader sees it.
    pub(super) members: Vec<Member>,
    /// Partitions per topic at the last assignment; empty unless this member leads.
    pub(super) counts: BTreeMap<String, i32>,
    /// The metadata that these were compared with last.
    pub(super) counted_at: u64,
    /// The last assignment.
    assigned: Vec<TopicPartition>,
    /// What the last join said.
    joined_topics: Vec<Arc<str>>,
    /// It joins again once the caller has given up what it must.
    pub(super) rejoins: bool,
    pub(super) heartbeat_busy: bool,
}

impl Classic {
    pub(super) fn new(assignors: &[Arc<dyn Assignor>]) -> Self {
        let protocol = common_protocol(assignors);
        Self {
            is_cooperative: protocol == Some(RebalanceProtocol::Cooperative),
            protocol: String::new(),
            members: Vec::new(),
            counts: BTreeMap::new(),
            counted_at: 0,
            assigned: Vec::new(),
            joined_topics: Vec::new(),
            rejoins: false,
            heartbeat_busy: false,
        }
    }

    /// The membership is over; an eager assignor may still like to know what there was.
    pub(super) fn lost(&mut self) {
        self.rejoins = false;
        self.members.clear();
        self.counts.clear();
        if self.is_cooperative {
            self.assigned.clear();
        }
    }
}

impl Membership {
    pub(super) fn advance_classic(
        &mut self,
        now: Now,
        wire: &mut Wire<Tag>,
        metadata: &mut Metadata,
        quiet: bool,
    ) {
        if self.phase == Phase::Assigning {
            self.try_assign(metadata);
        }
        self.watch_metadata(metadata);
        let given_up = self.ownership.is_settled()
            && (self.classic.is_cooperative || self.ownership.owned().is_empty());
        if self.phase == Phase::Member && self.classic.rejoins && given_up {
            self.phase = Phase::Joining;
        }
        let heartbeat =
            self.heartbeats() && !self.classic.heartbeat_busy && self.heartbeat_at <= now.instant;
        let joins = self.phase == Phase::Joining && quiet;
        let syncs = matches!(self.phase, Phase::Syncing(_));
        let asks = !self.busy && (joins || syncs);
        if !(self.leaving.is_some() || heartbeat || asks) || !self.backoff.ready(now.instant) {
            return;
        }
        let timeout = self.config.request_timeout;
        let tag = || Tag::Group(Ask::Find);
        let Some(route) = self.coordinator.route(now, wire, timeout, tag) else { return };
        if let Some(farewell) = self.leaving.take() {
            self.send_leave(now.instant, wire, route, farewell);
        }
        if heartbeat && self.heartbeats() {
            self.send_heartbeat(now.instant, wire, route);
        }
        if asks {
            self.busy = true;
            match std::mem::replace(&mut self.phase, Phase::Joining) {
                Phase::Syncing(assignments) => {
                    self.send_sync(now.instant, wire, route, &assignments);
                    self.phase = Phase::Syncing(assignments);
                }
                _ => self.send_join(now.instant, wire, route),
            }
        }
    }

    fn heartbeats(&self) -> bool {
        self.generation >= 0 && self.phase == Phase::Member
    }

    /// The group is to be shared anew: the caller gives up what the protocol asks for.
    pub(crate) fn rebalance(&mut self) {
        if self.phase != Phase::Member {
            return;
        }
        self.classic.rejoins = true;
        let keeps = |partition: &TopicPartition| {
            self.classic.is_cooperative && self.subscription.names(&partition.topic)
        };
        let going: Vec<TopicPartition> =
            self.ownership.owned().keys().filter(|partition| !keeps(partition)).cloned().collect();
        self.ownership.ask_back(going, false);
    }

    /// The rebalance that goes on is begun anew. What is owned stays owned meanwhile, and heartbeats
    /// go on while the caller gives something up.
    fn begin_anew(&mut self) {
        self.phase = Phase::Member;
        self.rebalance();
    }

    pub(super) fn subscription_changed(&mut self) {
        match self.phase {
            Phase::Member => self.rebalance(),
            // What was joined with the old topics is joined again with the new ones.
            Phase::Assigning | Phase::Syncing(_) => self.begin_anew(),
            Phase::Joining if !self.busy && self.generation >= 0 => self.begin_anew(),
            // Nothing has been said yet, or the sync will show the difference.
            Phase::Out | Phase::Joining => {}
        }
    }

    pub(super) fn handle_classic(
        &mut self,
        now: Now,
        wire: &mut Wire<Tag>,
        metadata: &mut Metadata,
        ask: Ask,
        result: Result<Answer, Failure>,
    ) {
        match ask {
            Ask::Heartbeat => self.classic.heartbeat_busy = false,
            // Nothing depends on the answer: the session would end by itself.
            Ask::Leave => {
                self.leave_busy = false;
                return;
            }
            _ => self.busy = false,
        }
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => return self.handle_failure(now.instant, wire, failure),
        };
        let understood = match ask {
            Ask::Join => self.handle_joined(now.instant, wire, metadata, answer),
            Ask::Sync => self.handle_synced(now.instant, wire, answer),
            _ => self.handle_heartbeat(now.instant, wire, answer),
        };
        if let Err(failure) = understood {
            self.handle_failure(now.instant, wire, failure);
        }
    }

    fn handle_heartbeat(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        answer: Answer,
    ) -> Result<(), Failure> {
        let code = answer.decode::<HeartbeatRequest>()?.error_code;
        // The answer may be about a generation that is over.
        if code.is_error() && self.heartbeats() {
            self.refused(now, wire, "heartbeat", code);
        }
        Ok(())
    }

    fn refused(&mut self, now: Instant, wire: &mut Wire<Tag>, operation: &str, code: ErrorCode) {
        if code == ErrorCode::REBALANCE_IN_PROGRESS {
            // No failure: the others wait for this member.
            match self.phase {
                Phase::Syncing(_) => self.begin_anew(),
                _ => self.rebalance(),
            }
            return;
        }
        self.backoff.failed(now, wire.random());
        if !self.handle_code(operation, code) && !code.is_retriable() {
            self.fail(ClientError::Fatal(Cause::of(operation, code)));
        }
    }

    fn handle_joined(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        metadata: &mut Metadata,
        answer: Answer,
    ) -> Result<(), Failure> {
        let response = answer.decode::<JoinGroupRequest>()?;
        match response.error_code {
            ErrorCode::NONE => {}
            ErrorCode::MEMBER_ID_REQUIRED => {
                self.member_id = response.member_id;
                return Ok(());
            }
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => {
                self.lose();
                return Ok(());
            }
            code => {
                self.refused(now, wire, "join", code);
                return Ok(());
            }
        }
        self.backoff.succeeded();
        if self.phase != Phase::Joining {
            // The subscription or the membership ended meanwhile; what was joined is left again.
            if self.config.group_instance_id.is_none() {
                let reason = "not wanted any more when it had joined";
                self.leaving = Some(Farewell { member_id: response.member_id, reason });
            }
            return Ok(());
        }
        self.member_id.clone_from(&response.member_id);
        self.generation = response.generation_id;
        self.identity = Some((response.generation_id, response.member_id.clone()));
        if !self.classic.is_cooperative {
            // Whatever is committed from before is of a generation that is over.
            self.ownership.end_tenure();
        }
        self.classic.protocol = response.protocol_name.clone().unwrap_or_default();
        self.classic.members.clear();
        self.classic.counts.clear();
        if response.leader == response.member_id && !response.skip_assignment {
            self.lead(metadata, response);
        } else {
            self.phase = Phase::Syncing(BTreeMap::new());
        }
        Ok(())
    }

    fn handle_synced(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        answer: Answer,
    ) -> Result<(), Failure> {
        let response = answer.decode::<SyncGroupRequest>()?;
        if !matches!(self.phase, Phase::Syncing(_)) {
            return Ok(());
        }
        if response.error_code.is_error() {
            self.refused(now, wire, "sync", response.error_code);
            return Ok(());
        }
        let decoded = decode_assignment(&response.assignment)
            .map_err(|error| Failure::Malformed(format!("assignment: {error}")))?;
        self.backoff.succeeded();
        let assigned: BTreeSet<TopicPartition> = decoded
            .assigned_partitions
            .iter()
            .flat_map(|topic| {
                let name: Arc<str> = topic.topic.as_str().into();
                let named = move |p: &i32| TopicPartition { topic: name.clone(), partition: *p };
                topic.partitions.iter().map(named)
            })
            .collect();
        self.phase = Phase::Member;
        self.heartbeat_at = now.plus(self.config.heartbeat_interval);
        self.take_over(assigned, decoded.user_data.unwrap_or_default());
        Ok(())
    }

    /// Exchanges what is owned for what is assigned.
    fn take_over(&mut self, assigned: BTreeSet<TopicPartition>, user_data: Bytes) {
        self.classic.assigned = assigned.iter().cloned().collect();
        let owned = self.ownership.owned();
        let going: Vec<TopicPartition> =
            owned.keys().filter(|partition| !assigned.contains(*partition)).cloned().collect();
        let added: Vec<TopicPartition> =
            assigned.into_iter().filter(|partition| !owned.contains_key(partition)).collect();
        let gives_up = !going.is_empty();
        self.ownership.ask_back(going, false);
        let added = added.into_iter().map(|partition| (partition, TopicId::NONE)).collect();
        self.ownership.give(added, user_data);
        if gives_up {
            self.classic.rejoins = true;
        }
        if self.classic.joined_topics != self.subscription.topics() {
            self.rebalance();
        }
    }
}
