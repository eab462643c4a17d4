//! The world: a broker, its disk, its clients and everything between them.
//!
//! It does what a shell does (drain events, end the pass, carry out effects) and decides by the seed
//! how long each thing takes and what goes wrong. Several events fall into one pass when they come
//! within the time that a pass takes, so group commit happens as it does in the server.
//!
//! A *life* is the time between two starts of the broker. What was sent to or by an earlier life and
//! has not arrived is lost with it.
//!
//! Here is the broker's side; `network` is the clients' side, `faults` is how the broker falls and
//! starts, `mortal` lets it fall in the middle of a call.

mod faults;
mod mortal;
mod network;

pub(crate) use faults::{Fall, Falls, Weather};

use crate::port::{Actor, Broken, Port};
use crate::schedule::{Schedule, delay};
use crate::trace::Trace;
use bytes::{Bytes, BytesMut};
use mainstem_node::{
    CompactionToken, CopyJob, CopyToken, Effect, Event, NodeConfig, ResponseSegment, ShardIndex,
    ShardMessage, ShardNode, SyncJob, SyncToken,
};
use mainstem_platform::simulated::SimulatedDisk;
use mainstem_platform::{Disk as _, Instant, Now, Random, SeededRandom};
use mainstem_storage::CompactionTask;
use mortal::MortalDisk;
use network::Connection;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where time begins: a day that people know.
const BEGIN_WALL_MS: i64 = 1_700_000_000_000;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Occurrence {
    Wake {
        actor: usize,
    },
    Accepted {
        actor: usize,
        connection: u64,
    },
    FrameArrives {
        connection: u64,
        frame: Bytes,
    },
    AnswerArrives {
        connection: u64,
        frame: Bytes,
    },
    ConnectionLost {
        connection: u64,
    },
    Message {
        life: u64,
        from: ShardIndex,
        to: ShardIndex,
        message: ShardMessage,
    },
    Compact {
        life: u64,
        shard: usize,
        token: CompactionToken,
        task: Box<CompactionTask>,
    },
    /// What is left to be done of the job; an error that came early stays one.
    SyncEnds {
        life: u64,
        shard: usize,
        token: SyncToken,
        left: Result<Option<SyncJob>, String>,
    },
    CopyEnds {
        life: u64,
        shard: usize,
        token: CopyToken,
        job: CopyJob,
    },
    Remove {
        life: u64,
        paths: Vec<PathBuf>,
    },
    EndPass {
        life: u64,
        shard: usize,
    },
    Deadline {
        life: u64,
        shard: usize,
    },
    Fault,
    /// A full disk has room again.
    Room,
    Start,
}

impl Occurrence {
    /// For the digest: what it is, and to whom.
    fn number(&self) -> u64 {
        match self {
            Self::Wake { actor } => 1 | (*actor as u64) << 8,
            Self::Accepted { connection, .. } => 2 | connection << 8,
            Self::FrameArrives { connection, frame } => {
                3 | connection << 8 | (frame.len() as u64) << 32
            }
            Self::AnswerArrives { connection, frame } => {
                4 | connection << 8 | (frame.len() as u64) << 32
            }
            Self::ConnectionLost { connection } => 5 | connection << 8,
            Self::Message { from, to, .. } => 6 | u64::from(from.0) << 8 | u64::from(to.0) << 24,
            Self::Compact { shard, .. } => 7 | (*shard as u64) << 8,
            Self::SyncEnds { shard, .. } => 8 | (*shard as u64) << 8,
            Self::Remove { paths, .. } => 9 | (paths.len() as u64) << 8,
            Self::EndPass { shard, .. } => 10 | (*shard as u64) << 8,
            Self::Deadline { shard, .. } => 11 | (*shard as u64) << 8,
            Self::Fault => 12,
            Self::Room => 13,
            Self::Start => 14,
            Self::CopyEnds { shard, .. } => 15 | (*shard as u64) << 8,
        }
    }
}

/// See the module's words.
pub(crate) struct World {
    pub(crate) random: SeededRandom,
    pub(crate) now: Now,
    pub(crate) disk: SimulatedDisk,
    pub(crate) trace: Trace,
    pub(crate) actors: Vec<(Box<dyn Actor>, Port)>,
    /// Whether things still go wrong.
    pub(crate) faulty: bool,
    pub(crate) weather: Weather,
    /// A start found the disk nearly full.
    pub(crate) lacked_room: bool,
    pub(crate) falls: Falls,
    /// Of the topics.
    pub(crate) partitions: i32,
    /// The disk says that it has synced and has not: to see that the oracles see it.
    pub(crate) disk_lies: bool,
    config: Arc<NodeConfig>,
    shard_count: u16,
    /// Empty while the broker is down.
    shards: Vec<ShardNode>,
    /// The disk as this life of the broker sees it.
    mortal: MortalDisk,
    /// Effects that are still carried out before the process dies, when it is to die.
    effects_left: Option<u64>,
    pass_planned: Vec<bool>,
    life: u64,
    schedule: Schedule<Occurrence>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
}

