//! A group whose members come and go in both protocols: classic to consumer and back, at any
//! moment, with lost time and lost power. The classic ones rebalance cooperatively. No two members
//! believe to have the same partition, a name is of one kind, and a replay of the log gives the
//! state that lives.

use super::{Topics, replay};
use crate::group::*;
use crate::log::{AppendToken, ClientContext, CoordinatorRecord};
use mainstem_platform::{Instant, Now, Random, SeededRandom};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::consumer_protocol::*;
use mainstem_protocol::ids::{Offset, TopicId};
use mainstem_protocol::messages::consumer_group_heartbeat::OwnedTopicPartitions;
use mainstem_protocol::messages::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};
use mainstem_protocol::messages::leave_group::MemberIdentity;
use mainstem_protocol::messages::sync_group::SyncGroupRequestAssignment;
use mainstem_protocol::messages::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const TOPIC: &str = "orders";
const COUNT: i32 = 5;

fn topic_id() -> TopicId {
    TopicId([TOPIC.as_bytes()[0]; 16])
}

/// A consumer of either protocol.
#[derive(Default)]
struct Peer {
    is_classic: bool,
    id: String,
    /// The generation or the member epoch.
    epoch: i32,
    owned: BTreeSet<i32>,
    must_join: bool,
    must_sync: bool,
    /// Whom a leader has to assign to.
    led: Vec<JoinGroupResponseMember>,
}

impl Peer {
    /// Everything is lost: from the beginning.
    fn reset(&mut self, id: String) {
        *self = Peer { is_classic: self.is_classic, id, must_join: true, ..Peer::default() };
    }
}

struct World {
    random: SeededRandom,
    machine: GroupCoordinator,
    log: Vec<CoordinatorRecord>,
    open: VecDeque<(AppendToken, i64)>,
    topics: Topics,
    peers: Vec<Peer>,
    now_ms: u64,
    asked: BTreeMap<u64, usize>,
    next: u64,
    kinds_seen: BTreeSet<&'static str>,
}

impl World {
    fn new(seed: u64) -> Self {
        let topics = Topics { counts: BTreeMap::from([(TOPIC, COUNT)]), version: 1 };
        let mut world = Self {
            random: SeededRandom::new(seed),
            machine: replay(&[], Now::default(), 0),
            log: Vec::new(),
            open: VecDeque::new(),
            topics,
            peers: Vec::new(),
            now_ms: 1,
            asked: BTreeMap::new(),
            next: 0,
            kinds_seen: BTreeSet::new(),
        };
        for number in 0..4 {
            world.peers.push(Peer::default());
            world.begin_anew(number);
        }
        world
    }

    fn now(&self) -> Now {
        Now { instant: Instant::from_millis(self.now_ms), wall_ms: self.now_ms as i64 }
    }

    /// A process of another kind, perhaps.
    fn begin_anew(&mut self, number: usize) {
        let is_classic = self.random.one_in(2);
        self.next += 1;
        let id = if is_classic { String::new() } else { format!("c{number}-{}", self.next) };
        self.peers[number].is_classic = is_classic;
        self.peers[number].reset(id);
    }

