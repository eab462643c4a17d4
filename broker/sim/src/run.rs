//! One run: a cast of actors, a time of faults, the heal, the verdict.

use crate::oracle::{Contents, Ending, GroupBook, Rows, SharedBook, Testimony, judge};
use crate::port::Broken;
use crate::workload::{
    HEARTBEAT, Kind, Member, MemberPlan, Mover, OUTPUT, OffsetAuditor, Producer, Protocol, Reader,
    SESSION, Setup, TOPIC, Transactor,
};
use crate::world::{Fall, Occurrence, Weather, World};
use mainstem_node::NodeConfig;
use mainstem_platform::{Disk as _, Instant, Random, SeededRandom};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Steps after which a run that has not ended has lost its way.
const STEPS_MAX: u64 = 120_000;
/// How long things go wrong, in virtual time.
const FAULTS_UNTIL: Instant = Instant::from_millis(3_000);
/// The log directories: the second one only in some of the worlds.
pub(crate) const DIRS: [&str; 2] = ["/data", "/more"];

/// A run that kept all rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// What happened in the world.
    pub steps: u64,
    /// Virtual time that passed.
    pub duration: Duration,
    /// How often the computer lost power.
    pub power_cuts: u64,
    /// How often the process was killed.
    pub kills: u64,
    /// How often it was stopped.
    pub stops: u64,
    /// Power cuts and kills in the middle of a call of a machine or between two effects.
    pub midway: u64,
    /// Records in the topic at the end.
    pub records: u64,
    /// Of these, visible to read-committed readers.
    pub committed: u64,
    /// Transactions that were acknowledged as committed.
    pub transactions: u64,
    /// How often a member of a group was told a partition that it did not have.
    pub rebalances: u64,
    /// Depends on every step: the same seed gives the same digest.
    pub digest: u64,
}

impl Summary {
    /// Adds up; the digest is mixed.
    pub fn add(&mut self, other: &Summary) {
        self.steps += other.steps;
        self.duration += other.duration;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.stops += other.stops;
        self.midway += other.midway;
        self.records += other.records;
        self.committed += other.committed;
        self.transactions += other.transactions;
        self.rebalances += other.rebalances;
        self.digest ^= other.digest;
    }

    /// How often the broker went down.
    pub fn falls(&self) -> u64 {
        self.power_cuts + self.kills + self.stops
    }
}

/// A run that broke a rule.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Runs it again.
    pub seed: u64,
    /// The oracle that noticed.
    pub oracle: &'static str,
    /// Which rule, and where.
    pub rule: String,
    /// The last steps.
    pub trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, oracle, rule, trace } = self;
        write!(f, "{trace}seed {seed}: [{oracle}] {rule}")
    }
}

impl std::error::Error for Failure {}

/// What is wrong with the world itself, to see that the oracles notice. Bugs of the broker are planted
/// into its source: see `tests/plants`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Nothing.
    Nothing,
    /// The disk acknowledges syncs that it does not do.
    LyingDisk,
}

/// Runs one world from one seed.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    run_with(seed, Planted::Nothing)
}

/// Like [`run`], in a world that may break its own rules.
pub fn run_with(seed: u64, planted: Planted) -> Result<Summary, Box<Failure>> {
    let first = match run_once(seed, planted, false) {
        Ok(summary) => return Ok(summary),
        Err(failure) => failure,
    };
    // Once more, for the words of its trace.
    let mut failure = match run_once(seed, planted, true) {
        Err(failure) => failure,
        Ok(_) => first.clone(),
    };
    if failure.rule != first.rule {
        failure.rule = format!("{}; the second time it ended otherwise", first.rule);
    }
    Err(failure)
}

fn run_once(seed: u64, planted: Planted, in_words: bool) -> Result<Summary, Box<Failure>> {
    let mut stage = Stage::new(seed, in_words);
    stage.world.disk_lies = planted == Planted::LyingDisk;
    let outcome = catch_unwind(AssertUnwindSafe(|| stage.play()));
    let outcome = outcome.unwrap_or_else(|panic| Err(broken_by(&*panic)));
    outcome.map_err(|Broken { oracle, text }| {
        Box::new(Failure { seed, oracle, rule: text, trace: stage.world.trace.to_string() })
    })
}

