//! Every version that a client may ask for gets an answer that this version can carry.
//!
//! Each request is sent in all versions that are described; what it asks for exists, so that the
//! answers are full. A connection that is closed, or an answer that cannot be read, fails.

use mainstem_protocol::codec::Request;
use mainstem_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use mainstem_protocol::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use mainstem_protocol::messages::create_partitions::CreatePartitionsTopic;
use mainstem_protocol::messages::create_topics::CreatableTopic;
use mainstem_protocol::messages::describe_configs::DescribeConfigsResource;
use mainstem_protocol::messages::fetch::{FetchPartition, FetchTopic};
use mainstem_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use mainstem_protocol::messages::metadata::MetadataRequestTopic;
use mainstem_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use mainstem_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use mainstem_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use mainstem_protocol::messages::*;
use mainstem_protocol::{ErrorCode, TopicId};
use mainstem_server::Embedded;

use crate::client::Client;

/// Calls in the versions from `first` to `last` that the broker advertises.
fn each_version<R: Request>(
    client: &mut Client,
    mut request: impl FnMut(i16) -> R,
    mut check: impl FnMut(i16, R::Response),
) {
    let known = client.call(&ApiVersionsRequest::default(), 0).api_keys;
    let range = known.iter().find(|range| range.api_key == R::API_KEY as i16);
    let range = range.unwrap_or_else(|| panic!("{:?} is not advertised", R::API_KEY));
    assert!(range.min_version >= R::MIN_VERSION && range.max_version <= R::MAX_VERSION);
    for version in range.min_version..=range.max_version {
        let response = client.call(&request(version), version);
        check(version, response);
    }
}

fn setup() -> (Embedded, Client, TopicId) {
    let broker = Embedded::start().expect("start");
    let mut client = Client::connect(&broker.bootstrap());
    client.create("topic");
    client.produce("topic", &[b"one", b"two"]).expect("produce");
    let response = client.call(&metadata(12), 12);
    let id = response.topics[0].topic_id;
    (broker, client, id)
}

fn metadata(_: i16) -> MetadataRequest {
    let topic = MetadataRequestTopic { name: Some("topic".into()), ..Default::default() };
    MetadataRequest { topics: Some(vec![topic]), ..Default::default() }
}

#[test]
fn metadata_and_configs() {
    let (_broker, mut client, _) = setup();
    let client = &mut client;
    each_version(
        client,
        |_| ApiVersionsRequest {
            client_software_name: "test".into(),
            client_software_version: "1".into(),
        },
        |version, response| assert_eq!(response.error_code, ErrorCode::NONE, "{version}"),
    );
    each_version(client, metadata, |version, response| {
        assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "{version}");
    });
    each_version(
        client,
        |_| DescribeClusterRequest::default(),
        |version, response| {
            assert_eq!(response.error_code, ErrorCode::NONE, "{version}");
        },
    );
    each_version(
        client,
        |_| DescribeConfigsRequest {
            resources: [(2, "topic"), (4, "1")]
                .map(|(resource_type, name)| DescribeConfigsResource {
                    resource_type,
                    resource_name: name.into(),
                    configuration_keys: None,
                })
                .into(),
            ..Default::default()
        },
        |version, response| {
            for result in response.results {
                assert_eq!(result.error_code, ErrorCode::NONE, "{version}");
                assert!(!result.configs.is_empty(), "{version}");
            }
        },
    );
    each_version(
        client,
        |version| CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: format!("created-{version}"),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            }],
            timeout_ms: 10_000,
            validate_only: false,
        },
        |version, response| {
            assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "{version}");
        },
    );
}

#[test]
fn administering() {
    let (_broker, mut client, _) = setup();
    let client = &mut client;
    each_version(
        client,
        |version| CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: "topic".into(),
                count: 2 + i32::from(version),
                assignments: None,
            }],
            timeout_ms: 10_000,
            validate_only: false,
        },
        |version, response| {
            assert_eq!(response.results[0].error_code, ErrorCode::NONE, "{version}");
        },
    );
}

