//! DeleteRecords, OffsetForLeaderEpoch, and offsets committed inside a transaction.

use crate::driver::World;
use crate::driver::script::check;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::create_topics::CreatableTopic;
use mainstem_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use mainstem_protocol::messages::offset_fetch::OffsetFetchRequestGroup;
use mainstem_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use mainstem_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use mainstem_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use mainstem_protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, EndTxnRequest, FindCoordinatorRequest,
    InitProducerIdRequest, OffsetFetchRequest, OffsetForLeaderEpochRequest, ProduceRequest,
    TxnOffsetCommitRequest,
};
use mainstem_protocol::record::BatchBuilder;

fn with_topic(shards: u16) -> World {
    let mut world = World::new(shards);
    let topic = CreatableTopic {
        name: "t".to_owned(),
        num_partitions: 2,
        replication_factor: 1,
        ..Default::default()
    };
    world.call(1, 7, &CreateTopicsRequest { topics: vec![topic], ..Default::default() });
    world
}

fn produce(world: &mut World, records: usize) {
    let mut builder = BatchBuilder::new();
    for _ in 0..records {
        builder.push(1_700_000_000_000, None, Some(b"v"), &[]);
    }
    let records = Some(builder.finish().expect("a batch"));
    let topic_data = vec![TopicProduceData {
        name: "t".to_owned(),
        partition_data: vec![PartitionProduceData { index: 0, records }],
        ..Default::default()
    }];
    let request = ProduceRequest { acks: -1, topic_data, ..Default::default() };
    let response = world.call(1, 9, &request);
    assert_eq!(response.responses[0].partition_responses[0].error_code, ErrorCode::NONE);
}

#[test]
fn records_are_deleted_from_the_front() {
    for shards in [1, 2] {
        let mut world = with_topic(shards);
        produce(&mut world, 3);
        produce(&mut world, 3);
        let mut delete = |offset: i64| {
            let request = DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic {
                    name: "t".to_owned(),
                    partitions: vec![DeleteRecordsPartition { partition_index: 0, offset }],
                }],
                timeout_ms: 1000,
            };
            let response = world.call(1, 2, &request);
            let row = &response.topics[0].partitions[0];
            (row.error_code, row.low_watermark)
        };
        assert_eq!(delete(3), (ErrorCode::NONE, 3));
        assert_eq!(delete(7), (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
        assert_eq!(delete(-1), (ErrorCode::NONE, 6));
    }
}

