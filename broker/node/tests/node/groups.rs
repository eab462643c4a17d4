//! Consumer groups through the whole broker: one member, its offsets, and a restart.

use crate::driver::World;
use bytes::Bytes;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::consumer_protocol::{ConsumerProtocolSubscription, encode_subscription};
use mainstem_protocol::messages::create_topics::CreatableTopic;
use mainstem_protocol::messages::join_group::JoinGroupRequestProtocol;
use mainstem_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use mainstem_protocol::messages::offset_delete::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use mainstem_protocol::messages::offset_fetch::OffsetFetchRequestGroup;
use mainstem_protocol::messages::sync_group::SyncGroupRequestAssignment;
use mainstem_protocol::messages::{
    CreateTopicsRequest, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest,
    ListGroupsRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    SyncGroupRequest,
};

fn find(world: &mut World) {
    let request =
        FindCoordinatorRequest { coordinator_keys: vec!["g".to_owned()], ..Default::default() };
    let found = world.call(1, 4, &request);
    let coordinator = &found.coordinators[0];
    assert_eq!((coordinator.error_code, coordinator.node_id), (ErrorCode::NONE, 1));
}

/// A member that is subscribed to `t`.
fn join(world: &mut World) -> (String, i32) {
    let subscription =
        ConsumerProtocolSubscription { topics: vec!["t".to_owned()], ..Default::default() };
    let mut request = JoinGroupRequest {
        group_id: "g".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".to_owned(),
            metadata: encode_subscription(&subscription, 1).expect("a subscription"),
        }],
        ..Default::default()
    };
    let named = world.call(1, 9, &request);
    assert_eq!(named.error_code, ErrorCode::MEMBER_ID_REQUIRED);
    request.member_id = named.member_id;
    world.send(1, 9, &request);
    world.advance_ms(1);
    let joined = world.take::<JoinGroupRequest>(1, 9).expect("the join completes");
    assert_eq!(joined.error_code, ErrorCode::NONE);
    (joined.member_id, joined.generation_id)
}

fn committed(world: &mut World) -> Vec<i64> {
    let group =
        OffsetFetchRequestGroup { group_id: "g".to_owned(), topics: None, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    let response = world.call(1, 8, &request);
    let topics = response.groups[0].topics.iter();
    topics.flat_map(|topic| &topic.partitions).map(|row| row.committed_offset).collect()
}

#[test]
fn a_member_joins_and_its_offsets_outlive_the_broker() {
    // Connection 1 lives on shard one of two, the coordinator on shard zero.
    for shards in [1, 2] {
        let mut world = World::new(shards);
        let topic = CreatableTopic {
            name: "t".to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        world.call(1, 7, &CreateTopicsRequest { topics: vec![topic], ..Default::default() });
        find(&mut world);
        let (member_id, generation_id) = join(&mut world);
        let sync = SyncGroupRequest {
            group_id: "g".to_owned(),
            generation_id,
            member_id: member_id.clone(),
            assignments: vec![SyncGroupRequestAssignment {
                member_id: member_id.clone(),
                assignment: Bytes::from_static(b"yours"),
            }],
            ..Default::default()
        };
        assert_eq!(world.call(1, 4, &sync).assignment, Bytes::from_static(b"yours"));
        let commit = OffsetCommitRequest {
            group_id: "g".to_owned(),
            generation_id_or_member_epoch: generation_id,
            member_id: member_id.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset: 42,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        world.hold_syncs = true;
        world.send(1, 8, &commit);
        assert!(world.take_frame(1).is_none(), "an offset is committed when it is durable");
        world.release_syncs();
        let response = world.take::<OffsetCommitRequest>(1, 8).expect("an answer");
        assert_eq!(response.topics[0].partitions[0].error_code, ErrorCode::NONE);
        assert_eq!(committed(&mut world), [42]);
        world.crash(9);
        assert_eq!(committed(&mut world), [42]);
        let heartbeat = HeartbeatRequest {
            group_id: "g".to_owned(),
            generation_id,
            member_id,
            ..Default::default()
        };
        assert_eq!(world.call(1, 4, &heartbeat).error_code, ErrorCode::NONE);
        let groups = world.call(1, 4, &ListGroupsRequest::default()).groups;
        assert_eq!((groups.len(), groups[0].group_state.as_str()), (1, "Stable"));
        // Nobody beats any more.
        world.advance_ms(11_000);
        world.advance_ms(1);
        let groups = world.call(1, 4, &ListGroupsRequest::default()).groups;
        assert_eq!(groups[0].group_state, "Empty");
    }
}

#[test]
fn a_living_group_keeps_the_offsets_of_what_it_reads() {
    for shards in [1, 2] {
        let mut world = World::new(shards);
        let topic = |name: &str| CreatableTopic {
            name: name.to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        let topics = vec![topic("t"), topic("u")];
        world.call(1, 7, &CreateTopicsRequest { topics, ..Default::default() });
        find(&mut world);
        join(&mut world);
        let delete = |name: &str| OffsetDeleteRequestTopic {
            name: name.to_owned(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index: 0 }],
        };
        let request = OffsetDeleteRequest {
            group_id: "g".to_owned(),
            topics: vec![delete("t"), delete("u"), delete("gone")],
        };
        let response = world.call(1, 0, &request);
        assert_eq!(response.error_code, ErrorCode::NONE);
        let rows = response.topics.iter().map(|topic| topic.partitions[0].error_code);
        let expected = [
            ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
            ErrorCode::NONE,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ];
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_group_without_its_topic_has_no_coordinator_yet() {
    let mut world = World::new(1);
    let heartbeat = HeartbeatRequest { group_id: "g".to_owned(), ..Default::default() };
    assert_eq!(world.call(1, 4, &heartbeat).error_code, ErrorCode::NOT_COORDINATOR);
}
