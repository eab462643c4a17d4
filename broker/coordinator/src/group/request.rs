//! What a group coordinator can be asked, what it answers, and what it wants done.

use crate::log::{AppendToken, CoordinatorRecord, ProducerIdAndEpoch, ReplyTo};
use mainstem_protocol::ids::{PartitionIndex, TopicId};
use mainstem_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
    ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest,
    SyncGroupResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

/// A request as it came from the wire, already authorized.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupRequest {
    JoinGroup(JoinGroupRequest),
    SyncGroup(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    LeaveGroup(LeaveGroupRequest),
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest),
    ConsumerGroupDescribe(ConsumerGroupDescribeRequest),
    DescribeGroups(DescribeGroupsRequest),
    ListGroups(ListGroupsRequest),
    DeleteGroups(DeleteGroupsRequest),
    OffsetCommit(OffsetCommitRequest),
    OffsetFetch(OffsetFetchRequest),
    OffsetDelete(OffsetDeleteRequest),
    /// The owner has verified (or added) the group's partition of `__consumer_offsets` with the
    /// transaction coordinator before it hands this in.
    TxnOffsetCommit(TxnOffsetCommitRequest),
}

/// The answer of the same name.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupResponse {
    JoinGroup(JoinGroupResponse),
    SyncGroup(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    LeaveGroup(LeaveGroupResponse),
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatResponse),
    ConsumerGroupDescribe(ConsumerGroupDescribeResponse),
    DescribeGroups(DescribeGroupsResponse),
    ListGroups(ListGroupsResponse),
    DeleteGroups(DeleteGroupsResponse),
    OffsetCommit(OffsetCommitResponse),
    OffsetFetch(OffsetFetchResponse),
    OffsetDelete(OffsetDeleteResponse),
    TxnOffsetCommit(TxnOffsetCommitResponse),
}

/// What the owner has to do, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum GroupEffect {
    /// Append `records` as one batch to `__consumer_offsets-<partition>`; transactional when
    /// `producer` is given (without sequence numbers). Tell the outcome with `handle_appended`.
    Append {
        token: AppendToken,
        partition: PartitionIndex,
        records: Vec<CoordinatorRecord>,
        producer: Option<ProducerIdAndEpoch>,
    },
    /// Send the answer.
    Reply { to: ReplyTo, response: GroupResponse },
    /// The state of the partition was forgotten because an append ended in doubt. If this broker
    /// still leads the partition, load it again from its log start.
    Reload { partition: PartitionIndex },
}

/// The topics that exist, as the node's metadata image knows them.
pub trait TopicDirectory {
    /// The id of an existing topic.
    fn topic_id(&self, name: &str) -> Option<TopicId>;
    /// The name of an existing topic.
    fn topic_name(&self, id: TopicId) -> Option<&str>;
    /// How many partitions an existing topic has.
    fn partition_count(&self, id: TopicId) -> Option<i32>;
    /// Visits the names of all topics that a pattern may match; internal ones are left out.
    fn for_each_topic(&self, visit: &mut dyn FnMut(&str));
    /// Another number whenever a topic may have come, gone or grown.
    fn version(&self) -> i64;
}
