//! What goes wrong, how the broker falls, and how it comes back.
//!
//! Each run has its own weather: which faults there are and how often, drawn from the seed. Runs that
//! have everything at once hide what only long quiet or one kind of trouble shows.

use super::mortal::MortalDisk;
use super::{Occurrence, World};
use crate::port::Broken;
use crate::run::DIRS;
use mainstem_node::{Effect, Event, ShardIndex, ShardNode};
use mainstem_platform::simulated::Fault as DiskFault;
use mainstem_platform::{Disk, Now, Random, SeededRandom};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How the broker goes down.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fall {
    /// The computer loses power.
    Power,
    /// The process is killed.
    Kill,
    /// It is asked to stop.
    Stop,
}

/// How often the broker went down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Falls {
    pub(crate) power: u64,
    pub(crate) kill: u64,
    pub(crate) stop: u64,
    /// Of these, in the middle of a call or between two effects.
    pub(crate) midway: u64,
}

/// What may go wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Fall(Fall),
    /// The process dies at one of its next operations on the disk.
    DieAtOperation,
    /// The process dies between two of its next effects.
    DieAtEffect,
    FailSync,
    FillDisk,
    Cut,
    /// The disk of the second log directory, where there is one, until the next start.
    BreakDisk,
}

const FAULTS: [Fault; 9] = [
    Fault::Fall(Fall::Power),
    Fault::Fall(Fall::Kill),
    Fault::Fall(Fall::Stop),
    Fault::DieAtOperation,
    Fault::DieAtEffect,
    Fault::FailSync,
    Fault::FillDisk,
    Fault::Cut,
    Fault::BreakDisk,
];

/// What goes wrong in a run, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Typical time between two faults.
    fault_us: u64,
    /// Typical time that a sync takes.
    pub(super) sync_us: u64,
    /// One of each of `FAULTS` has this weight.
    weights: [u64; FAULTS.len()],
    /// One start in so many is cut short by a crash.
    broken_start: u64,
}

impl Default for Weather {
    /// Everything, often.
    fn default() -> Self {
        Self {
            fault_us: 150_000,
            sync_us: 2_000,
            weights: [3, 2, 1, 2, 2, 1, 1, 4, 2],
            broken_start: 6,
        }
    }
}

impl Weather {
    pub(crate) fn draw(dice: &mut SeededRandom) -> Self {
        let fault_us = [40_000, 150_000, 150_000, 400_000, 1_000_000][dice.below(5) as usize];
        let sync_us = [200, 2_000, 2_000, 10_000][dice.below(4) as usize];
        let mut weather = Self { fault_us, sync_us, ..Self::default() };
        for weight in &mut weather.weights {
            *weight *= [0, 1, 1, 4][dice.below(4) as usize];
        }
        weather.broken_start = [0, 3, 10][dice.below(3) as usize];
        weather
    }

