//! The requests of the membership machine and what their answers mean.
//!
//! The leader's work is here too: it reads the members' subscriptions, waits until it knows how
//! many partitions their topics have, and runs the assignor that the group agreed on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainstem_platform::{Instant, Now};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, PROTOCOL_TYPE, decode_assignment,
    decode_subscription, encode_assignment, encode_subscription,
};
use mainstem_protocol::messages::join_group::JoinGroupRequestProtocol;
use mainstem_protocol::messages::leave_group::MemberIdentity;
use mainstem_protocol::messages::records::{
    consumer_protocol_assignment as assignment_parts,
    consumer_protocol_subscription as subscription_parts,
};
use mainstem_protocol::messages::sync_group::SyncGroupRequestAssignment;
use mainstem_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};

use super::assignor::{Assignor, Member, MemberAssignment};
use super::machine::Tag;
use super::membership::{Ask, Membership, Phase};
use crate::core::wire::Answer;
use crate::core::{Failure, Metadata, Route, Wire};
use crate::error::{Cause, ClientError};
use crate::records::{Rebalance, TopicPartition};

/// Version of the blobs that members exchange; 3 is the last.
const BLOB_VERSION: i16 = 3;
/// A coordinator answers a join when the rebalance ends; this is what it may take longer.
const JOIN_SLACK: Duration = Duration::from_secs(10);

