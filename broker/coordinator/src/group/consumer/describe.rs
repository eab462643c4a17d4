//! ConsumerGroupDescribe, and the line of a consumer group in ListGroups.

use super::member::MemberMetadata;
use super::partitions::{Partitions, without_epochs};
use super::state::ConsumerGroup;
use crate::group::admin::AUTHORIZED_OPERATIONS;
use crate::group::coordinator::GroupCoordinator;
use crate::group::{GroupResponse, TopicDirectory};
use crate::log::ReplyTo;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{PartitionIndex, TopicId};
use mainstem_protocol::messages::consumer_group_describe::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use mainstem_protocol::messages::list_groups::ListedGroup;
use mainstem_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
use std::collections::BTreeSet;

/// What such groups are called among the types of groups, and their protocol type.
const TYPE_CONSUMER: &str = "consumer";

/// The kinds of members (KIP-1099).
const MEMBER_TYPE_CLASSIC: i8 = 0;
const MEMBER_TYPE_CONSUMER: i8 = 1;

impl GroupCoordinator {
    pub(in crate::group) fn consumer_describe(
        &mut self,
        topics: &dyn TopicDirectory,
        request: &ConsumerGroupDescribeRequest,
        to: ReplyTo,
    ) {
        let groups = request.group_ids.iter().map(|id| self.describe_consumer(topics, id));
        let mut groups: Vec<DescribedGroup> = groups.collect();
        let shown = groups.iter_mut().filter(|group| !group.error_code.is_error());
        for group in shown.filter(|_| request.include_authorized_operations) {
            group.authorized_operations = AUTHORIZED_OPERATIONS;
        }
        let response =
            ConsumerGroupDescribeResponse { groups, ..ConsumerGroupDescribeResponse::default() };
        self.reply(to, GroupResponse::ConsumerGroupDescribe(response));
    }

    fn describe_consumer(&self, topics: &dyn TopicDirectory, id: &str) -> DescribedGroup {
        let refused = |error_code, error_message| DescribedGroup {
            group_id: id.to_owned(),
            error_code,
            error_message,
            ..DescribedGroup::default()
        };
        if id.is_empty() {
            return refused(ErrorCode::INVALID_GROUP_ID, None);
        }
        if let Err(code) = self.residency.check(self.partition_of(id)) {
            return refused(code, None);
        }
        let Some(group) = self.consumer_groups.get(id) else {
            let is_other = self.groups.contains_key(id) || self.offsets.group(id).is_some();
            let text = Some(match is_other {
                true => format!("Group {id} does not speak the consumer protocol."),
                false => format!("There is no group {id}."),
            });
            return refused(ErrorCode::GROUP_ID_NOT_FOUND, text);
        };
        let assignor = group.preferred_assignor(&self.config.consumer.assignors);
        DescribedGroup {
            group_id: id.to_owned(),
            group_state: group.state_name().to_owned(),
            group_epoch: group.group_epoch(),
            assignment_epoch: group.assignment_epoch(),
            assignor_name: assignor.name().to_owned(),
            members: group.members.iter().map(|(id, m)| group.described(topics, id, m)).collect(),
            ..DescribedGroup::default()
        }
    }
}

impl ConsumerGroup {
    /// As ListGroups shows the group.
    pub(crate) fn listed(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.to_string(),
            protocol_type: TYPE_CONSUMER.to_owned(),
            group_state: self.state_name().to_owned(),
            group_type: TYPE_CONSUMER.to_owned(),
        }
    }

    fn described(&self, topics: &dyn TopicDirectory, id: &str, member: &MemberMetadata) -> Member {
        let current = self.current_of(id);
        let target = self.target.get(id).cloned().unwrap_or_default();
        let (classic, consumer) = (MEMBER_TYPE_CLASSIC, MEMBER_TYPE_CONSUMER);
        Member {
            member_id: id.to_owned(),
            instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            member_epoch: current.epoch,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topic_names: member.topics.iter().cloned().collect(),
            subscribed_topic_regex: Some(member.regex.clone().unwrap_or_default()),
            assignment: assignment(topics, &without_epochs(&current.assigned)),
            target_assignment: assignment(topics, &target),
            member_type: if member.classic.is_some() { classic } else { consumer },
        }
    }
}

/// Topics that are gone have no name and are left out.
fn assignment(topics: &dyn TopicDirectory, of: &Partitions) -> Assignment {
    let topic = |(id, partitions): (&TopicId, &BTreeSet<PartitionIndex>)| {
        Some(TopicPartitions {
            topic_id: *id,
            topic_name: topics.topic_name(*id)?.to_owned(),
            partitions: partitions.iter().map(|partition| partition.0).collect(),
        })
    };
    Assignment { topic_partitions: of.iter().filter_map(topic).collect() }
}
