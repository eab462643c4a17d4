//! Scripts: commands at the left margin, what they led to below, two columns in.
//!
//! [`check`] runs the commands of a script and compares the whole text, so a script is both the
//! test and its expectation. Commands are words; `name=value` words are options.

mod transactions;

use super::World;
use bytes::{Bytes, BytesMut};
use mainstem_protocol::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use mainstem_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use mainstem_protocol::messages::fetch::{FetchPartition, FetchTopic};
use mainstem_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use mainstem_protocol::messages::metadata::MetadataRequestTopic;
use mainstem_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use mainstem_protocol::messages::{
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, FetchRequest, FetchResponse,
    ListOffsetsRequest, MetadataRequest, ProduceRequest,
};
use mainstem_protocol::record::{BatchBuilder, batches};
use mainstem_protocol::{ErrorCode, ProducerEpoch, ProducerId, TopicId};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A producer of a script.
#[derive(Debug, Clone, Default)]
pub(super) struct Producer {
    pub(super) transactional_id: Option<String>,
    pub(super) id: i64,
    pub(super) epoch: i16,
    /// Next sequence by partition.
    sequences: BTreeMap<String, i32>,
}

/// Runs one script in a world.
pub(crate) struct Script {
    pub(crate) world: World,
    pub(super) producers: BTreeMap<String, Producer>,
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
    pub(super) options: BTreeMap<&'a str, &'a str>,
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

    pub(super) fn has(&self, word: &str) -> bool {
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

    /// One command, outside of a script that is compared; gives what it led to.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        let from = self.out.len();
        self.step(line);
        let lines: Vec<&str> = self.out[from..].lines().map(str::trim).collect();
        lines.join("\n")
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
            "partitions" => self.partitions(&words),
            "alter" => self.alter(&words),
            "describe" => self.describe(&words),
            "resources" => self.resources(&words),
            "metadata" => self.metadata(&words),
            "produce" => self.produce(&words),
            "answer" => self.answer(&words),
            "fetch" => self.fetch(&words),
            "fetched" => self.fetched(&words),
            "offsets" => self.offsets(&words),
            "trim" => self.trim(&words),
            "init" => self.init(&words),
            "add" => self.add(&words),
            "add-group" => self.add_group(&words),
            "offset" => self.offset(&words),
            "committed" => self.committed(&words),
            "end" => self.end(&words),
            "ended" => self.show_ended(&words),
            "advance" => self.world.advance_ms(words.plain[0].parse().expect("milliseconds")),
            // Everything that was sent `later` comes in one pass.
            "pass" => self.world.pump(),
            "hold" => self.world.hold_syncs = true,
            "release" => self.world.release_syncs(),
            "sync" => {
                let asked = if self.world.is_sync_held() { "asked" } else { "not asked" };
                self.say(asked);
            }
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

    /// `trim t-0 5`: the records before offset 5 are deleted.
    fn trim(&mut self, words: &Words) {
        let (name, partition_index) = partition_of(words.plain[0]);
        let offset = words.plain[1].parse().expect("an offset");
        let partitions = vec![DeleteRecordsPartition { partition_index, offset }];
        let topics = vec![DeleteRecordsTopic { name, partitions }];
        let request = DeleteRecordsRequest { topics, ..Default::default() };
        let response = self.world.call(1, 2, &request);
        let row = &response.topics[0].partitions[0];
        self.say(&format!("{} low={}", row.error_code.name(), row.low_watermark));
    }

    /// `produce t-0 a b`: one batch with these values. `seq=` and `late=` (epochs behind) make it a
    /// wrong one; so do `plain=1` (not transactional), `nameless=1` (no transactional id in the
    /// request) and `control=1`.
    fn produce(&mut self, words: &Words) {
        let (topic, partition) = partition_of(words.plain[0]);
        let mut producer = words.options.get("as").map(|name| self.producers[*name].clone());
        let mut builder = BatchBuilder::new();
        let values: Vec<&str> = words.plain[1..]
            .iter()
            .copied()
            .filter(|w| !["corrupt", "later"].contains(w))
            .collect();
        if let Some(producer) = &mut producer {
            let next = producer.sequences.entry(words.plain[0].to_owned()).or_default();
            let sequence = words.number("seq", i64::from(*next)) as i32;
            *next = sequence.wrapping_add(values.len() as i32) & i32::MAX;
            let epoch = ProducerEpoch(producer.epoch - words.number("late", 0) as i16);
            builder = builder.producer(ProducerId(producer.id), epoch, sequence);
            if producer.transactional_id.is_some() && !words.options.contains_key("plain") {
                builder = builder.transactional();
            }
        }
        if words.options.contains_key("control") {
            builder = builder.control();
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
        let named = !words.options.contains_key("nameless");
        let id = producer.as_ref().and_then(|p| p.transactional_id.clone());
        let request = ProduceRequest {
            transactional_id: id.filter(|_| named),
            acks: words.number("acks", -1) as i16,
            timeout_ms: 1000,
            topic_data: vec![data],
        };
        if let (Some(name), Some(producer)) = (words.options.get("as"), producer) {
            self.producers.insert((*name).to_owned(), producer);
        }
        let connection = words.number("on", 1) as u64;
        self.world.post(connection, version, &request);
        if !words.has("later") {
            self.world.pump();
            self.show_produced(connection, version);
        }
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
            let refused: Vec<_> =
                answer.record_errors.iter().map(|error| error.batch_index.to_string()).collect();
            let named = match refused.is_empty() {
                true => String::new(),
                false => format!(" records={}", refused.join(",")),
            };
            self.say(&format!("{}{named}", answer.error_code.name()));
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
            "earliest-local" => -4,
            "tiered" => -5,
            "pending-upload" => -6,
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
        let mut line = format!("{error} offset={} timestamp={}", row.offset, row.timestamp);
        if words.has("epochs") {
            line += &format!(" epoch={}", row.leader_epoch);
        }
        self.say(&line);
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
