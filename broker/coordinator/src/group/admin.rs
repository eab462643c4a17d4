//! DescribeGroups, ListGroups, DeleteGroups: groups as an operator sees them.
//!
//! A group that was never joined but has offsets is listed and described as an empty one.

use super::GroupResponse;
use super::append::Then;
use super::change::Change;
use super::coordinator::GroupCoordinator;
use super::member::Member;
use super::state::{Group, GroupState};
use crate::log::{ClientContext, ReplyTo, TopicPartition};
use bytes::Bytes;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::delete_groups::DeletableGroupResult;
use mainstem_protocol::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use mainstem_protocol::messages::list_groups::ListedGroup;
use mainstem_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    ListGroupsRequest, ListGroupsResponse,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The request version from which a missing group is an error and not a dead group.
const GROUP_ID_NOT_FOUND_FROM: i16 = 6;
/// What this coordinator's groups are called among the types of groups.
const TYPE_CLASSIC: &str = "classic";

/// What a client is told it may do with a group: read, delete, describe, and both for its
/// configuration. There is no authorizer yet, so it may do all that a group knows.
pub(in crate::group) const AUTHORIZED_OPERATIONS: i32 =
    1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// A request to delete groups, while some of its partitions have not answered.
#[derive(Debug)]
pub(super) struct Deletion {
    /// In the order of the request.
    results: Vec<DeletableGroupResult>,
    appends_open: usize,
}

