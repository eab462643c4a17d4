//! Scripts: commands at the left margin, what they led to below, two columns in.
//!
//! [`check`] runs the commands of a script and compares the whole text, so a script is both the
//! test and its expectation. Commands are words; `name=value` words are options.

use super::World;
use bytes::{Bytes, BytesMut};
use mainstem_protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use mainstem_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use mainstem_protocol::messages::fetch::{FetchPartition, FetchTopic};
use mainstem_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use mainstem_protocol::messages::metadata::MetadataRequestTopic;
use mainstem_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use mainstem_protocol::messages::{
    AddPartitionsToTxnRequest, CreateTopicsRequest, DeleteTopicsRequest, EndTxnRequest,
    FetchRequest, FetchResponse, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest, ProduceRequest,
};
use mainstem_protocol::record::{BatchBuilder, batches};
use mainstem_protocol::{ErrorCode, ProducerEpoch, ProducerId, TopicId};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A transactional producer of a script.
#[derive(Debug, Clone, Default)]
struct Producer {
    transactional_id: Option<String>,
    id: i64,
    epoch: i16,
    /// Next sequence by partition.
    sequences: BTreeMap<String, i32>,
}

/// Runs one script in a world.
pub(crate) struct Script {
    pub(crate) world: World,
    producers: BTreeMap<String, Producer>,
    out: String,
}

/// Runs a script on one shard and on two, and compares the text.
pub(crate) fn check(script: &str) {
    for shards in [1, 2] {
        check_in(World::new(shards), script);
    }
}

pub(crate) fn check_in(world: World, script: &str) {
    let mut run = Script::new(world);
    let expected: Vec<&str> = script.trim_matches('\n').lines().map(str::trim_end).collect();
    for line in &expected {
        if line.starts_with(' ') {
            continue;
        }
        run.out.push_str(line);
        run.out.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            run.step(line);
        }
    }
    let expected = expected.join("\n");
    let actual = run.out.trim_end();
    assert!(actual == expected.trim_end(), "the script came out as\n\n{actual}\n");
}

pub(super) struct Words<'a> {
    pub(super) plain: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn parse(line: &'a str) -> Words<'a> {
        let (options, plain) =
            line.split_whitespace().skip(1).partition::<Vec<&str>, _>(|word| word.contains('='));
        let options = options.into_iter().filter_map(|word| word.split_once('=')).collect();
        Words { plain, options }
    }

    pub(super) fn number(&self, name: &str, otherwise: i64) -> i64 {
        self.options.get(name).map_or(otherwise, |value| value.parse().expect("a number"))
    }

    fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }
}

pub(super) fn partition_of(word: &str) -> (String, i32) {
    let (topic, partition) = word.rsplit_once('-').expect("topic-partition");
    (topic.to_owned(), partition.parse().expect("a partition"))
}

impl Script {
    pub(crate) fn new(world: World) -> Script {
        Script { world, producers: BTreeMap::new(), out: String::new() }
    }

    /// Runs commands without comparing; returns what they led to.
    pub(crate) fn run(&mut self, commands: &str) -> String {
        self.out.clear();
        commands.lines().for_each(|line| self.step(line));
        std::mem::take(&mut self.out)
    }

    pub(super) fn say(&mut self, text: &str) {
        writeln!(self.out, "  {text}").expect("write to a string");
    }

    fn step(&mut self, line: &str) {
        let command = line.split_whitespace().next().expect("a command");
        let words = Words::parse(line);
        match command {
            "topic" => self.topic(&words),
            "delete" => self.delete(&words),
            "metadata" => self.metadata(&words),
            "produce" => self.produce(&words),
            "answer" => self.answer(&words),
            "fetch" => self.fetch(&words),
            "fetched" => self.fetched(&words),
            "offsets" => self.offsets(&words),
            "init" => self.init(&words),
            "add" => self.add(&words),
            "end" => self.end(&words),
            "advance" => self.world.advance_ms(words.plain[0].parse().expect("milliseconds")),
            "hold" => self.world.hold_syncs = true,
            "release" => self.world.release_syncs(),
            "restart" => self.world.restart(words.number("shards", 1) as u16),
            "crash" => self.world.crash(words.number("seed", 1) as u64),
            "kill" => self.world.kill(),
            "held" => {
                let text = format!("{:?}", self.world.not_reading);
                self.say(&text);
            }
            "halted" => {
                let text = format!("{:?}", self.world.halted.is_some());
                self.say(&text);
            }
            _ => self.directory_step(command, &words),
        }
    }