/// A machine that panics has broken a rule of its own.
fn broken_by(panic: &(dyn Any + Send)) -> Broken {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Broken::new("panic", text.unwrap_or("a panic without words"))
}

/// A world with what the director knows of it.
struct Stage {
    world: World,
    dice: SeededRandom,
    steps: u64,
    groups: Vec<SharedBook>,
    /// Somebody makes `output` of `stream`.
    processes: bool,
}

fn config() -> NodeConfig {
    let mut config = NodeConfig {
        log_dir: PathBuf::from(DIRS[0]),
        auto_create_topics: false,
        offsets_topic_partitions: 2,
        transaction_topic_partitions: 2,
        housekeeping_interval: Duration::from_millis(700),
        cleaner_backoff: Duration::from_millis(300),
        group_initial_rebalance_delay: Duration::from_millis(20),
        group_min_session_timeout: Duration::from_millis(10),
        ..NodeConfig::default()
    };
    let range = Duration::from_millis(1)..=Duration::from_secs(60);
    config.consumer_groups.session_timeout = SESSION;
    config.consumer_groups.session_timeout_range = range.clone();
    config.consumer_groups.heartbeat_interval = HEARTBEAT;
    config.consumer_groups.heartbeat_interval_range = range;
    config.consumer_groups.assignment_interval = Duration::ZERO;
    // Segments roll by age, as the smallest size that a topic may ask for is too large for a run.
    let defaults = [("segment.ms", "400"), ("segment.index.bytes", "400"), ("retention.ms", "-1")];
    for (key, value) in defaults {
        config.topic_defaults.insert(key.to_owned(), value.to_owned());
    }
    config
}

impl Stage {
    /// Builds the broker.
    fn new(seed: u64, in_words: bool) -> Self {
        let mut dice = SeededRandom::new(seed ^ 0x5eed);
        let shards = 1 + dice.below(3) as u16;
        let partitions = 1 + dice.below(4) as i32;
        let mut config = config();
        if dice.one_in(3) {
            config.further_log_dirs.push(PathBuf::from(DIRS[1]));
        }
        let mut world = World::new(seed, config, shards, in_words);
        world.partitions = partitions;
        world.weather = Weather::draw(&mut dice);
        world.add(Box::new(Setup::new(partitions)));
        Self { world, dice, steps: 0, groups: Vec::new(), processes: false }
    }

    /// The clients. They come when the topics are there.
    fn cast(&mut self) {
        let partitions = self.world.partitions;
        for number in 0..1 + self.dice.below(3) {
            let records = 30 + self.dice.below(120);
            let name = format!("producer-{number}");
            self.world.add(Box::new(Producer::new(name, partitions, records)));
        }
        let share_id = self.dice.one_in(4);
        for number in 0..self.dice.below(3) {
            let protocol = if self.dice.one_in(2) { Protocol::V1 } else { Protocol::V2 };
            let name = format!("transactor-{number}");
            let count = 10 + self.dice.below(20) as u32;
            let transactor = Transactor::new(name, protocol, partitions, count);
            let transactor = if share_id { transactor.with_id("shared") } else { transactor };
            self.world.add(Box::new(transactor));
        }
        if self.world.has_two_dirs() {
            self.world.add(Box::new(Mover::new(DIRS, partitions)));
        }
        self.world.add(Box::new(Reader::new(TOPIC, partitions, false)));
        self.world.add(Box::new(Reader::new(TOPIC, partitions, true)));
        if self.dice.one_in(2) {
            self.cast_group("readers", false);
        }
        if self.dice.one_in(2) {
            self.processes = true;
            self.cast_group("processors", true);
        }
    }

    fn cast_group(&mut self, name: &str, processes: bool) {
        let book = GroupBook::new(name, self.world.partitions);
        self.groups.push(book.clone());
        let kind = if self.dice.one_in(2) { Kind::Classic } else { Kind::Consumer };
        let restless = [40, 150, 600][self.dice.below(3) as usize];
        for number in 0..1 + self.dice.below(3) {
            let protocol = if self.dice.one_in(2) { Protocol::V1 } else { Protocol::V2 };
            let plan = MemberPlan {
                name: format!("{name}-{number}"),
                kind,
                book: book.clone(),
                processes_by: processes.then_some(protocol),
                restless,
            };
            self.world.add(Box::new(Member::new(plan)));
        }
    }