    fn drain(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                GroupEffect::Append { token, records, .. } => {
                    self.open.push_back((token, self.log.len() as i64));
                    self.log.extend(records);
                }
                GroupEffect::Reply { to, response } => {
                    if let Some(number) = self.asked.remove(&to) {
                        self.hear(number, response);
                    }
                }
                GroupEffect::Reload { .. } => unreachable!("no append ends in doubt here"),
            }
        }
    }

    fn settle(&mut self) {
        while let Some((token, base)) = self.open.pop_front() {
            self.machine.handle_appended(self.now(), token, Ok(Offset(base)));
            self.drain();
        }
    }

    fn ask(&mut self, number: usize, version: i16, request: GroupRequest) {
        let to = self.next;
        self.next += 1;
        self.asked.insert(to, number);
        let context = ClientContext {
            api_version: version,
            client_id: format!("p{number}"),
            client_host: "/h".to_owned(),
        };
        self.machine.handle_request(self.now(), &context, &self.topics, request, to);
        self.drain();
    }

    fn act(&mut self, number: usize) {
        if self.asked.values().any(|waiting| *waiting == number) {
            return;
        }
        if self.random.one_in(12) {
            return self.leave(number);
        }
        match (self.peers[number].is_classic, self.peers[number].must_join) {
            (false, _) => self.beat(number),
            (true, true) => self.join(number),
            (true, false) if self.peers[number].must_sync => self.sync(number),
            (true, false) => {
                let peer = &self.peers[number];
                let request = HeartbeatRequest {
                    group_id: "g".to_owned(),
                    generation_id: peer.epoch,
                    member_id: peer.id.clone(),
                    group_instance_id: None,
                };
                self.ask(number, 4, GroupRequest::Heartbeat(request));
            }
        }
    }

    fn beat(&mut self, number: usize) {
        let peer = &self.peers[number];
        let joins = peer.must_join;
        let owned = OwnedTopicPartitions {
            topic_id: topic_id(),
            partitions: peer.owned.iter().copied().collect(),
        };
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: peer.id.clone(),
            member_epoch: peer.epoch,
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec![TOPIC.to_owned()]),
            topic_partitions: Some(if joins { Vec::new() } else { vec![owned] }),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        self.ask(number, 1, GroupRequest::ConsumerGroupHeartbeat(request));
    }

    fn join(&mut self, number: usize) {
        let peer = &self.peers[number];
        let owned = consumer_protocol_subscription::TopicPartition {
            topic: TOPIC.to_owned(),
            partitions: peer.owned.iter().copied().collect(),
        };
        let subscription = ConsumerProtocolSubscription {
            topics: vec![TOPIC.to_owned()],
            user_data: None,
            owned_partitions: vec![owned],
            ..ConsumerProtocolSubscription::default()
        };
        let request = JoinGroupRequest {
            group_id: "g".to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            member_id: peer.id.clone(),
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "cooperative-sticky".to_owned(),
                metadata: encode_subscription(&subscription, 1).expect("it is short"),
            }],
            ..JoinGroupRequest::default()
        };
        self.ask(number, 9, GroupRequest::JoinGroup(request));
    }

    fn sync(&mut self, number: usize) {
        let peer = &self.peers[number];
        let request = SyncGroupRequest {
            group_id: "g".to_owned(),
            generation_id: peer.epoch,
            member_id: peer.id.clone(),
            assignments: shares(&peer.led),
            ..SyncGroupRequest::default()
        };
        self.ask(number, 4, GroupRequest::SyncGroup(request));
    }

    fn leave(&mut self, number: usize) {
        let peer = &self.peers[number];
        let request = if peer.is_classic {
            let member_id = peer.id.clone();
            let members = vec![MemberIdentity { member_id, ..MemberIdentity::default() }];
            let group_id = "g".to_owned();
            let member_id = String::new();
            GroupRequest::LeaveGroup(LeaveGroupRequest { group_id, member_id, members })
        } else {
            GroupRequest::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest {
                group_id: "g".to_owned(),
                member_id: peer.id.clone(),
                member_epoch: -1,
                ..ConsumerGroupHeartbeatRequest::default()
            })
        };
        // It has stopped reading before it says farewell, and does not wait for the answer.
        self.begin_anew(number);
        let version = if matches!(request, GroupRequest::LeaveGroup(_)) { 5 } else { 1 };
        self.ask(number, version, request);
        self.asked.retain(|_, waiting| *waiting != number);
    }

    fn hear(&mut self, number: usize, response: GroupResponse) {
        let peer = &mut self.peers[number];
        match response {
            GroupResponse::ConsumerGroupHeartbeat(response) if !peer.is_classic => {
                if response.error_code.is_error() {
                    let id = peer.id.clone();
                    return peer.reset(id);
                }
                if response.member_epoch < 0 {
                    return;
                }
                assert!(peer.epoch <= response.member_epoch, "a member epoch goes back");
                peer.epoch = response.member_epoch;
                peer.must_join = false;
                let assignment = response.assignment.unwrap_or_default();
                let topics = assignment.topic_partitions.iter();
                // Every request is full, so every answer has the assignment.
                peer.owned = topics.flat_map(|topic| topic.partitions.clone()).collect();
            }
            GroupResponse::JoinGroup(response) => match response.error_code {
                ErrorCode::NONE => {
                    peer.id = response.member_id;
                    peer.epoch = response.generation_id;
                    peer.led = response.members;
                    (peer.must_join, peer.must_sync) = (false, true);
                }
                ErrorCode::MEMBER_ID_REQUIRED => peer.id = response.member_id,
                ErrorCode::UNKNOWN_MEMBER_ID => peer.reset(String::new()),
                _ => {}
            },
            GroupResponse::SyncGroup(response) => match response.error_code {
                ErrorCode::NONE => {
                    let assignment = decode_assignment(&response.assignment).expect("readable");
                    let topics = assignment.assigned_partitions.into_iter();
                    let owned: BTreeSet<i32> = topics.flat_map(|topic| topic.partitions).collect();
                    // Whoever has given something up joins again.
                    peer.must_join = !peer.owned.is_subset(&owned);
                    peer.must_sync = false;
                    peer.owned = owned;
                }
                code => peer.fall_back(code),
            },
            GroupResponse::Heartbeat(response) => peer.fall_back(response.error_code),
            _ => {}
        }
    }

    fn crash(&mut self) {
        self.machine = replay(&self.log, self.now(), self.next);
        self.open.clear();
        self.asked.clear();
    }

    fn step(&mut self) {
        let number = self.random.below(4) as usize;
        match self.random.below(40) {
            0 => {
                self.now_ms += self.random.below(12_000);
                self.machine.handle_timeout(self.now(), &self.topics);
                self.drain();
            }
            1 if self.random.one_in(4) => self.crash(),
            2..=8 => self.settle(),
            _ => {
                self.now_ms += self.random.below(300);
                self.act(number);
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let consumer = self.machine.consumer_groups.get("g");
        let classic = self.machine.groups.get("g");
        assert!(consumer.is_none() || classic.is_none(), "a name is of one kind");
        self.kinds_seen.extend(consumer.map(|_| "consumer"));
        self.kinds_seen.extend(classic.map(|_| "classic"));
        let is_member = |peer: &&Peer| {
            let id = peer.id.as_str();
            consumer.is_some_and(|group| group.members.contains_key(id))
                || classic.is_some_and(|group| group.members.contains_key(id))
        };
        let mut believed = BTreeMap::new();
        for peer in self.peers.iter().filter(is_member) {
            for partition in &peer.owned {
                assert_eq!(believed.insert(*partition, &peer.id), None, "two own {partition}");
            }
        }
    }

    fn compare(&mut self) {
        self.settle();
        let other = replay(&self.log, self.now(), 99);
        let consumer = |machine: &GroupCoordinator| -> Vec<String> {
            let durable = |group: &super::ConsumerGroup| {
                format!("{:?} {:?} {:?}", group.epoch, group.members, group.current)
            };
            machine.consumer_groups.values().map(durable).collect()
        };
        assert_eq!(consumer(&self.machine), consumer(&other));
        let classic = |machine: &GroupCoordinator| -> Vec<_> {
            machine.groups.values().filter_map(|group| group.durable.clone()).collect()
        };
        assert_eq!(classic(&self.machine), classic(&other));
    }
}

impl Peer {
    fn fall_back(&mut self, code: ErrorCode) {
        match code {
            ErrorCode::REBALANCE_IN_PROGRESS => self.must_join = true,
            ErrorCode::ILLEGAL_GENERATION => {
                self.owned.clear();
                self.must_join = true;
            }
            ErrorCode::UNKNOWN_MEMBER_ID => self.reset(String::new()),
            _ => {}
        }
    }
}

/// What a cooperative leader does: everybody gets its part, but nothing that another still has.
fn shares(members: &[JoinGroupResponseMember]) -> Vec<SyncGroupRequestAssignment> {
    let owned_by = |member: &JoinGroupResponseMember| -> BTreeSet<i32> {
        let subscription = decode_subscription(&member.metadata).expect("readable");
        subscription.owned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
    };
    let mut result = Vec::new();
    for (place, member) in members.iter().enumerate() {
        let of_others: BTreeSet<i32> =
            members.iter().filter(|m| m.member_id != member.member_id).flat_map(owned_by).collect();
        let is_mine = |partition: &i32| *partition as usize % members.len() == place;
        let partitions = (0..COUNT).filter(is_mine).filter(|p| !of_others.contains(p)).collect();
        let topic = TOPIC.to_owned();
        let assigned = consumer_protocol_assignment::TopicPartition { topic, partitions };
        let assignment =
            ConsumerProtocolAssignment { assigned_partitions: vec![assigned], user_data: None };
        result.push(SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: encode_assignment(&assignment, 1).expect("it is short"),
        });
    }
    result
}

#[test]
fn groups_change_their_kind_and_nobody_shares_a_partition() {
    let mut kinds = BTreeSet::new();
    for seed in 0..40 {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..10 {
                for _ in 0..80 {
                    world.step();
                }
                world.compare();
            }
            world.kinds_seen
        });
        kinds.extend(run.unwrap_or_else(|_| panic!("seed {seed}")));
    }
    assert_eq!(kinds.len(), 2, "both kinds were there");
}
