//! The consumer's machines in golden scripts: `src/consumer/scripts/`. The form of scripts is told
//! in [`crate::core::script`]. The built-in assignors are tested in tables at the end.
//!
//! Commands:
//! - `alone` or `group`, first of all: without or with a group id.
//! - `subscribe`, `assign <partition>...`, `poll`, `seek <partition> <offset>`,
//!   `pause <partition>`, `commit <partition> <offset>`, `leave`: as in the API.
//! - `reply <Api> <code> ...`, `cut <Api>`, `refuse <Api>`, `wait <ms>`. More words for some:
//!   JoinGroup `generation=<n>` and `leads`; SyncGroup, the partitions; OffsetFetch and ListOffsets,
//!   `<partition>=<offset>`; Fetch, `session=<id>` and contents: `<partition>:<offset>+<count>`
//!   is a batch, `@<producer>` behind it makes it transactional, `<partition>:<offset>commit@<p>`
//!   and `abort` are markers, `<partition>:aborted@<producer>=<first offset>`,
//!   `<partition>:code=<code>`.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use mainstem_protocol::consumer_protocol::{ConsumerProtocolAssignment, encode_assignment};
use mainstem_protocol::messages::fetch::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use mainstem_protocol::messages::join_group::JoinGroupResponseMember;
use mainstem_protocol::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use mainstem_protocol::messages::offset_commit::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use mainstem_protocol::messages::offset_fetch::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use mainstem_protocol::messages::records::consumer_protocol_assignment;
use mainstem_protocol::messages::{
    FetchRequest, FetchResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    SyncGroupRequest, SyncGroupResponse,
};
use mainstem_protocol::record::{BatchBuilder, ControlRecord, marker_batch, set_base_offset};
use mainstem_protocol::{
    ApiKey, ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, RecordsRef,
};

use super::assignor::{Assignor, Member, RangeAssignor, RoundRobinAssignor, StickyAssignor};
use super::machine::ConsumerMachine;
use crate::config::{AutoOffsetReset, ConsumerConfig, Isolation};
use crate::core::OperationId;
use crate::core::script::{Asked, Cluster, TOPIC_ID, check, code};
use crate::records::{OffsetAndMetadata, Polled, Rebalance, TopicPartition};

struct World {
    cluster: Cluster,
    machine: ConsumerMachine,
    operations: Vec<OperationId>,
}

fn at(partition: &str) -> TopicPartition {
    TopicPartition::new("t", partition.parse().expect("a partition"))
}

impl World {
    fn new(kind: &str) -> Self {
        let mut config = ConsumerConfig::new("seed:9092")
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .isolation(Isolation::ReadCommitted)
            .max_partition_fetch_bytes(300);
        if kind == "group" {
            config = config.group_id("g");
        }
        let machine = ConsumerMachine::new(config, Cluster::address(), 1);
        Self { cluster: Cluster::new(), machine, operations: Vec::new() }
    }

    fn run(&mut self, words: &[&str]) -> Vec<String> {
        match words {
            ["alone" | "group"] => {}
            ["subscribe"] => self.machine.subscribe(&["t"]).expect("a group id"),
            ["assign", rest @ ..] => {
                let partitions: Vec<_> = rest.iter().map(|p| at(p)).collect();
                self.machine.assign(&partitions).expect("assign");
            }
            ["seek", partition, offset] => {
                let offset = offset.parse().expect("an offset");
                self.machine.seek(&at(partition), offset).expect("assigned");
            }
            ["beginning", partition] => {
                self.machine.seek_to(&[at(partition)], -2).expect("assigned");
            }
            ["pause", partition] => {
                let name = at(partition);
                self.machine.positions().get_mut(&name).expect("assigned").paused = true;
            }
            ["poll"] => {
                self.machine.begin_poll(self.cluster.now);
                self.cluster.settle(&mut self.machine, show);
                let polled = self.machine.poll(self.cluster.now);
                let lines = match polled {
                    None => vec!["nothing".to_owned()],
                    Some(Ok(polled)) => show_polled(polled),
                    Some(Err(error)) => vec![error.to_string()],
                };
                self.cluster.trace.extend(lines.into_iter().map(|line| format!("  {line}")));
            }
            ["commit", partition, offset] => {
                let offset = OffsetAndMetadata::new(offset.parse().expect("an offset"));
                match self.machine.start_commit(self.cluster.now, &[(at(partition), offset)]) {
                    Ok(operation) => self.operations.push(operation),
                    Err(error) => self.cluster.trace.push(format!("  {error}")),
                }
            }
            ["leave"] => self.machine.leave(self.cluster.now),
            ["reply", api, rest @ ..] => self.reply(api, rest),
            ["cut", api] => self.cluster.cut(&mut self.machine, api),
            ["refuse", api] => self.cluster.refuse(&mut self.machine, api),
            ["wait", ms] => self.cluster.wait(ms.parse().expect("milliseconds")),
            other => panic!("no such command: {other:?}"),
        }
        self.cluster.settle(&mut self.machine, show);
        let (machine, trace) = (&mut self.machine, &mut self.cluster.trace);
        self.operations.retain(|operation| match machine.operations().take(*operation) {
            None => true,
            Some(result) => {
                let text = result.map_or_else(|error| error.to_string(), |_| "done".to_owned());
                trace.push(format!("  operation: {text}"));
                false
            }
        });
        std::mem::take(&mut self.cluster.trace)
    }

