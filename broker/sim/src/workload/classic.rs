//! Membership by JoinGroup, SyncGroup, Heartbeat and LeaveGroup, eagerly: a member that joins again
//! has given up all its partitions. The leader shares out ranges.

use super::TOPIC;
use super::membership::{Membership, REBALANCE, SESSION, State};
use crate::port::{Broken, Port, answer};
use bytes::Bytes;
use mainstem_platform::Instant;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, PROTOCOL_TYPE,
    consumer_protocol_assignment, decode_assignment, encode_assignment, encode_subscription,
};
use mainstem_protocol::messages::join_group::JoinGroupRequestProtocol;
use mainstem_protocol::messages::leave_group::MemberIdentity;
use mainstem_protocol::messages::sync_group::SyncGroupRequestAssignment;
use mainstem_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};
use std::time::Duration;

const JOIN_VERSION: i16 = 7;
const SYNC_VERSION: i16 = 5;
const HEARTBEAT_VERSION: i16 = 4;
const LEAVE_VERSION: i16 = 5;
/// Of the blobs that members exchange.
const BLOB_VERSION: i16 = 1;
const ASSIGNOR: &str = "range";

fn millis(duration: Duration) -> i32 {
    duration.as_millis() as i32
}

impl Membership {
    pub(super) fn send_join(&mut self, port: &mut Port) -> i32 {
        let subscription = ConsumerProtocolSubscription {
            topics: vec![TOPIC.to_owned()],
            user_data: Some(Bytes::copy_from_slice(&self.changes.to_be_bytes())),
            ..ConsumerProtocolSubscription::default()
        };
        let metadata = encode_subscription(&subscription, BLOB_VERSION);
        let protocol = JoinGroupRequestProtocol {
            name: ASSIGNOR.to_owned(),
            metadata: metadata.expect("a subscription can be encoded"),
        };
        let request = JoinGroupRequest {
            group_id: self.group(),
            session_timeout_ms: millis(SESSION),
            rebalance_timeout_ms: millis(REBALANCE),
            member_id: self.member_id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![protocol],
            ..JoinGroupRequest::default()
        };
        port.send(JOIN_VERSION, &request)
    }

    pub(super) fn take_join(&mut self, frame: Bytes) -> Result<ErrorCode, Broken> {
        let response = answer::<JoinGroupRequest>(JOIN_VERSION, frame);
        match response.error_code {
            ErrorCode::NONE => {
                self.book.borrow().joined(response.generation_id, self.generation_before)?;
                self.member_id = response.member_id;
                self.generation = response.generation_id;
                let members = response.members.into_iter().map(|member| member.member_id);
                self.state = State::Joined { members: members.collect() };
                Ok(ErrorCode::NONE)
            }
            ErrorCode::MEMBER_ID_REQUIRED => {
                self.member_id = response.member_id;
                Ok(ErrorCode::NONE)
            }
            error => self.take_error(error),
        }
    }

    pub(super) fn send_sync(&mut self, port: &mut Port) -> i32 {
        let request = SyncGroupRequest {
            group_id: self.group(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(ASSIGNOR.to_owned()),
            assignments: self.ranges(),
            ..SyncGroupRequest::default()
        };
        port.send(SYNC_VERSION, &request)
    }

    /// A range for each member; nothing when somebody else leads.
    fn ranges(&self) -> Vec<SyncGroupRequestAssignment> {
        let State::Joined { members } = &self.state else { return Vec::new() };
        let partitions = self.book.borrow().partitions();
        let count = members.len() as i32;
        let mut next = 0;
        let range = |(place, member): (i32, &String)| {
            let end = next + partitions / count + i32::from(place < partitions % count);
            let topic = consumer_protocol_assignment::TopicPartition {
                topic: TOPIC.to_owned(),
                partitions: (next..end).collect(),
            };
            next = end;
            let assignment =
                ConsumerProtocolAssignment { assigned_partitions: vec![topic], user_data: None };
            let blob = encode_assignment(&assignment, BLOB_VERSION);
            SyncGroupRequestAssignment {
                member_id: member.clone(),
                assignment: blob.expect("an assignment can be encoded"),
            }
        };
        (0..).zip(members).map(range).collect()
    }

    pub(super) fn take_sync(&mut self, frame: Bytes, now: Instant) -> Result<ErrorCode, Broken> {
        let response = answer::<SyncGroupRequest>(SYNC_VERSION, frame);
        if response.error_code != ErrorCode::NONE {
            return self.take_error(response.error_code);
        }
        let assignment = decode_assignment(&response.assignment)
            .map_err(|error| Broken::protocol(format!("{}: {error}", self.client)))?;
        let topics = assignment.assigned_partitions.into_iter();
        let assigned = topics.flat_map(|topic| topic.partitions).collect();
        self.book.borrow_mut().assigned(&self.who(), self.generation, &assigned)?;
        self.take_assignment(assigned, now)?;
        Ok(ErrorCode::NONE)
    }

    pub(super) fn send_heartbeat(&mut self, port: &mut Port) -> i32 {
        let request = HeartbeatRequest {
            group_id: self.group(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            ..HeartbeatRequest::default()
        };
        port.send(HEARTBEAT_VERSION, &request)
    }

    pub(super) fn take_heartbeat(&mut self, frame: Bytes) -> Result<ErrorCode, Broken> {
        let response = answer::<HeartbeatRequest>(HEARTBEAT_VERSION, frame);
        if response.error_code != ErrorCode::NONE {
            return self.take_error(response.error_code);
        }
        self.heard();
        Ok(ErrorCode::NONE)
    }

    pub(super) fn send_leave(&mut self, port: &mut Port) -> i32 {
        let member =
            MemberIdentity { member_id: self.member_id.clone(), ..MemberIdentity::default() };
        let request = LeaveGroupRequest {
            group_id: self.group(),
            members: vec![member],
            ..LeaveGroupRequest::default()
        };
        port.send(LEAVE_VERSION, &request)
    }
}
