//! No request stays without its answer.
//!
//! Random clients ask random things, of all that may have to wait for something: partitions and
//! transactions that are just being made or deleted, coordinators that wait for their log, syncs
//! that are held back, members of groups that do not come, clients that go in the middle. Then
//! everything is let through and time passes: whoever is still connected has as many answers as it
//! asked questions. A request that nobody answers is a client that hangs.
//!
//! One seed is one life; a failing seed is printed.

use crate::driver::World;
use bytes::Bytes;
use mainstem_node::{LocalCommand, LocalReply};
use mainstem_platform::{Random, SeededRandom};
use mainstem_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use mainstem_protocol::messages::create_topics::CreatableTopic;
use mainstem_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use mainstem_protocol::messages::fetch::{FetchPartition, FetchTopic};
use mainstem_protocol::messages::join_group::JoinGroupRequestProtocol;
use mainstem_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use mainstem_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use mainstem_protocol::messages::offset_fetch::OffsetFetchRequestGroup;
use mainstem_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use mainstem_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use mainstem_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, CreateTopicsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, EndTxnRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListOffsetsRequest,
    MetadataRequest, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest, SyncGroupRequest,
    TxnOffsetCommitRequest,
};
use mainstem_protocol::record::BatchBuilder;
use mainstem_protocol::{ProducerEpoch, ProducerId, Request};
use std::collections::BTreeMap;

const CONNECTIONS: u64 = 12;
const TRANSACTIONAL_IDS: u64 = 3;
const TOPICS: u64 = 3;
const PARTITIONS: u64 = 2;

