//! Consumer groups of both protocols through the whole broker: members, offsets, and a restart.

use crate::driver::World;
use bytes::Bytes;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::consumer_protocol::{ConsumerProtocolSubscription, encode_subscription};
use mainstem_protocol::messages::consumer_group_heartbeat::OwnedTopicPartitions;
use mainstem_protocol::messages::create_topics::CreatableTopic;
use mainstem_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig,
};
use mainstem_protocol::messages::join_group::JoinGroupRequestProtocol;
use mainstem_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use mainstem_protocol::messages::offset_delete::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use mainstem_protocol::messages::offset_fetch::OffsetFetchRequestGroup;
use mainstem_protocol::messages::sync_group::SyncGroupRequestAssignment;
use mainstem_protocol::messages::update_features::FeatureUpdateKey;
use mainstem_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    CreateTopicsRequest, DeleteTopicsRequest, FindCoordinatorRequest, HeartbeatRequest,
    IncrementalAlterConfigsRequest, JoinGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest, UpdateFeaturesRequest,
};
use std::time::Duration;

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

fn beat(
    world: &mut World,
    member: &str,
    member_epoch: i32,
    owned: Option<Vec<OwnedTopicPartitions>>,
) -> ConsumerGroupHeartbeatResponse {
    let joins = member_epoch == 0;
    let request = ConsumerGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: member.to_owned(),
        member_epoch,
        rebalance_timeout_ms: if joins { 10_000 } else { -1 },
        subscribed_topic_regex: joins.then(|| "t.*".to_owned()),
        topic_partitions: if joins { Some(Vec::new()) } else { owned },
        ..Default::default()
    };
    world.call(1, 1, &request)
}

fn create(world: &mut World, name: &str, num_partitions: i32) {
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions,
        replication_factor: 1,
        ..Default::default()
    };
    world.call(1, 7, &CreateTopicsRequest { topics: vec![topic], ..Default::default() });
}

/// How many partitions an answer gives.
fn given(response: &ConsumerGroupHeartbeatResponse) -> Option<usize> {
    assert_eq!(response.error_code, ErrorCode::NONE, "{:?}", response.error_message);
    let assignment = response.assignment.as_ref()?;
    Some(assignment.topic_partitions.iter().map(|topic| topic.partitions.len()).sum())
}

#[test]
fn a_group_of_the_consumer_protocol_follows_its_topics_and_outlives_the_broker() {
    for shards in [1, 2] {
        let mut world = World::new(shards);
        create(&mut world, "t1", 4);
        create(&mut world, "other", 4);
        find(&mut world);
        let joined = beat(&mut world, "a", 0, None);
        assert_eq!((given(&joined), joined.heartbeat_interval_ms), (Some(4), 5_000));
        let epoch = joined.member_epoch;
        let quiet = beat(&mut world, "a", epoch, None);
        assert_eq!((given(&quiet), quiet.member_epoch), (None, epoch));

        // A topic that matches the pattern comes. `__consumer_offsets` would match `.*` only.
        create(&mut world, "t2", 2);
        world.advance_ms(1_000);
        let grown = beat(&mut world, "a", epoch, None);
        assert_eq!((given(&grown), grown.member_epoch), (Some(6), epoch + 1));

        // Nothing is told before it is durable.
        world.hold_syncs = true;
        let leave = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: "b".to_owned(),
            rebalance_timeout_ms: 10_000,
            subscribed_topic_names: Some(vec!["t1".to_owned()]),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        };
        world.send(1, 1, &leave);
        assert!(world.take_frame(1).is_none(), "a member joins when that is durable");
        world.release_syncs();
        let joined = world.take::<ConsumerGroupHeartbeatRequest>(1, 1).expect("an answer");
        assert_eq!(joined.error_code, ErrorCode::NONE);

        world.crash(9);
        let request =
            ConsumerGroupDescribeRequest { group_ids: vec!["g".to_owned()], ..Default::default() };
        let group = world.call(1, 1, &request).groups.remove(0);
        assert_eq!((group.error_code, group.members.len()), (ErrorCode::NONE, 2));
        let topics = group.members[0].assignment.topic_partitions.iter();
        let mut names: Vec<&str> = topics.map(|topic| topic.topic_name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["t1", "t2"]);
        let still = beat(&mut world, "a", epoch + 1, None);
        assert_eq!(still.error_code, ErrorCode::NONE);

        // A topic goes, and a member that is silent.
        let topic_names = vec!["t2".to_owned()];
        world.call(1, 5, &DeleteTopicsRequest { topic_names, ..Default::default() });
        world.advance_ms(46_000);
        world.advance_ms(1);
        let gone = beat(&mut world, "a", epoch + 1, None);
        assert_eq!(gone.error_code, ErrorCode::UNKNOWN_MEMBER_ID);
        let groups = world.call(1, 5, &ListGroupsRequest::default()).groups;
        let state = (groups[0].group_state.as_str(), groups[0].group_type.as_str());
        assert_eq!(state, ("Empty", "consumer"));
        assert_eq!(given(&beat(&mut world, "a", 0, None)), Some(4));
    }
}

