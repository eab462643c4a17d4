//! A group coordinator with its log, as scripts see it.
//!
//! | command | meaning |
//! |---|---|
//! | `config delay=3000 size=2 groups=2 retention=..` | a new coordinator, times in ms |
//! | `join A group=g v=9 session=10000 protocols=range:m` | `member=$A`, `instance=i` optional |
//! | `sync A group=g gen=1 member=$A assign=$A:x,$B:y` | v5 wants `type= protocol=` |
//! | `heartbeat A`, `leave A member=$A` / `instance=i` / `members=$A,$B` | |
//! | `commit A group=g t-0=5 meta=..` | `member= gen=` optional |
//! | `txn-commit A group=g pid=7 epoch=0 t-0=5` | |
//! | `fetch A group=g t-0 stable` | no partition: all of them |
//! | `delete-offsets A group=g t-0 u-0` | OffsetDelete |
//! | `marker pid=7 commit` | the transaction's end reaches the log |
//! | `describe A g operations=yes`, `list A states=..`, `delete A g h`, `drop-topic t` | |
//! | `tick 5000` | time passes, timers fire on the way |
//! | `appends hold` / `lose` / `release` / `fail=CODE` | what becomes of appends |
//! | `crash` | the state is gone, the log is read again |
//! | `resign` | the partition moves away |
//!
//! What consumer groups need beside these is in `consumer`.
//!
//! The first word after a command names who asks. `$A` stands for the member id that A was given.

use super::consumer;
use super::group_drawing::{answer, draw};
use super::{Command, Play, code};
use bytes::Bytes;
use mainstem_coordinator::group::{
    ConsumerGroupConfig, GroupConfig, GroupCoordinator, GroupEffect, GroupRequest, GroupResponse,
    MigrationPolicy, ServerAssignor, TopicDirectory,
};
use mainstem_coordinator::{AppendToken, ClientContext, CoordinatorRecord};
use mainstem_platform::{Instant, Now};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};
use mainstem_protocol::messages::*;
use std::collections::BTreeMap;
use std::time::Duration;

const PARTITION: PartitionIndex = PartitionIndex(0);

/// Topics `t`, `u` and `v` exist; the id of a topic is its letter.
pub(crate) struct Topics;

impl TopicDirectory for Topics {
    fn topic_id(&self, name: &str) -> Option<TopicId> {
        matches!(name, "t" | "u" | "v").then(|| TopicId([name.as_bytes()[0]; 16]))
    }

    fn topic_name(&self, id: TopicId) -> Option<&str> {
        ["t", "u", "v"].into_iter().find(|name| self.topic_id(name) == Some(id))
    }

    fn partition_count(&self, _: TopicId) -> Option<i32> {
        Some(3)
    }

    fn for_each_topic(&self, visit: &mut dyn FnMut(&str)) {
        ["t", "u", "v"].into_iter().for_each(visit);
    }

    fn version(&self) -> i64 {
        1
    }
}

enum Entry {
    Record(CoordinatorRecord, Option<ProducerId>),
    Marker(ProducerId, bool),
}

#[derive(Clone, Copy, PartialEq)]
enum Appends {
    Through,
    Held,
    /// Held, and not in the log.
    Lost,
    Failing(ErrorCode),
}

pub(crate) struct World {
    config: GroupConfig,
    machine: GroupCoordinator,
    log: Vec<Entry>,
    now_ms: u64,
    appends: Appends,
    held: Vec<AppendToken>,
    bases: BTreeMap<AppendToken, i64>,
    /// Member id -> the name of the one who was given it.
    names: BTreeMap<String, String>,
    askers: Vec<String>,
    topics: consumer::Catalog,
}

impl World {
    pub(crate) fn new() -> Self {
        let config = GroupConfig {
            offsets_partitions: 1,
            initial_rebalance_delay: Duration::ZERO,
            offset_metadata_bytes_max: 16,
            consumer: ConsumerGroupConfig {
                assignment_interval: Duration::ZERO,
                ..ConsumerGroupConfig::default()
            },
            ..GroupConfig::default()
        };
        let mut world = Self {
            machine: GroupCoordinator::new(config.clone(), 1),
            config,
            log: Vec::new(),
            now_ms: 0,
            appends: Appends::Through,
            held: Vec::new(),
            bases: BTreeMap::new(),
            names: BTreeMap::new(),
            askers: Vec::new(),
            topics: consumer::Catalog::new(),
        };
        world.load();
        world
    }

