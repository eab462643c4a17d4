//! Whatever happens to transactions: a replay of the log gives the state that lives, every request
//! is answered exactly once, every transaction ends, and no end is told in two ways. Random
//! histories with crashes from a printed seed; the rules are written down in
//! `tests/scripts/transaction`.

use super::record::encode;
use super::state::{EPOCH_MAX_FOR_CLIENTS, Metadata, TransactionState};
use super::*;
use crate::log::{AppendToken, ClientContext, CoordinatorRecord, TopicPartition};
use mainstem_platform::{Instant, Now, Random, SeededRandom};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId};
use mainstem_protocol::messages::{EndTxnRequest, InitProducerIdRequest};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

const PARTITION: PartitionIndex = PartitionIndex(0);
const TIMEOUT_MS: i32 = 5_000;

/// A client of version 2 as far as it knows itself.
#[derive(Clone, Copy)]
struct Client {
    id: &'static str,
    producer: i64,
    epoch: i16,
}

/// What an answer means for the one who asked.
enum Asked {
    Init(usize),
    Write,
    End { client: usize, before: (i64, i16), commit: bool },
}

struct World {
    random: SeededRandom,
    machine: TransactionCoordinator,
    log: Vec<CoordinatorRecord>,
    now_ms: u64,
    leader_epoch: i32,
    open: VecDeque<AppendToken>,
    rounds: Vec<Markers>,
    next_id: i64,
    clients: Vec<Client>,
    asked: Vec<Asked>,
    answered: BTreeMap<u64, u32>,
    /// Producer and epoch of a marker -> whether it commits.
    ends: BTreeMap<(i64, i16), bool>,
    /// Ends that a client was told: producer and epoch before, and the decision.
    told: BTreeSet<(i64, i16, bool)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let client = |id| Client { id, producer: -1, epoch: -1 };
        let mut world = Self {
            random: SeededRandom::new(seed),
            machine: TransactionCoordinator::new(config()),
            // Half of the lives begin with epochs that are nearly used up.
            log: if seed.is_multiple_of(2) { Vec::new() } else { vec![aged("a", 0), aged("b", 1)] },
            now_ms: 0,
            leader_epoch: 0,
            open: VecDeque::new(),
            rounds: Vec::new(),
            next_id: 10,
            // Two clients share an id and fence each other.
            clients: vec![client("a"), client("a"), client("b")],
            asked: Vec::new(),
            answered: BTreeMap::new(),
            ends: BTreeMap::new(),
            told: BTreeSet::new(),
        };
        world.load();
        world
    }

    fn now(&self) -> Now {
        Now { instant: Instant::from_millis(self.now_ms), wall_ms: self.now_ms as i64 }
    }

    fn load(&mut self) {
        self.leader_epoch += 1;
        self.machine = replay(&self.log, self.now(), self.leader_epoch);
        self.open.clear();
        self.rounds.clear();
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                TransactionEffect::Append { token, records, .. } => {
                    if self.random.one_in(20) {
                        self.settle(usize::MAX);
                        let refused = Err(ErrorCode::NOT_ENOUGH_REPLICAS);
                        self.machine.handle_appended(self.now(), token, refused);
                        continue;
                    }
                    self.log.extend(records);
                    self.open.push_back(token);
                }
                TransactionEffect::WriteMarkers(markers) => {
                    let key = (markers.producer_id.0, markers.producer_epoch.0);
                    let other = self.ends.insert(key, markers.commit);
                    assert!(other.is_none_or(|was| was == markers.commit), "two ends of {key:?}");
                    self.rounds.push(markers);
                }
                TransactionEffect::AllocateProducerIds => {
                    let first = ProducerId(self.next_id);
                    self.next_id += 10;
                    self.machine.handle_producer_ids(self.now(), Ok((first, 10)));
                }
                TransactionEffect::Reply { to, response } => self.hear(to, &response),
                TransactionEffect::Reload { .. } => unreachable!("no append ends in doubt here"),
            }
        }
    }

    fn hear(&mut self, to: u64, response: &TransactionResponse) {
        *self.answered.entry(to).or_default() += 1;
        match (&self.asked[to as usize], response) {
            (Asked::Init(client), TransactionResponse::InitProducerId(response)) => {
                if response.error_code == ErrorCode::NONE {
                    self.client_is(*client, response.producer_id, response.producer_epoch);
                }
            }
            (Asked::End { client, before, commit }, TransactionResponse::EndTxn(response)) => {
                if response.error_code == ErrorCode::NONE {
                    self.told.insert((before.0, before.1, *commit));
                    self.client_is(*client, response.producer_id, response.producer_epoch);
                }
            }
            (Asked::Write, TransactionResponse::Partitions(_)) => {}
            _ => panic!("an answer of another kind"),
        }
    }

    fn client_is(&mut self, client: usize, producer: i64, epoch: i16) {
        // The epoch above is left for a last fencing.
        assert!(epoch <= EPOCH_MAX_FOR_CLIENTS.0, "{producer} is given epoch {epoch}");
        self.clients[client].producer = producer;
        self.clients[client].epoch = epoch;
    }

    fn settle(&mut self, most: usize) {
        for _ in 0..most {
            let Some(token) = self.open.pop_front() else { break };
            self.machine.handle_appended(self.now(), token, Ok(Offset(0)));
            self.drain();
        }
    }

    fn mark(&mut self) {
        if self.rounds.is_empty() {
            return;
        }
        let markers = self.rounds.remove(0);
        let mut results: Vec<(TopicPartition, ErrorCode)> = Vec::new();
        for partition in markers.partitions {
            let fails = self.random.one_in(5);
            let code = if fails { ErrorCode::REQUEST_TIMED_OUT } else { ErrorCode::NONE };
            results.push((partition, code));
        }
        self.machine.handle_markers_written(self.now(), markers.token, &results);
        self.drain();
    }

    fn ask(&mut self) {
        let place = self.random.below(self.clients.len() as u64) as usize;
        let client = self.clients[place];
        let to = self.asked.len() as u64;
        let context =
            ClientContext { api_version: 5, client_id: String::new(), client_host: String::new() };
        let now = self.now();
        match self.random.below(8) {
            0 => {
                self.asked.push(Asked::Init(place));
                let goes_on = self.random.one_in(2);
                let request = InitProducerIdRequest {
                    transactional_id: Some(client.id.to_owned()),
                    transaction_timeout_ms: TIMEOUT_MS,
                    producer_id: if goes_on { client.producer } else { -1 },
                    producer_epoch: if goes_on { client.epoch } else { -1 },
                };
                let request = TransactionRequest::InitProducerId(request);
                self.machine.handle_request(now, &context, request, to);
            }
            1..=4 => {
                self.asked.push(Asked::Write);
                let partition = TopicPartition::new("t", self.random.below(4) as i32);
                let write = PartitionsInTransaction {
                    transactional_id: client.id.to_owned(),
                    producer_id: ProducerId(client.producer),
                    producer_epoch: ProducerEpoch(client.epoch),
                    partitions: vec![partition],
                    participation: Participation::Add,
                };
                self.machine.verify_or_add_partitions(now, write, to);
            }
            _ => {
                let commit = self.random.one_in(2);
                let before = (client.producer, client.epoch);
                self.asked.push(Asked::End { client: place, before, commit });
                let request = TransactionRequest::EndTxn(EndTxnRequest {
                    transactional_id: client.id.to_owned(),
                    producer_id: client.producer,
                    producer_epoch: client.epoch,
                    committed: commit,
                });
                self.machine.handle_request(now, &context, request, to);
            }
        }
        self.drain();
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0 => {
                self.now_ms += self.random.below(3_000);
                self.machine.handle_timeout(self.now());
                self.drain();
            }
            1..=5 => {
                let most = self.random.below(4) as usize;
                self.settle(most);
            }
            6..=8 => self.mark(),
            9 if self.random.one_in(4) => self.crash(),
            _ => self.ask(),
        }
    }

    fn crash(&mut self) {
        // What is appended last may be lost with what was not told.
        if self.random.one_in(2) {
            let lost = self.random.below(self.open.len() as u64 + 1) as usize;
            self.log.truncate(self.log.len() - lost);
        }
        self.resign();
        self.load();
    }

    fn resign(&mut self) {
        self.machine.resign(PARTITION);
        while let Some(effect) = self.machine.poll_effect() {
            if let TransactionEffect::Reply { to, response } = effect {
                self.hear(to, &response);
            }
        }
        assert!(self.machine.transactions.is_empty() && self.machine.appends.is_empty());
        assert!(self.machine.rounds.is_empty() && self.machine.waiting_adds.is_empty());
        for to in 0..self.asked.len() as u64 {
            assert_eq!(self.answered.get(&to), Some(&1), "request {to} is answered once");
        }
    }

    /// What the log says is what lives.
    fn check(&mut self) {
        self.settle(usize::MAX);
        let other = replay(&self.log, self.now(), 1);
        assert_eq!(durable(&self.machine), durable(&other));
    }

    /// Left alone, everything ends.
    fn come_to_rest(&mut self) {
        for _ in 0..200 {
            self.now_ms += 100;
            self.machine.handle_timeout(self.now());
            self.drain();
            self.settle(usize::MAX);
            self.mark();
        }
        for (id, transaction) in &self.machine.transactions {
            let state = transaction.metadata.state;
            assert!(state.is_at_rest() && !transaction.in_transition, "{id} is {state:?}");
        }
        for (producer, epoch, commit) in &self.told {
            // Markers carry the raised epoch; an end of nothing has none.
            if let Some(was) = self.ends.get(&(*producer, epoch + 1)) {
                assert_eq!(was, commit, "{producer}:{epoch} was told another end");
            }
        }
    }
}

