//! Whatever happens to groups: a replay of the log gives the state that lives, and every request is
//! answered exactly once. Random histories from a printed seed; the rules themselves are written
//! down in `tests/scripts/group`.

use super::offsets::OffsetTable;
use super::*;
use crate::log::{AppendToken, ClientContext, CoordinatorRecord, partition_for};
use bytes::Bytes;
use mainstem_platform::{Instant, Now, Random, SeededRandom};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicId};
use mainstem_protocol::messages::join_group::JoinGroupRequestProtocol;
use mainstem_protocol::messages::leave_group::MemberIdentity;
use mainstem_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use mainstem_protocol::messages::sync_group::SyncGroupRequestAssignment;
use mainstem_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use mainstem_protocol::messages::*;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const GROUPS: [&str; 3] = ["g", "h", "i"];
const PARTITIONS: i32 = 2;

enum Entry {
    Record(CoordinatorRecord, Option<ProducerId>),
    Marker(ProducerId, bool),
}

struct Topics;

impl TopicDirectory for Topics {
    fn topic_id(&self, _: &str) -> Option<TopicId> {
        Some(TopicId([1; 16]))
    }

    fn topic_name(&self, _: TopicId) -> Option<&str> {
        None
    }

    fn partition_count(&self, _: TopicId) -> Option<i32> {
        Some(3)
    }

    fn for_each_topic(&self, visit: &mut dyn FnMut(&str)) {
        visit("t");
    }

    fn version(&self) -> i64 {
        1
    }
}

struct World {
    random: SeededRandom,
    machine: GroupCoordinator,
    logs: BTreeMap<PartitionIndex, Vec<Entry>>,
    now_ms: u64,
    /// Appends whose outcome was not told yet, in order.
    open: VecDeque<(AppendToken, i64)>,
    members: Vec<(String, String, i32)>,
    asked: u64,
    answered: BTreeMap<u64, u32>,
    crashes: u64,
}

fn config() -> GroupConfig {
    GroupConfig {
        offsets_partitions: PARTITIONS,
        initial_rebalance_delay: Duration::from_millis(100),
        offsets_retention: Duration::from_secs(100),
        offsets_retention_check_interval: Duration::from_secs(10),
        ..GroupConfig::default()
    }
}

fn replay(logs: &BTreeMap<PartitionIndex, Vec<Entry>>, now: Now, seed: u64) -> GroupCoordinator {
    let mut machine = GroupCoordinator::new(config(), seed);
    for (partition, log) in logs {
        machine.begin_load(*partition, LeaderEpoch(1));
        for (offset, entry) in (0..).map(Offset).zip(log) {
            match entry {
                Entry::Record(record, producer) => {
                    let value = record.value.as_ref();
                    machine.load_record(*partition, offset, *producer, &record.key, value);
                }
                Entry::Marker(producer, commit) => {
                    machine.load_marker(*partition, *producer, *commit);
                }
            }
        }
        machine.finish_load(now, *partition);
    }
    machine
}

impl World {
    fn new(seed: u64) -> Self {
        let logs: BTreeMap<_, _> =
            (0..PARTITIONS).map(|partition| (PartitionIndex(partition), Vec::new())).collect();
        Self {
            random: SeededRandom::new(seed),
            machine: replay(&logs, Now::default(), 0),
            logs,
            now_ms: 0,
            open: VecDeque::new(),
            members: Vec::new(),
            asked: 0,
            answered: BTreeMap::new(),
            crashes: 0,
        }
    }

    fn now(&self) -> Now {
        Now { instant: Instant::from_millis(self.now_ms), wall_ms: self.now_ms as i64 }
    }

