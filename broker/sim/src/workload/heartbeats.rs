//! Membership by ConsumerGroupHeartbeat (KIP-848): one request for everything.

use super::TOPIC;
use super::membership::{Kind, Membership, REBALANCE, State};
use crate::port::{Broken, Port, answer};
use bytes::Bytes;
use mainstem_platform::{Instant, Random as _};
use mainstem_protocol::messages::consumer_group_heartbeat::OwnedTopicPartitions;
use mainstem_protocol::messages::metadata::MetadataRequestTopic;
use mainstem_protocol::messages::{ConsumerGroupHeartbeatRequest, MetadataRequest};
use mainstem_protocol::{ErrorCode, TopicId};
use std::collections::BTreeSet;

const HEARTBEAT_VERSION: i16 = 1;
const METADATA_VERSION: i16 = 12;
/// The member epoch of a farewell.
const LEAVE_EPOCH: i32 = -1;

impl Membership {
    pub(super) fn send_topic(&mut self, port: &mut Port) -> i32 {
        let topic = MetadataRequestTopic {
            name: Some(TOPIC.to_owned()),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: Some(vec![topic]),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        port.send(METADATA_VERSION, &request)
    }

    pub(super) fn take_topic(&mut self, frame: Bytes) -> ErrorCode {
        let response = answer::<MetadataRequest>(METADATA_VERSION, frame);
        let topic = response.topics.first();
        self.topic_id = topic.map_or(TopicId::NONE, |topic| topic.topic_id);
        topic.map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |topic| topic.error_code)
    }

    pub(super) fn send_consumer_heartbeat(&mut self, busy: bool, port: &mut Port) -> i32 {
        if self.member_id.is_empty() {
            // Members choose their ids (KIP-1082).
            self.member_id = format!("{}-{:x}", self.client, port.random.next_u64());
        }
        let joins = self.state == State::Out;
        // What is being given up is still in use while it is busy, and not among what it has.
        let tells_all = joins || (self.tell_all && !(busy && self.tell_owned));
        let tells_owned = tells_all || (self.tell_owned && !busy);
        let owned = OwnedTopicPartitions {
            topic_id: self.topic_id,
            partitions: self.assigned.iter().copied().collect(),
        };
        let owned = if self.assigned.is_empty() { Vec::new() } else { vec![owned] };
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group(),
            member_id: self.member_id.clone(),
            member_epoch: if joins { 0 } else { self.generation },
            rebalance_timeout_ms: if tells_all { REBALANCE.as_millis() as i32 } else { -1 },
            subscribed_topic_names: tells_all.then(|| vec![TOPIC.to_owned()]),
            topic_partitions: tells_owned.then_some(owned),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        self.tells_owned = tells_owned;
        if tells_owned {
            self.tell_owned = false;
        }
        if tells_all {
            self.tell_all = false;
        }
        port.send(HEARTBEAT_VERSION, &request)
    }

    pub(super) fn take_consumer_heartbeat(
        &mut self,
        frame: Bytes,
        now: Instant,
    ) -> Result<ErrorCode, Broken> {
        let response = answer::<ConsumerGroupHeartbeatRequest>(HEARTBEAT_VERSION, frame);
        if response.error_code != ErrorCode::NONE {
            self.tell_all = true;
            return self.take_error(response.error_code);
        }
        self.generation = response.member_epoch;
        self.heard();
        match response.assignment {
            Some(assignment) => {
                let topics = assignment.topic_partitions.into_iter();
                let assigned: BTreeSet<i32> = topics.flat_map(|topic| topic.partitions).collect();
                self.take_assignment(assigned, now)?;
            }
            None => self.state = State::In,
        }
        Ok(ErrorCode::NONE)
    }

    pub(super) fn send_farewell(&mut self, port: &mut Port) -> i32 {
        debug_assert_eq!(self.kind, Kind::Consumer);
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group(),
            member_id: self.member_id.clone(),
            member_epoch: LEAVE_EPOCH,
            ..ConsumerGroupHeartbeatRequest::default()
        };
        port.send(HEARTBEAT_VERSION, &request)
    }
}
