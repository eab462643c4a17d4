//! A transaction coordinator with its log and the partitions of its transactions, as scripts see it.
//!
//! | command | meaning |
//! |---|---|
//! | `init A tx timeout=60000` | InitProducerId; `pid= epoch=` of a client that goes on; no `tx`: idempotent |
//! | `add A tx pid=0 epoch=0 t-0 t-1` | AddPartitionsToTxn v3 |
//! | `batch A tx pid=.. t-0 / ux pid2=.. ` | AddPartitionsToTxn v5 of one transaction; `verify` |
//! | `offsets A tx pid= epoch= group=g` | AddOffsetsToTxn |
//! | `end A tx pid= epoch= commit v=5` | EndTxn |
//! | `describe A tx ux` | DescribeTransactions |
//! | `list A states=Ongoing,Empty pids=0 older=5 pattern=t.*` | ListTransactions |
//! | `write A tx pid= epoch= t-0 mode=add` | a Produce asks; `verify`, `abortable` |
//! | `markers hold` / `release`, `marked t-0 CODE` | what the partitions answer |
//! | `ids hold` / `fail` / `give first=0 count=10` | blocks of producer ids |
//! | `epoch tx 32766` | as if the id had been used that often; the log is read again |
//! | `tick`, `appends`, `crash`, `resign`, `loading` | as for groups |
//!
//! The first word after a command names who asks. `tx` is any word without a dash.

use super::transaction_drawing::{answer, draw, marker, with_epoch};
use super::{Command, Play, code};
use mainstem_coordinator::transaction::{
    MarkerToken, Markers, Participation, PartitionsInTransaction, TransactionConfig,
    TransactionCoordinator, TransactionEffect, TransactionRequest,
};
use mainstem_coordinator::{AppendToken, ClientContext, CoordinatorRecord, TopicPartition};
use mainstem_platform::{Instant, Now};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId};
use mainstem_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use mainstem_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest,
    InitProducerIdRequest, ListTransactionsRequest,
};
use std::time::Duration;

const PARTITION: PartitionIndex = PartitionIndex(0);

#[derive(Clone, Copy, PartialEq)]
enum Appends {
    Through,
    Held,
    /// Held, and not in the log.
    Lost,
    Failing(ErrorCode),
}