    fn reply(&mut self, api: &str, rest: &[&str]) {
        let asked = self.cluster.take(api);
        let (error_code, rest) = (code(rest[0]), &rest[1..]);
        let (cluster, machine) = (&mut self.cluster, &mut self.machine);
        match asked.api {
            ApiKey::JoinGroup => cluster.reply(machine, &asked, &joined(&asked, error_code, rest)),
            ApiKey::SyncGroup => {
                let assignment = assignment(rest);
                let response = SyncGroupResponse { error_code, assignment, ..Default::default() };
                cluster.reply(machine, &asked, &response);
            }
            ApiKey::Heartbeat => {
                let response = HeartbeatResponse { error_code, ..Default::default() };
                cluster.reply(machine, &asked, &response);
            }
            ApiKey::LeaveGroup => {
                let response = LeaveGroupResponse { error_code, ..Default::default() };
                cluster.reply(machine, &asked, &response);
            }
            ApiKey::OffsetFetch => {
                cluster.reply(machine, &asked, &offsets_fetched(error_code, rest));
            }
            ApiKey::OffsetCommit => {
                cluster.reply(machine, &asked, &offsets_committed(&asked, error_code));
            }
            ApiKey::ListOffsets => {
                let partitions =
                    pairs(rest).map(|(partition_index, offset)| ListOffsetsPartitionResponse {
                        partition_index,
                        error_code,
                        offset,
                        ..ListOffsetsPartitionResponse::default()
                    });
                let name = "t".to_owned();
                let topic = ListOffsetsTopicResponse { name, partitions: partitions.collect() };
                let response = ListOffsetsResponse { topics: vec![topic], ..Default::default() };
                cluster.reply(machine, &asked, &response);
            }
            ApiKey::Fetch => cluster.reply(machine, &asked, &fetched(error_code, rest)),
            other => panic!("no answer to {other:?}"),
        }
    }
}

/// `<partition>=<offset>` words.
fn pairs<'a>(words: &'a [&str]) -> impl Iterator<Item = (i32, i64)> + 'a {
    words.iter().map(|word| {
        let (partition, offset) = word.split_once('=').expect("partition=offset");
        (partition.parse().expect("a partition"), offset.parse().expect("an offset"))
    })
}

fn joined(asked: &Asked, error_code: ErrorCode, words: &[&str]) -> JoinGroupResponse {
    let request = asked.read::<JoinGroupRequest>();
    let generation = words.iter().find_map(|word| word.strip_prefix("generation="));
    let leads = words.contains(&"leads");
    let member = JoinGroupResponseMember {
        member_id: "me".to_owned(),
        metadata: request.protocols[0].metadata.clone(),
        ..JoinGroupResponseMember::default()
    };
    JoinGroupResponse {
        error_code,
        generation_id: generation.map_or(-1, |text| text.parse().expect("a generation")),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        leader: if leads { "me" } else { "other" }.to_owned(),
        member_id: "me".to_owned(),
        members: if leads { vec![member] } else { Vec::new() },
        ..JoinGroupResponse::default()
    }
}

fn assignment(partitions: &[&str]) -> Bytes {
    let partitions = partitions.iter().map(|p| p.parse().expect("a partition")).collect();
    let topic = "t".to_owned();
    let assigned = consumer_protocol_assignment::TopicPartition { topic, partitions };
    let blob = ConsumerProtocolAssignment { assigned_partitions: vec![assigned], user_data: None };
    encode_assignment(&blob, 3).expect("an assignment")
}

fn offsets_fetched(error_code: ErrorCode, words: &[&str]) -> OffsetFetchResponse {
    let partition = |(partition_index, committed_offset)| OffsetFetchResponsePartitions {
        partition_index,
        committed_offset,
        metadata: Some(String::new()),
        ..OffsetFetchResponsePartitions::default()
    };
    let partitions = pairs(words).map(partition);
    let topic = OffsetFetchResponseTopics {
        name: "t".to_owned(),
        partitions: partitions.collect(),
        ..OffsetFetchResponseTopics::default()
    };
    let group =
        OffsetFetchResponseGroup { group_id: "g".to_owned(), topics: vec![topic], error_code };
    OffsetFetchResponse { groups: vec![group], ..OffsetFetchResponse::default() }
}