    fn play(&mut self) -> Result<Summary, Broken> {
        // The directories were made when the broker was installed.
        let failed = |error: std::io::Error| Broken::new("start", error.to_string());
        for dir in DIRS {
            self.world.disk.create_dir_all(Path::new(dir)).map_err(failed)?;
        }
        self.world.disk.sync_dir(Path::new("/")).map_err(failed)?;
        self.world.plan(Duration::ZERO, Occurrence::Start);
        self.until_all_done()?;
        self.cast();
        self.world.begin_faults();
        while self.world.now.instant < FAULTS_UNTIL {
            self.world.step()?;
            self.steps += 1;
        }
        self.world.end_faults();
        if self.world.has_two_dirs() || self.world.lacked_room {
            // What went offline, a directory that has failed or a partition that could not be opened
            // for want of room, comes back with the next start.
            self.world.fall(Fall::Kill);
        }
        self.until_all_done()?;
        self.world.remark("nobody writes any more");
        self.world.actors.iter_mut().for_each(|(actor, _)| actor.wind_down());
        self.until_all_done()?;
        // What was acknowledged must outlive one more loss of power.
        self.world.fall(Fall::Power);
        self.verdict()
    }

    fn until_all_done(&mut self) -> Result<(), Broken> {
        for _ in 0..STEPS_MAX {
            if self.world.actors.iter().all(|(actor, _)| actor.is_done()) {
                return Ok(());
            }
            self.world.step()?;
            self.steps += 1;
        }
        let waiting = self.world.actors.iter().filter(|(actor, _)| !actor.is_done());
        let names: Vec<_> = waiting.map(|(actor, _)| actor.name()).collect();
        Err(Broken::new("progress", format!("no end after the heal: {}", names.join(", "))))
    }

    /// Reads everything, and judges.
    fn verdict(&mut self) -> Result<Summary, Broken> {
        let partitions = self.world.partitions;
        for book in &self.groups {
            self.world.add(Box::new(OffsetAuditor::new(book.clone())));
        }
        for topic in [TOPIC, OUTPUT] {
            for committed_only in [false, true] {
                let auditor = Reader::auditor(topic, partitions, committed_only);
                self.world.add(Box::new(auditor));
            }
        }
        self.until_all_done()?;
        let testimonies: Vec<Testimony> =
            self.world.actors.iter().map(|(actor, _)| actor.testimony()).collect();
        let (stream, output) = audited(&testimonies)?;
        judge(&testimonies, &stream, self.processes.then_some(&output))?;
        Ok(self.summary(&testimonies, &stream))
    }

    fn summary(&self, testimonies: &[Testimony], stream: &Contents) -> Summary {
        let count = |rows: &Rows| rows.values().map(|rows| rows.len() as u64).sum();
        let committed = |testimony: &Testimony| match testimony {
            Testimony::Transactions(of) => {
                of.values().filter(|(ending, _)| *ending == Ending::Committed).count() as u64
            }
            _ => 0,
        };
        let books = || self.groups.iter().map(|book| book.borrow());
        let falls = self.world.falls;
        Summary {
            steps: self.steps,
            duration: Duration::from_nanos(self.world.now.instant.0),
            power_cuts: falls.power,
            kills: falls.kill,
            stops: falls.stop,
            midway: falls.midway,
            records: count(&stream.all),
            committed: count(&stream.committed),
            transactions: testimonies.iter().map(committed).sum::<u64>()
                + books().map(|book| book.transactions).sum::<u64>(),
            rebalances: books().map(|book| book.rebalances).sum(),
            digest: self.world.trace.digest(),
        }
    }
}

/// What the auditors, the last four of the cast, have read.
fn audited(testimonies: &[Testimony]) -> Result<(Contents, Contents), Broken> {
    use Testimony::Seen;
    match testimonies {
        [
            ..,
            Seen { rows: all, .. },
            Seen { rows: committed, .. },
            Seen { rows: output_all, .. },
            Seen { rows: output_committed, .. },
        ] => Ok((
            Contents { all: all.clone(), committed: committed.clone() },
            Contents { all: output_all.clone(), committed: output_committed.clone() },
        )),
        _ => Err(Broken::new("start", "there are no auditors")),
    }
}