pub(crate) struct World {
    config: TransactionConfig,
    machine: TransactionCoordinator,
    log: Vec<CoordinatorRecord>,
    leader_epoch: i32,
    now_ms: u64,
    appends: Appends,
    held: Vec<AppendToken>,
    marked: bool,
    open: Vec<Markers>,
    /// The next block; `None` when the controller does not answer.
    ids: Option<(i64, i32)>,
    askers: Vec<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let config = TransactionConfig {
            state_partitions: 1,
            offsets_partitions: 1,
            ..TransactionConfig::default()
        };
        let mut world = Self {
            machine: TransactionCoordinator::new(config.clone()),
            config,
            log: Vec::new(),
            leader_epoch: 0,
            now_ms: 0,
            appends: Appends::Through,
            held: Vec::new(),
            marked: true,
            open: Vec::new(),
            ids: Some((0, 1_000)),
            askers: Vec::new(),
        };
        world.load();
        world
    }

    fn now(&self) -> Now {
        Now { instant: Instant::from_millis(self.now_ms), wall_ms: self.now_ms as i64 }
    }

    fn load(&mut self) {
        self.leader_epoch += 1;
        self.machine.begin_load(PARTITION, LeaderEpoch(self.leader_epoch));
        for (offset, record) in (0..).map(Offset).zip(&self.log) {
            self.machine.load_record(PARTITION, offset, &record.key, record.value.as_ref());
        }
        self.machine.finish_load(self.now(), PARTITION);
    }

    fn ask(&mut self, command: &Command) -> u64 {
        self.askers.push(command.word(0).to_owned());
        self.askers.len() as u64 - 1
    }

    fn request(&mut self, command: &Command, newest: i16, request: TransactionRequest) {
        let context = ClientContext {
            api_version: command.number("v", newest),
            client_id: "c".to_owned(),
            client_host: "/1.2.3.4".to_owned(),
        };
        let to = self.ask(command);
        self.machine.handle_request(self.now(), &context, request, to);
    }

    fn drain(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                TransactionEffect::Append { token, records, .. } => {
                    let fate = match self.appends {
                        Appends::Through => "log",
                        Appends::Held => "log (held)",
                        Appends::Lost => "log (lost)",
                        Appends::Failing(_) => "log (fails)",
                    };
                    lines.extend(records.iter().map(|r| format!("{fate} <- {}", draw(r))));
                    if matches!(self.appends, Appends::Through | Appends::Held) {
                        self.log.extend(records);
                    }
                    self.held.push(token);
                    self.settle();
                }
                TransactionEffect::WriteMarkers(markers) => {
                    lines.push(marker(&markers));
                    if self.marked {
                        self.mark_all(&markers);
                    } else {
                        self.open.push(markers);
                    }
                }
                TransactionEffect::AllocateProducerIds => {
                    lines.push("controller <- a block of producer ids".to_owned());
                    self.give_ids();
                }
                TransactionEffect::Reply { to, response } => {
                    lines.push(format!("{} <- {}", self.askers[to as usize], answer(&response)));
                }
                TransactionEffect::Reload { .. } => {
                    lines.push("reload".to_owned());
                    self.load();
                }
            }
        }
        lines
    }

    fn settle(&mut self) {
        let result = match self.appends {
            Appends::Held | Appends::Lost => return,
            Appends::Through => Ok(Offset(0)),
            Appends::Failing(code) => Err(code),
        };
        for token in std::mem::take(&mut self.held) {
            self.machine.handle_appended(self.now(), token, result);
        }
    }

    fn mark_all(&mut self, markers: &Markers) {
        let done = markers.partitions.iter().map(|p| (p.clone(), ErrorCode::NONE));
        let results: Vec<_> = done.collect();
        self.machine.handle_markers_written(self.now(), markers.token, &results);
    }

    /// All partitions of the oldest open round answer: those named with a code, the others not.
    fn mark(&mut self, command: &Command) {
        if self.open.is_empty() {
            return;
        }
        let markers = self.open.remove(0);
        let token: MarkerToken = markers.token;
        let answer = |p: &TopicPartition| {
            let named = command.text(&p.to_string());
            let default = if command.has("all") { "NONE" } else { "REQUEST_TIMED_OUT" };
            (p.clone(), code(named.unwrap_or(default)))
        };
        let results: Vec<_> = markers.partitions.iter().map(answer).collect();
        self.machine.handle_markers_written(self.now(), token, &results);
    }

    fn give_ids(&mut self) {
        if let Some((first, count)) = self.ids {
            self.ids = Some((first + i64::from(count), count));
            self.machine.handle_producer_ids(self.now(), Ok((ProducerId(first), count)));
        }
    }

    fn tick(&mut self, ms: u64) -> Vec<String> {
        let end = self.now_ms + ms;
        let mut lines = Vec::new();
        while let Some(at) = self.machine.deadline().map(|at| at.0.div_ceil(1_000_000)) {
            if end < at {
                break;
            }
            self.now_ms = self.now_ms.max(at);
            self.machine.handle_timeout(self.now());
            let drawn = self.drain();
            lines.extend(drawn.into_iter().map(|line| format!("[{}] {line}", self.now_ms)));
        }
        self.now_ms = end;
        lines
    }

    fn configure(&mut self, command: &Command) {
        let ms = |name: &str, default: Duration| {
            Duration::from_millis(command.number(name, default.as_millis() as u64))
        };
        let config = &mut self.config;
        config.transactional_id_expiration = ms("expiration", config.transactional_id_expiration);
        config.transactional_id_cleanup_interval =
            ms("cleanup", config.transactional_id_cleanup_interval);
        config.partitions_per_transaction_max =
            command.number("partitions", config.partitions_per_transaction_max);
        self.machine = TransactionCoordinator::new(self.config.clone());
        self.load();
    }

    fn write(&mut self, command: &Command) {
        let participation = match command.text("mode").unwrap_or("add") {
            "verify" => Participation::Verify,
            "abortable" => Participation::VerifyAbortable,
            _ => Participation::Add,
        };
        let write = PartitionsInTransaction {
            transactional_id: id(command),
            producer_id: ProducerId(command.number("pid", 0)),
            producer_epoch: ProducerEpoch(command.number("epoch", 0)),
            partitions: partitions(command),
            participation,
        };
        let to = self.ask(command);
        self.machine.verify_or_add_partitions(self.now(), write, to);
    }
}