    fn id_of(&mut self, topic: &str) -> TopicId {
        let named = MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() };
        let request = MetadataRequest {
            topics: Some(vec![named]),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        self.world.call(99, 12, &request).topics[0].topic_id
    }

    fn topic(&mut self, words: &Words) {
        let config = |(name, value): (&&str, &&str)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
        };
        let topic = CreatableTopic {
            name: words.plain[0].to_owned(),
            num_partitions: words.plain[1].parse().expect("a count"),
            replication_factor: 1,
            configs: words.options.iter().map(config).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], ..Default::default() };
        let response = self.world.call(1, 7, &request);
        for topic in response.topics {
            self.say(&format!("{} {}", topic.name, topic.error_code.name()));
        }
    }

    fn delete(&mut self, words: &Words) {
        let topic_names = vec![words.plain[0].to_owned()];
        let request = DeleteTopicsRequest { topic_names, ..Default::default() };
        let response = self.world.call(1, 5, &request);
        let text = response.responses[0].error_code.name();
        self.say(text);
    }

    fn metadata(&mut self, words: &Words) {
        let names = words.plain.iter().filter(|word| **word != "auto");
        let topics = names.map(|name| MetadataRequestTopic {
            name: Some((*name).to_owned()),
            ..Default::default()
        });
        let request = MetadataRequest {
            topics: Some(topics.collect()),
            allow_auto_topic_creation: words.has("auto"),
            ..Default::default()
        };
        let version = words.number("v", 12) as i16;
        for topic in self.world.call(1, version, &request).topics {
            let name = topic.name.unwrap_or_default();
            let (error, count) = (topic.error_code.name(), topic.partitions.len());
            self.say(&format!("{name} {error} partitions={count}"));
        }
    }

    /// `produce t-0 a b`: one batch with these values.
    fn produce(&mut self, words: &Words) {
        let (topic, partition) = partition_of(words.plain[0]);
        let mut producer = words.options.get("as").map(|name| self.producers[*name].clone());
        let mut builder = BatchBuilder::new();
        let values: Vec<&str> =
            words.plain[1..].iter().copied().filter(|w| *w != "corrupt").collect();
        if let Some(producer) = &mut producer {
            let next = producer.sequences.entry(words.plain[0].to_owned()).or_default();
            let sequence = words.number("seq", i64::from(*next)) as i32;
            *next = sequence + values.len() as i32;
            builder =
                builder.producer(ProducerId(producer.id), ProducerEpoch(producer.epoch), sequence);
            if producer.transactional_id.is_some() && !words.options.contains_key("plain") {
                builder = builder.transactional();
            }
        }
        for value in &values {
            let key = words.options.get("key").map(|key| key.as_bytes());
            let timestamp_ms = words.number("at", 1_700_000_000_000);
            builder.push(timestamp_ms, key, Some(value.as_bytes()), &[]);
        }
        let mut batch = BytesMut::from(&builder.finish().expect("a batch")[..]);
        if words.has("corrupt") {
            let last = batch.len() - 1;
            batch[last] ^= 1;
        }
        let version = words.number("v", 9) as i16;
        let mut data = TopicProduceData { name: topic.clone(), ..Default::default() };
        if 13 <= version {
            data.topic_id = self.id_of(&topic);
        }
        data.partition_data =
            vec![PartitionProduceData { index: partition, records: Some(batch.freeze()) }];
        let request = ProduceRequest {
            transactional_id: producer.as_ref().and_then(|p| p.transactional_id.clone()),
            acks: words.number("acks", -1) as i16,
            timeout_ms: 1000,
            topic_data: vec![data],
        };
        if let (Some(name), Some(producer)) = (words.options.get("as"), producer) {
            self.producers.insert((*name).to_owned(), producer);
        }
        let connection = words.number("on", 1) as u64;
        self.world.send(connection, version, &request);
        self.show_produced(connection, version);
    }

    fn answer(&mut self, words: &Words) {
        let connection = words.number("on", 1) as u64;
        self.show_produced(connection, words.number("v", 9) as i16);
    }

    fn show_produced(&mut self, connection: u64, version: i16) {
        let response = self.world.take::<ProduceRequest>(connection, version);
        let Some(response) = response else {
            let closed = self.world.closed.contains(&connection);
            self.say(if closed { "closed" } else { "no answer" });
            return;
        };
        let answer = &response.responses[0].partition_responses[0];
        if answer.error_code == ErrorCode::NONE {
            self.say(&format!("base={}", answer.base_offset));
        } else {
            self.say(answer.error_code.name());
        }
    }

    /// `fetch t-0@5 t-1@0`: answers now or says that it waits.
    fn fetch(&mut self, words: &Words) {
        let version = words.number("v", 12) as i16;
        let mut topics: Vec<FetchTopic> = Vec::new();
        for word in words.plain.iter().filter(|word| word.contains('@')) {
            let (partition, offset) = word.split_once('@').expect("partition@offset");
            let (topic, partition) = partition_of(partition);
            let topic_id = if 13 <= version { self.id_of(&topic) } else { TopicId::NONE };
            let partition = FetchPartition {
                partition,
                fetch_offset: offset.parse().expect("an offset"),
                current_leader_epoch: words.number("epoch", -1) as i32,
                partition_max_bytes: words.number("pmax", 1 << 20) as i32,
                ..Default::default()
            };
            topics.push(FetchTopic { topic, topic_id, partitions: vec![partition] });
        }
        let request = FetchRequest {
            max_wait_ms: words.number("wait", 0) as i32,
            min_bytes: words.number("min", 1) as i32,
            max_bytes: words.number("max", 1 << 20) as i32,
            isolation_level: i8::from(words.has("committed")),
            session_id: words.number("session", 0) as i32,
            session_epoch: words.number("sepoch", -1) as i32,
            topics,
            ..Default::default()
        };
        let connection = words.number("on", 2) as u64;
        self.world.send(connection, version, &request);
        self.show_fetched(connection, version);
    }

    fn fetched(&mut self, words: &Words) {
        let connection = words.number("on", 2) as u64;
        self.show_fetched(connection, words.number("v", 12) as i16);
    }

    fn show_fetched(&mut self, connection: u64, version: i16) {
        match self.world.take::<FetchRequest>(connection, version) {
            None => self.say("waits"),
            Some(response) => {
                let lines = show_fetch(&response);
                lines.iter().for_each(|line| self.say(line));
            }
        }
    }

    fn offsets(&mut self, words: &Words) {
        let (topic, partition) = partition_of(words.plain[0]);
        let timestamp = match words.plain[1] {
            "latest" => -1,
            "earliest" => -2,
            "max" => -3,
            at => at.parse().expect("a time"),
        };
        let partition = ListOffsetsPartition {
            partition_index: partition,
            current_leader_epoch: -1,
            timestamp,
        };
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: i8::from(words.has("committed")),
            topics: vec![ListOffsetsTopic { name: topic, partitions: vec![partition] }],
            ..Default::default()
        };
        let response = self.world.call(1, words.number("v", 8) as i16, &request);
        let row = &response.topics[0].partitions[0];
        let error = row.error_code.name();
        self.say(&format!("{error} offset={} timestamp={}", row.offset, row.timestamp));
    }

    /// `init A tid=x`: finds the coordinator and gets a producer id. Without tid: idempotent.
    fn init(&mut self, words: &Words) {
        let transactional_id = words.options.get("tid").map(|id| (*id).to_owned());
        if let Some(id) = &transactional_id {
            let request = FindCoordinatorRequest {
                key_type: 1,
                coordinator_keys: vec![id.clone()],
                ..Default::default()
            };
            let found = self.world.call(3, 4, &request);
            assert_eq!(found.coordinators[0].error_code, ErrorCode::NONE);
        }
        let request = InitProducerIdRequest {
            transactional_id: transactional_id.clone(),
            transaction_timeout_ms: words.number("timeout", 60_000) as i32,
            producer_id: -1,
            producer_epoch: -1,
        };
        let response = self.world.call(3, 4, &request);
        let (id, epoch) = (response.producer_id, response.producer_epoch);
        let producer = Producer { transactional_id, id, epoch, sequences: BTreeMap::new() };
        self.producers.insert(words.plain[0].to_owned(), producer);
        self.say(&format!("{} id={id} epoch={epoch}", response.error_code.name()));
    }

    /// `add A t-0`: version 1 clients say it before they write.
    fn add(&mut self, words: &Words) {
        let producer = self.producers[words.plain[0]].clone();
        let (name, partition) = partition_of(words.plain[1]);
        let topic = AddPartitionsToTxnTopic { name, partitions: vec![partition] };
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: producer.transactional_id.unwrap_or_default(),
            v3_and_below_producer_id: producer.id,
            v3_and_below_producer_epoch: producer.epoch,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        let response = self.world.call(3, 3, &request);
        let result = &response.results_by_topic_v3_and_below[0].results_by_partition[0];
        self.say(result.partition_error_code.name());
    }

    /// `end A commit v=5`.
    fn end(&mut self, words: &Words) {
        let name = words.plain[0].to_owned();
        let producer = self.producers[&name].clone();
        let request = EndTxnRequest {
            transactional_id: producer.transactional_id.clone().unwrap_or_default(),
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            committed: words.has("commit"),
        };
        let version = words.number("v", 3) as i16;
        let response = self.world.call(3, version, &request);
        self.say(response.error_code.name());
        if 5 <= version && response.error_code == ErrorCode::NONE {
            let producer = self.producers.get_mut(&name).expect("a producer");
            producer.id = response.producer_id;
            producer.epoch = response.producer_epoch;
            producer.sequences.clear();
        }
    }
}