struct Life {
    random: SeededRandom,
    shards: usize,
    world: World,
    /// Questions by connection.
    asked: BTreeMap<u64, usize>,
    /// The newest producer by transactional id, as far as a client can guess.
    epochs: BTreeMap<u64, i16>,
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut random = SeededRandom::new(seed);
        let shards = 1 + random.below(2) as u16;
        let mut life = Life {
            random,
            shards: shards.into(),
            world: World::new(shards),
            asked: BTreeMap::new(),
            epochs: BTreeMap::new(),
        };
        // Coordinators are there at most times; not at all of them.
        if !life.random.one_in(4) {
            for (key_type, key) in [(0, "g0"), (1, "tx0")] {
                let request = FindCoordinatorRequest {
                    key_type,
                    coordinator_keys: vec![key.to_owned()],
                    ..Default::default()
                };
                life.ask(0, 4, &request);
            }
        }
        life
    }

    fn ask<R: Request>(&mut self, connection: u64, version: i16, request: &R) {
        *self.asked.entry(connection).or_default() += 1;
        self.world.send(connection, version, request);
    }

    fn number(&mut self, below: u64) -> u64 {
        self.random.below(below)
    }

    fn topic(&mut self) -> String {
        format!("t{}", self.number(TOPICS))
    }

    fn partition(&mut self) -> i32 {
        // One of them does not exist.
        self.number(PARTITIONS + 1) as i32
    }

    fn group(&mut self) -> String {
        format!("g{}", self.number(2))
    }

    /// A transactional id with a producer that is the present one, or near to it.
    fn producer(&mut self) -> (u64, String, i64, i16) {
        let id = self.number(TRANSACTIONAL_IDS);
        let epoch = self.epochs.get(&id).copied().unwrap_or(0);
        let off = if self.random.one_in(4) { self.number(3) as i16 - 1 } else { 0 };
        (id, format!("tx{id}"), id as i64, epoch + off)
    }

    fn step(&mut self) {
        match self.number(100) {
            0..=3 => self.world.hold_syncs = true,
            4..=7 => self.world.release_syncs(),
            8..=11 => {
                self.world.release_one_sync();
            }
            12..=19 => {
                let ms = [1, 20, 100, 1_000, 20_000][self.number(5) as usize];
                self.world.advance_ms(ms);
            }
            20..=21 => self.leave(),
            22..=27 => self.topics(),
            28..=44 => self.produce(),
            45..=50 => self.init(),
            51..=58 => self.add_partitions(),
            59..=70 => self.offsets_in_transaction(),
            71..=79 => self.end(),
            80..=91 => self.groups(),
            _ => self.reads(),
        }
    }

    /// A client goes, whatever it waits for.
    fn leave(&mut self) {
        let connection = self.number(CONNECTIONS);
        self.world.disconnect(connection);
        while self.world.take_frame(connection).is_some() {}
        self.asked.remove(&connection);
    }

    fn topics(&mut self) {
        let connection = self.number(CONNECTIONS);
        let name = self.topic();
        match self.number(4) {
            0 => {
                let topic_names = vec![name];
                let request = DeleteTopicsRequest { topic_names, ..Default::default() };
                self.ask(connection, 5, &request);
            }
            1 => {
                let partition = DeleteRecordsPartition {
                    partition_index: self.partition(),
                    offset: self.number(20) as i64 - 1,
                };
                let topic = DeleteRecordsTopic { name, partitions: vec![partition] };
                let request = DeleteRecordsRequest { topics: vec![topic], ..Default::default() };
                self.ask(connection, 2, &request);
            }
            _ => {
                let topic = CreatableTopic {
                    name,
                    num_partitions: PARTITIONS as i32,
                    replication_factor: 1,
                    ..Default::default()
                };
                let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
                self.ask(connection, 7, &request);
            }
        }
    }

    fn produce(&mut self) {
        let (_, name, id, epoch) = self.producer();
        let transactional = !self.random.one_in(4);
        let sequence = if self.random.one_in(3) { self.number(4) as i32 } else { 0 };
        let mut builder = BatchBuilder::new();
        if transactional || self.random.one_in(2) {
            builder = builder.producer(ProducerId(id), ProducerEpoch(epoch), sequence);
        }
        if transactional {
            builder = builder.transactional();
        }
        builder.push(1_700_000_000_000, None, Some(b"v"), &[]);
        let batch = builder.finish().expect("a batch");
        let topics = 1 + self.number(2);
        let mut topic_data = Vec::new();
        for _ in 0..topics {
            let records = Some(batch.clone());
            let index = self.partition();
            topic_data.push(TopicProduceData {
                name: self.topic(),
                partition_data: vec![PartitionProduceData { index, records }],
                ..Default::default()
            });
        }
        let request = ProduceRequest {
            transactional_id: transactional.then_some(name),
            acks: [1, -1, -1][self.number(3) as usize],
            timeout_ms: 1000,
            topic_data,
        };
        let (connection, version) = (self.number(CONNECTIONS), 9 + self.number(4) as i16);
        self.ask(connection, version, &request);
    }

    fn init(&mut self) {
        let (id, name, producer_id, producer_epoch) = self.producer();
        let goes_on = self.random.one_in(2);
        let request = InitProducerIdRequest {
            transactional_id: (!self.random.one_in(5)).then_some(name),
            transaction_timeout_ms: 1 + self.number(60_000) as i32,
            producer_id: if goes_on { producer_id } else { -1 },
            producer_epoch: if goes_on { producer_epoch } else { -1 },
        };
        *self.epochs.entry(id).or_insert(-1) += 1;
        let connection = self.number(CONNECTIONS);
        self.ask(connection, 4, &request);
    }

    fn add_partitions(&mut self) {
        let (_, name, producer_id, producer_epoch) = self.producer();
        let topics = vec![AddPartitionsToTxnTopic {
            name: self.topic(),
            partitions: vec![self.partition(), 0],
        }];
        let connection = self.number(CONNECTIONS);
        if self.random.one_in(2) {
            let request = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: name,
                v3_and_below_producer_id: producer_id,
                v3_and_below_producer_epoch: producer_epoch,
                v3_and_below_topics: topics,
                ..Default::default()
            };
            return self.ask(connection, 3, &request);
        }
        let other = format!("tx{}", self.number(TRANSACTIONAL_IDS));
        let of = |transactional_id, verify_only| AddPartitionsToTxnTransaction {
            transactional_id,
            producer_id,
            producer_epoch,
            verify_only,
            topics: topics.clone(),
        };
        let verify = self.random.one_in(2);
        let transactions = vec![of(name, verify), of(other, !verify)];
        let request = AddPartitionsToTxnRequest { transactions, ..Default::default() };
        self.ask(connection, 5, &request);
    }

    fn offsets_in_transaction(&mut self) {
        let (_, transactional_id, producer_id, producer_epoch) = self.producer();
        let (group_id, connection) = (self.group(), self.number(CONNECTIONS));
        if self.random.one_in(2) {
            let request =
                AddOffsetsToTxnRequest { transactional_id, producer_id, producer_epoch, group_id };
            return self.ask(connection, 4, &request);
        }
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: 1,
            ..Default::default()
        };
        let topic = TxnOffsetCommitRequestTopic { name: self.topic(), partitions: vec![partition] };
        let request = TxnOffsetCommitRequest {
            transactional_id,
            group_id,
            producer_id,
            producer_epoch,
            topics: vec![topic],
            ..Default::default()
        };
        let version = 3 + self.number(3) as i16;
        self.ask(connection, version, &request);
    }

    fn end(&mut self) {
        let (id, transactional_id, producer_id, producer_epoch) = self.producer();
        let request = EndTxnRequest {
            transactional_id,
            producer_id,
            producer_epoch,
            committed: self.random.one_in(2),
        };
        let version = [3, 5, 5][self.number(3) as usize];
        if version == 5 && self.random.one_in(2) {
            *self.epochs.entry(id).or_default() += 1;
        }
        let connection = self.number(CONNECTIONS);
        self.ask(connection, version, &request);
    }

    fn groups(&mut self) {
        let (group_id, connection) = (self.group(), self.number(CONNECTIONS));
        // Static members need no id from the coordinator.
        let group_instance_id = Some(format!("i{}", self.number(3)));
        let generation_id = self.number(3) as i32;
        match self.number(6) {
            0 | 1 => {
                let request = JoinGroupRequest {
                    group_id,
                    session_timeout_ms: 10_000,
                    rebalance_timeout_ms: 30_000,
                    group_instance_id,
                    protocol_type: "consumer".to_owned(),
                    protocols: vec![JoinGroupRequestProtocol {
                        name: "range".to_owned(),
                        metadata: Bytes::from_static(b"m"),
                    }],
                    ..Default::default()
                };
                self.ask(connection, 9, &request);
            }
            2 => {
                let request = SyncGroupRequest {
                    group_id,
                    generation_id,
                    group_instance_id,
                    ..Default::default()
                };
                self.ask(connection, 5, &request);
            }
            3 => {
                let request = HeartbeatRequest {
                    group_id,
                    generation_id,
                    group_instance_id,
                    ..Default::default()
                };
                self.ask(connection, 4, &request);
            }
            4 => {
                let request = LeaveGroupRequest { group_id, ..Default::default() };
                self.ask(connection, 5, &request);
            }
            _ => {
                let partition = OffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset: 1,
                    ..Default::default()
                };
                let topic = OffsetCommitRequestTopic {
                    name: self.topic(),
                    partitions: vec![partition],
                    ..Default::default()
                };
                let request =
                    OffsetCommitRequest { group_id, topics: vec![topic], ..Default::default() };
                self.ask(connection, 8, &request);
            }
        }
    }

    fn reads(&mut self) {
        let connection = self.number(CONNECTIONS);
        match self.number(5) {
            0 => {
                let partition = ListOffsetsPartition {
                    partition_index: self.partition(),
                    ..Default::default()
                };
                let topic = ListOffsetsTopic { name: self.topic(), partitions: vec![partition] };
                let request = ListOffsetsRequest { topics: vec![topic], ..Default::default() };
                self.ask(connection, 8, &request);
            }
            1 => {
                let group_id = self.group();
                let group = OffsetFetchRequestGroup { group_id, ..Default::default() };
                let request = OffsetFetchRequest {
                    groups: vec![group],
                    require_stable: true,
                    ..Default::default()
                };
                self.ask(connection, 8, &request);
            }
            2 => self.ask(connection, 12, &MetadataRequest::default()),
            _ => {
                let partition = FetchPartition {
                    partition: self.partition(),
                    fetch_offset: self.number(10) as i64,
                    partition_max_bytes: 1 << 20,
                    ..Default::default()
                };
                let topic = FetchTopic {
                    topic: self.topic(),
                    partitions: vec![partition],
                    ..Default::default()
                };
                let request = FetchRequest {
                    max_wait_ms: self.number(60_000) as i32,
                    min_bytes: 1 + self.number(1_000) as i32,
                    max_bytes: 1 << 20,
                    isolation_level: self.number(2) as i8,
                    session_id: 0,
                    session_epoch: -1,
                    topics: vec![topic],
                    ..Default::default()
                };
                self.ask(connection, 12, &request);
            }
        }
    }

    /// Everything is let through, and time passes: longer than anything may wait, several times,
    /// because what waited in its connection's queue begins only then.
    fn come_to_rest(&mut self) {
        self.world.release_syncs();
        for _ in 0..400 {
            self.world.advance_ms(100);
        }
        for _ in 0..2_000 {
            self.world.advance_ms(5_000);
        }
        assert_eq!(self.world.halted, None);
        for (connection, asked) in &self.asked {
            assert!(!self.world.closed.contains(connection), "all requests can be read");
            assert_eq!(self.world.answers(*connection), *asked, "connection {connection}");
        }
        for shard in 0..self.shards {
            let LocalReply::Metrics(snapshot) = self.world.command(shard, LocalCommand::Metrics)
            else {
                panic!("another question was answered");
            };
            assert_eq!(snapshot.requests_under_way, 0, "shard {shard}");
            assert_eq!(snapshot.open_transactions, 0, "shard {shard}");
        }
    }
}

#[test]
fn every_request_is_answered_when_time_passes() {
    for seed in 0..200 {
        let run = std::panic::catch_unwind(|| {
            let mut life = Life::new(seed);
            for _ in 0..300 {
                life.step();
            }
            life.come_to_rest();
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}
