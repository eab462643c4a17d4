//! What a member of a classic group asks its coordinator, and what it tells the leader.
//!
//! A member names the last generation that it took part in, even when it missed that generation's
//! assignment: what it owns it has told in every generation, so nobody else can have it. A leader
//! that believes only members of the latest generation (Kafka's does, KIP-792) would give away what
//! is claimed since an earlier one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use mainstem_platform::Instant;
use mainstem_protocol::consumer_protocol::{
    ConsumerProtocolSubscription, PROTOCOL_TYPE, encode_subscription,
};
use mainstem_protocol::messages::join_group::JoinGroupRequestProtocol;
use mainstem_protocol::messages::leave_group::MemberIdentity;
use mainstem_protocol::messages::records::consumer_protocol_subscription as subscription_parts;
use mainstem_protocol::messages::sync_group::SyncGroupRequestAssignment;
use mainstem_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};

use crate::consumer::assignor::{Assignor, Joining, RebalanceProtocol};
use crate::consumer::machine::Tag;
use crate::consumer::membership::{Ask, Farewell, Membership};
use crate::core::{Route, Wire};
use crate::records::TopicPartition;

/// Version of the blobs that members exchange; 3 is the last.
pub(in crate::consumer) const BLOB_VERSION: i16 = 3;
/// A coordinator answers a join when the rebalance ends; this is what it may take longer.
const JOIN_SLACK: Duration = Duration::from_secs(10);

impl Membership {
    pub(super) fn send_join(&mut self, now: Instant, wire: &mut Wire<Tag>, route: Route) {
        self.classic.rejoins = false;
        self.classic.joined_topics = self.subscription.topics().to_vec();
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
        let names = self.ownership.names();
        // What an eager member had, a cooperative assignor would take for what it still has.
        let owned = match assignor.protocols().contains(&RebalanceProtocol::Cooperative) {
            true => &names,
            false => &self.classic.assigned,
        };
        let (topics, generation) = (self.subscription.topics(), self.generation);
        let user_data = assignor.user_data(&Joining { topics, owned, generation });
        let by_topic = |owned: &[TopicPartition]| {
            let mut parts: Vec<subscription_parts::TopicPartition> = Vec::new();
            for partition in owned {
                match parts.last_mut().filter(|topic| *topic.topic == *partition.topic) {
                    Some(topic) => topic.partitions.push(partition.partition),
                    None => parts.push(subscription_parts::TopicPartition {
                        topic: partition.topic.to_string(),
                        partitions: vec![partition.partition],
                    }),
                }
            }
            parts
        };
        ConsumerProtocolSubscription {
            topics: topics.iter().map(ToString::to_string).collect(),
            user_data: Some(user_data).filter(|data| !data.is_empty()),
            owned_partitions: by_topic(owned),
            generation_id: generation,
            ..ConsumerProtocolSubscription::default()
        }
    }

    pub(super) fn send_sync(
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
            protocol_name: Some(self.classic.protocol.clone()),
            assignments: assignments.iter().map(entry).collect(),
        };
        let timeout = self.config.rebalance_timeout + JOIN_SLACK;
        wire.send(now, route, &request, i16::MAX, timeout, Tag::Group(Ask::Sync));
    }

    pub(super) fn send_heartbeat(&mut self, now: Instant, wire: &mut Wire<Tag>, route: Route) {
        self.classic.heartbeat_busy = true;
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

    pub(super) fn send_leave(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        route: Route,
        farewell: Farewell,
    ) {
        let many = wire.version::<LeaveGroupRequest>(route, i16::MAX).is_some_and(|v| v >= 3);
        let mut request = LeaveGroupRequest {
            group_id: self.coordinator.key().to_owned(),
            ..LeaveGroupRequest::default()
        };
        if many {
            request.members = vec![MemberIdentity {
                member_id: farewell.member_id,
                group_instance_id: None,
                reason: Some(farewell.reason.to_owned()),
            }];
        } else {
            request.member_id = farewell.member_id;
        }
        self.generation = -1;
        self.member_id.clear();
        self.leave_busy = true;
        let timeout = self.config.request_timeout;
        wire.send(now, route, &request, i16::MAX, timeout, Tag::Group(Ask::Leave));
    }
}

pub(in crate::consumer) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