#[test]
fn an_epoch_ends_where_the_next_one_begins() {
    let mut world = with_topic(2);
    produce(&mut world, 2);
    world.kill();
    produce(&mut world, 3);
    let mut end = |epoch: i32| {
        let request = OffsetForLeaderEpochRequest {
            topics: vec![OffsetForLeaderTopic {
                topic: "t".to_owned(),
                partitions: vec![OffsetForLeaderPartition {
                    leader_epoch: epoch,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let response = world.call(1, 4, &request);
        let row = &response.topics[0].partitions[0];
        (row.error_code, row.leader_epoch, row.end_offset)
    };
    assert_eq!(end(0), (ErrorCode::NONE, 0, 2));
    assert_eq!(end(1), (ErrorCode::NONE, 1, 5));
}

#[test]
fn every_word_of_list_offsets_is_answered_with_its_epoch() {
    check(
        r"
topic t 1
  t NONE
# Nothing is there yet: the epoch is that of whoever will write.
offsets t-0 earliest epochs
  NONE offset=0 timestamp=-1 epoch=0
offsets t-0 latest epochs
  NONE offset=0 timestamp=-1 epoch=0
offsets t-0 max epochs
  NONE offset=-1 timestamp=-1 epoch=-1
produce t-0 a at=2000
  base=0
produce t-0 b at=1000
  base=1
kill
produce t-0 c at=1500
  base=2
offsets t-0 earliest epochs
  NONE offset=0 timestamp=-1 epoch=0
offsets t-0 latest epochs
  NONE offset=3 timestamp=-1 epoch=1
offsets t-0 max epochs
  NONE offset=0 timestamp=2000 epoch=0
offsets t-0 1200 epochs
  NONE offset=0 timestamp=2000 epoch=0
offsets t-0 2001 epochs
  NONE offset=-1 timestamp=-1 epoch=-1
offsets t-0 earliest-local epochs
  NONE offset=0 timestamp=-1 epoch=0
# No topic is tiered: nothing is there, and nothing waits for it.
offsets t-0 tiered v=9 epochs
  NONE offset=-1 timestamp=-1 epoch=-1
offsets t-0 pending-upload v=11 epochs
  NONE offset=-1 timestamp=-1 epoch=-1
offsets t-9 pending-upload v=11
  UNKNOWN_TOPIC_OR_PARTITION offset=-1 timestamp=-1
# A word that the version does not know yet.
offsets t-0 max v=6
  UNSUPPORTED_VERSION offset=-1 timestamp=-1
offsets t-0 earliest-local v=7
  UNSUPPORTED_VERSION offset=-1 timestamp=-1
offsets t-0 tiered v=8
  UNSUPPORTED_VERSION offset=-1 timestamp=-1
offsets t-0 pending-upload v=10
  UNSUPPORTED_VERSION offset=-1 timestamp=-1
offsets t-0 -7 v=11
  UNSUPPORTED_VERSION offset=-1 timestamp=-1
offsets t-0 earliest v=1
  NONE offset=0 timestamp=-1
",
    );
}

#[test]
fn every_epoch_has_an_end_but_those_to_come() {
    check(
        r"
topic t 1
  t NONE
epoch-end t-0 0
  NONE epoch=0 end=0
produce t-0 a b
  base=0
kill
# The new leader has not written yet; its epoch begins where the last one ended.
epoch-end t-0 1
  NONE epoch=1 end=2
epoch-end t-0 0
  NONE epoch=0 end=2
kill
produce t-0 c
  base=2
epoch-end t-0 0
  NONE epoch=0 end=2
# Nobody wrote under epoch 1: it is part of what came before.
epoch-end t-0 1
  NONE epoch=0 end=2
epoch-end t-0 2
  NONE epoch=2 end=3
epoch-end t-0 3
  NONE epoch=-1 end=-1
epoch-end t-0 0 current=1
  FENCED_LEADER_EPOCH epoch=-1 end=-1
epoch-end t-0 0 current=3
  UNKNOWN_LEADER_EPOCH epoch=-1 end=-1
epoch-end t-9 0
  UNKNOWN_TOPIC_OR_PARTITION epoch=-1 end=-1
",
    );
}

fn find(world: &mut World, key_type: i8) {
    let request = FindCoordinatorRequest {
        key_type,
        coordinator_keys: vec!["x".to_owned()],
        ..Default::default()
    };
    world.call(3, 4, &request);
}

fn committed(world: &mut World, stable: bool) -> Vec<(ErrorCode, i64)> {
    let group =
        OffsetFetchRequestGroup { group_id: "g".to_owned(), topics: None, ..Default::default() };
    let request =
        OffsetFetchRequest { groups: vec![group], require_stable: stable, ..Default::default() };
    let response = world.call(1, 8, &request);
    let rows = response.groups[0].topics.iter().flat_map(|topic| &topic.partitions);
    rows.map(|row| (row.error_code, row.committed_offset)).collect()
}

#[test]
fn offsets_of_a_transaction_count_when_it_ends() {
    for (shards, commit) in [(1, true), (2, true), (2, false)] {
        let mut world = with_topic(shards);
        find(&mut world, 0);
        find(&mut world, 1);
        let init = InitProducerIdRequest {
            transactional_id: Some("x".to_owned()),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
        };
        let producer = world.call(3, 5, &init);
        let request = TxnOffsetCommitRequest {
            transactional_id: "x".to_owned(),
            group_id: "g".to_owned(),
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    committed_offset: 7,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        // A client of version 1 must have added the group's partition.
        let refused = world.call(3, 3, &request).topics[0].partitions[0].error_code;
        assert_eq!(refused, ErrorCode::INVALID_TXN_STATE);
        let taken = world.call(3, 5, &request).topics[0].partitions[0].error_code;
        assert_eq!(taken, ErrorCode::NONE);
        assert!(committed(&mut world, false).is_empty());
        let end = EndTxnRequest {
            transactional_id: "x".to_owned(),
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            committed: commit,
        };
        world.kill();
        assert_eq!(world.call(3, 5, &end).error_code, ErrorCode::NONE);
        let expected = if commit { vec![(ErrorCode::NONE, 7)] } else { Vec::new() };
        assert_eq!(committed(&mut world, true), expected);
    }
}