    fn drain(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                GroupEffect::Append { token, partition, records, producer } => {
                    if self.random.one_in(20) {
                        let refused = Err(ErrorCode::MESSAGE_TOO_LARGE);
                        // Outcomes are told in order, so the ones before come first.
                        self.settle(usize::MAX);
                        self.machine.handle_appended(self.now(), token, refused);
                        continue;
                    }
                    let log = self.logs.get_mut(&partition).expect("a partition of ours");
                    self.open.push_back((token, log.len() as i64));
                    let producer = producer.map(|producer| producer.id);
                    log.extend(records.into_iter().map(|record| Entry::Record(record, producer)));
                }
                GroupEffect::Reply { to, response } => {
                    *self.answered.entry(to).or_default() += 1;
                    if let GroupResponse::JoinGroup(response) = response
                        && !response.member_id.is_empty()
                    {
                        let group = GROUPS[(to % 3) as usize].to_owned();
                        self.members.push((group, response.member_id, response.generation_id));
                    }
                }
                GroupEffect::Reload { .. } => unreachable!("no append ends in doubt here"),
            }
        }
    }

    fn settle(&mut self, most: usize) {
        for _ in 0..most {
            let Some((token, base)) = self.open.pop_front() else { break };
            self.machine.handle_appended(self.now(), token, Ok(Offset(base)));
            self.drain();
        }
    }

    fn pick<'a, T>(random: &mut SeededRandom, from: &'a [T]) -> Option<&'a T> {
        from.get(usize::try_from(random.below(from.len() as u64)).unwrap_or(0))
    }

    /// A member that joined at some time, or nobody.
    fn member(&mut self, group: &str) -> (String, i32) {
        let of: Vec<_> = self.members.iter().filter(|(g, _, _)| g == group).collect();
        let recent = &of[of.len().saturating_sub(4)..];
        match Self::pick(&mut self.random, recent) {
            Some((_, member, generation)) => (member.clone(), *generation),
            None => (String::new(), -1),
        }
    }

    fn commit(&mut self, group_id: String, member: String, generation: i32) -> GroupRequest {
        let bare = self.random.one_in(2);
        GroupRequest::OffsetCommit(OffsetCommitRequest {
            group_id,
            generation_id_or_member_epoch: if bare { -1 } else { generation },
            member_id: if bare { String::new() } else { member },
            topics: vec![OffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: self.random.below(3) as i32,
                    committed_offset: self.random.below(1_000) as i64,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..OffsetCommitRequest::default()
        })
    }

    fn request(&mut self, group: &str) -> GroupRequest {
        let (member, generation) = self.member(group);
        let group_id = group.to_owned();
        let partition = self.random.below(3) as i32;
        let offset = self.random.below(1_000) as i64;
        let instance = self.random.one_in(4).then(|| "instance".to_owned());
        match self.random.below(12) {
            0..=3 => GroupRequest::JoinGroup(JoinGroupRequest {
                group_id,
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: 20_000,
                member_id: if self.random.one_in(3) { String::new() } else { member },
                group_instance_id: instance,
                protocol_type: "consumer".to_owned(),
                protocols: vec![JoinGroupRequestProtocol {
                    name: "range".to_owned(),
                    metadata: Bytes::from(offset.to_string()),
                }],
                reason: None,
            }),
            4 | 5 => GroupRequest::SyncGroup(SyncGroupRequest {
                group_id,
                generation_id: generation,
                assignments: vec![SyncGroupRequestAssignment {
                    member_id: member.clone(),
                    assignment: Bytes::from(offset.to_string()),
                }],
                member_id: member,
                ..SyncGroupRequest::default()
            }),
            6 => GroupRequest::Heartbeat(HeartbeatRequest {
                group_id,
                generation_id: generation,
                member_id: member,
                group_instance_id: None,
            }),
            7 => GroupRequest::LeaveGroup(LeaveGroupRequest {
                group_id,
                member_id: String::new(),
                members: vec![MemberIdentity { member_id: member, ..Default::default() }],
            }),
            8 | 9 => self.commit(group_id, member, generation),
            10 => GroupRequest::TxnOffsetCommit(TxnOffsetCommitRequest {
                group_id,
                producer_id: self.random.below(2) as i64,
                topics: vec![TxnOffsetCommitRequestTopic {
                    name: "t".to_owned(),
                    partitions: vec![TxnOffsetCommitRequestPartition {
                        partition_index: partition,
                        committed_offset: offset,
                        ..Default::default()
                    }],
                }],
                ..TxnOffsetCommitRequest::default()
            }),
            _ => GroupRequest::DeleteGroups(DeleteGroupsRequest {
                groups_names: GROUPS.iter().map(|group| (*group).to_owned()).collect(),
            }),
        }
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0 => {
                self.now_ms += self.random.below(12_000);
                self.machine.handle_timeout(self.now(), &Topics);
            }
            1 => {
                // A marker is reported after everything before it in the log.
                self.settle(usize::MAX);
                let producer = ProducerId(self.random.below(2) as i64);
                let commit = self.random.one_in(2);
                let partition = PartitionIndex(self.random.below(PARTITIONS as u64) as i32);
                let log = self.logs.get_mut(&partition).expect("a partition of ours");
                log.push(Entry::Marker(producer, commit));
                self.machine.handle_marker(partition, producer, commit);
            }
            2 | 3 => {
                let most = self.random.below(4) as usize;
                self.settle(most);
            }
            4 if self.random.one_in(5) => self.crash(),
            5 if self.random.one_in(10) => self.machine.handle_topics_deleted(&["t"]),
            _ => {
                let to = self.asked;
                self.asked += 1;
                let group = GROUPS[(to % 3) as usize];
                let request = self.request(group);
                let newest = [9, 4, 4, 5, 9, 5, 2];
                let place = match &request {
                    GroupRequest::JoinGroup(_) => 0,
                    GroupRequest::SyncGroup(_) => 1,
                    GroupRequest::Heartbeat(_) => 2,
                    GroupRequest::LeaveGroup(_) => 3,
                    GroupRequest::OffsetCommit(_) => 4,
                    GroupRequest::TxnOffsetCommit(_) => 5,
                    _ => 6,
                };
                let context = ClientContext {
                    api_version: newest[place],
                    client_id: "c".to_owned(),
                    client_host: "/h".to_owned(),
                };
                self.machine.handle_request(self.now(), &context, &Topics, request, to);
            }
        }
        self.drain();
    }

    /// The broker is gone with all that it had not told; its log is not.
    fn crash(&mut self) {
        self.resign();
        self.crashes += 1;
        self.machine = replay(&self.logs, self.now(), self.crashes);
        self.open.clear();
    }

    fn resign(&mut self) {
        for partition in 0..PARTITIONS {
            self.machine.resign(PartitionIndex(partition));
        }
        while let Some(effect) = self.machine.poll_effect() {
            if let GroupEffect::Reply { to, .. } = effect {
                *self.answered.entry(to).or_default() += 1;
            }
        }
        assert_eq!(self.machine.offsets, OffsetTable::default(), "nothing is left");
        assert!(self.machine.groups.is_empty() && self.machine.appends.is_empty());
        for to in 0..self.asked {
            assert_eq!(self.answered.get(&to), Some(&1), "request {to} is answered once");
        }
    }

    /// The state is what a replay gives.
    fn check(&mut self) {
        self.settle(usize::MAX);
        let other = replay(&self.logs, self.now(), 99);
        assert_eq!(self.machine.offsets, other.offsets);
        let durable = |machine: &GroupCoordinator| -> Vec<_> {
            let groups = machine.groups.iter();
            let kept = groups.filter_map(|(id, g)| Some((id.clone(), g.durable.clone()?)));
            kept.collect()
        };
        assert_eq!(durable(&self.machine), durable(&other));
    }
}

#[test]
fn a_replay_gives_the_state_that_lives() {
    assert_ne!(partition_for("g", PARTITIONS), partition_for("h", PARTITIONS));
    for seed in 0..40 {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..20 {
                for _ in 0..40 {
                    world.step();
                }
                world.check();
            }
            world.resign();
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

#[test]
fn groups_are_placed_as_java_places_them() {
    // "hello" hashes to 99162322; the hash of the long word is the least of all integers.
    for (group, partition) in [("", 0), ("a", 47), ("hello", 22), ("polygenelubricants", 0)] {
        assert_eq!(partition_for(group, 50), PartitionIndex(partition), "{group}");
    }
}