#[test]
fn configuring() {
    let (_broker, mut client, _) = setup();
    let client = &mut client;
    let resources = [(2, "topic", "retention.ms"), (4, "", "log.retention.ms")];
    each_version(
        client,
        |version| AlterConfigsRequest {
            resources: resources
                .map(|(resource_type, name, config)| alter_configs::AlterConfigsResource {
                    resource_type,
                    resource_name: name.into(),
                    configs: vec![alter_configs::AlterableConfig {
                        name: config.into(),
                        value: Some((1_000_000 + i64::from(version)).to_string()),
                    }],
                })
                .into(),
            validate_only: false,
        },
        |version, response| {
            let codes = response.responses.iter().map(|resource| resource.error_code);
            assert_eq!(Vec::from_iter(codes), [ErrorCode::NONE; 2], "{version}");
        },
    );
    each_version(
        client,
        |version| IncrementalAlterConfigsRequest {
            resources: resources
                .map(|(resource_type, name, config)| {
                    let config = incremental_alter_configs::AlterableConfig {
                        name: config.into(),
                        config_operation: 0,
                        value: Some((2_000_000 + i64::from(version)).to_string()),
                    };
                    incremental_alter_configs::AlterConfigsResource {
                        resource_type,
                        resource_name: name.into(),
                        configs: vec![config],
                    }
                })
                .into(),
            validate_only: false,
        },
        |version, response| {
            let codes = response.responses.iter().map(|resource| resource.error_code);
            assert_eq!(Vec::from_iter(codes), [ErrorCode::NONE; 2], "{version}");
        },
    );
    each_version(
        client,
        |_| ListConfigResourcesRequest::default(),
        |version, response| {
            assert_eq!(response.error_code, ErrorCode::NONE, "{version}");
            let names = response.config_resources.iter().map(|r| r.resource_name.as_str());
            let expected: &[&str] = if version == 0 { &[] } else { &["topic", "1"] };
            assert_eq!(Vec::from_iter(names), expected, "{version}");
        },
    );
}

#[test]
fn reading() {
    let (_broker, mut client, id) = setup();
    let client = &mut client;
    for (timestamp, offset) in [(-2, 0), (-1, 2), (0, 0), (1_000_000, -1)] {
        each_version(
            client,
            |_| ListOffsetsRequest {
                replica_id: -1,
                topics: vec![ListOffsetsTopic {
                    name: "topic".into(),
                    partitions: vec![ListOffsetsPartition { timestamp, ..Default::default() }],
                }],
                ..Default::default()
            },
            |version, response| {
                let partition = &response.topics[0].partitions[0];
                assert_eq!(partition.error_code, ErrorCode::NONE, "{version}");
                assert_eq!(partition.offset, offset, "{timestamp} in version {version}");
            },
        );
    }
    // Both at the beginning and behind the end, where an error is the answer.
    for (fetch_offset, error) in [(0, ErrorCode::NONE), (9, ErrorCode::OFFSET_OUT_OF_RANGE)] {
        each_version(
            client,
            |_| FetchRequest {
                max_bytes: 1024 * 1024,
                session_epoch: -1,
                topics: vec![FetchTopic {
                    topic: "topic".into(),
                    topic_id: id,
                    partitions: vec![FetchPartition {
                        fetch_offset,
                        partition_max_bytes: 1024 * 1024,
                        ..Default::default()
                    }],
                }],
                ..Default::default()
            },
            |version, response| {
                let partition = &response.responses[0].partitions[0];
                assert_eq!(partition.error_code, error, "{version}");
                let records = partition.records.as_ref().map_or(0, |records| records.len());
                assert_eq!(records > 0, error == ErrorCode::NONE, "{version}");
            },
        );
    }
}

