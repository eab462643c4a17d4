//! Answers to requests that cannot be served at all: the same error in the place where each version
//! of each answer has room for it.

use super::{GroupRequest, GroupResponse};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::offset_commit::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use mainstem_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use mainstem_protocol::messages::{
    ConsumerGroupHeartbeatResponse, HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse,
    ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, SyncGroupResponse,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

/// The answer with `code` everywhere.
pub(super) fn refuse(request: &GroupRequest, api_version: i16, code: ErrorCode) -> GroupResponse {
    match request {
        GroupRequest::JoinGroup(request) => join_error(api_version, &request.member_id, code),
        GroupRequest::SyncGroup(_) => sync_error(code),
        GroupRequest::Heartbeat(_) => GroupResponse::Heartbeat(HeartbeatResponse {
            error_code: code,
            ..HeartbeatResponse::default()
        }),
        GroupRequest::LeaveGroup(_) => GroupResponse::LeaveGroup(LeaveGroupResponse {
            error_code: code,
            ..LeaveGroupResponse::default()
        }),
        GroupRequest::ConsumerGroupHeartbeat(_) => {
            GroupResponse::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse {
                error_code: code,
                ..ConsumerGroupHeartbeatResponse::default()
            })
        }
        GroupRequest::ListGroups(_) => GroupResponse::ListGroups(ListGroupsResponse {
            error_code: code,
            ..ListGroupsResponse::default()
        }),
        GroupRequest::OffsetCommit(request) => {
            GroupResponse::OffsetCommit(commit_error(request, code))
        }
        GroupRequest::TxnOffsetCommit(request) => {
            GroupResponse::TxnOffsetCommit(txn_commit_error(request, code))
        }
        GroupRequest::OffsetDelete(_) => {
            GroupResponse::OffsetDelete(super::offset_delete::refused(code))
        }
        GroupRequest::DescribeGroups(_)
        | GroupRequest::ConsumerGroupDescribe(_)
        | GroupRequest::DeleteGroups(_)
        | GroupRequest::OffsetFetch(_) => {
            unreachable!("requests about many groups are refused group by group")
        }
    }
}

pub(super) fn join_error(api_version: i16, member_id: &str, code: ErrorCode) -> GroupResponse {
    GroupResponse::JoinGroup(JoinGroupResponse {
        error_code: code,
        member_id: member_id.to_owned(),
        // Null is a word of v7 and later.
        protocol_name: (api_version < 7).then(String::new),
        ..JoinGroupResponse::default()
    })
}

/// What was to be told about a consumer group, when the log does not have it.
pub(super) fn failed_answer(
    response: GroupResponse,
    api_version: i16,
    code: ErrorCode,
) -> GroupResponse {
    match response {
        GroupResponse::JoinGroup(response) => join_error(api_version, &response.member_id, code),
        GroupResponse::SyncGroup(_) => sync_error(code),
        GroupResponse::Heartbeat(_) => GroupResponse::Heartbeat(HeartbeatResponse {
            error_code: code,
            ..HeartbeatResponse::default()
        }),
        GroupResponse::LeaveGroup(_) => GroupResponse::LeaveGroup(LeaveGroupResponse {
            error_code: code,
            ..LeaveGroupResponse::default()
        }),
        _ => GroupResponse::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse {
            error_code: code,
            ..ConsumerGroupHeartbeatResponse::default()
        }),
    }
}

pub(super) fn sync_error(code: ErrorCode) -> GroupResponse {
    GroupResponse::SyncGroup(SyncGroupResponse { error_code: code, ..Default::default() })
}

pub(super) fn commit_error(request: &OffsetCommitRequest, code: ErrorCode) -> OffsetCommitResponse {
    let topic = |topic: &mainstem_protocol::messages::offset_commit::OffsetCommitRequestTopic| {
        let partition =
            |index| OffsetCommitResponsePartition { partition_index: index, error_code: code };
        OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partitions.iter().map(|p| partition(p.partition_index)).collect(),
        }
    };
    OffsetCommitResponse {
        topics: request.topics.iter().map(topic).collect(),
        ..OffsetCommitResponse::default()
    }
}

pub(super) fn txn_commit_error(
    request: &TxnOffsetCommitRequest,
    code: ErrorCode,
) -> TxnOffsetCommitResponse {
    let topic =
        |topic: &mainstem_protocol::messages::txn_offset_commit::TxnOffsetCommitRequestTopic| {
            let partition = |index| TxnOffsetCommitResponsePartition {
                partition_index: index,
                error_code: code,
            };
            TxnOffsetCommitResponseTopic {
                name: topic.name.clone(),
                partitions: topic.partitions.iter().map(|p| partition(p.partition_index)).collect(),
            }
        };
    TxnOffsetCommitResponse {
        topics: request.topics.iter().map(topic).collect(),
        ..TxnOffsetCommitResponse::default()
    }
}
