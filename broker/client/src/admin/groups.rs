//! Groups and their offsets.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstem_protocol::consumer_protocol::decode_assignment;
use mainstem_protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use mainstem_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetFetchRequest,
};
use mainstem_protocol::{BrokerId, ErrorCode};

use super::machine::Target;
use super::{Admin, GroupDescription, GroupListing, GroupMember, refused};
use crate::core::committed::{self, OFFSET_FETCH_CAP};
use crate::error::{Cause, ClientError, Result};
use crate::records::{OffsetAndMetadata, TopicPartition};

impl Admin {
    /// The groups of all brokers, sorted by name.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        let mut groups = Vec::new();
        for broker in self.brokers().await? {
            groups.extend(self.list_groups_of(broker).await?);
        }
        groups.sort_by(|a: &GroupListing, b| a.group_id.cmp(&b.group_id));
        Ok(groups)
    }

    async fn list_groups_of(&self, broker: BrokerId) -> Result<Vec<GroupListing>> {
        let build = |_| ListGroupsRequest::default();
        let response = self.ask(&Target::Broker(broker), i16::MAX, build).await?;
        refused("list groups", response.error_code, None)?;
        let listing = |group: mainstem_protocol::messages::list_groups::ListedGroup| GroupListing {
            group_id: group.group_id,
            protocol_type: group.protocol_type,
            state: group.group_state,
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

    /// All committed offsets of a group.
    pub async fn group_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        let target = Target::group(group);
        let build = |version| committed::request(group, None, false, version);
        loop {
            let answer = self.raw::<OffsetFetchRequest>(&target, OFFSET_FETCH_CAP, build).await?;
            let committed = committed::read(answer).map_err(|failure| failure.into_error())?;
            match committed.error {
                ErrorCode::NONE => return Ok(committed.offsets),
                code if code.is_retriable() => self.coordinator_moved(&target).await?,
                code => return Err(ClientError::Refused(Cause::of("group offsets", code))),
            }
        }
    }
}

fn empty(operation: &str) -> ClientError {
    ClientError::Retriable(Cause::text(format!("{operation}: an answer without content")))
}

fn description(group: DescribedGroup) -> GroupDescription {
    GroupDescription {
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: group.protocol_type,
        protocol: group.protocol_data,
        members: group.members.into_iter().map(member).collect(),
    }
}

fn member(member: DescribedGroupMember) -> GroupMember {
    // Members of other kinds of groups have assignments that are not ours to read.
    let decoded = decode_assignment(&member.member_assignment).unwrap_or_default();
    let assignment = decoded.assigned_partitions.into_iter().flat_map(|topic| {
        let name: Arc<str> = topic.topic.as_str().into();
        let named = move |partition| TopicPartition { topic: name.clone(), partition };
        topic.partitions.into_iter().map(named)
    });
    GroupMember {
        member_id: member.member_id,
        client_id: member.client_id,
        client_host: member.client_host,
        assignment: assignment.collect(),
    }
}