fn offsets_committed(asked: &Asked, error_code: ErrorCode) -> OffsetCommitResponse {
    let request = asked.read::<OffsetCommitRequest>();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|p| OffsetCommitResponsePartition {
            partition_index: p.partition_index,
            error_code,
        });
        OffsetCommitResponseTopic {
            name: topic.name,
            partitions: partitions.collect(),
            ..OffsetCommitResponseTopic::default()
        }
    });
    OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() }
}

fn fetched(error_code: ErrorCode, words: &[&str]) -> FetchResponse {
    let session = words.iter().find_map(|word| word.strip_prefix("session="));
    let mut partitions: BTreeMap<i32, (PartitionData, BytesMut)> = BTreeMap::new();
    for word in words.iter().filter(|word| !word.starts_with("session=")) {
        let (partition, content) = word.split_once(':').expect("partition:content");
        let index: i32 = partition.parse().expect("a partition");
        let (data, bytes) = partitions.entry(index).or_default();
        data.partition_index = index;
        data.high_watermark = 1_000;
        data.last_stable_offset = 1_000;
        data.preferred_read_replica = -1;
        if let Some(name) = content.strip_prefix("code=") {
            data.error_code = code(name);
        } else if let Some(aborted) = content.strip_prefix("aborted@") {
            let (producer, first) = aborted.split_once('=').expect("producer=offset");
            data.aborted_transactions.get_or_insert_default().push(AbortedTransaction {
                producer_id: producer.parse().expect("a producer"),
                first_offset: first.parse().expect("an offset"),
            });
        } else {
            bytes.extend_from_slice(&batch(content));
        }
    }
    let partitions = partitions.into_values().map(|(mut data, bytes)| {
        data.records = Some(RecordsRef::Bytes(bytes.freeze()));
        data
    });
    let topic = FetchableTopicResponse {
        topic: "t".to_owned(),
        topic_id: TOPIC_ID,
        partitions: partitions.collect(),
    };
    let responses = if topic.partitions.is_empty() { Vec::new() } else { vec![topic] };
    let session_id = session.map_or(0, |text| text.parse().expect("a session"));
    FetchResponse { error_code, session_id, responses, ..FetchResponse::default() }
}

/// `<offset>+<count>[@<producer>]` or `<offset>commit@<producer>` or `<offset>abort@<producer>`.
fn batch(text: &str) -> Vec<u8> {
    let (what, producer) = match text.split_once('@') {
        Some((what, producer)) => (what, Some(producer.parse().expect("a producer"))),
        None => (text, None),
    };
    let id = ProducerId(producer.unwrap_or(-1));
    let marker = |marker| marker_batch(1, id, ProducerEpoch(0), LeaderEpoch(5), marker);
    let (offset, bytes) = if let Some(offset) = what.strip_suffix("commit") {
        (offset, marker(ControlRecord::Commit { coordinator_epoch: 0 }).expect("a marker"))
    } else if let Some(offset) = what.strip_suffix("abort") {
        (offset, marker(ControlRecord::Abort { coordinator_epoch: 0 }).expect("a marker"))
    } else {
        let (offset, count) = what.split_once('+').expect("offset+count");
        let mut builder = BatchBuilder::new().producer(id, ProducerEpoch(0), -1);
        if producer.is_some() {
            builder = builder.transactional();
        }
        for _ in 0..count.parse().expect("a count") {
            builder.push(1, None, Some(b"value"), &[]);
        }
        (offset, builder.finish().expect("a batch"))
    };
    let mut bytes = bytes.to_vec();
    set_base_offset(&mut bytes, Offset(offset.parse().expect("an offset")));
    bytes
}

