//! Topics: made, found, described and deleted.

use crate::driver::World;
use crate::driver::script::{Script, check, check_in};
use mainstem_node::NodeConfig;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::create_topics::CreatableTopic;
use mainstem_protocol::messages::describe_configs::DescribeConfigsResource;
use mainstem_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest,
    MetadataRequest,
};

#[test]
fn topics_are_made_on_demand() {
    check(
        r"
metadata t
  t UNKNOWN_TOPIC_OR_PARTITION partitions=0
metadata t auto
  t NONE partitions=1
produce t-0 a
  base=0
metadata t
  t NONE partitions=1
metadata bad/name auto
  bad/name INVALID_TOPIC_EXCEPTION partitions=0
metadata __consumer_offsets auto
  __consumer_offsets NONE partitions=8
topic t 1
  t TOPIC_ALREADY_EXISTS
topic __transaction_state 3
  __transaction_state INVALID_TOPIC_EXCEPTION
delete __consumer_offsets
  TOPIC_DELETION_DISABLED
delete t
  NONE
delete t
  UNKNOWN_TOPIC_OR_PARTITION
metadata t
  t UNKNOWN_TOPIC_OR_PARTITION partitions=0
metadata t auto
  t NONE partitions=1
# The new topic has nothing of the old one.
fetch t-0@0
  t-0 hw=0 []
",
    );
}

#[test]
fn topics_are_not_made_when_the_broker_forbids_it() {
    for shards in [1, 2] {
        let config = NodeConfig { auto_create_topics: false, ..NodeConfig::default() };
        let script = r"
metadata t auto
  t UNKNOWN_TOPIC_OR_PARTITION partitions=0
";
        check_in(World::with_config(shards, config), script);
    }
}

#[test]
fn a_topic_is_answered_when_it_is_durable() {
    let mut world = World::new(2);
    world.hold_syncs = true;
    let named = mainstem_protocol::messages::metadata::MetadataRequestTopic {
        name: Some("t".to_owned()),
        ..Default::default()
    };
    let request = MetadataRequest { topics: Some(vec![named]), ..Default::default() };
    world.send(1, 12, &request);
    assert!(world.take_frame(1).is_none());
    // Nobody else sees it either.
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert!(world.call(2, 12, &all).topics.is_empty());
    world.release_syncs();
    let response = world.take::<MetadataRequest>(1, 12).expect("an answer");
    assert_eq!(response.topics[0].error_code, ErrorCode::NONE);
    let all = world.call(2, 13, &all);
    assert_eq!(all.topics.len(), 1);
    assert_eq!(all.brokers[0].port, 9092);
    assert!(all.cluster_id.is_some());
}

#[test]
fn settings_and_the_cluster_are_described() {
    let mut world = World::new(2);
    let resource = |kind: i8, name: &str, keys: &[&str]| DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned(),
        configuration_keys: Some(keys.iter().map(|key| (*key).to_owned()).collect()),
    };
    let request = DescribeConfigsRequest {
        resources: vec![
            resource(4, "1", &["flush", "num.partitions"]),
            resource(4, "7", &[]),
            resource(2, "nothing", &[]),
            resource(8, "x", &[]),
        ],
        include_synonyms: true,
        include_documentation: true,
    };
    let results = world.call(1, 4, &request).results;
    let values: Vec<_> = results[0].configs.iter().map(|row| row.value.as_deref()).collect();
    assert_eq!(values, [Some("commit"), Some("1")]);
    assert_eq!(results[1].error_code, ErrorCode::INVALID_REQUEST);
    assert_eq!(results[2].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(results[3].error_code, ErrorCode::INVALID_REQUEST);
    let cluster = world.call(1, 2, &DescribeClusterRequest::default());
    assert_eq!(cluster.brokers.len(), 1);
    assert_eq!(cluster.controller_id, 1);
}

/// Shards hear of both decisions at their own pace; the folders of the old topic are in the way of
/// the new one.
#[test]
fn a_topic_that_is_made_anew_at_once_keeps_its_records() {
    let mut run = Script::new(World::new(2));
    for topic in 0..8 {
        let name = format!("t{topic}");
        run.ask(&format!("topic {name} 2"));
        for partition in 0..2 {
            assert_eq!(run.ask(&format!("produce {name}-{partition} old")), "base=0");
        }
        let delete = DeleteTopicsRequest { topic_names: vec![name.clone()], ..Default::default() };
        let new = CreatableTopic {
            name: name.clone(),
            num_partitions: 2,
            replication_factor: 1,
            ..Default::default()
        };
        // Both are decided on shard zero before the other shard has heard of either.
        run.world.post(2, 5, &delete);
        run.world.post(4, 7, &CreateTopicsRequest { topics: vec![new], ..Default::default() });
        run.world.pump();
        for partition in 0..2 {
            let produced = run.ask(&format!("produce {name}-{partition} new"));
            assert_eq!(produced, "base=0", "{name}");
        }
    }
    run.world.restart(2);
    for topic in 0..8 {
        for partition in 0..2 {
            let fetched = run.ask(&format!("fetch t{topic}-{partition}@0"));
            assert_eq!(fetched, format!("t{topic}-{partition} hw=1 [0:new]"));
        }
    }
}

/// The sync of a partition is under way when its topic is deleted, and finds no folder any more.
#[test]
fn a_topic_is_deleted_while_it_is_synced() {
    let mut run = Script::new(World::new(2));
    run.ask("topic t 2");
    run.world.hold_syncs = true;
    let delete = DeleteTopicsRequest { topic_names: vec!["t".to_owned()], ..Default::default() };
    run.world.send(2, 5, &delete);
    for (partition, connection) in [("t-0", 4), ("t-1", 6)] {
        let produced = run.ask(&format!("produce {partition} x on={connection}"));
        assert_eq!(produced, "no answer");
    }
    // First the deletion, then what was appended.
    assert!(run.world.release_one_sync());
    assert!(run.world.take::<DeleteTopicsRequest>(2, 5).is_some());
    run.world.release_syncs();
    for connection in [4, 6] {
        let answer = run.ask(&format!("answer on={connection}"));
        assert_eq!(answer, "UNKNOWN_TOPIC_OR_PARTITION");
    }
    assert_eq!(run.world.halted, None);
    run.ask("topic t 2");
    assert_eq!(run.ask("produce t-0 y on=4"), "base=0");
}
