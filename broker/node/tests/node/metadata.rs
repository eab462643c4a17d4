//! Topics: made, found, described and deleted.

use crate::driver::World;
use crate::driver::script::{check, check_in};
use mainstem_node::NodeConfig;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::describe_configs::DescribeConfigsResource;
use mainstem_protocol::messages::{
    DescribeClusterRequest, DescribeConfigsRequest, MetadataRequest,
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