impl GroupCoordinator {
    pub(super) fn describe(
        &mut self,
        context: &ClientContext,
        request: &DescribeGroupsRequest,
        to: ReplyTo,
    ) {
        let mut groups: Vec<DescribedGroup> =
            request.groups.iter().map(|id| self.describe_one(context, id)).collect();
        if request.include_authorized_operations {
            for group in groups.iter_mut().filter(|group| group.error_code.is_ok()) {
                group.authorized_operations = AUTHORIZED_OPERATIONS;
            }
        }
        let response = DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() };
        self.reply(to, GroupResponse::DescribeGroups(response));
    }

    fn describe_one(&self, context: &ClientContext, id: &str) -> DescribedGroup {
        let refused = |code| DescribedGroup {
            group_id: id.to_owned(),
            error_code: code,
            ..DescribedGroup::default()
        };
        if id.is_empty() {
            return refused(ErrorCode::INVALID_GROUP_ID);
        }
        if let Err(code) = self.residency.check(self.partition_of(id)) {
            return refused(code);
        }
        let is_consumer = self.consumer_groups.contains_key(id);
        let Some(group) = self.groups.get(id) else {
            if self.offsets.group(id).is_some() && !is_consumer {
                let group_state = GroupState::Empty.name().to_owned();
                return DescribedGroup { group_state, ..refused(ErrorCode::NONE) };
            }
            let dead =
                DescribedGroup { group_state: "Dead".to_owned(), ..refused(ErrorCode::NONE) };
            return if context.api_version < GROUP_ID_NOT_FOUND_FROM {
                dead
            } else {
                DescribedGroup {
                    error_code: ErrorCode::GROUP_ID_NOT_FOUND,
                    error_message: Some(match is_consumer {
                        true => format!("Group {id} speaks the consumer protocol."),
                        false => format!("Group {id} not found."),
                    }),
                    ..dead
                }
            };
        };
        let protocol = group.protocol.as_deref().filter(|_| group.state == GroupState::Stable);
        let member = |member: &Member| DescribedGroupMember {
            member_id: member.id.to_string(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            member_metadata: protocol.map(|name| member.metadata(name)).unwrap_or_default(),
            member_assignment: protocol.map_or_else(Bytes::new, |_| member.assignment.clone()),
        };
        DescribedGroup {
            group_id: id.to_owned(),
            group_state: group.state.name().to_owned(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            protocol_data: protocol.unwrap_or_default().to_owned(),
            members: group.members.values().map(member).collect(),
            ..DescribedGroup::default()
        }
    }

    pub(super) fn list(&mut self, request: &ListGroupsRequest, to: ReplyTo) {
        let wanted = |filter: &[String], word: &str| {
            filter.is_empty() || filter.iter().any(|wish| wish.eq_ignore_ascii_case(word))
        };
        let mut groups: BTreeMap<&str, ListedGroup> = BTreeMap::new();
        let listed = |id: &str, state: GroupState, protocol_type: &str| ListedGroup {
            group_id: id.to_owned(),
            protocol_type: protocol_type.to_owned(),
            group_state: state.name().to_owned(),
            group_type: TYPE_CLASSIC.to_owned(),
        };
        for (id, offsets) in self.offsets.groups() {
            if !offsets.committed.is_empty() {
                groups.insert(id, listed(id, GroupState::Empty, ""));
            }
        }
        for (id, group) in &self.groups {
            let kind = group.protocol_type.as_deref().unwrap_or_default();
            groups.insert(id, listed(id, group.state, kind));
        }
        groups.extend(self.consumer_groups.iter().map(|(id, group)| (&**id, group.listed())));
        let groups = groups.into_values().filter(|group| {
            wanted(&request.states_filter, &group.group_state)
                && wanted(&request.types_filter, &group.group_type)
        });
        let response = ListGroupsResponse { groups: groups.collect(), ..Default::default() };
        self.reply(to, GroupResponse::ListGroups(response));
    }

    pub(super) fn delete(&mut self, request: DeleteGroupsRequest, to: ReplyTo) {
        let mut results = Vec::new();
        let mut by_partition: BTreeMap<_, Vec<Arc<str>>> = BTreeMap::new();
        for id in request.groups_names {
            let check = self.may_delete(&id);
            let partition = self.partition_of(&id);
            if check.is_ok() {
                let ids = by_partition.entry(partition).or_default();
                if !ids.iter().any(|known| **known == *id) {
                    ids.push(Arc::from(id.as_str()));
                }
            }
            let error_code = check.err().unwrap_or(ErrorCode::NONE);
            results.push(DeletableGroupResult { group_id: id, error_code });
        }
        let deletion = Deletion { results, appends_open: by_partition.len() };
        if by_partition.is_empty() {
            return self.finish_deletion(to, deletion);
        }
        self.deletions.insert(to, deletion);
        for (partition, groups) in by_partition {
            let mut changes: Vec<Change> = Vec::new();
            for group in &groups {
                changes.extend(self.removal(group));
                changes.extend(self.consumer_removal(group));
            }
            let then = Then::Deleted { to, groups: groups.clone() };
            match self.append(partition, changes, None, then) {
                Ok(_) => self.consumer_groups.retain(|id, _| !groups.contains(id)),
                Err((code, _)) => self.deleted(to, &groups, Err(code)),
            }
        }
    }

    fn may_delete(&self, id: &str) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        self.residency.check(self.partition_of(id))?;
        if let Some(group) = self.consumer_groups.get(id) {
            let is_empty = group.members.is_empty();
            return if is_empty { Ok(()) } else { Err(ErrorCode::NON_EMPTY_GROUP) };
        }
        match self.groups.get(id) {
            Some(group) if group.state != GroupState::Empty => Err(ErrorCode::NON_EMPTY_GROUP),
            Some(group) if !group.pending_members.is_empty() => Err(ErrorCode::NON_EMPTY_GROUP),
            Some(_) => Ok(()),
            None if self.offsets.group(id).is_some_and(|o| !o.committed.is_empty()) => Ok(()),
            None => Err(ErrorCode::GROUP_ID_NOT_FOUND),
        }
    }

    /// Tombstones for all that the log has of a group.
    fn removal(&self, group: &Arc<str>) -> Vec<Change> {
        let known = self.offsets.group(group);
        let mut partitions: BTreeSet<TopicPartition> =
            known.iter().flat_map(|offsets| offsets.committed.keys().cloned()).collect();
        // What is under way stands before the tombstones in the log and must go too.
        let in_flight = self.offsets_in_flight();
        partitions.extend(in_flight.into_iter().filter(|(of, _)| of == group).map(|(_, p)| p));
        let removed = |partition| Change::OffsetRemoved { group: Arc::clone(group), partition };
        let mut changes: Vec<Change> = partitions.into_iter().map(removed).collect();
        changes.push(Change::GroupRemoved { group: Arc::clone(group) });
        changes
    }

    /// One partition's groups are deleted, or not.
    pub(super) fn deleted(
        &mut self,
        to: ReplyTo,
        groups: &[Arc<str>],
        result: Result<(), ErrorCode>,
    ) {
        let Some(deletion) = self.deletions.get_mut(&to) else { return };
        deletion.appends_open -= 1;
        if let Err(code) = result {
            for result in &mut deletion.results {
                if groups.iter().any(|group| **group == *result.group_id) {
                    result.error_code = code;
                }
            }
        }
        if deletion.appends_open == 0 {
            let deletion = self.deletions.remove(&to).expect("the deletion was just looked up");
            self.finish_deletion(to, deletion);
        }
    }

    fn finish_deletion(&mut self, to: ReplyTo, deletion: Deletion) {
        let response = DeleteGroupsResponse { results: deletion.results, ..Default::default() };
        self.reply(to, GroupResponse::DeleteGroups(response));
    }
}

impl Group {
    /// Whether members speak the consumers' protocol, so that their subscriptions can be read.
    pub(super) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some("consumer")
    }
}