fn show_polled(polled: Polled) -> Vec<String> {
    let names = |partitions: &[TopicPartition]| {
        partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    let rebalance = polled.rebalance.map(|rebalance| match rebalance {
        Rebalance::Revoked(partitions) => format!("revoked {}", names(&partitions)),
        Rebalance::Lost(partitions) => format!("lost {}", names(&partitions)),
        Rebalance::Assigned { partitions, .. } => format!("assigned {}", names(&partitions)),
    });
    let batches = polled.batches.into_iter().map(|batch| {
        let offsets: Vec<String> = batch.records.iter().map(|r| r.offset.to_string()).collect();
        format!("{}: {}", batch.topic_partition, offsets.join(" "))
    });
    rebalance.into_iter().chain(batches).collect()
}

/// A request as a line of the trace.
fn show(asked: &Asked) -> String {
    let name = format!("{:?} v{}", asked.api, asked.version);
    match asked.api {
        ApiKey::Fetch => {
            let request = asked.read::<FetchRequest>();
            let (id, epoch) = (request.session_id, request.session_epoch);
            let mut line = format!("{name} session={id}/{epoch} wait={}", request.max_wait_ms);
            for partition in request.topics.iter().flat_map(|topic| &topic.partitions) {
                line.push_str(&format!(" {}@{}", partition.partition, partition.fetch_offset));
            }
            for topic in &request.forgotten_topics_data {
                line.push_str(&format!(" without {:?}", topic.partitions));
            }
            line
        }
        ApiKey::JoinGroup => {
            format!("{name} member={:?}", asked.read::<JoinGroupRequest>().member_id)
        }
        ApiKey::SyncGroup => {
            let request = asked.read::<SyncGroupRequest>();
            let (generation, count) = (request.generation_id, request.assignments.len());
            format!("{name} generation={generation} assignments={count}")
        }
        ApiKey::Heartbeat => {
            format!("{name} generation={}", asked.read::<HeartbeatRequest>().generation_id)
        }
        ApiKey::OffsetCommit => {
            let request = asked.read::<OffsetCommitRequest>();
            let generation = request.generation_id_or_member_epoch;
            let offset = request.topics[0].partitions[0].committed_offset;
            format!("{name} generation={generation} offset={offset}")
        }
        ApiKey::OffsetFetch => {
            let request = asked.read::<OffsetFetchRequest>();
            let topics = request.groups[0].topics.as_deref().unwrap_or_default();
            format!("{name} stable={} {:?}", request.require_stable, topics[0].partition_indexes)
        }
        ApiKey::ListOffsets => {
            let request = asked.read::<ListOffsetsRequest>();
            let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
            let asked: Vec<String> =
                partitions.map(|p| format!("{}@{}", p.partition_index, p.timestamp)).collect();
            format!("{name} {}", asked.join(" "))
        }
        _ => name,
    }
}

#[test]
fn scripts() {
    check("src/consumer/scripts", || {
        let mut world: Option<World> = None;
        Box::new(move |words: &[&str]| world.get_or_insert_with(|| World::new(words[0])).run(words))
    });
}

/// `id: topics [owned]` per member.
fn members(text: &[(&str, &str, &[i32])]) -> Vec<Member> {
    let member = |(id, topics, owned): &(&str, &str, &[i32])| Member {
        id: (*id).to_owned(),
        group_instance_id: None,
        topics: topics.split(' ').map(str::to_owned).collect(),
        owned: owned.iter().map(|p| TopicPartition::new("a", *p)).collect(),
        user_data: Bytes::new(),
    };
    text.iter().map(member).collect()
}

fn assign(assignor: &dyn Assignor, counts: &[(&str, i32)], members: &[Member]) -> String {
    let counts = counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect();
    let assigned = assignor.assign(&counts, members).expect("an assignment");
    let line = |(id, a): (String, super::assignor::MemberAssignment)| {
        let names: Vec<String> = a.partitions.iter().map(ToString::to_string).collect();
        format!("{id}={}", names.join(","))
    };
    assigned.into_iter().map(line).collect::<Vec<_>>().join(" ")
}

#[test]
fn assignors() {
    let two = members(&[("m1", "a b", &[]), ("m2", "a b", &[])]);
    let counts = [("a", 3), ("b", 3)];
    let range = assign(&RangeAssignor, &counts, &two);
    assert_eq!(range, "m1=a-0,a-1,b-0,b-1 m2=a-2,b-2");
    let round_robin = assign(&RoundRobinAssignor, &counts, &two);
    assert_eq!(round_robin, "m1=a-0,a-2,b-1 m2=a-1,b-0,b-2");
    let apart = members(&[("m1", "a", &[]), ("m2", "b", &[])]);
    assert_eq!(assign(&RangeAssignor, &counts, &apart), "m1=a-0,a-1,a-2 m2=b-0,b-1,b-2");
    let owners = members(&[("m1", "a", &[2, 3]), ("m2", "a", &[0, 1]), ("m3", "a", &[])]);
    let sticky = assign(&StickyAssignor, &[("a", 6)], &owners);
    assert_eq!(sticky, "m1=a-2,a-3 m2=a-0,a-1 m3=a-4,a-5");
    let greedy = members(&[("m1", "a", &[0, 1, 2, 3]), ("m2", "a", &[])]);
    assert_eq!(assign(&StickyAssignor, &[("a", 4)], &greedy), "m1=a-0,a-1 m2=a-2,a-3");
    assert_eq!(assign(&RangeAssignor, &counts, &[]), "");
}