#[test]
fn coordinators_and_offsets() {
    let (_broker, mut client, id) = setup();
    let client = &mut client;
    each_version(
        client,
        |version| FindCoordinatorRequest {
            key: if version < 4 { "group".into() } else { String::new() },
            coordinator_keys: if version < 4 { vec![] } else { vec!["group".into()] },
            ..Default::default()
        },
        |version, response| {
            let error = response.coordinators.first().map_or(response.error_code, |c| c.error_code);
            assert_eq!(error, ErrorCode::NONE, "{version}");
        },
    );
    each_version(
        client,
        |_| OffsetCommitRequest {
            group_id: "group".into(),
            generation_id_or_member_epoch: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: "topic".into(),
                topic_id: id,
                partitions: vec![OffsetCommitRequestPartition {
                    committed_offset: 1,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        },
        |version, response| {
            let partition = &response.topics[0].partitions[0];
            assert_eq!(partition.error_code, ErrorCode::NONE, "{version}");
        },
    );
    each_version(
        client,
        |version| {
            let topics =
                vec![OffsetFetchRequestTopic { name: "topic".into(), partition_indexes: vec![0] }];
            let grouped = OffsetFetchRequestGroup {
                group_id: "group".into(),
                topics: Some(vec![OffsetFetchRequestTopics {
                    name: "topic".into(),
                    topic_id: id,
                    partition_indexes: vec![0],
                }]),
                ..Default::default()
            };
            if version < 8 {
                let group_id = "group".into();
                OffsetFetchRequest { group_id, topics: Some(topics), ..Default::default() }
            } else {
                OffsetFetchRequest { groups: vec![grouped], ..Default::default() }
            }
        },
        |version, response| {
            let offset = match response.groups.first() {
                Some(group) => group.topics[0].partitions[0].committed_offset,
                None => response.topics[0].partitions[0].committed_offset,
            };
            assert_eq!(offset, 1, "{version}");
        },
    );
}

#[test]
fn log_directories() {
    let (broker, mut client, _) = setup();
    let path = broker.data_dir().display().to_string();
    let client = &mut client;
    each_version(
        client,
        |_| DescribeLogDirsRequest { topics: None },
        |version, response| {
            let dir = &response.results[0];
            assert_eq!(dir.error_code, ErrorCode::NONE, "{version}");
            assert_eq!((&dir.log_dir, dir.topics.len()), (&path, 1), "{version}");
            assert_eq!(dir.total_bytes == -1, version < 4, "{version}");
        },
    );
    each_version(
        client,
        |_| {
            let dir = |(path, partition): (&str, i32)| {
                let topic =
                    AlterReplicaLogDirTopic { name: "topic".into(), partitions: vec![partition] };
                AlterReplicaLogDir { path: path.into(), topics: vec![topic] }
            };
            let dirs = [(path.as_str(), 0), ("/nowhere", 1)].map(dir);
            AlterReplicaLogDirsRequest { dirs: dirs.into() }
        },
        |version, response| {
            let rows = response.results[0].partitions.iter().map(|row| row.error_code);
            let expected = [ErrorCode::NONE, ErrorCode::LOG_DIR_NOT_FOUND];
            assert_eq!(rows.collect::<Vec<_>>(), expected, "{version}");
        },
    );
}

#[test]
fn groups_and_producers() {
    let (_broker, mut client, _) = setup();
    let client = &mut client;
    let commit = OffsetCommitRequest {
        group_id: "group".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "topic".into(),
            partitions: vec![OffsetCommitRequestPartition::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    find_coordinator(client, "group", 0);
    let committed = client.call(&commit, 8);
    assert_eq!(committed.topics[0].partitions[0].error_code, ErrorCode::NONE);
    each_version(
        client,
        |_| ListGroupsRequest::default(),
        |version, response| {
            assert_eq!(response.error_code, ErrorCode::NONE, "{version}");
            assert_eq!(response.groups.len(), 1, "{version}");
        },
    );
    each_version(
        client,
        |_| DescribeGroupsRequest { groups: vec!["group".into()], ..Default::default() },
        |version, response| {
            assert_eq!(response.groups[0].error_code, ErrorCode::NONE, "{version}");
        },
    );
    each_version(
        client,
        |_| InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            ..Default::default()
        },
        |version, response| {
            assert_eq!(response.error_code, ErrorCode::NONE, "{version}");
        },
    );
}

/// The topic of a coordinator is made when somebody first looks for it; that may take a few asks.
#[test]
fn groups_of_the_consumer_protocol() {
    let (_broker, mut client, _) = setup();
    let client = &mut client;
    find_coordinator(client, "group", 0);
    each_version(
        client,
        |version| ConsumerGroupHeartbeatRequest {
            group_id: "group".into(),
            member_id: if version == 0 { String::new() } else { "member".into() },
            rebalance_timeout_ms: 10_000,
            subscribed_topic_names: Some(vec!["topic".into()]),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        },
        |version, response| {
            assert_eq!(response.error_code, ErrorCode::NONE, "{version}");
            assert!(response.assignment.is_some() && 0 < response.member_epoch, "{version}");
        },
    );
    each_version(
        client,
        |_| ConsumerGroupDescribeRequest { group_ids: vec!["group".into()], ..Default::default() },
        |version, response| {
            assert_eq!(response.groups[0].error_code, ErrorCode::NONE, "{version}");
            assert_eq!(response.groups[0].members.len(), 2, "{version}");
        },
    );
}

fn find_coordinator(client: &mut Client, key: &str, key_type: i8) {
    let request = FindCoordinatorRequest { key: key.into(), key_type, ..Default::default() };
    let found = (0..1_000).any(|_| client.call(&request, 3).error_code == ErrorCode::NONE);
    assert!(found, "no coordinator for {key}");
}

/// A whole transaction for each version, with all its requests in that version or their highest.
#[test]
fn transactions() {
    let (_broker, mut client, _) = setup();
    for version in 0..=5 {
        transaction(&mut client, version);
    }
}

fn transaction(client: &mut Client, version: i16) {
    let transactional_id = format!("transaction-{version}");
    find_coordinator(client, &transactional_id, 1);
    find_coordinator(client, "group", 0);
    let init = InitProducerIdRequest {
        transactional_id: Some(transactional_id.clone()),
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    let producer = client.call(&init, version);
    assert_eq!(producer.error_code, ErrorCode::NONE, "{version}");
    let (producer_id, producer_epoch) = (producer.producer_id, producer.producer_epoch);

    let topics = vec![AddPartitionsToTxnTopic { name: "topic".into(), partitions: vec![0] }];
    let add = if version < 4 {
        AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: transactional_id.clone(),
            v3_and_below_producer_id: producer_id,
            v3_and_below_producer_epoch: producer_epoch,
            v3_and_below_topics: topics,
            ..Default::default()
        }
    } else {
        let transaction = AddPartitionsToTxnTransaction {
            transactional_id: transactional_id.clone(),
            producer_id,
            producer_epoch,
            topics,
            ..Default::default()
        };
        AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() }
    };
    let added = client.call(&add, version);
    let topic = match added.results_by_transaction.first() {
        Some(transaction) => &transaction.topic_results[0],
        None => &added.results_by_topic_v3_and_below[0],
    };
    let error = topic.results_by_partition[0].partition_error_code;
    assert_eq!(error, ErrorCode::NONE, "{version}");

    let group_id = "group".to_owned();
    let add = AddOffsetsToTxnRequest {
        transactional_id: transactional_id.clone(),
        producer_id,
        producer_epoch,
        group_id: group_id.clone(),
    };
    let added = client.call(&add, version.min(4));
    assert_eq!(added.error_code, ErrorCode::NONE, "{version}");

    let offsets = TxnOffsetCommitRequestTopic {
        name: "topic".into(),
        partitions: vec![TxnOffsetCommitRequestPartition::default()],
    };
    let commit = TxnOffsetCommitRequest {
        transactional_id: transactional_id.clone(),
        group_id,
        producer_id,
        producer_epoch,
        topics: vec![offsets],
        ..Default::default()
    };
    let committed = client.call(&commit, version);
    assert_eq!(committed.topics[0].partitions[0].error_code, ErrorCode::NONE, "{version}");

    let end = EndTxnRequest { transactional_id, producer_id, producer_epoch, committed: true };
    let ended = client.call(&end, version);
    assert_eq!(ended.error_code, ErrorCode::NONE, "{version}");
}