/// An id that was used very often.
fn aged(id: &str, producer_id: i64) -> CoordinatorRecord {
    let (producer_id, epoch) = (ProducerId(producer_id), ProducerEpoch(i16::MAX - 5));
    let new = Metadata::new(producer_id, TIMEOUT_MS, 0);
    let aged = new.with_epoch(epoch, ProducerEpoch::NONE, TIMEOUT_MS, 0);
    encode(id, Some(&aged)).expect("a small record")
}

fn config() -> TransactionConfig {
    TransactionConfig { state_partitions: 1, ..TransactionConfig::default() }
}

fn replay(log: &[CoordinatorRecord], now: Now, epoch: i32) -> TransactionCoordinator {
    let mut machine = TransactionCoordinator::new(config());
    machine.begin_load(PARTITION, LeaderEpoch(epoch));
    for (offset, record) in (0..).map(Offset).zip(log) {
        machine.load_record(PARTITION, offset, &record.key, record.value.as_ref());
    }
    machine.finish_load(now, PARTITION);
    machine
}

/// What has to be the same after a replay: all but the one field that has no place in the log, and
/// ids whose first record never came.
fn durable(machine: &TransactionCoordinator) -> Vec<(Arc<str>, Metadata)> {
    let transactions = machine.transactions.iter();
    let known =
        transactions.filter(|(_, transaction)| transaction.metadata.producer_epoch.is_some());
    known
        .map(|(id, transaction)| {
            let mut metadata = transaction.metadata.clone();
            metadata.last_producer_epoch = ProducerEpoch::NONE;
            (Arc::clone(id), metadata)
        })
        .collect()
}

#[test]
fn a_replay_gives_the_state_that_lives_and_every_transaction_ends() {
    for seed in 0..40 {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..20 {
                for _ in 0..40 {
                    world.step();
                }
                world.check();
            }
            world.come_to_rest();
            world.check();
            world.resign();
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

#[test]
fn states_keep_their_numbers() {
    let states = [
        TransactionState::Empty,
        TransactionState::Ongoing,
        TransactionState::PrepareCommit,
        TransactionState::PrepareAbort,
        TransactionState::CompleteCommit,
        TransactionState::CompleteAbort,
    ];
    for (number, state) in (0..).zip(states) {
        assert_eq!(state.number(), number);
        assert_eq!(TransactionState::of_number(number), Some(state));
    }
    assert_eq!(TransactionState::of_number(6), None, "dead ids are forgotten");
}
