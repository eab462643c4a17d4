//! OffsetDelete: committed offsets are forgotten, one partition at a time (KIP-496).
//!
//! A living group may lose the offsets of topics that none of its members reads; the others are
//! GROUP_SUBSCRIBED_TO_TOPIC. What members read is known only of groups of consumers, so any other
//! group must be empty. A subscription that cannot be read counts as one to everything.

use super::GroupResponse;
use super::TopicDirectory;
use super::append::Then;
use super::change::Change;
use super::coordinator::GroupCoordinator;
use super::member::Member;
use super::state::{Group, GroupState};
use crate::log::{ReplyTo, TopicPartition};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::consumer_protocol::decode_subscription;
use mainstem_protocol::messages::offset_delete::{
    OffsetDeleteRequestTopic, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use mainstem_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use std::collections::BTreeSet;
use std::sync::Arc;

impl GroupCoordinator {
    pub(super) fn offset_delete(
        &mut self,
        topics: &dyn TopicDirectory,
        request: &OffsetDeleteRequest,
        to: ReplyTo,
    ) {
        if let Err(code) = self.may_lose_offsets(&request.group_id) {
            return self.reply(to, GroupResponse::OffsetDelete(refused(code)));
        }
        let group: Arc<str> = Arc::from(request.group_id.as_str());
        let in_flight = self.offsets_in_flight();
        let mut gone = BTreeSet::new();
        let mut response = OffsetDeleteResponse::default();
        for topic in &request.topics {
            let error_code = self.may_lose_offsets_of(topics, &group, &topic.name);
            if error_code == ErrorCode::NONE {
                gone.extend(partitions(topic).filter(|partition| {
                    let is_known = self.offsets.get(&group, partition).is_some();
                    is_known || in_flight.contains(&(Arc::clone(&group), partition.clone()))
                }));
            }
            response.topics.push(answer(topic, error_code));
        }
        if gone.is_empty() {
            return self.reply(to, GroupResponse::OffsetDelete(response));
        }
        let removed = |partition| Change::OffsetRemoved { group: Arc::clone(&group), partition };
        let changes = gone.into_iter().map(removed).collect();
        let then = Then::OffsetsDeleted { to, response };
        if let Err((code, _)) = self.append(self.partition_of(&group), changes, None, then) {
            self.reply(to, GroupResponse::OffsetDelete(refused(code)));
        }
    }

    fn may_lose_offsets(&self, id: &str) -> Result<(), ErrorCode> {
        if self.consumer_groups.contains_key(id) {
            return Ok(());
        }
        match self.groups.get(id) {
            Some(group) if group.state == GroupState::Empty || group.is_of_consumers() => Ok(()),
            Some(_) => Err(ErrorCode::NON_EMPTY_GROUP),
            None if self.offsets.group(id).is_some() => Ok(()),
            None => Err(ErrorCode::GROUP_ID_NOT_FOUND),
        }
    }

    fn may_lose_offsets_of(
        &self,
        topics: &dyn TopicDirectory,
        group: &str,
        topic: &str,
    ) -> ErrorCode {
        if topics.topic_id(topic).is_none() {
            return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        }
        let consumers = self.consumer_groups.get(group);
        if consumers.is_some_and(|group| group.is_subscribed_to(topic)) {
            return ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC;
        }
        match self.groups.get(group) {
            Some(group) if group.reads(topic) => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
            _ => ErrorCode::NONE,
        }
    }

    /// The tombstones are durable, or are not.
    pub(super) fn offsets_deleted(
        &mut self,
        to: ReplyTo,
        response: OffsetDeleteResponse,
        result: Result<(), ErrorCode>,
    ) {
        let response = result.map_or_else(refused, |()| response);
        self.reply(to, GroupResponse::OffsetDelete(response));
    }
}

impl Group {
    /// Whether a member of the group is subscribed to the topic, by any protocol that it offers.
    fn reads(&self, topic: &str) -> bool {
        let reads = |member: &Member| {
            member.protocols.iter().any(|protocol| {
                let subscription = decode_subscription(&protocol.metadata);
                subscription.map_or(true, |it| it.topics.iter().any(|name| name == topic))
            })
        };
        self.members.values().any(reads)
    }
}

pub(super) fn refused(error_code: ErrorCode) -> OffsetDeleteResponse {
    OffsetDeleteResponse { error_code, ..OffsetDeleteResponse::default() }
}

fn partitions(topic: &OffsetDeleteRequestTopic) -> impl Iterator<Item = TopicPartition> {
    topic.partitions.iter().map(|it| TopicPartition::new(&topic.name, it.partition_index))
}

fn answer(topic: &OffsetDeleteRequestTopic, error_code: ErrorCode) -> OffsetDeleteResponseTopic {
    let row = |index| OffsetDeleteResponsePartition { partition_index: index, error_code };
    OffsetDeleteResponseTopic {
        name: topic.name.clone(),
        partitions: topic.partitions.iter().map(|it| row(it.partition_index)).collect(),
    }
}
