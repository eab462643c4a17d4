//! One run: a cast of actors, a time of faults, the heal, the verdict.

use crate::oracle::{Rows, Testimony, judge};
use crate::port::Broken;
use crate::workload::{Mover, Producer, Protocol, Reader, Setup, Transactor};
use crate::world::{Fall, Occurrence, World};
use mainstem_node::NodeConfig;
use mainstem_platform::{Disk as _, Instant, Random, SeededRandom};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Steps after which a run that has not ended has lost its way.
const STEPS_MAX: u64 = 60_000;
/// How long things go wrong, in virtual time.
const FAULTS_UNTIL: Instant = Instant::from_millis(3_000);

/// A run that kept all rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// What happened in the world.
    pub steps: u64,
    /// How often the broker went down.
    pub falls: u64,
    /// Records in the log at the end.
    pub records: u64,
    /// Of these, visible to read-committed readers.
    pub committed: u64,
    /// Depends on every step: the same seed gives the same digest.
    pub digest: u64,
}

/// A run that broke a rule.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Runs it again.
    pub seed: u64,
    /// Which rule, and where.
    pub rule: String,
    /// The last steps.
    pub trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, rule, trace } = self;
        write!(f, "{trace}seed {seed}: {rule}")
    }
}

impl std::error::Error for Failure {}

/// What is wrong with the world itself, to see that the oracles notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Nothing.
    Nothing,
    /// The disk acknowledges syncs that it does not do.
    LyingDisk,
}

/// The log directories: the second one only in some of the worlds.
pub(crate) const DIRS: [&str; 2] = ["/data", "/more"];

/// Runs one world from one seed.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    run_with(seed, Planted::Nothing)
}

/// Like [`run`], in a world that may break its own rules.
pub fn run_with(seed: u64, planted: Planted) -> Result<Summary, Box<Failure>> {
    let (mut world, mut dice) = stage(seed);
    world.disk_lies = planted == Planted::LyingDisk;
    play(&mut world, &mut dice)
        .map_err(|Broken(rule)| Box::new(Failure { seed, rule, trace: world.trace.to_string() }))
}

/// Builds the broker.
fn stage(seed: u64) -> (World, SeededRandom) {
    let mut config = NodeConfig {
        log_dir: PathBuf::from(DIRS[0]),
        auto_create_topics: false,
        offsets_topic_partitions: 1,
        transaction_topic_partitions: 2,
        housekeeping_interval: Duration::from_millis(700),
        cleaner_backoff: Duration::from_millis(300),
        ..NodeConfig::default()
    };
    // Segments roll by age, as the smallest size that a topic may ask for is too large for a run.
    let defaults = [("segment.ms", "400"), ("segment.index.bytes", "400"), ("retention.ms", "-1")];
    for (key, value) in defaults {
        config.topic_defaults.insert(key.to_owned(), value.to_owned());
    }
    let mut dice = SeededRandom::new(seed ^ 0x5eed);
    let shards = 1 + dice.below(3) as u16;
    let partitions = 1 + dice.below(4) as i32;
    if dice.one_in(2) {
        config.further_log_dirs.push(PathBuf::from(DIRS[1]));
    }
    let mut world = World::new(seed, config, shards);
    world.partitions = partitions;
    world.add(Box::new(Setup::new(partitions)));
    (world, dice)
}

/// The clients. They come when the topic is there: a producer that is not known to a partition may
/// begin with any sequence, so one that sends on after an unknown topic would leave a gap.
fn cast(world: &mut World, dice: &mut SeededRandom) {
    let partitions = world.partitions;
    for number in 0..1 + dice.below(3) {
        let records = 50 + dice.below(200);
        let name = format!("producer-{number}");
        world.add(Box::new(Producer::new(name, partitions, records)));
    }
    for number in 0..dice.below(3) {
        let protocol = if dice.one_in(2) { Protocol::V1 } else { Protocol::V2 };
        let name = format!("transactor-{number}");
        let count = 10 + dice.below(20) as u32;
        world.add(Box::new(Transactor::new(name, protocol, partitions, count)));
    }
    if world.has_two_dirs() {
        world.add(Box::new(Mover::new(DIRS, partitions)));
    }
    world.add(Box::new(Reader::new("reader", partitions, false, false)));
    world.add(Box::new(Reader::new("committed-reader", partitions, true, false)));
}

fn play(world: &mut World, dice: &mut SeededRandom) -> Result<Summary, Broken> {
    // The directory that holds everything was made when the broker was installed.
    for dir in DIRS {
        world.disk.create_dir_all(Path::new(dir)).map_err(|error| Broken(error.to_string()))?;
    }
    world.disk.sync_dir(Path::new("/")).map_err(|error| Broken(error.to_string()))?;
    world.plan(Duration::ZERO, Occurrence::Start);
    let mut steps = until_all_done(world)?;
    cast(world, dice);
    world.plan(Duration::from_millis(50), Occurrence::Fault);
    while world.now.instant < FAULTS_UNTIL {
        world.step()?;
        steps += 1;
    }
    world.faulty = false;
    world.remark("faults end");
    if world.has_two_dirs() {
        // A directory that has failed comes back with the next start.
        world.fall(Fall::Kill);
    }
    steps += until_all_done(world)?;
    // What was acknowledged must outlive one more loss of power.
    world.fall(Fall::Power);
    let partitions = world.partitions;
    world.add(Box::new(Reader::new("auditor", partitions, false, true)));
    world.add(Box::new(Reader::new("committed-auditor", partitions, true, true)));
    steps += until_all_done(world)?;
    let testimonies: Vec<Testimony> =
        world.actors.iter().map(|(actor, _)| actor.testimony()).collect();
    let (all, committed) = audited(&testimonies)?;
    judge(&testimonies, &all, &committed)?;
    let count = |rows: &Rows| rows.values().map(|rows| rows.len() as u64).sum();
    Ok(Summary {
        steps,
        falls: world.falls,
        records: count(&all),
        committed: count(&committed),
        digest: world.trace.digest(),
    })
}

fn until_all_done(world: &mut World) -> Result<u64, Broken> {
    for steps in 0..STEPS_MAX {
        if world.actors.iter().all(|(actor, _)| actor.is_done()) {
            return Ok(steps);
        }
        world.step()?;
    }
    let waiting = world.actors.iter().filter(|(actor, _)| !actor.is_done());
    let names: Vec<_> = waiting.map(|(actor, _)| actor.name()).collect();
    Err(Broken(format!("no end after the heal: {}", names.join(", "))))
}

/// What the auditors, the last two of the cast, have read.
fn audited(testimonies: &[Testimony]) -> Result<(Rows, Rows), Broken> {
    match testimonies {
        [.., Testimony::Seen { rows: all, .. }, Testimony::Seen { rows: committed, .. }] => {
            Ok((all.clone(), committed.clone()))
        }
        _ => Err(Broken("there are no auditors".to_owned())),
    }
}
