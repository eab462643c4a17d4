//! Groups: which there are, who is in them, and putting them away. Their offsets are in
//! [`super::group_offsets`].

use std::sync::Arc;

use mainstem_protocol::consumer_protocol::decode_assignment;
use mainstem_protocol::messages::consumer_group_describe as consumer;
use mainstem_protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use mainstem_protocol::messages::leave_group::MemberIdentity;
use mainstem_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DeleteGroupsRequest,
    DescribeGroupsRequest, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
};
use mainstem_protocol::{BrokerId, ErrorCode};

use super::machine::Target;
use super::{Admin, refused};
use crate::error::{Cause, ClientError, Result};
use crate::records::TopicPartition;

/// Which groups are listed: all that both filters let pass. An empty filter passes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Kafka's names, such as `Stable`. Brokers before Kafka 2.6 do not know the filter.
    pub states: Vec<String>,
    /// `classic`, `consumer`. Brokers before Kafka 3.8 do not know the filter.
    pub types: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    pub group_id: String,
    /// `consumer`, `connect`, ...; empty for a group that only has offsets.
    pub protocol_type: String,
    /// Empty of brokers before Kafka 2.6.
    pub state: String,
    /// `classic` or `consumer`; empty of brokers before Kafka 3.8.
    pub group_type: String,
}

/// How the members of a group agree on who reads what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupKind {
    /// One of the members decides.
    Classic,
    /// The coordinator decides (KIP-848).
    Consumer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    pub group_id: String,
    pub kind: GroupKind,
    pub state: String,
    pub protocol_type: String,
    /// The assignor's name.
    pub protocol: String,
    /// Counts the changes of a group of the consumer protocol.
    pub epoch: Option<i32>,
    pub members: Vec<GroupMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    pub member_id: String,
    /// Of a static member.
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// The epoch that the member has come to, in a group of the consumer protocol.
    pub epoch: Option<i32>,
    /// What it owns.
    pub assignment: Vec<TopicPartition>,
    /// What it is to own; in a classic group what it owns.
    pub target: Vec<TopicPartition>,
}

/// A member that an operator sends away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberToRemove {
    /// By the id that the coordinator has given it.
    Id(String),
    /// A static member, by its `group.instance.id`.
    Instance(String),
}

impl Admin {
    /// The groups of all brokers, sorted by name.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        self.find_groups(&GroupFilter::default()).await
    }

    /// Those groups of all brokers that a filter lets pass, sorted by name.
    pub async fn find_groups(&self, filter: &GroupFilter) -> Result<Vec<GroupListing>> {
        let mut groups = Vec::new();
        for broker in self.brokers().await? {
            groups.extend(self.list_groups_of(broker, filter).await?);
        }
        groups.sort_by(|a: &GroupListing, b| a.group_id.cmp(&b.group_id));
        Ok(groups)
    }

    async fn list_groups_of(
        &self,
        broker: BrokerId,
        filter: &GroupFilter,
    ) -> Result<Vec<GroupListing>> {
        let build = |_| ListGroupsRequest {
            states_filter: filter.states.clone(),
            types_filter: filter.types.clone(),
        };
        let response = self.ask(&Target::Broker(broker), i16::MAX, build).await?;
        refused("list groups", response.error_code, None)?;
        let listing = |group: mainstem_protocol::messages::list_groups::ListedGroup| GroupListing {
            group_id: group.group_id,
            protocol_type: group.protocol_type,
            state: group.group_state,
            group_type: group.group_type,
        };
        Ok(response.groups.into_iter().map(listing).collect())
    }

    /// One answer per group, in the order given. A group that does not exist is `Dead`.
    pub async fn describe_groups(
        &self,
        groups: &[&str],
    ) -> Result<Vec<(String, Result<GroupDescription, ClientError>)>> {
        let mut answers = Vec::new();
        for group in groups {
            answers.push(((*group).to_owned(), self.describe_group(group).await));
        }
        Ok(answers)
    }

    async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        match self.describe_consumer_group(group).await {
            Err(ClientError::Refused(cause)) if is_not_of_consumers(&cause) => {
                self.describe_classic_group(group).await
            }
            described => described,
        }
    }

    async fn describe_consumer_group(&self, group: &str) -> Result<GroupDescription> {
        let build = |_| ConsumerGroupDescribeRequest {
            group_ids: vec![group.to_owned()],
            include_authorized_operations: false,
        };
        let read = |response: ConsumerGroupDescribeResponse| {
            let described = response.groups.into_iter().next();
            let code = described.as_ref().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |g| g.error_code);
            (code, described)
        };
        let described = self.ask_group(group, i16::MAX, build, read).await?;
        described.map(consumer_description).ok_or_else(|| empty("describe group"))
    }

    async fn describe_classic_group(&self, group: &str) -> Result<GroupDescription> {
        let build = |_| DescribeGroupsRequest {
            groups: vec![group.to_owned()],
            ..DescribeGroupsRequest::default()
        };
        let read = |response: mainstem_protocol::messages::DescribeGroupsResponse| {
            let described = response.groups.into_iter().next();
            let code = described.as_ref().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |g| g.error_code);
            (code, described)
        };
        // Version 6 calls a group that does not exist an error; before, it is a dead group.
        let described = self.ask_group(group, 5, build, read).await?;
        described.map(description).ok_or_else(|| empty("describe group"))
    }

    /// One answer per group, in the order given. Only groups without members can be deleted.
    pub async fn delete_groups(
        &self,
        groups: &[&str],
    ) -> Result<Vec<(String, Result<(), ClientError>)>> {
        let mut answers = Vec::new();
        for group in groups {
            let build = |_| DeleteGroupsRequest { groups_names: vec![(*group).to_owned()] };
            let read = |response: mainstem_protocol::messages::DeleteGroupsResponse| {
                let result = response.results.first();
                (result.map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |result| result.error_code), ())
            };
            let deleted = self.ask_group(group, i16::MAX, build, read).await;
            answers.push(((*group).to_owned(), deleted));
        }
        Ok(answers)
    }

    /// Sends members away, so that their partitions go to others at once: for one that is gone for
    /// good and whose session lasts long, above all a static one. A member that lives joins again.
    /// One answer per member, in the order given.
    pub async fn remove_members(
        &self,
        group: &str,
        members: &[MemberToRemove],
        reason: &str,
    ) -> Result<Vec<(MemberToRemove, Result<(), ClientError>)>> {
        let identity = |member: &MemberToRemove| {
            let (member_id, group_instance_id) = match member {
                MemberToRemove::Id(id) => (id.clone(), None),
                MemberToRemove::Instance(id) => (String::new(), Some(id.clone())),
            };
            MemberIdentity { member_id, group_instance_id, reason: Some(reason.to_owned()) }
        };
        let build = |_| LeaveGroupRequest {
            group_id: group.to_owned(),
            members: members.iter().map(identity).collect(),
            ..LeaveGroupRequest::default()
        };
        let read = |response: LeaveGroupResponse| (response.error_code, response.members);
        let rows = self.ask_group(group, i16::MAX, build, read).await?;
        let answer = |member: &MemberToRemove| {
            let identity = identity(member);
            let row = rows.iter().find(|row| {
                row.group_instance_id == identity.group_instance_id
                    && (row.member_id == identity.member_id || identity.member_id.is_empty())
            });
            let code = row.map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |row| row.error_code);
            (member.clone(), refused("remove member", code, None))
        };
        Ok(members.iter().map(answer).collect())
    }
}