impl Membership {
    /// `quiet`: nothing of the last generation is still being committed.
    pub(crate) fn advance(
        &mut self,
        now: Now,
        wire: &mut Wire<Tag>,
        metadata: &mut Metadata,
        quiet: bool,
    ) {
        self.check_poll_interval(now.instant);
        if self.phase == Phase::Assigning {
            self.try_assign(metadata);
        }
        self.watch_metadata(metadata);
        let heartbeat =
            self.heartbeats() && !self.heartbeat_busy && self.heartbeat_at <= now.instant;
        let joins = self.phase == Phase::Joining && quiet;
        let syncs = matches!(self.phase, Phase::Syncing(_));
        let asks = !self.busy && (joins || syncs);
        if !(self.leaving.is_some() || heartbeat || asks) || !self.backoff.ready(now.instant) {
            return;
        }
        let timeout = self.config.request_timeout;
        let tag = || Tag::Group(Ask::Find);
        let Some(route) = self.coordinator.route(now, wire, timeout, tag) else { return };
        if let Some(reason) = self.leaving.take() {
            self.send_leave(now.instant, wire, route, reason);
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

    fn send_join(&mut self, now: Instant, wire: &mut Wire<Tag>, route: Route) {
        let protocols = self.config.assignors.iter().filter_map(|assignor| {
            let metadata =
                encode_subscription(&self.subscription(&**assignor), BLOB_VERSION).ok()?;
            Some(JoinGroupRequestProtocol { name: assignor.name().to_owned(), metadata })
        });
        let rebalance_timeout = self.config.rebalance_timeout;
        let request = JoinGroupRequest {
            group_id: self.coordinator.key().to_owned(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(rebalance_timeout),
            member_id: self.member_id.clone(),
            group_instance_id: self.config.group_instance_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: protocols.collect(),
            ..JoinGroupRequest::default()
        };
        let timeout = rebalance_timeout + JOIN_SLACK;
        wire.send(now, route, &request, i16::MAX, timeout, Tag::Group(Ask::Join));
    }

    fn subscription(&self, assignor: &dyn Assignor) -> ConsumerProtocolSubscription {
        let mut owned: Vec<subscription_parts::TopicPartition> = Vec::new();
        for partition in &self.owned_before {
            match owned.last_mut().filter(|topic| *topic.topic == *partition.topic) {
                Some(topic) => topic.partitions.push(partition.partition),
                None => owned.push(subscription_parts::TopicPartition {
                    topic: partition.topic.to_string(),
                    partitions: vec![partition.partition],
                }),
            }
        }
        ConsumerProtocolSubscription {
            topics: self.topics.iter().map(ToString::to_string).collect(),
            user_data: Some(assignor.user_data()).filter(|data| !data.is_empty()),
            owned_partitions: owned,
            generation_id: self.generation,
            ..ConsumerProtocolSubscription::default()
        }
    }

    fn send_sync(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        route: Route,
        assignments: &BTreeMap<String, Bytes>,
    ) {
        let entry = |(member_id, assignment): (&String, &Bytes)| SyncGroupRequestAssignment {
            member_id: member_id.clone(),
            assignment: assignment.clone(),
        };
        let request = SyncGroupRequest {
            group_id: self.coordinator.key().to_owned(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.group_instance_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(self.protocol.clone()),
            assignments: assignments.iter().map(entry).collect(),
        };
        let timeout = self.config.rebalance_timeout + JOIN_SLACK;
        wire.send(now, route, &request, i16::MAX, timeout, Tag::Group(Ask::Sync));
    }

    fn send_heartbeat(&mut self, now: Instant, wire: &mut Wire<Tag>, route: Route) {
        self.heartbeat_busy = true;
        self.heartbeat_at = now.plus(self.config.heartbeat_interval);
        let request = HeartbeatRequest {
            group_id: self.coordinator.key().to_owned(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.group_instance_id.clone(),
        };
        // Without an answer the session is in danger: look for the coordinator elsewhere in time.
        let timeout = self.config.request_timeout.min(self.config.session_timeout);
        wire.send(now, route, &request, i16::MAX, timeout, Tag::Group(Ask::Heartbeat));
    }

    fn send_leave(&mut self, now: Instant, wire: &mut Wire<Tag>, route: Route, reason: String) {
        let many = wire.version::<LeaveGroupRequest>(route, i16::MAX).is_some_and(|v| v >= 3);
        let mut request = LeaveGroupRequest {
            group_id: self.coordinator.key().to_owned(),
            ..LeaveGroupRequest::default()
        };
        if many {
            request.members = vec![MemberIdentity {
                member_id: self.member_id.clone(),
                group_instance_id: None,
                reason: Some(reason),
            }];
        } else {
            request.member_id.clone_from(&self.member_id);
        }
        self.generation = -1;
        self.member_id.clear();
        self.leave_busy = true;
        let timeout = self.config.request_timeout;
        wire.send(now, route, &request, i16::MAX, timeout, Tag::Group(Ask::Leave));
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
                return;
            }
            Ask::Heartbeat => self.heartbeat_busy = false,
            Ask::Join | Ask::Sync => self.busy = false,
            // Nothing depends on the answer: the session would end by itself.
            Ask::Leave => {
                self.leave_busy = false;
                return;
            }
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

    fn handle_failure(&mut self, now: Instant, wire: &mut Wire<Tag>, failure: Failure) {
        match failure {
            Failure::Unsupported(_) => self.failure = Some(failure.into_error()),
            Failure::Disconnected(_) | Failure::Malformed(_) => {
                self.coordinator.disconnected(now, wire);
            }
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
        self.backoff.failed(now, wire.random());
        if !self.handle_code(operation, code) && !code.is_retriable() {
            self.failure = Some(ClientError::Fatal(Cause::of(operation, code)));
            self.phase = Phase::Out;
            self.topics.clear();
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
                self.member_id.clear();
                self.generation = -1;
                return Ok(());
            }
            code => {
                self.refused(now, wire, "join", code);
                return Ok(());
            }
        }
        self.backoff.succeeded();
        self.member_id.clone_from(&response.member_id);
        self.generation = response.generation_id;
        self.identity = Some((response.generation_id, response.member_id.clone()));
        self.protocol = response.protocol_name.clone().unwrap_or_default();
        self.members.clear();
        self.counts.clear();
        if self.phase != Phase::Joining {
            // The subscription ended meanwhile; what was joined is left again.
            self.leave("unsubscribed while joining");
        } else if response.leader == response.member_id && !response.skip_assignment {
            self.lead(metadata, response);
        } else {
            self.phase = Phase::Syncing(BTreeMap::new());
        }
        Ok(())
    }

    fn lead(&mut self, metadata: &mut Metadata, response: JoinGroupResponse) {
        for member in response.members {
            let subscription = decode_subscription(&member.metadata).unwrap_or_default();
            let mut topics = subscription.topics;
            topics.sort();
            topics.dedup();
            for topic in &topics {
                metadata.want(&Arc::from(topic.as_str()));
            }
            let owned = subscription.owned_partitions.into_iter().flat_map(|owned| {
                let name: Arc<str> = owned.topic.as_str().into();
                let named = move |p| TopicPartition { topic: name.clone(), partition: p };
                owned.partitions.into_iter().map(named)
            });
            self.members.push(Member {
                id: member.member_id,
                group_instance_id: member.group_instance_id,
                topics,
                owned: owned.collect(),
                user_data: subscription.user_data.unwrap_or_default(),
            });
        }
        self.phase = Phase::Assigning;
        self.try_assign(metadata);
    }

    /// Topics of the group and their partitions; 0 for one that does not exist, `None` while it
    /// is not known whether it does.
    fn group_counts(&self, metadata: &Metadata) -> Option<BTreeMap<String, i32>> {
        let topics: BTreeSet<&String> = self.members.iter().flat_map(|m| &m.topics).collect();
        let count = |topic: &&String| match metadata.topic(topic) {
            Some(known) => Some(known.partition_count()),
            None => metadata.failure(topic).map(|_| 0),
        };
        topics.into_iter().map(|topic| Some((topic.clone(), count(&topic)?))).collect()
    }

    fn try_assign(&mut self, metadata: &Metadata) {
        let Some(counts) = self.group_counts(metadata) else { return };
        let assignor = self.config.assignors.iter().find(|a| a.name() == self.protocol);
        let existing = counts.iter().filter(|(_, count)| **count > 0);
        let existing: BTreeMap<String, i32> = existing.map(|(t, c)| (t.clone(), *c)).collect();
        let assigned = match assignor {
            Some(assignor) => assignor.assign(&existing, &self.members),
            None => Err(format!("the group chose {:?}, which is not ours", self.protocol)),
        };
        match assigned {
            Ok(assigned) => {
                self.counts = counts;
                let encode = |(id, a): (String, MemberAssignment)| Some((id, encode_member(&a)?));
                self.phase = Phase::Syncing(assigned.into_iter().filter_map(encode).collect());
            }
            Err(text) => {
                self.failure = Some(ClientError::Fatal(Cause::text(format!("assignor: {text}"))));
                self.leave("the assignor failed");
                self.topics.clear();
            }
        }
    }

    /// The leader calls for a rebalance when topics of the group appear, go or grow.
    fn watch_metadata(&mut self, metadata: &Metadata) {
        if self.phase != Phase::Member || self.counts.is_empty() {
            return;
        }
        if self.group_counts(metadata).is_some_and(|counts| counts != self.counts) {
            self.rebalance(false);
        }
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
        self.assignment = decoded
            .assigned_partitions
            .iter()
            .flat_map(|topic| {
                let name: Arc<str> = topic.topic.as_str().into();
                let named = move |p: &i32| TopicPartition { topic: name.clone(), partition: *p };
                topic.partitions.iter().map(named)
            })
            .collect();
        self.assignment.sort();
        self.owned_before.clone_from(&self.assignment);
        self.phase = Phase::Member;
        self.heartbeat_at = now.plus(self.config.heartbeat_interval);
        self.assigned = true;
        self.announce = Some(Rebalance::Assigned {
            partitions: self.assignment.clone(),
            user_data: decoded.user_data.unwrap_or_default(),
        });
        Ok(())
    }
}

fn encode_member(assignment: &MemberAssignment) -> Option<Bytes> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &assignment.partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let part = |(topic, partitions): (&str, Vec<i32>)| assignment_parts::TopicPartition {
        topic: topic.to_owned(),
        partitions,
    };
    let blob = ConsumerProtocolAssignment {
        assigned_partitions: topics.into_iter().map(part).collect(),
        user_data: Some(assignment.user_data.clone()).filter(|data| !data.is_empty()),
    };
    encode_assignment(&blob, BLOB_VERSION).ok()
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
