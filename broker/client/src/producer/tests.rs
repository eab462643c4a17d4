//! The producer's machines in golden scripts: `src/producer/scripts/`. The form of scripts is told
//! in [`crate::core::script`].
//!
//! Commands:
//! - `plain`, `tv1`, `tv2`: which producer, first of all; `tv*` are transactional.
//! - `send <partition> <count>`: so many records; the batch is closed, one number names it.
//! - `init`, `begin`, `offsets`, `commit`, `abort`: as in the API.
//! - `reply <Api> <code> [base=<offset>] [epoch=<epoch>]`, `cut <Api>`, `refuse <Api>`,
//!   `wait <ms>`.
//! - `rest`: time passes until the producer itself wants to be called.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstem_protocol::ApiKey;
use mainstem_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use mainstem_protocol::messages::produce::{PartitionProduceResponse, TopicProduceResponse};
use mainstem_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use mainstem_protocol::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest,
    EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use mainstem_protocol::record::BatchView;
use parking_lot::Mutex;

use super::accumulator::{Accumulator, Appended};
use super::ack::Delivery;
use super::sender::Sender;
use super::transaction::Transaction;
use crate::config::ProducerConfig;
use crate::core::script::{Asked, Cluster, check, code};
use crate::core::{Machine, OperationId};
use crate::error::Result;
use crate::records::{GroupMetadata, OffsetAndMetadata, ProducerRecord, TopicPartition};

struct World {
    cluster: Cluster,
    sender: Sender,
    accumulator: Arc<Mutex<Accumulator>>,
    deliveries: BTreeMap<usize, Delivery>,
    next: usize,
    operations: Vec<(String, OperationId)>,
}

impl World {
    fn new(kind: &str) -> Self {
        let mut cluster = Cluster::new();
        let mut config = ProducerConfig::new("seed:9092");
        if kind != "plain" {
            config = config.transactional_id("txn");
            cluster.transaction_version = if kind == "tv2" { 2 } else { 1 };
        }
        let accumulator = Arc::new(Mutex::new(Accumulator::new(&config, 1)));
        let mut sender = Sender::new(config, Cluster::address(), accumulator.clone(), 1);
        sender.want_topic(&"t".into()).expect("a first topic");
        let (deliveries, operations) = (BTreeMap::new(), Vec::new());
        Self { cluster, sender, accumulator, deliveries, next: 0, operations }
    }

    fn run(&mut self, words: &[&str]) -> Vec<String> {
        match words {
            ["plain" | "tv1" | "tv2"] => {}
            ["send", partition, count] => self.send(partition, count),
            ["begin"] => {
                let result = self.sender.begin();
                self.cluster.trace.push(format!("  begin: {}", show_result(result)));
            }
            ["init"] => self.operate("init", Transaction::init),
            ["commit"] => self.operate("commit", |txn, id| txn.end(id, true)),
            ["abort"] => self.operate("abort", |txn, id| txn.end(id, false)),
            ["offsets"] => self.operate("offsets", |txn, id| {
                let group = GroupMetadata {
                    group_id: "g".to_owned(),
                    generation_id: 3,
                    member_id: "m".to_owned(),
                    group_instance_id: None,
                };
                let offset = OffsetAndMetadata::new(42);
                txn.send_offsets(id, &[(TopicPartition::new("in", 0), offset)], &group)
            }),
            ["reply", api, rest @ ..] => self.reply(api, rest),
            ["cut", api] => self.cluster.cut(&mut self.sender, api),
            ["refuse", api] => self.cluster.refuse(&mut self.sender, api),
            ["wait", ms] => self.cluster.wait(ms.parse().expect("milliseconds")),
            ["rest"] => {
                let at = self.sender.deadline().expect("it wants to be called");
                let rest = at.saturating_duration_since(self.cluster.now.instant);
                let milliseconds = rest.as_nanos().div_ceil(1_000_000);
                self.cluster.wait(u64::try_from(milliseconds).expect("a short rest"));
            }
            other => panic!("no such command: {other:?}"),
        }
        self.cluster.settle(&mut self.sender, show);
        self.collect();
        std::mem::take(&mut self.cluster.trace)
    }