impl World {
    pub(crate) fn new(seed: u64, config: NodeConfig, shard_count: u16, in_words: bool) -> Self {
        let disk = SimulatedDisk::new();
        Self {
            random: SeededRandom::new(seed),
            now: Now { instant: Instant(0), wall_ms: BEGIN_WALL_MS },
            mortal: MortalDisk::new(disk.clone()),
            disk,
            trace: Trace::new(in_words),
            actors: Vec::new(),
            faulty: true,
            weather: Weather::default(),
            falls: Falls::default(),
            lacked_room: false,
            partitions: 0,
            disk_lies: false,
            config: Arc::new(config),
            shard_count,
            shards: Vec::new(),
            effects_left: None,
            pass_planned: Vec::new(),
            life: 0,
            schedule: Schedule::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
        }
    }

    pub(crate) fn add(&mut self, actor: Box<dyn Actor>) {
        let port = Port::new(self.random.fork(), self.trace.is_in_words());
        self.actors.push((actor, port));
        let actor = self.actors.len() - 1;
        let delay = delay(&mut self.random, 1_000);
        self.wake(actor, delay);
    }

    pub(crate) fn plan(&mut self, delay: Duration, what: Occurrence) {
        self.schedule.at(self.now.instant.plus(delay), what);
    }

    fn after(&mut self, typical_us: u64, what: Occurrence) {
        let delay = delay(&mut self.random, typical_us);
        self.plan(delay, what);
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.note(self.now.instant, what);
    }

    /// A line of the trace by an oracle or a runner.
    pub(crate) fn remark(&mut self, what: &str) {
        self.note(format_args!("{what}"));
    }

    /// Lets the next thing happen.
    pub(crate) fn step(&mut self) -> Result<(), Broken> {
        let Some((at, occurrence)) = self.schedule.pop() else {
            return Err(Broken::new("progress", "nothing will ever happen again"));
        };
        self.now.instant = at;
        self.now.wall_ms = BEGIN_WALL_MS + (at.0 / 1_000_000) as i64;
        self.trace.count(at.0);
        self.trace.count(occurrence.number());
        self.happen(occurrence)?;
        self.bury();
        Ok(())
    }

    fn happen(&mut self, occurrence: Occurrence) -> Result<(), Broken> {
        match occurrence {
            Occurrence::Wake { actor } => self.woken(actor)?,
            Occurrence::Accepted { actor, connection } => self.accepted(actor, connection)?,
            Occurrence::FrameArrives { connection, frame } => {
                self.frame_arrives(connection, frame);
            }
            Occurrence::AnswerArrives { connection, frame } => {
                self.answer_arrives(connection, frame)?;
            }
            Occurrence::ConnectionLost { connection } => {
                self.disconnect(connection);
                self.drop_connection(connection)?;
            }
            Occurrence::Fault => self.fault(),
            Occurrence::Room => self.disk.set_room(None),
            Occurrence::Start => self.start()?,
            Occurrence::Message { life, .. }
            | Occurrence::SyncEnds { life, .. }
            | Occurrence::Compact { life, .. }
            | Occurrence::CopyEnds { life, .. }
            | Occurrence::Remove { life, .. }
            | Occurrence::EndPass { life, .. }
            | Occurrence::Deadline { life, .. }
                if life != self.life => {}
            ours => self.happen_within(ours)?,
        }
        Ok(())
    }

    /// What happens within the present life of the broker.
    fn happen_within(&mut self, occurrence: Occurrence) -> Result<(), Broken> {
        match occurrence {
            Occurrence::Message { from, to, message, .. } => {
                self.handle(usize::from(to.0), Event::FromShard { from, message });
            }
            Occurrence::SyncEnds { shard, token, left, .. } => {
                let result = left.and_then(|job| job.map_or(Ok(()), |job| job.run(&self.mortal)));
                if !self.mortal.is_dead() {
                    self.note(format_args!("shard {shard} synced {result:?}"));
                    self.handle(shard, Event::Synced { token, result });
                }
            }
            Occurrence::Compact { shard, token, mut task, .. } => {
                let result = task.step(&self.mortal);
                if !self.mortal.is_dead() {
                    self.handle(shard, Event::Compacted { token, task, result });
                }
            }
            Occurrence::CopyEnds { shard, token, job, .. } => {
                let result = job.run(&self.mortal);
                if !self.mortal.is_dead() {
                    self.note(format_args!("shard {shard} copied {result:?}"));
                    self.handle(shard, Event::Copied { token, result });
                }
            }
            Occurrence::Remove { paths, .. } => {
                for path in paths {
                    // One of the two fits; both fail when it is gone already.
                    let _ = self.mortal.remove_file(&path);
                    let _ = self.mortal.remove_dir_all(&path);
                }
            }
            Occurrence::EndPass { shard, .. } => self.end_pass(shard)?,
            Occurrence::Deadline { shard, .. } => self.handle_deadline(shard),
            _ => unreachable!("all others were told apart before"),
        }
        Ok(())
    }