/// Sets `consumer.heartbeat.interval.ms` of the group.
fn set_interval(world: &mut World, interval_ms: &str) -> ErrorCode {
    let config = AlterableConfig {
        name: "consumer.heartbeat.interval.ms".to_owned(),
        config_operation: 0,
        value: Some(interval_ms.to_owned()),
    };
    let resource = AlterConfigsResource {
        resource_type: 32,
        resource_name: "g".to_owned(),
        configs: vec![config],
    };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], ..Default::default() };
    world.call(1, 1, &request).responses[0].error_code
}

#[test]
fn a_group_has_settings_of_its_own_within_the_brokers_range() {
    let mut world = World::new(2);
    create(&mut world, "t1", 1);
    find(&mut world);
    assert_eq!(set_interval(&mut world, "7000"), ErrorCode::NONE);
    let joined = beat(&mut world, "a", 0, None);
    assert_eq!(joined.heartbeat_interval_ms, 7_000);
    assert_eq!(set_interval(&mut world, "15001"), ErrorCode::INVALID_CONFIG);
    assert_eq!(set_interval(&mut world, "4999"), ErrorCode::INVALID_CONFIG);
    assert_eq!(set_interval(&mut world, "15000"), ErrorCode::NONE);
    let epoch = joined.member_epoch;
    assert_eq!(beat(&mut world, "a", epoch, None).heartbeat_interval_ms, 15_000);
    // A broker with another range keeps to it, whatever was set before.
    let range = Duration::from_secs(5)..=Duration::from_secs(9);
    world.config.consumer_groups.heartbeat_interval_range = range;
    world.crash(3);
    assert_eq!(beat(&mut world, "a", epoch, None).heartbeat_interval_ms, 9_000);
    assert_eq!(set_interval(&mut world, "9001"), ErrorCode::INVALID_CONFIG);
    assert_eq!(set_interval(&mut world, "8000"), ErrorCode::NONE);
    assert_eq!(beat(&mut world, "a", epoch, None).heartbeat_interval_ms, 8_000);
}

/// Raises or lowers `group.version`.
fn set_group_version(world: &mut World, level: i16) -> ErrorCode {
    let update = FeatureUpdateKey {
        feature: "group.version".to_owned(),
        max_version_level: level,
        upgrade_type: if level == 0 { 2 } else { 1 },
        ..Default::default()
    };
    let request = UpdateFeaturesRequest { feature_updates: vec![update], ..Default::default() };
    world.call(1, 2, &request).error_code
}

fn described(world: &mut World) -> (ErrorCode, String, usize) {
    let request =
        ConsumerGroupDescribeRequest { group_ids: vec!["g".to_owned()], ..Default::default() };
    let group = world.call(1, 1, &request).groups.remove(0);
    (group.error_code, group.group_state, group.members.len())
}

/// State and type of the only group.
fn listed(world: &mut World) -> (String, String) {
    let group = world.call(1, 5, &ListGroupsRequest::default()).groups.remove(0);
    (group.group_state, group.group_type)
}

/// The member's epoch is the generation of a classic one.
fn commit(world: &mut World, member: &str, epoch: i32, offset: i64) -> ErrorCode {
    let request = OffsetCommitRequest {
        group_id: "g".to_owned(),
        generation_id_or_member_epoch: epoch,
        member_id: member.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    world.call(1, 9, &request).topics[0].partitions[0].error_code
}

#[test]
fn group_version_0_is_without_the_consumer_protocol() {
    for shards in [1, 2] {
        let mut world = World::new(shards);
        create(&mut world, "t", 2);
        find(&mut world);
        let epoch = beat(&mut world, "a", 0, None).member_epoch;
        assert_eq!(commit(&mut world, "a", epoch, 5), ErrorCode::NONE);
        let stable = (ErrorCode::NONE, "Stable".to_owned(), 1);
        assert_eq!(described(&mut world), stable);

        // A group that has members does not stand in the way.
        assert_eq!(set_group_version(&mut world, 0), ErrorCode::NONE);
        let refused = beat(&mut world, "a", epoch, None);
        assert_eq!(refused.error_code, ErrorCode::UNSUPPORTED_VERSION);
        assert_eq!(beat(&mut world, "b", 0, None).error_code, ErrorCode::UNSUPPORTED_VERSION);
        assert_eq!(described(&mut world), (ErrorCode::UNSUPPORTED_VERSION, String::new(), 0));
        world.crash(2);
        assert_eq!(beat(&mut world, "a", epoch, None).error_code, ErrorCode::UNSUPPORTED_VERSION);
        // The group is there still, and its member may say how far it came.
        assert_eq!(listed(&mut world), ("Stable".to_owned(), "consumer".to_owned()));
        assert_eq!(commit(&mut world, "a", epoch, 6), ErrorCode::NONE);

        // The member that may not beat runs out; a classic one takes over with the offsets.
        world.advance_ms(46_000);
        world.advance_ms(1);
        assert_eq!(listed(&mut world), ("Empty".to_owned(), "consumer".to_owned()));
        join(&mut world);
        assert_eq!(listed(&mut world).1, "classic");
        assert_eq!(committed(&mut world), [6]);

        // And back again.
        assert_eq!(set_group_version(&mut world, 1), ErrorCode::NONE);
        let joined = beat(&mut world, "b", 0, None);
        assert_eq!(joined.error_code, ErrorCode::NONE, "{:?}", joined.error_message);
        assert_eq!(listed(&mut world).1, "consumer");
    }
}