    fn next(&self, random: &mut SeededRandom) -> Option<Fault> {
        let mut at = random.below(self.weights.iter().sum());
        let mut pairs = FAULTS.into_iter().zip(self.weights);
        let fault = pairs.find(|(_, weight)| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        fault.map(|(fault, _)| fault)
    }
}

impl World {
    /// From now on things go wrong.
    pub(crate) fn begin_faults(&mut self) {
        let delay_us = self.random.below(self.weather.fault_us);
        self.plan(Duration::from_micros(delay_us), Occurrence::Fault);
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn end_faults(&mut self) {
        self.faulty = false;
        self.actors.iter_mut().for_each(|(_, port)| port.faulty = false);
        self.effects_left = None;
        self.mortal.live_on();
        self.disk.set_room(None);
        self.disk.mend_syncs();
        self.note(format_args!("faults end"));
    }

    pub(super) fn fault(&mut self) {
        if !self.faulty {
            return;
        }
        self.after(self.weather.fault_us, Occurrence::Fault);
        let weather = self.weather;
        let fault = weather.next(&mut self.random);
        let (Some(fault), false) = (fault, self.shards.is_empty()) else { return };
        match fault {
            Fault::Fall(how) => self.fall(how),
            Fault::DieAtOperation => {
                let operations = self.random.below(60);
                let last_write_permille = self.random.below(1_001);
                self.note(format_args!("the process will die in {operations} operations"));
                self.mortal.die_after(operations, last_write_permille);
            }
            Fault::DieAtEffect => self.effects_left = Some(self.random.below(60)),
            Fault::FailSync => {
                self.note(format_args!("the disk will fail a sync"));
                self.disk.fail_sync_after(self.random.below(4));
            }
            Fault::FillDisk => {
                let room = self.random.below(3_000);
                self.note(format_args!("the disk has room for {room} bytes"));
                self.disk.set_room(Some(room));
                self.after(100_000, Occurrence::Room);
            }
            Fault::Cut => self.cut_connection(),
            Fault::BreakDisk if self.has_two_dirs() => {
                self.note(format_args!("the second disk breaks"));
                self.disk.set_fault(Path::new(DIRS[1]), DiskFault::Broken);
            }
            Fault::BreakDisk => {}
        }
    }

    /// Notices that the process has died within a call.
    pub(super) fn bury(&mut self) {
        if self.mortal.is_dead() && !self.shards.is_empty() {
            self.note(format_args!("the process dies at an operation on its disk"));
            self.fall_somehow();
        }
    }

    /// By a kill or with the whole computer.
    pub(super) fn fall_somehow(&mut self) {
        self.falls.midway += 1;
        let how = if self.random.one_in(2) { Fall::Power } else { Fall::Kill };
        self.fall(how);
    }

    /// Takes the broker down; it comes up again after a while.
    pub(crate) fn fall(&mut self, how: Fall) {
        self.note(format_args!("the broker falls: {how:?}"));
        if matches!(how, Fall::Stop) {
            self.stop_cleanly();
        }
        self.shards.clear();
        self.life += 1;
        self.effects_left = None;
        self.lose_disk(how);
        let lost: Vec<u64> = self.connections.keys().copied().collect();
        for connection in lost {
            self.after(500, Occurrence::ConnectionLost { connection });
        }
        self.after(30_000, Occurrence::Start);
    }

    fn lose_disk(&mut self, how: Fall) {
        match how {
            Fall::Power => self.falls.power += 1,
            Fall::Kill => self.falls.kill += 1,
            Fall::Stop => self.falls.stop += 1,
        }
        match how {
            Fall::Power => self.disk.crash(self.random.next_u64()),
            // A disk that has failed once is replaced by what it kept.
            Fall::Kill if self.random.one_in(4) => self.disk.crash(self.random.next_u64()),
            Fall::Kill | Fall::Stop => self.disk.kill_process(),
        }
    }

    pub(crate) fn has_two_dirs(&self) -> bool {
        !self.config.further_log_dirs.is_empty()
    }

    /// What a shell does for a clean stop: every shard is told, messages are delivered and syncs
    /// done until all have closed their logs or wait for something that does not come.
    fn stop_cleanly(&mut self) {
        let mut events: VecDeque<(usize, Event)> =
            (0..self.shards.len()).map(|shard| (shard, Event::Shutdown)).collect();
        while let Some((shard, event)) = events.pop_front() {
            let node = &mut self.shards[shard];
            node.handle_event(self.now, event);
            node.end_pass(self.now);
            while let Some(effect) = node.poll_effect() {
                match effect {
                    Effect::ToShard { shard: to, message } => {
                        let from = ShardIndex(shard as u16);
                        let event = Event::FromShard { from, message };
                        events.push_back((usize::from(to.0), event));
                    }
                    Effect::Sync { token, job } => {
                        let result = job.run(&self.mortal);
                        events.push_back((shard, Event::Synced { token, result }));
                    }
                    _ => {}
                }
            }
        }
        // What was on its way when the stop came is lost, so patience may have to end.
        let patience = self.config.limits.stop_patience;
        let instant = self.now.instant.plus(patience);
        for node in &mut self.shards {
            node.handle_deadline(Now { instant, ..self.now });
            while node.poll_effect().is_some() {}
        }
    }

    pub(super) fn start(&mut self) -> Result<(), Broken> {
        if !self.shards.is_empty() {
            return Ok(());
        }
        // A sync that was ordered to fail may be one of the start's own; faults end with a fall.
        self.disk.mend_syncs();
        self.disk.mend(Path::new(DIRS[1]));
        self.lacked_room |= self.disk.room().is_some();
        self.mortal = MortalDisk::new(self.disk.clone());
        if self.faulty && self.random.one_in(self.weather.broken_start) {
            let last_write_permille = self.random.below(1_001);
            self.mortal.die_after(self.random.below(120), last_write_permille);
        }
        if let Err(error) = self.open_shards() {
            self.shards.clear();
            if self.mortal.is_dead() {
                self.note(format_args!("the process dies while it starts"));
                self.falls.midway += 1;
                let how = if self.random.one_in(2) { Fall::Power } else { Fall::Kill };
                self.life += 1;
                self.lose_disk(how);
            } else if self.disk.room().is_some() {
                // Whoever operates it makes room and tries again.
                self.note(format_args!("the broker does not start on a full disk: {error}"));
                self.disk.set_room(None);
                self.disk.kill_process();
            } else {
                return Err(Broken::new("start", format!("the broker does not start: {error}")));
            }
            self.after(30_000, Occurrence::Start);
            return Ok(());
        }
        self.pass_planned = vec![false; self.shards.len()];
        let life = self.life;
        self.note(format_args!("the broker is up, life {life}"));
        for shard in 0..self.shards.len() {
            self.plan_pass(shard);
        }
        Ok(())
    }

    fn open_shards(&mut self) -> Result<(), String> {
        for shard in 0..self.shard_count {
            let disk: Arc<dyn Disk> = Arc::new(self.mortal.clone());
            let (config, seed) = (self.config.clone(), self.random.next_u64());
            let index = ShardIndex(shard);
            let node = ShardNode::open(config, index, self.shard_count, disk, seed, self.now);
            self.shards.push(node.map_err(|error| error.to_string())?);
        }
        Ok(())
    }
}