    fn send(&mut self, partition: &str, count: &str) {
        let mut last = None;
        for _ in 0..count.parse().expect("a count") {
            let record = ProducerRecord::new("t", "v").partition(partition.parse().expect("one"));
            last = Some(self.accumulator.lock().append(self.cluster.now, record));
        }
        self.accumulator.lock().flush();
        match last.expect("at least one record") {
            Ok(Appended::Done { delivery, .. }) => {
                self.deliveries.insert(self.next, delivery);
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => self.cluster.trace.push(format!("  batch {}: {error}", self.next)),
        }
        self.next += 1;
    }

    fn operate(
        &mut self,
        name: &str,
        command: impl FnOnce(&mut Transaction, OperationId) -> Result<()>,
    ) {
        match self.sender.start(command) {
            Ok(operation) => self.operations.push((name.to_owned(), operation)),
            Err(error) => self.cluster.trace.push(format!("  {name}: {error}")),
        }
    }

    /// What was answered to callers.
    fn collect(&mut self) {
        let trace = &mut self.cluster.trace;
        self.deliveries.retain(|number, delivery| match delivery.try_get() {
            None => true,
            Some(result) => {
                let result = result.map(|metadata| format!("last offset {}", metadata.offset));
                let text = result.unwrap_or_else(|error| error.to_string());
                trace.push(format!("  batch {number}: {text}"));
                false
            }
        });
        let sender = &mut self.sender;
        self.operations.retain(|(name, operation)| match sender.operations().take(*operation) {
            None => true,
            Some(result) => {
                trace.push(format!("  {name}: {}", show_result(result)));
                false
            }
        });
    }

    fn reply(&mut self, api: &str, rest: &[&str]) {
        let asked = self.cluster.take(api);
        let error = code(rest[0]);
        let number = |key: &str, default: i64| {
            let value = rest.iter().find_map(|word| word.strip_prefix(key));
            value.map_or(default, |value| value.parse().expect("a number"))
        };
        let epoch = i16::try_from(number("epoch=", 0)).expect("an epoch");
        let (cluster, sender) = (&mut self.cluster, &mut self.sender);
        match asked.api {
            ApiKey::Produce => {
                let response = produced(&asked, error, number("base=", 0));
                cluster.reply(sender, &asked, &response);
            }
            ApiKey::InitProducerId => {
                let response = InitProducerIdResponse {
                    error_code: error,
                    producer_id: 7,
                    producer_epoch: epoch,
                    ..InitProducerIdResponse::default()
                };
                cluster.reply(sender, &asked, &response);
            }
            ApiKey::EndTxn => {
                let response = EndTxnResponse {
                    error_code: error,
                    producer_id: 7,
                    producer_epoch: epoch,
                    ..EndTxnResponse::default()
                };
                cluster.reply(sender, &asked, &response);
            }
            ApiKey::AddPartitionsToTxn => {
                let response = added(&asked, error);
                cluster.reply(sender, &asked, &response);
            }
            ApiKey::AddOffsetsToTxn => {
                let response = AddOffsetsToTxnResponse { error_code: error, ..Default::default() };
                cluster.reply(sender, &asked, &response);
            }
            ApiKey::TxnOffsetCommit => {
                let response = TxnOffsetCommitResponse {
                    topics: vec![TxnOffsetCommitResponseTopic {
                        name: "in".to_owned(),
                        partitions: vec![TxnOffsetCommitResponsePartition {
                            partition_index: 0,
                            error_code: error,
                        }],
                    }],
                    ..TxnOffsetCommitResponse::default()
                };
                cluster.reply(sender, &asked, &response);
            }
            other => panic!("no answer to {other:?}"),
        }
    }
}

fn show_result(result: Result<()>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn produced(asked: &Asked, error: mainstem_protocol::ErrorCode, base: i64) -> ProduceResponse {
    let partition = |index: i32| PartitionProduceResponse {
        index,
        error_code: error,
        base_offset: base,
        ..PartitionProduceResponse::default()
    };
    let request = asked.read::<ProduceRequest>();
    let topic =
        |topic: &mainstem_protocol::messages::produce::TopicProduceData| TopicProduceResponse {
            name: topic.name.clone(),
            partition_responses: topic.partition_data.iter().map(|p| partition(p.index)).collect(),
            ..TopicProduceResponse::default()
        };
    ProduceResponse {
        responses: request.topic_data.iter().map(topic).collect(),
        ..ProduceResponse::default()
    }
}

fn added(asked: &Asked, error: mainstem_protocol::ErrorCode) -> AddPartitionsToTxnResponse {
    let request = asked.read::<AddPartitionsToTxnRequest>();
    let result = |partition: &i32| AddPartitionsToTxnPartitionResult {
        partition_index: *partition,
        partition_error_code: error,
    };
    let topics = request.v3_and_below_topics.iter().map(|topic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic.partitions.iter().map(result).collect(),
    });
    AddPartitionsToTxnResponse {
        results_by_topic_v3_and_below: topics.collect(),
        ..AddPartitionsToTxnResponse::default()
    }
}

/// A request as a line of the trace.
fn show(asked: &Asked) -> String {
    let name = format!("{:?} v{}", asked.api, asked.version);
    match asked.api {
        ApiKey::Produce => {
            let mut line = name;
            for topic in asked.read::<ProduceRequest>().topic_data {
                for data in topic.partition_data {
                    let bytes = data.records.expect("records");
                    let (batch, _) = BatchView::parse(&bytes).expect("a batch");
                    assert!(batch.is_checksum_ok(), "a batch with its checksum");
                    line.push_str(&format!(
                        " {}-{} producer={}/{} sequence={} records={}{}",
                        topic.name,
                        data.index,
                        batch.producer_id(),
                        batch.producer_epoch(),
                        batch.base_sequence(),
                        batch.record_count(),
                        if batch.is_transactional() { " transactional" } else { "" },
                    ));
                }
            }
            line
        }
        ApiKey::InitProducerId => {
            let request = asked.read::<InitProducerIdRequest>();
            format!("{name} producer={}/{}", request.producer_id, request.producer_epoch)
        }
        ApiKey::EndTxn => {
            let request = asked.read::<EndTxnRequest>();
            let (id, epoch) = (request.producer_id, request.producer_epoch);
            format!("{name} producer={id}/{epoch} commit={}", request.committed)
        }
        ApiKey::TxnOffsetCommit => {
            let request = asked.read::<TxnOffsetCommitRequest>();
            let generation = request.generation_id_or_member_epoch;
            format!("{name} group={} generation={generation}", request.group_id)
        }
        _ => name,
    }
}

#[test]
fn scripts() {
    check("src/producer/scripts", || {
        let mut world: Option<World> = None;
        Box::new(move |words: &[&str]| world.get_or_insert_with(|| World::new(words[0])).run(words))
    });
}