impl Play for World {
    fn play(&mut self, command: &Command) -> Vec<String> {
        match command.name.as_str() {
            "config" => self.configure(command),
            "init" => self.request(command, 5, init(command)),
            "add" => self.request(command, 3, add(command)),
            "batch" => self.request(command, 5, batch(command)),
            "offsets" => self.request(command, 4, add_offsets(command)),
            "end" => self.request(command, 5, end(command)),
            "describe" => self.request(command, 0, describe(command)),
            "list" => self.request(command, 2, list(command)),
            "write" => self.write(command),
            "markers" => {
                self.marked = !command.has("hold");
                if self.marked {
                    for markers in std::mem::take(&mut self.open) {
                        self.mark_all(&markers);
                    }
                }
            }
            "marked" => self.mark(command),
            "ids" => {
                self.ids = match command.word(0) {
                    "give" => Some((command.number("first", 0), command.number("count", 1_000))),
                    _ => None,
                };
                if command.has("fail") {
                    let error = Err(ErrorCode::REQUEST_TIMED_OUT);
                    self.machine.handle_producer_ids(self.now(), error);
                } else if command.has("now") {
                    self.give_ids();
                }
            }
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
                self.machine = TransactionCoordinator::new(self.config.clone());
                self.held.clear();
                self.open.clear();
                self.load();
            }
            "epoch" => {
                let epoch = command.word(1).parse().expect("an epoch");
                self.log.push(with_epoch(&self.log, command.word(0), epoch));
                self.machine = TransactionCoordinator::new(self.config.clone());
                self.load();
            }
            "resign" => self.machine.resign(PARTITION),
            "loading" => self.machine.begin_load(PARTITION, LeaderEpoch(self.leader_epoch + 1)),
            other => panic!("no command {other}"),
        }
        self.drain()
    }
}

/// The second word, when it is not a partition or a flag.
fn id(command: &Command) -> String {
    command.words.get(1).filter(|word| !word.contains('-')).cloned().unwrap_or_default()
}

fn partitions(command: &Command) -> Vec<TopicPartition> {
    let partition = |word: &String| {
        let (topic, index) = word.split_once('-')?;
        Some(TopicPartition::new(topic, index.parse().ok()?))
    };
    command.words.iter().filter_map(partition).collect()
}

fn topics(command: &Command) -> Vec<AddPartitionsToTxnTopic> {
    let topic = |partition: TopicPartition| AddPartitionsToTxnTopic {
        name: partition.topic.to_string(),
        partitions: vec![partition.partition.0],
    };
    partitions(command).into_iter().map(topic).collect()
}

fn init(command: &Command) -> TransactionRequest {
    TransactionRequest::InitProducerId(InitProducerIdRequest {
        transactional_id: command.words.get(1).cloned(),
        transaction_timeout_ms: command.number("timeout", 60_000),
        producer_id: command.number("pid", -1),
        producer_epoch: command.number("epoch", -1),
    })
}

fn add(command: &Command) -> TransactionRequest {
    TransactionRequest::AddPartitionsToTxn(AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: id(command),
        v3_and_below_producer_id: command.number("pid", 0),
        v3_and_below_producer_epoch: command.number("epoch", 0),
        v3_and_below_topics: topics(command),
        ..Default::default()
    })
}

/// The same partitions for `tx` and, when it is named by `and=`, for another id with the next
/// producer id.
fn batch(command: &Command) -> TransactionRequest {
    let one = |transactional_id: String, producer_id| AddPartitionsToTxnTransaction {
        transactional_id,
        producer_id,
        producer_epoch: command.number("epoch", 0),
        verify_only: command.has("verify"),
        topics: topics(command),
    };
    let pid: i64 = command.number("pid", 0);
    let mut transactions = vec![one(id(command), pid)];
    transactions.extend(command.text("and").map(|other| one(other.to_owned(), pid + 1)));
    TransactionRequest::AddPartitionsToTxn(AddPartitionsToTxnRequest {
        transactions,
        ..Default::default()
    })
}

fn add_offsets(command: &Command) -> TransactionRequest {
    TransactionRequest::AddOffsetsToTxn(AddOffsetsToTxnRequest {
        transactional_id: id(command),
        producer_id: command.number("pid", 0),
        producer_epoch: command.number("epoch", 0),
        group_id: command.text("group").unwrap_or("g").to_owned(),
    })
}

fn end(command: &Command) -> TransactionRequest {
    TransactionRequest::EndTxn(EndTxnRequest {
        transactional_id: id(command),
        producer_id: command.number("pid", 0),
        producer_epoch: command.number("epoch", 0),
        committed: command.has("commit"),
    })
}

fn describe(command: &Command) -> TransactionRequest {
    let transactional_ids = command.words[1..].to_vec();
    TransactionRequest::DescribeTransactions(DescribeTransactionsRequest { transactional_ids })
}

fn list(command: &Command) -> TransactionRequest {
    let several = |name: &str| command.text(name).into_iter().flat_map(|text| text.split(','));
    let pids = several("pids").map(|id| id.parse().expect("a producer id"));
    TransactionRequest::ListTransactions(ListTransactionsRequest {
        state_filters: several("states").map(str::to_owned).collect(),
        producer_id_filters: pids.collect(),
        duration_filter: command.number("older", -1),
        transactional_id_pattern: command.text("pattern").map(str::to_owned),
    })
}
