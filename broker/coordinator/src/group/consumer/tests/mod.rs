//! Whatever happens to a consumer group: no partition has two owners, epochs never go back, at rest
//! everything is assigned, and a replay of the log gives the state that lives. Random histories from
//! a printed seed; the rules themselves are written down in `tests/scripts/consumer_group`.

mod migration;

use super::partitions::{PartitionEpochs, each, without_epochs};
use super::*;
use crate::group::*;
use crate::log::{AppendToken, ClientContext, CoordinatorRecord};
use mainstem_platform::{Instant, Now, Random, SeededRandom};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use mainstem_protocol::messages::consumer_group_heartbeat::OwnedTopicPartitions;
use mainstem_protocol::messages::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

const PARTITION: PartitionIndex = PartitionIndex(0);
const NAMES: [&str; 4] = ["orders", "payments", "quotes", "refunds"];

#[derive(Default)]
struct Topics {
    counts: BTreeMap<&'static str, i32>,
    version: i64,
}

impl TopicDirectory for Topics {
    fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.counts.get(name).map(|_| TopicId([name.as_bytes()[0]; 16]))
    }

    fn topic_name(&self, id: TopicId) -> Option<&str> {
        self.counts.keys().find(|name| name.as_bytes()[0] == id.0[0]).copied()
    }

    fn partition_count(&self, id: TopicId) -> Option<i32> {
        self.topic_name(id).map(|name| self.counts[name])
    }

    fn for_each_topic(&self, visit: &mut dyn FnMut(&str)) {
        self.counts.keys().for_each(|name| visit(name));
    }

    fn version(&self) -> i64 {
        self.version
    }
}

/// Partitions, names of topics, a pattern.
type Told = (BTreeSet<(TopicId, i32)>, Vec<String>, Option<String>);

/// A consumer as a client library is one.
#[derive(Default, Clone)]
struct Client {
    id: String,
    instance: Option<String>,
    epoch: i32,
    is_member: bool,
    owned: BTreeSet<(TopicId, i32)>,
    topics: Vec<String>,
    regex: Option<String>,
    /// What the coordinator was told last of these.
    told: Option<Told>,
    /// What was answered last may not have been heard.
    is_unsure: bool,
}

struct World {
    random: SeededRandom,
    machine: GroupCoordinator,
    log: Vec<CoordinatorRecord>,
    open: VecDeque<(AppendToken, i64)>,
    topics: Topics,
    clients: Vec<Client>,
    now_ms: u64,
    /// Who waits for the answer of which request.
    asked: BTreeMap<u64, (usize, String)>,
    next: u64,
    group_epoch: i32,
    /// Answers are heard and nobody goes.
    is_calm: bool,
}

fn config() -> GroupConfig {
    GroupConfig {
        offsets_partitions: 1,
        consumer: ConsumerGroupConfig {
            assignment_interval: Duration::from_millis(500),
            ..ConsumerGroupConfig::default()
        },
        ..GroupConfig::default()
    }
}