/// The group is of another kind, or there is none, or the broker knows none of this kind.
fn is_not_of_consumers(cause: &Cause) -> bool {
    [ErrorCode::GROUP_ID_NOT_FOUND, ErrorCode::UNSUPPORTED_VERSION]
        .iter()
        .any(|code| code.0 == cause.code)
}

fn empty(operation: &str) -> ClientError {
    ClientError::Retriable(Cause::text(format!("{operation}: an answer without content")))
}

fn description(group: DescribedGroup) -> GroupDescription {
    GroupDescription {
        group_id: group.group_id,
        kind: GroupKind::Classic,
        state: group.group_state,
        protocol_type: group.protocol_type,
        protocol: group.protocol_data,
        epoch: None,
        members: group.members.into_iter().map(member).collect(),
    }
}

fn consumer_description(group: consumer::DescribedGroup) -> GroupDescription {
    let member = |member: consumer::Member| GroupMember {
        member_id: member.member_id,
        instance_id: member.instance_id,
        rack_id: member.rack_id,
        client_id: member.client_id,
        client_host: member.client_host,
        epoch: Some(member.member_epoch),
        assignment: assigned(member.assignment),
        target: assigned(member.target_assignment),
    };
    GroupDescription {
        group_id: group.group_id,
        kind: GroupKind::Consumer,
        state: group.group_state,
        protocol_type: "consumer".to_owned(),
        protocol: group.assignor_name,
        epoch: Some(group.group_epoch),
        members: group.members.into_iter().map(member).collect(),
    }
}

fn assigned(assignment: consumer::Assignment) -> Vec<TopicPartition> {
    let named = |topic: consumer::TopicPartitions| named(&topic.topic_name, topic.partitions);
    assignment.topic_partitions.into_iter().flat_map(named).collect()
}

fn named(topic: &str, partitions: Vec<i32>) -> Vec<TopicPartition> {
    let topic: Arc<str> = topic.into();
    let named = |partition| TopicPartition { topic: topic.clone(), partition };
    partitions.into_iter().map(named).collect()
}

fn member(member: DescribedGroupMember) -> GroupMember {
    // Members of other kinds of groups have assignments that are not ours to read.
    let decoded = decode_assignment(&member.member_assignment).unwrap_or_default();
    let topics = decoded.assigned_partitions.into_iter();
    let assignment: Vec<_> =
        topics.flat_map(|topic| named(topic.topic.as_str(), topic.partitions)).collect();
    GroupMember {
        member_id: member.member_id,
        instance_id: member.group_instance_id,
        rack_id: None,
        client_id: member.client_id,
        client_host: member.client_host,
        epoch: None,
        target: assignment.clone(),
        assignment,
    }
}