/// One line per partition.
pub(crate) fn show_fetch(response: &FetchResponse) -> Vec<String> {
    let mut lines = Vec::new();
    if response.error_code != ErrorCode::NONE {
        lines.push(response.error_code.name().to_owned());
    }
    for topic in &response.responses {
        for data in &topic.partitions {
            let mut line = format!("{}-{}", topic.topic, data.partition_index);
            if data.error_code == ErrorCode::NONE {
                let bytes = data.records.as_ref().and_then(|records| records.bytes()).cloned();
                write!(line, " hw={}", data.high_watermark).expect("write to a string");
                if data.last_stable_offset != data.high_watermark {
                    write!(line, " lso={}", data.last_stable_offset).expect("write to a string");
                }
                write!(line, " [{}]", show_records(&bytes.unwrap_or_default()))
                    .expect("write to a string");
            } else {
                write!(line, " {}", data.error_code.name()).expect("write to a string");
            }
            for aborted in data.aborted_transactions.iter().flatten() {
                let (id, from) = (aborted.producer_id, aborted.first_offset);
                write!(line, " aborted={id}@{from}").expect("write to a string");
            }
            lines.push(line);
        }
    }
    lines
}

fn show_records(bytes: &Bytes) -> String {
    let mut shown = Vec::new();
    for batch in batches(bytes) {
        let batch = batch.expect("a whole batch");
        let view = batch.view();
        if view.is_control() {
            shown.push(format!("{}:end", view.base_offset()));
            continue;
        }
        for record in batch.records(1 << 20).expect("records") {
            let record = record.expect("a record");
            let value =
                String::from_utf8_lossy(record.value.as_deref().unwrap_or(b"-")).into_owned();
            shown.push(format!("{}:{value}", view.offset_of(&record)));
        }
    }
    shown.join(" ")
}