    fn now(&self) -> Now {
        Now { instant: Instant::from_millis(self.now_ms), wall_ms: self.now_ms as i64 }
    }

    fn load(&mut self) {
        self.machine.begin_load(PARTITION, LeaderEpoch(1));
        for (offset, entry) in (0..).map(Offset).zip(&self.log) {
            match entry {
                Entry::Record(record, producer) => self.machine.load_record(
                    PARTITION,
                    offset,
                    *producer,
                    &record.key,
                    record.value.as_ref(),
                ),
                Entry::Marker(producer, commit) => {
                    self.machine.load_marker(PARTITION, *producer, *commit);
                }
            }
        }
        self.machine.finish_load(self.now(), PARTITION);
    }

    fn configure(&mut self, command: &Command) {
        let ms = |name: &str, default: Duration| {
            Duration::from_millis(command.number(name, default.as_millis() as u64))
        };
        self.config.initial_rebalance_delay = ms("delay", self.config.initial_rebalance_delay);
        self.config.offsets_retention = ms("retention", self.config.offsets_retention);
        self.config.offsets_retention_check_interval =
            ms("check", self.config.offsets_retention_check_interval);
        self.config.group_size_max = command.number("size", self.config.group_size_max);
        self.config.groups_max = command.number("groups", self.config.groups_max);
        let own = &mut self.config.consumer;
        own.group_size_max = command.number("consumer-size", own.group_size_max);
        own.assignment_interval = ms("interval", own.assignment_interval);
        if let Some(name) = command.text("migration") {
            let named = |policy: &MigrationPolicy| policy.name() == name;
            own.migration_policy = MigrationPolicy::ALL.into_iter().find(named).expect("a policy");
        }
        if let Some(names) = command.text("assignors") {
            let find = |name: &str| ServerAssignor::find(name).expect("an assignor");
            own.assignors = names.split(',').map(find).collect();
        }
        self.machine = GroupCoordinator::new(self.config.clone(), 1);
        self.load();
    }

    fn request(&mut self, command: &Command, request: GroupRequest) {
        let version = command.number("v", newest(&request));
        let context = ClientContext {
            api_version: version,
            client_id: command.word(0).to_lowercase(),
            client_host: "/1.2.3.4".to_owned(),
        };
        self.askers.push(command.word(0).to_owned());
        let to = self.askers.len() as u64 - 1;
        self.machine.handle_request(self.now(), &context, &self.topics, request, to);
    }

    /// A member id by the name of its holder.
    fn member(&self, text: &str) -> String {
        let Some(name) = text.strip_prefix('$') else { return text.to_owned() };
        let found = self.names.iter().find(|(_, holder)| *holder == name);
        found.map_or_else(|| format!("nobody-{name}"), |(id, _)| id.clone())
    }

    fn member_of(&self, command: &Command) -> String {
        self.member(command.text("member").unwrap_or(""))
    }

