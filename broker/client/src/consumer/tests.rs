//! The consumer's machines in golden scripts: `src/consumer/scripts/`. The form of scripts is told
//! in [`crate::core::script`]. The built-in assignors are tested in tables.
//!
//! Commands:
//! - `alone` or `group`, first of all: without or with a group id. More words for a group:
//!   `cooperative` and `range`, the assignors; `consumer`, the protocol; `static`; `auto-commit`;
//!   `assignor=<name>` of the coordinator; `metadata-age=<ms>`, the age at which they are renewed.
//! - `topic <name> <partitions>`: there is this topic besides `t`. `versions <Api> <max>`: brokers
//!   are older.
//! - A partition is one of `t`, or `<topic>-<partition>`.
//! - `subscribe [<topic>...]`, `pattern <regex>`, `unsubscribe`, `assign <partition>...`, `poll`,
//!   `seek <partition> <offset>`, `pause <partition>`, `commit <partition> <offset>`, `leave`: as in
//!   the API.
//! - `follows`: the topics that metadata are asked for.
//! - `reply <Api> <code> ...`, `cut <Api>`, `refuse <Api>`, `wait <ms>`. More words for some: JoinGroup
//!   `generation=<n>`, `leads`, `other=<partition>,...@<generation>` for a member that owns them;
//!   SyncGroup, the partitions; ConsumerGroupHeartbeat, `epoch=<n> interval=<ms>`, `has` and the
//!   partitions of an assignment; OffsetFetch and ListOffsets, `<partition>=<offset>`; Fetch,
//!   `session=<id>` and contents: `<partition>:<offset>+<count>` is a batch, `@<producer>` behind
//!   it makes it transactional, `<partition>:<offset>commit@<p>` and `abort` are markers,
//!   `<partition>:aborted@<producer>=<first offset>`, `<partition>:code=<code>`.

mod answers;
mod assignors;
mod lines;

use std::sync::Arc;
use std::time::Duration;

use mainstem_protocol::ApiKey;
use mainstem_protocol::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use mainstem_protocol::messages::{
    HeartbeatResponse, LeaveGroupResponse, ListOffsetsResponse, SyncGroupResponse,
};

use super::assignor::{Assignor, RangeAssignor};
use super::cooperative_sticky::CooperativeStickyAssignor;
use super::machine::ConsumerMachine;
use crate::config::{AutoOffsetReset, ConsumerConfig, GroupProtocol, Isolation};
use crate::core::OperationId;
use crate::core::script::{Cluster, check, code};
use crate::records::{OffsetAndMetadata, TopicPartition};
use answers::{assignment, beaten, fetched, joined, offsets_committed, offsets_fetched, pairs};
use lines::{show, show_polled};

struct World {
    cluster: Cluster,
    machine: ConsumerMachine,
    operations: Vec<OperationId>,
}

fn at(partition: &str) -> TopicPartition {
    let (topic, partition) = partition.split_once('-').unwrap_or(("t", partition));
    TopicPartition::new(topic, partition.parse().expect("a partition"))
}

fn config(words: &[&str]) -> ConsumerConfig {
    let mut config = ConsumerConfig::new("seed:9092")
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .isolation(Isolation::ReadCommitted)
        .max_partition_fetch_bytes(300);
    let mut assignors: Vec<Arc<dyn Assignor>> = Vec::new();
    for word in words {
        config = match *word {
            "alone" => config,
            "group" => config.group_id("g"),
            "consumer" => config.group_protocol(GroupProtocol::Consumer),
            "static" => config.group_instance_id("i"),
            "auto-commit" => config.auto_commit(Some(Duration::from_secs(3_600))),
            "cooperative" => {
                assignors.push(Arc::new(CooperativeStickyAssignor));
                config
            }
            "range" => {
                assignors.push(Arc::new(RangeAssignor));
                config
            }
            other => match other.split_once('=').expect("a word for a group") {
                ("assignor", name) => config.group_remote_assignor(name),
                ("metadata-age", ms) => {
                    let ms = ms.parse().expect("milliseconds");
                    config.metadata_max_age(Duration::from_millis(ms))
                }
                _ => panic!("no such word for a group: {other}"),
            },
        };
    }
    if !assignors.is_empty() {
        config = config.assignors(assignors);
    }
    config.check().expect("a config that makes sense");
    config
}

impl World {
    fn new(words: &[&str]) -> Self {
        let machine = ConsumerMachine::new(config(words), Cluster::address(), 1);
        Self { cluster: Cluster::new(), machine, operations: Vec::new() }
    }

    fn run(&mut self, words: &[&str]) -> Vec<String> {
        match words {
            ["alone" | "group", ..] => {}
            ["subscribe"] => self.machine.subscribe(&["t"]).expect("a group id"),
            ["subscribe", topics @ ..] => self.machine.subscribe(topics).expect("a group id"),
            ["unsubscribe"] => self.machine.subscribe(&[]).expect("a group id"),
            ["pattern", pattern] => {
                if let Err(error) = self.machine.subscribe_pattern(pattern) {
                    let first = error.to_string().lines().next().unwrap_or_default().to_owned();
                    self.cluster.trace.push(format!("  {first}"));
                }
            }
            ["topic", name, partitions] => {
                let partitions = partitions.parse().expect("a number");
                self.cluster.topics.insert((*name).to_owned(), partitions);
            }
            ["versions", api, max] => {
                let named = |key: &&ApiKey| format!("{key:?}") == *api;
                let key = *ApiKey::ALL.iter().find(named).expect("an API");
                self.cluster.versions_max.insert(key, max.parse().expect("a version"));
            }
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
            ["poll"] => self.poll(),
            ["commit", partition, offset] => {
                let offset = OffsetAndMetadata::new(offset.parse().expect("an offset"));
                match self.machine.start_commit(self.cluster.now, &[(at(partition), offset)]) {
                    Ok(operation) => self.operations.push(operation),
                    Err(error) => self.cluster.trace.push(format!("  {error}")),
                }
            }
            ["follows"] => {
                let names: Vec<&str> = self.machine.metadata.topics().map(|t| &*t.name).collect();
                self.cluster.trace.push(format!("  {}", names.join(" ")));
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

    fn poll(&mut self) {
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
            ApiKey::ConsumerGroupHeartbeat => {
                cluster.reply(machine, &asked, &beaten(error_code, rest));
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

#[test]
fn scripts() {
    check("src/consumer/scripts", || {
        let mut world: Option<World> = None;
        Box::new(move |words: &[&str]| world.get_or_insert_with(|| World::new(words)).run(words))
    });
}