    // ---- the broker's side

    fn handle(&mut self, shard: usize, event: Event) {
        if let Some(node) = self.shards.get_mut(shard) {
            node.handle_event(self.now, event);
            self.plan_pass(shard);
        }
    }

    fn handle_deadline(&mut self, shard: usize) {
        let Some(node) = self.shards.get_mut(shard) else { return };
        if node.deadline().is_some_and(|at| at <= self.now.instant) {
            node.handle_deadline(self.now);
            self.plan_pass(shard);
        }
    }

    /// A pass ends a moment after its first event; what comes meanwhile belongs to it.
    fn plan_pass(&mut self, shard: usize) {
        if !std::mem::replace(&mut self.pass_planned[shard], true) {
            let life = self.life;
            self.after(20, Occurrence::EndPass { life, shard });
        }
    }

    fn end_pass(&mut self, shard: usize) -> Result<(), Broken> {
        self.pass_planned[shard] = false;
        let life = self.life;
        let Some(node) = self.shards.get_mut(shard) else { return Ok(()) };
        node.end_pass(self.now);
        while let Some(effect) = self.shards.get_mut(shard).and_then(ShardNode::poll_effect) {
            if self.mortal.is_dead() {
                return Ok(());
            }
            match &mut self.effects_left {
                Some(0) => {
                    self.note(format_args!("the process dies between two effects"));
                    self.fall_somehow();
                }
                Some(left) => *left -= 1,
                None => {}
            }
            if self.life != life {
                return Ok(());
            }
            self.carry_out(shard, effect)?;
        }
        let deadline = self.shards.get(shard).and_then(ShardNode::deadline);
        if let Some(at) = deadline {
            self.schedule.at(at.max(self.now.instant), Occurrence::Deadline { life, shard });
        }
        Ok(())
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) -> Result<(), Broken> {
        let life = self.life;
        match effect {
            Effect::Respond { connection, segments } => {
                let frame = gather(&segments)?;
                let at = self.now.instant.plus(delay(&mut self.random, 200));
                let what = Occurrence::AnswerArrives { connection: connection.0, frame };
                self.schedule.on_link((connection.0, 1), at, what);
            }
            Effect::Close { connection } => {
                self.note(format_args!("broker closes connection {}", connection.0));
                self.after(200, Occurrence::ConnectionLost { connection: connection.0 });
            }
            Effect::ToShard { shard: to, message } => {
                let at = self.now.instant.plus(delay(&mut self.random, 10));
                let from = ShardIndex(shard as u16);
                let link = (1_000_000 + shard as u64, u64::from(to.0));
                self.schedule.on_link(link, at, Occurrence::Message { life, from, to, message });
            }
            Effect::Sync { token, mut job } => {
                // A shell does them at the same time, so that a crash may find any of them done.
                let first = token.0 as usize % job.tasks.len();
                job.tasks.rotate_left(first);
                // The disk may do the work at once or at the last moment; the crash in between
                // shows who relied upon the one or the other.
                let early = self.random.one_in(2);
                let left = if self.disk_lies {
                    Ok(None)
                } else if early {
                    job.run(&self.mortal).map(|()| None)
                } else {
                    Ok(Some(job))
                };
                self.after(self.weather.sync_us, Occurrence::SyncEnds { life, shard, token, left });
            }
            Effect::Compact { token, task } => {
                self.after(5_000, Occurrence::Compact { life, shard, token, task });
            }
            Effect::Copy { token, job } => {
                self.after(2_000, Occurrence::CopyEnds { life, shard, token, job });
            }
            Effect::Remove { paths } => self.after(1_000, Occurrence::Remove { life, paths }),
            Effect::Halt { reason } => {
                self.note(format_args!("shard {shard} halts: {reason}"));
                self.fall(Fall::Kill);
            }
            Effect::Reading { .. } | Effect::CommandReply { .. } | Effect::Stopped => {}
        }
        Ok(())
    }
}

/// The bytes of a response without its length, files read.
fn gather(segments: &[ResponseSegment]) -> Result<Bytes, Broken> {
    let mut frame = BytesMut::new();
    for segment in segments {
        match segment {
            ResponseSegment::Bytes(bytes) => frame.extend_from_slice(bytes),
            ResponseSegment::File { file, position, len } => {
                let from = frame.len();
                frame.resize(from + *len as usize, 0);
                file.read_exact_at(&mut frame[from..], *position)
                    .map_err(|error| Broken::protocol(format!("a range of a response: {error}")))?;
            }
        }
    }
    Ok(frame.split_off(4).freeze())
}