    fn drain(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                GroupEffect::Append { token, records, producer, .. } => {
                    let fate = match self.appends {
                        Appends::Through => "log",
                        Appends::Held => "log (held)",
                        Appends::Lost => "log (lost)",
                        Appends::Failing(_) => "log (fails)",
                    };
                    let txn =
                        producer.map(|p| format!("txn {}:{} ", p.id, p.epoch)).unwrap_or_default();
                    for record in &records {
                        lines.push(self.name(&format!("{fate} <- {txn}{}", draw(record))));
                    }
                    if matches!(self.appends, Appends::Through | Appends::Held) {
                        self.bases.insert(token, self.log.len() as i64);
                        let producer = producer.map(|producer| producer.id);
                        self.log.extend(records.into_iter().map(|r| Entry::Record(r, producer)));
                    }
                    self.held.push(token);
                    self.settle();
                }
                GroupEffect::Reply { to, response } => {
                    let asker = self.askers[to as usize].clone();
                    if let GroupResponse::JoinGroup(response) = &response
                        && matches!(
                            response.error_code,
                            ErrorCode::NONE | ErrorCode::MEMBER_ID_REQUIRED
                        )
                        && !self.names.contains_key(&response.member_id)
                    {
                        self.names.retain(|_, holder| *holder != asker);
                        self.names.insert(response.member_id.clone(), asker.clone());
                    }
                    if let GroupResponse::ConsumerGroupHeartbeat(response) = &response
                        && let Some(id) = &response.member_id
                        && *id != asker.to_lowercase()
                    {
                        self.names.insert(id.clone(), asker.clone());
                    }
                    lines.push(self.name(&format!("{asker} <- {}", answer(&response))));
                }
                GroupEffect::Reload { .. } => {
                    lines.push("reload".to_owned());
                    self.load();
                }
            }
        }
        lines
    }

    fn settle(&mut self) {
        let now = self.now();
        match self.appends {
            Appends::Held | Appends::Lost => {}
            Appends::Through => {
                for token in std::mem::take(&mut self.held) {
                    self.machine.handle_appended(now, token, Ok(Offset(self.bases[&token])));
                }
            }
            Appends::Failing(code) => {
                for token in std::mem::take(&mut self.held) {
                    self.machine.handle_appended(now, token, Err(code));
                }
            }
        }
    }

    /// Member ids read as the names of their holders.
    fn name(&self, line: &str) -> String {
        let named =
            |line: String, (id, name): (&String, &String)| line.replace(id, &format!("${name}"));
        self.names.iter().fold(line.to_owned(), named)
    }

    fn tick(&mut self, ms: u64) -> Vec<String> {
        let end = self.now_ms + ms;
        let mut lines = Vec::new();
        while let Some(at) = self.machine.deadline().map(|at| at.0.div_ceil(1_000_000)) {
            if end < at {
                break;
            }
            self.now_ms = self.now_ms.max(at);
            self.machine.handle_timeout(self.now(), &self.topics);
            let drawn = self.drain();
            lines.extend(drawn.into_iter().map(|line| format!("[{}] {line}", self.now_ms)));
        }
        self.now_ms = end;
        lines
    }
}

impl Play for World {
    fn play(&mut self, command: &Command) -> Vec<String> {
        match command.name.as_str() {
            "config" => self.configure(command),
            "topics" => self.topics.change(command),
            "beat" => {
                let id = match command.text("member") {
                    Some(_) => self.member_of(command),
                    None => command.word(0).to_lowercase(),
                };
                self.request(command, consumer::beat(command, id));
            }
            "describe-consumer" => self.request(command, consumer::describe(command)),
            "join" => self.request(command, self.join(command)),
            "sync" => self.request(command, self.sync(command)),
            "heartbeat" => self.request(command, self.heartbeat(command)),
            "leave" => self.request(command, self.leave(command)),
            "commit" => self.request(command, self.commit(command)),
            "txn-commit" => self.request(command, self.txn_commit(command)),
            "fetch" => self.request(command, fetch(command)),
            "delete-offsets" => self.request(command, delete_offsets(command)),
            "describe" => {
                let request = DescribeGroupsRequest {
                    groups: command.words[1..].to_vec(),
                    include_authorized_operations: command.text("operations") == Some("yes"),
                };
                self.request(command, GroupRequest::DescribeGroups(request));
            }
            "list" => {
                let list = |name| -> Vec<String> {
                    command.text(name).iter().map(|word| (*word).to_owned()).collect()
                };
                let request = ListGroupsRequest {
                    states_filter: list("states"),
                    types_filter: list("types"),
                };
                self.request(command, GroupRequest::ListGroups(request));
            }
            "delete" => {
                let groups_names = command.words[1..].to_vec();
                let request = DeleteGroupsRequest { groups_names };
                self.request(command, GroupRequest::DeleteGroups(request));
            }
            "marker" => {
                let producer = ProducerId(command.number("pid", 0));
                let commit = command.has("commit");
                self.log.push(Entry::Marker(producer, commit));
                self.machine.handle_marker(PARTITION, producer, commit);
            }
            "drop-topic" => self.machine.handle_topics_deleted(&[command.word(0)]),
            "tick" => return self.tick(command.word(0).parse().expect("milliseconds")),
            "appends" => {
                self.appends = match (command.text("fail"), command.has("hold")) {
                    (Some(name), _) => Appends::Failing(code(name)),
                    (None, true) => Appends::Held,
                    (None, false) if command.has("lose") => Appends::Lost,
                    (None, false) => Appends::Through,
                };
                self.settle();
            }
            "crash" => {
                let seed = self.askers.len() as u64;
                self.machine = GroupCoordinator::new(self.config.clone(), seed);
                self.held.clear();
                self.load();
            }
            "resign" => self.machine.resign(PARTITION),
            "loading" => self.machine.begin_load(PARTITION, LeaderEpoch(2)),
            other => panic!("no command {other}"),
        }
        self.drain()
    }
}