fn replay(log: &[CoordinatorRecord], now: Now, seed: u64) -> GroupCoordinator {
    let mut machine = GroupCoordinator::new(config(), seed);
    machine.begin_load(PARTITION, LeaderEpoch(1));
    for (offset, record) in (0..).map(Offset).zip(log) {
        machine.load_record(PARTITION, offset, None, &record.key, record.value.as_ref());
    }
    machine.finish_load(now, PARTITION);
    machine
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            random: SeededRandom::new(seed),
            machine: replay(&[], Now::default(), 0),
            log: Vec::new(),
            open: VecDeque::new(),
            topics: Topics { counts: BTreeMap::from([("orders", 4), ("payments", 3)]), version: 1 },
            clients: Vec::new(),
            now_ms: 1,
            asked: BTreeMap::new(),
            next: 0,
            group_epoch: 0,
            is_calm: false,
        };
        for number in 0..5 {
            let instance = (number < 2).then(|| format!("i{number}"));
            world.clients.push(Client { id: format!("c{number}"), instance, ..Client::default() });
        }
        world
    }

    fn now(&self) -> Now {
        Now { instant: Instant::from_millis(self.now_ms), wall_ms: self.now_ms as i64 }
    }

    fn drain(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                GroupEffect::Append { token, records, .. } => {
                    if !self.is_calm && self.random.one_in(25) {
                        let refused = Err(ErrorCode::MESSAGE_TOO_LARGE);
                        self.machine.handle_appended(self.now(), token, refused);
                        continue;
                    }
                    self.open.push_back((token, self.log.len() as i64));
                    self.log.extend(records);
                }
                GroupEffect::Reply { to, response } => self.hear(to, response),
                // A refused append that others build upon: the log is read again.
                GroupEffect::Reload { .. } => self.crash(),
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

    fn hear(&mut self, to: u64, response: GroupResponse) {
        let Some((number, id)) = self.asked.remove(&to) else { return };
        let GroupResponse::ConsumerGroupHeartbeat(response) = response else {
            unreachable!("nothing else was asked")
        };
        let is_lost = !self.is_calm && self.random.one_in(8);
        let client = &mut self.clients[number];
        if client.id != id {
            // It was for the process before.
            return;
        }
        if is_lost {
            client.is_unsure = true;
            return;
        }
        match response.error_code {
            ErrorCode::NONE => {}
            ErrorCode::FENCED_MEMBER_EPOCH
            | ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::GROUP_ID_NOT_FOUND
            | ErrorCode::FENCED_INSTANCE_ID
            | ErrorCode::UNRELEASED_INSTANCE_ID => {
                client.is_member = false;
                client.owned.clear();
                client.epoch = 0;
                return;
            }
            _ => {
                client.is_unsure = true;
                return;
            }
        }
        if response.member_epoch < 0 || !client.is_member {
            return;
        }
        assert!(client.epoch <= response.member_epoch, "a member epoch goes back");
        client.epoch = response.member_epoch;
        client.is_unsure = false;
        if let Some(assignment) = response.assignment {
            let topics = assignment.topic_partitions.iter();
            client.owned = topics
                .flat_map(|topic| topic.partitions.iter().map(|p| (topic.topic_id, *p)))
                .collect();
        }
    }

    fn ask(&mut self, client: usize, request: ConsumerGroupHeartbeatRequest) {
        let to = self.next;
        self.next += 1;
        self.asked.insert(to, (client, request.member_id.clone()));
        let context = ClientContext {
            api_version: 1,
            client_id: "c".to_owned(),
            client_host: "/h".to_owned(),
        };
        let request = GroupRequest::ConsumerGroupHeartbeat(request);
        self.machine.handle_request(self.now(), &context, &self.topics, request, to);
        self.drain();
    }

    fn beat(&mut self, number: usize) {
        // A client waits for one answer before it asks again.
        let id = &self.clients[number].id;
        if self.asked.values().any(|(_, waiting)| waiting == id) {
            return;
        }
        let joins = !self.clients[number].is_member;
        if joins {
            self.choose_topics(number);
        }
        let client = &mut self.clients[number];
        if joins {
            client.is_member = true;
            client.epoch = 0;
            client.owned.clear();
        }
        let mut owned: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &client.owned {
            owned.entry(*topic).or_default().push(*partition);
        }
        let owned = owned
            .into_iter()
            .map(|(topic_id, partitions)| OwnedTopicPartitions { topic_id, partitions });
        let is_full = joins || client.epoch == 0 || client.is_unsure;
        let owned: Vec<_> = if client.epoch == 0 { Vec::new() } else { owned.collect() };
        // As clients do: what has not changed since it was told is not told again.
        let told = client.told.take().filter(|_| !is_full);
        let (told_owned, told_topics) = match &told {
            Some((owned, topics, regex)) => {
                (*owned == client.owned, *topics == client.topics && *regex == client.regex)
            }
            None => (false, false),
        };
        client.told = Some((client.owned.clone(), client.topics.clone(), client.regex.clone()));
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: client.id.clone(),
            member_epoch: client.epoch,
            instance_id: client.instance.clone(),
            rebalance_timeout_ms: if is_full { 60_000 } else { -1 },
            subscribed_topic_names: (!told_topics).then(|| client.topics.clone()),
            subscribed_topic_regex: (!told_topics)
                .then(|| client.regex.clone().unwrap_or_default()),
            topic_partitions: (!told_owned).then_some(owned),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        self.ask(number, request);
    }

    fn choose_topics(&mut self, number: usize) {
        let mut topics = Vec::new();
        for name in NAMES {
            if self.random.one_in(2) {
                topics.push(name.to_owned());
            }
        }
        let client = &mut self.clients[number];
        client.regex = self.random.one_in(3).then(|| "[o-q].*".to_owned());
        client.topics = topics;
    }

    fn leave(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if !client.is_member {
            return;
        }
        client.is_member = false;
        client.owned.clear();
        let request = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: client.id.clone(),
            member_epoch: if client.instance.is_some() { -2 } else { -1 },
            instance_id: client.instance.clone(),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        client.epoch = 0;
        // Each process has an id of its own.
        client.id = format!("c{number}-{}", self.next);
        self.ask(number, request);
    }

    fn change_topics(&mut self) {
        let name = NAMES[self.random.below(4) as usize];
        match self.topics.counts.get_mut(name) {
            Some(count) if self.random.one_in(2) => *count += 1,
            Some(_) => {
                self.topics.counts.remove(name);
            }
            None => {
                self.topics.counts.insert(name, 1 + self.random.below(5) as i32);
            }
        }
        self.topics.version += 1;
    }

    /// The broker is gone with all that it had not told; its log is not.
    fn crash(&mut self) {
        self.machine = replay(&self.log, self.now(), self.next);
        self.open.clear();
        for (number, _) in std::mem::take(&mut self.asked).into_values() {
            self.clients[number].is_unsure = true;
        }
    }

    fn step(&mut self) {
        let number = self.random.below(5) as usize;
        match self.random.below(24) {
            0 => self.change_topics(),
            1 => self.leave(number),
            2 if self.random.one_in(3) => {
                self.now_ms += self.random.below(50_000);
                self.machine.handle_timeout(self.now(), &self.topics);
                self.drain();
            }
            3 if self.random.one_in(4) => self.crash(),
            4 => self.choose_topics(number),
            5..=8 => {
                let most = self.random.below(4) as usize;
                self.settle(most);
            }
            _ => {
                self.now_ms += self.random.below(400);
                self.beat(number);
            }
        }
        self.check();
    }

    fn check(&mut self) {
        let Some(group) = self.machine.consumer_groups.get("g") else { return };
        assert!(group.assignment_epoch() <= group.group_epoch());
        let mut owners = BTreeMap::new();
        for (id, current) in &group.current {
            assert!(current.epoch <= group.assignment_epoch(), "{id}");
            let all = each(&current.assigned).chain(each(&current.revoking));
            for (topic, partition, _) in all {
                assert_eq!(owners.insert((topic, partition), id), None, "two owners");
            }
        }
        let live: BTreeMap<_, _> = owners.iter().map(|(key, id)| (*key, (*id).clone())).collect();
        assert_eq!(live, group.owners, "the index of owners is right");
        // What clients believe to have, as long as they are members.
        let mut believed: BTreeMap<(TopicId, i32), &str> = BTreeMap::new();
        for client in self.clients.iter().filter(|client| client.is_member && 0 < client.epoch) {
            let Some(current) = group.current.get(client.id.as_str()) else { continue };
            if client.epoch != current.epoch && client.epoch != current.previous_epoch {
                continue;
            }
            for key in &client.owned {
                assert_eq!(believed.insert(*key, &client.id), None, "two believe to own {key:?}");
            }
        }
    }

    /// Everybody is heard until nothing moves any more.
    fn come_to_rest(&mut self) {
        self.settle(usize::MAX);
        self.is_calm = true;
        for _ in 0..12 {
            self.now_ms += 1_000;
            for number in 0..self.clients.len() {
                if self.clients[number].is_member {
                    self.beat(number);
                    self.settle(usize::MAX);
                }
            }
        }
        self.is_calm = false;
        let Some(group) = self.machine.consumer_groups.get("g") else { return };
        let live: BTreeSet<&str> = self
            .clients
            .iter()
            .filter(|client| client.is_member)
            .map(|client| client.id.as_str())
            .collect();
        assert!(live.iter().all(|id| group.members.contains_key(*id)), "all are members");
        if live.is_empty() {
            return;
        }
        let mut wanted = BTreeSet::new();
        for member in group.members.values() {
            for topic in group.topics_wanted_by(member, &self.topics) {
                let count = self.topics.partition_count(topic).expect("it exists");
                wanted.extend((0..count).map(|partition| (topic, partition)));
            }
        }
        let has = |assigned: &PartitionEpochs| -> Vec<(TopicId, i32)> {
            each(assigned).map(|(topic, partition, _)| (topic, partition.0)).collect()
        };
        let assigned: Vec<_> = group.current.values().flat_map(|c| has(&c.assigned)).collect();
        let is_somebody_away = group.members.keys().any(|id| !live.contains(&**id));
        if !is_somebody_away {
            assert_eq!(assigned.len(), wanted.len(), "everything is assigned: {group:?}");
            assert_eq!(assigned.into_iter().collect::<BTreeSet<_>>(), wanted);
            assert_eq!(group.state_name(), "Stable");
        }
        for client in self.clients.iter().filter(|client| client.is_member) {
            let current = &group.current[client.id.as_str()];
            let told: BTreeSet<_> = has(&current.assigned).into_iter().collect();
            assert_eq!(told, client.owned, "{} knows what it has", client.id);
        }
    }

    /// The state is what a replay gives.
    fn compare(&mut self) {
        let epoch = self.machine.consumer_groups.get("g").map_or(0, ConsumerGroup::group_epoch);
        // A group that was forgotten begins anew.
        assert!(self.group_epoch <= epoch || epoch == 0, "the group epoch goes back");
        self.group_epoch = epoch;
        let other = replay(&self.log, self.now(), 99);
        let groups = |machine: &GroupCoordinator| -> Vec<_> {
            let durable = |group: &ConsumerGroup| {
                format!(
                    "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                    group.epoch,
                    group.target_epoch,
                    group.members,
                    group.current,
                    group.target,
                    group.regexes,
                    group.static_members,
                    group.owners
                )
            };
            machine.consumer_groups.values().map(durable).collect()
        };
        assert_eq!(groups(&self.machine), groups(&other));
        let sets = self.machine.consumer_groups.values().flat_map(|group| group.current.values());
        for current in sets {
            assert!(without_epochs(&current.assigned).values().all(|set| !set.is_empty()));
        }
    }
}

