//! Configurations and partitions of topics, as clients administer them: what is set holds at once,
//! on every shard, and after a restart.

use crate::driver::World;
use crate::driver::script::{check, check_in};
use mainstem_node::NodeConfig;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::AlterConfigsRequest;
use mainstem_protocol::messages::alter_configs::{AlterConfigsResource, AlterableConfig};

#[test]
fn what_is_set_for_a_topic_holds_at_once() {
    check(
        r"
topic t 2
  t NONE
alter topic t max.message.bytes=100
  NONE
produce t-0 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  MESSAGE_TOO_LARGE
produce t-1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  MESSAGE_TOO_LARGE
# What is only tried changes nothing.
alter try topic t max.message.bytes=
  NONE
produce t-1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  MESSAGE_TOO_LARGE
alter topic t max.message.bytes=
  NONE
produce t-1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  base=0
# Records of a compacted topic need keys.
alter topic t cleanup.policy+=compact
  NONE
describe topic t cleanup.policy
  cleanup.policy=delete,compact
    topic cleanup.policy=delete,compact
    default log.cleanup.policy=delete
produce t-0 a
  INVALID_RECORD records=0
produce t-0 a key=k
  base=0
alter topic t cleanup.policy-=compact
  NONE
produce t-0 b
  base=1
# The broker's clock in place of the producer's.
alter topic t message.timestamp.type=LogAppendTime
  NONE
advance 5000
produce t-0 c at=1700000000000
  base=2
offsets t-0 max
  NONE offset=2 timestamp=1700000005000
# Two copies cannot be promised where there is one.
alter topic t min.insync.replicas=2
  NONE
produce t-0 d
  NOT_ENOUGH_REPLICAS
produce t-0 d acks=1
  base=3
alter topic t retention.hours=1
  INVALID_CONFIG
alter topic gone retention.ms=1
  UNKNOWN_TOPIC_OR_PARTITION
",
    );
}

#[test]
fn the_flush_policy_of_a_topic_changes_while_records_wait() {
    check(
        r"
topic t 1
  t NONE
alter topic t flush.policy=os
  NONE
hold
produce t-0 a
  base=0
release
alter topic t flush.policy=
  NONE
hold
produce t-0 b
  no answer
release
answer
  base=1
",
    );
}

#[test]
fn brokers_hand_their_settings_to_topics() {
    check(
        r"
topic t 1
  t NONE
topic own 1 max.message.bytes=1000
  own NONE
alter brokers message.max.bytes=100 num.partitions=3
  NONE
produce t-0 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  MESSAGE_TOO_LARGE
produce own-0 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  base=0
metadata new auto
  new NONE partitions=3
# One broker's value goes before that of all.
alter broker 1 message.max.bytes=200
  NONE
produce t-0 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  base=0
describe topic own max.message.bytes
  max.message.bytes=1000
    topic max.message.bytes=1000
    broker message.max.bytes=200
    brokers message.max.bytes=100
    default message.max.bytes=1048588
describe broker 1 message.max.bytes node.id num.partitions
  message.max.bytes=200
    broker message.max.bytes=200
    brokers message.max.bytes=100
    default message.max.bytes=1048588
  node.id=1 read-only
    default node.id=1
  num.partitions=3
    brokers num.partitions=3
    default num.partitions=1
describe brokers
  message.max.bytes=100
    brokers message.max.bytes=100
  num.partitions=3
    brokers num.partitions=3
alter brokers auto.create.topics.enable=false
  NONE
metadata other auto
  other UNKNOWN_TOPIC_OR_PARTITION partitions=0
# All of it survives.
restart shards=2
metadata other auto
  other UNKNOWN_TOPIC_OR_PARTITION partitions=0
alter broker 1 message.max.bytes=
  NONE
produce t-0 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  MESSAGE_TOO_LARGE
kill
produce t-0 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  MESSAGE_TOO_LARGE
alter brokers message.max.bytes= auto.create.topics.enable=
  NONE
produce t-0 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  base=1
metadata other auto
  other NONE partitions=3
",
    );
}

#[test]
fn what_is_no_setting_of_this_broker_is_refused() {
    check(
        r"
alter broker 1 node.id=2
  INVALID_REQUEST
alter broker 2 num.partitions=2
  INVALID_REQUEST
alter broker one num.partitions=2
  INVALID_REQUEST
alter brokers no.such.name=2
  INVALID_REQUEST
describe broker 2
  INVALID_REQUEST
",
    );
}