impl World {
    fn join(&self, command: &Command) -> GroupRequest {
        let protocols = command.text("protocols").unwrap_or("range:m");
        let protocol = |text: &str| {
            let (name, metadata) = text.split_once(':').unwrap_or((text, ""));
            join_group::JoinGroupRequestProtocol {
                name: name.to_owned(),
                metadata: consumer::subscription(command)
                    .unwrap_or_else(|| Bytes::from(metadata.to_owned())),
            }
        };
        GroupRequest::JoinGroup(JoinGroupRequest {
            group_id: command.text("group").unwrap_or("g").to_owned(),
            session_timeout_ms: command.number("session", 10_000),
            rebalance_timeout_ms: command.number("rebalance", 60_000),
            member_id: self.member_of(command),
            group_instance_id: command.text("instance").map(str::to_owned),
            protocol_type: command.text("type").unwrap_or("consumer").to_owned(),
            protocols: protocols.split(',').map(protocol).collect(),
            reason: None,
        })
    }

    fn sync(&self, command: &Command) -> GroupRequest {
        let assignments = match command.text("share") {
            Some(text) => consumer::shares(text),
            None => {
                let parts = command.text("assign").unwrap_or_default().split(',');
                let parts = parts.filter_map(|part| part.split_once(':'));
                parts.map(|(id, text)| (id.to_owned(), Bytes::from(text.to_owned()))).collect()
            }
        };
        let assignment = |(member, assignment): (String, Bytes)| {
            let member_id = self.member(&member);
            sync_group::SyncGroupRequestAssignment { member_id, assignment }
        };
        GroupRequest::SyncGroup(SyncGroupRequest {
            group_id: command.text("group").unwrap_or("g").to_owned(),
            generation_id: command.number("gen", 1),
            member_id: self.member_of(command),
            group_instance_id: command.text("instance").map(str::to_owned),
            protocol_type: command.text("type").map(str::to_owned),
            protocol_name: command.text("protocol").map(str::to_owned),
            assignments: assignments.into_iter().map(assignment).collect(),
        })
    }

    fn heartbeat(&self, command: &Command) -> GroupRequest {
        GroupRequest::Heartbeat(HeartbeatRequest {
            group_id: command.text("group").unwrap_or("g").to_owned(),
            generation_id: command.number("gen", 1),
            member_id: self.member_of(command),
            group_instance_id: command.text("instance").map(str::to_owned),
        })
    }

    fn leave(&self, command: &Command) -> GroupRequest {
        let member = |member_id: String, instance: Option<&str>| leave_group::MemberIdentity {
            member_id,
            group_instance_id: instance.map(str::to_owned),
            reason: None,
        };
        let members = match command.text("members") {
            Some(all) => all.split(',').map(|one| member(self.member(one), None)).collect(),
            None => vec![member(self.member_of(command), command.text("instance"))],
        };
        GroupRequest::LeaveGroup(LeaveGroupRequest {
            group_id: command.text("group").unwrap_or("g").to_owned(),
            member_id: self.member_of(command),
            members,
        })
    }

    fn commit(&self, command: &Command) -> GroupRequest {
        let partition = |index, offset| offset_commit::OffsetCommitRequestPartition {
            partition_index: index,
            committed_offset: offset,
            committed_metadata: command.text("meta").map(str::to_owned),
            ..Default::default()
        };
        let topic =
            |(name, index, offset): (String, i32, i64)| offset_commit::OffsetCommitRequestTopic {
                topic_id: Topics.topic_id(&name).unwrap_or(TopicId([9; 16])),
                name,
                partitions: vec![partition(index, offset)],
            };
        GroupRequest::OffsetCommit(OffsetCommitRequest {
            group_id: command.text("group").unwrap_or("g").to_owned(),
            generation_id_or_member_epoch: command.number("gen", -1),
            member_id: self.member_of(command),
            group_instance_id: command.text("instance").map(str::to_owned),
            retention_time_ms: command.number("retention", -1),
            topics: offsets(command).into_iter().map(topic).collect(),
        })
    }