#[test]
fn a_consumer_group_keeps_its_promises() {
    for seed in 0..10 {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..12 {
                for _ in 0..60 {
                    world.step();
                }
                world.settle(usize::MAX);
                world.compare();
                world.come_to_rest();
                world.compare();
            }
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// A log that is damaged, or that somebody else has written, costs some records and nothing more.
#[test]
fn a_damaged_log_is_read_as_far_as_it_can_be() {
    let mut world = World::new(7);
    for _ in 0..400 {
        world.step();
    }
    world.settle(usize::MAX);
    let mut random = SeededRandom::new(1);
    for _ in 0..300 {
        let from = random.below(world.log.len() as u64) as usize;
        let mut log: Vec<_> = world.log.iter().skip(from).take(120).cloned().collect();
        for _ in 0..8 {
            let at = random.below(log.len() as u64) as usize;
            let record = &mut log[at];
            let is_value = random.one_in(2) && record.value.is_some();
            let side = if is_value { record.value.as_mut() } else { Some(&mut record.key) };
            let Some(side) = side else { continue };
            let mut bytes = side.to_vec();
            let place = random.below(bytes.len() as u64) as usize;
            bytes[place] = random.next_u64() as u8;
            *side = bytes.into();
            if random.one_in(8) {
                log.swap_remove(at);
            }
            if log.is_empty() {
                break;
            }
        }
        let mut machine = replay(&log, world.now(), 1);
        for later in 1..4 {
            let wall_ms = world.now().wall_ms + later * 60_000;
            let now = Now { instant: Instant::from_millis(wall_ms as u64), wall_ms };
            machine.handle_timeout(now, &world.topics);
            while let Some(effect) = machine.poll_effect() {
                if let GroupEffect::Append { token, .. } = effect {
                    machine.handle_appended(now, token, Ok(Offset(1_000_000)));
                }
            }
        }
    }
}