#[test]
fn what_the_file_says_lies_below() {
    let mut config = NodeConfig { num_partitions: 2, ..NodeConfig::default() };
    config.topic_defaults.insert("retention.ms".to_owned(), "7".to_owned());
    config.shell.insert("listeners".to_owned(), "PLAINTEXT://:9092".to_owned());
    let script = r"
topic t 1
  t NONE
describe topic t retention.ms segment.jitter.ms
  retention.ms=7
    file log.retention.ms=7
    default log.retention.ms=604800000
  segment.jitter.ms=0
    default log.roll.jitter.ms=0
alter brokers flush=os num.partitions=5
  NONE
describe topic t flush.policy
  flush.policy=os
    brokers flush=os
    default flush=commit
describe broker 1 broker.rack flush listeners num.partitions
  broker.rack=- read-only
  flush=os
    brokers flush=os
    default flush=commit
  listeners=PLAINTEXT://:9092 read-only
    file listeners=PLAINTEXT://:9092
    default listeners=PLAINTEXT://127.0.0.1:9092
  num.partitions=5
    brokers num.partitions=5
    file num.partitions=2
    default num.partitions=1
hold
produce t-0 a
  base=0
release
alter brokers flush= num.partitions=
  NONE
metadata u auto
  u NONE partitions=2
hold
produce t-0 b
  no answer
release
answer
  base=1
";
    for shards in [1, 2] {
        check_in(World::with_config(shards, config.clone()), script);
    }
}

#[test]
fn groups_have_configurations_before_they_exist() {
    check(
        r"
alter group g consumer.session.timeout.ms=45000
  NONE
describe group g consumer.session.timeout.ms share.auto.offset.reset
  consumer.session.timeout.ms=45000
    group consumer.session.timeout.ms=45000
    default group.consumer.session.timeout.ms=45000
  share.auto.offset.reset=latest read-only
    default share.auto.offset.reset=latest
alter group g retention.ms=1
  INVALID_CONFIG
alter group g share.auto.offset.reset=earliest
  INVALID_CONFIG
",
    );
}

#[test]
fn topics_grow() {
    check(
        r"
topic t 1
  t NONE
produce t-0 a
  base=0
partitions t 3
  NONE
metadata t
  t NONE partitions=3
produce t-2 a
  base=0
produce t-1 a
  base=0
partitions t 5 try
  NONE
metadata t
  t NONE partitions=3
partitions t 3
  INVALID_PARTITIONS
partitions t 2
  INVALID_PARTITIONS
partitions t 100000
  INVALID_PARTITIONS
partitions gone 3
  UNKNOWN_TOPIC_OR_PARTITION
metadata __consumer_offsets auto
  __consumer_offsets NONE partitions=8
partitions __consumer_offsets 9
  INVALID_TOPIC_EXCEPTION
alter topic __consumer_offsets cleanup.policy=delete
  POLICY_VIOLATION
alter topic __consumer_offsets segment.bytes=1048576
  NONE
kill
produce t-2 b
  base=1
fetch t-2@0
  t-2 hw=2 [0:a 1:b]
",
    );
}

#[test]
fn a_change_is_answered_when_it_is_durable() {
    let mut world = World::new(2);
    let config = |name: &str, value: &str| AlterableConfig {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    };
    let request = AlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 4,
            resource_name: String::new(),
            configs: vec![config("num.partitions", "4"), config("log.retention.ms", "9")],
        }],
        validate_only: false,
    };
    world.hold_syncs = true;
    world.send(1, 2, &request);
    assert!(world.take_frame(1).is_none());
    world.release_syncs();
    let response = world.take::<AlterConfigsRequest>(1, 2).expect("an answer");
    assert_eq!(response.responses[0].error_code, ErrorCode::NONE);
    assert_eq!(
        (response.responses[0].resource_type, &*response.responses[0].resource_name),
        (4, "")
    );
}

#[test]
fn resources_are_listed_by_type() {
    check(
        r"
topic t 1
  t NONE
topic u 1
  u NONE
alter group g consumer.session.timeout.ms=45000
  NONE
resources
  2:t 2:u 4:1 32:g
resources 32 4
  4:1 32:g
resources 16
  -
resources 8
  -
resources 2 64
  UNSUPPORTED_VERSION
# The first version has no types: it lists client metrics.
resources v=0
  -
",
    );
}