    fn txn_commit(&self, command: &Command) -> GroupRequest {
        let partition = |index, offset| txn_offset_commit::TxnOffsetCommitRequestPartition {
            partition_index: index,
            committed_offset: offset,
            committed_metadata: command.text("meta").map(str::to_owned),
            ..Default::default()
        };
        let topic = |(name, index, offset): (String, i32, i64)| {
            txn_offset_commit::TxnOffsetCommitRequestTopic {
                name,
                partitions: vec![partition(index, offset)],
            }
        };
        GroupRequest::TxnOffsetCommit(TxnOffsetCommitRequest {
            transactional_id: "tx".to_owned(),
            group_id: command.text("group").unwrap_or("g").to_owned(),
            producer_id: command.number("pid", 0),
            producer_epoch: command.number("epoch", 0),
            generation_id_or_member_epoch: command.number("gen", -1),
            member_id: self.member_of(command),
            group_instance_id: command.text("instance").map(str::to_owned),
            topics: offsets(command).into_iter().map(topic).collect(),
        })
    }
}

/// The `topic-partition=offset` pairs of a command.
fn offsets(command: &Command) -> Vec<(String, i32, i64)> {
    let offset = |(name, value): (&String, &String)| {
        let (topic, index) = name.split_once('-')?;
        Some((topic.to_owned(), index.parse().ok()?, value.parse().ok()?))
    };
    command.pairs.iter().filter_map(offset).collect()
}

fn delete_offsets(command: &Command) -> GroupRequest {
    let asked = command.words[1..].iter().filter_map(|word| word.split_once('-'));
    let topic = |(name, index): (&str, &str)| {
        let partition_index = index.parse().expect("a partition");
        offset_delete::OffsetDeleteRequestTopic {
            name: name.to_owned(),
            partitions: vec![offset_delete::OffsetDeleteRequestPartition { partition_index }],
        }
    };
    GroupRequest::OffsetDelete(OffsetDeleteRequest {
        group_id: command.text("group").unwrap_or("g").to_owned(),
        topics: asked.map(topic).collect(),
    })
}

fn fetch(command: &Command) -> GroupRequest {
    let group_id = command.text("group").unwrap_or("g").to_owned();
    let asked = command.words[1..].iter().filter_map(|word| word.split_once('-'));
    let asked: Vec<(String, i32)> = asked
        .map(|(topic, index)| (topic.to_owned(), index.parse().expect("a partition")))
        .collect();
    let old = asked.iter().map(|(name, index)| offset_fetch::OffsetFetchRequestTopic {
        name: name.clone(),
        partition_indexes: vec![*index],
    });
    let new = asked.iter().map(|(name, index)| offset_fetch::OffsetFetchRequestTopics {
        topic_id: Topics.topic_id(name).unwrap_or(TopicId([9; 16])),
        name: name.clone(),
        partition_indexes: vec![*index],
    });
    let (old, new): (Vec<_>, Vec<_>) = (old.collect(), new.collect());
    let all = asked.is_empty();
    GroupRequest::OffsetFetch(OffsetFetchRequest {
        group_id: group_id.clone(),
        topics: (!all).then_some(old),
        groups: vec![offset_fetch::OffsetFetchRequestGroup {
            group_id,
            member_id: command.text("member").map(str::to_owned),
            member_epoch: command.number("epoch", -1),
            topics: (!all).then_some(new),
        }],
        require_stable: command.has("stable"),
    })
}

fn newest(request: &GroupRequest) -> i16 {
    match request {
        GroupRequest::JoinGroup(_) => 9,
        GroupRequest::ConsumerGroupHeartbeat(_) | GroupRequest::ConsumerGroupDescribe(_) => 1,
        GroupRequest::LeaveGroup(_) => 5,
        // From v5 on the chosen protocol has to be named.
        GroupRequest::SyncGroup(_) | GroupRequest::Heartbeat(_) => 4,
        GroupRequest::DescribeGroups(_) => 6,
        GroupRequest::ListGroups(_) | GroupRequest::TxnOffsetCommit(_) => 5,
        GroupRequest::DeleteGroups(_) => 2,
        GroupRequest::OffsetDelete(_) => 0,
        GroupRequest::OffsetCommit(_) | GroupRequest::OffsetFetch(_) => 9,
    }
}
