//! The world: a broker, its disk, its clients and everything between them.
//!
//! It does what a shell does (drain events, end the pass, carry out effects) and decides by the seed
//! how long each thing takes and what goes wrong. Several events fall into one pass when they come
//! within the time that a pass takes, so group commit happens as it does in the server.
//!
//! A *life* is the time between two starts of the broker. What was sent to or by an earlier life and
//! has not arrived is lost with it.

use crate::port::{Actor, Broken, Order, Port};
use crate::run::DIRS;
use crate::schedule::{Schedule, delay};
use crate::trace::Trace;
use bytes::{Bytes, BytesMut};
use mainstem_node::{
    CompactionToken, ConnectionId, CopyJob, CopyToken, Effect, Event, NodeConfig, ResponseSegment,
    ShardIndex, ShardMessage, ShardNode, SyncJob, SyncToken,
};
use mainstem_platform::simulated::{Fault as SimulatedFault, SimulatedDisk};
use mainstem_platform::{Disk, Instant, Now, Random, SeededRandom};
use mainstem_storage::CompactionTask;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Where time begins: a day that people know.
const BEGIN_WALL_MS: i64 = 1_700_000_000_000;

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

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Occurrence {
    Wake { actor: usize },
    Accepted { actor: usize, connection: u64 },
    FrameArrives { connection: u64, frame: Bytes },
    AnswerArrives { connection: u64, frame: Bytes },
    ConnectionLost { connection: u64 },
    Message { life: u64, from: ShardIndex, to: ShardIndex, message: ShardMessage },
    Compact { life: u64, shard: usize, token: CompactionToken, task: Box<CompactionTask> },
    SyncEnds { life: u64, shard: usize, token: SyncToken, job: Option<SyncJob> },
    CopyEnds { life: u64, shard: usize, token: CopyToken, job: CopyJob },
    EndPass { life: u64, shard: usize },
    Deadline { life: u64, shard: usize },
    Fault,
    Start,
}

struct Connection {
    actor: usize,
    shard: usize,
    life: u64,
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
    pub(crate) falls: u64,
    /// Of the topic.
    pub(crate) partitions: i32,
    /// The disk says that it has synced and has not: to see that the oracles see it.
    pub(crate) disk_lies: bool,
    config: Arc<NodeConfig>,
    shard_count: u16,
    /// Empty while the broker is down.
    shards: Vec<ShardNode>,
    pass_planned: Vec<bool>,
    life: u64,
    schedule: Schedule<Occurrence>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
}

impl World {
    pub(crate) fn new(seed: u64, config: NodeConfig, shard_count: u16) -> Self {
        Self {
            random: SeededRandom::new(seed),
            now: Now { instant: Instant(0), wall_ms: BEGIN_WALL_MS },
            disk: SimulatedDisk::new(),
            trace: Trace::default(),
            actors: Vec::new(),
            faulty: true,
            falls: 0,
            partitions: 0,
            disk_lies: false,
            config: Arc::new(config),
            shard_count,
            shards: Vec::new(),
            pass_planned: Vec::new(),
            life: 0,
            schedule: Schedule::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
        }
    }

    pub(crate) fn add(&mut self, actor: Box<dyn Actor>) {
        let port = Port::new(self.random.fork());
        self.actors.push((actor, port));
        let actor = self.actors.len() - 1;
        self.after(1_000, Occurrence::Wake { actor });
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

    /// Lets the next thing happen.
    pub(crate) fn step(&mut self) -> Result<(), Broken> {
        let Some((at, occurrence)) = self.schedule.pop() else {
            return Err(Broken("nothing will ever happen again".to_owned()));
        };
        self.now.instant = at;
        self.now.wall_ms = BEGIN_WALL_MS + (at.0 / 1_000_000) as i64;
        match occurrence {
            Occurrence::Wake { actor } => self.tell(actor, |actor, port| actor.timer(port)),
            Occurrence::Accepted { actor, connection } => self.accepted(actor, connection),
            Occurrence::FrameArrives { connection, frame } => {
                if let Some(shard) = self.shard_of(connection) {
                    let connection = ConnectionId(connection);
                    self.handle(shard, Event::Frame { connection, frame });
                }
                Ok(())
            }
            Occurrence::AnswerArrives { connection, frame } => {
                self.answer_arrives(connection, frame)
            }
            Occurrence::ConnectionLost { connection } => {
                if let Some(shard) = self.shard_of(connection) {
                    let connection = ConnectionId(connection);
                    self.handle(shard, Event::Disconnected { connection });
                }
                self.drop_connection(connection)
            }
            Occurrence::Message { life, from, to, message } => {
                if life == self.life {
                    self.handle(usize::from(to.0), Event::FromShard { from, message });
                }
                Ok(())
            }
            Occurrence::SyncEnds { life, shard, token, job } => {
                if life == self.life {
                    let result = job.map_or(Ok(()), |job| job.run(&self.disk));
                    self.note(format_args!("shard {shard} synced {result:?}"));
                    self.handle(shard, Event::Synced { token, result });
                }
                Ok(())
            }
            Occurrence::Compact { life, shard, token, mut task } => {
                if life == self.life {
                    let result = task.step(&self.disk);
                    self.handle(shard, Event::Compacted { token, task, result });
                }
                Ok(())
            }
            Occurrence::CopyEnds { life, shard, token, job } => {
                if life == self.life {
                    let result = job.run(&self.disk);
                    self.note(format_args!("shard {shard} copied {result:?}"));
                    self.handle(shard, Event::Copied { token, result });
                }
                Ok(())
            }
            Occurrence::EndPass { life, shard } => {
                if life == self.life {
                    self.end_pass(shard)
                } else {
                    Ok(())
                }
            }
            Occurrence::Deadline { life, shard } => {
                if life == self.life {
                    self.handle_deadline(shard);
                }
                Ok(())
            }
            Occurrence::Fault => self.fault(),
            Occurrence::Start => self.start(),
        }
    }

    // ---- the broker's side

    fn shard_of(&self, connection: u64) -> Option<usize> {
        let connection = self.connections.get(&connection)?;
        (connection.life == self.life && !self.shards.is_empty()).then_some(connection.shard)
    }

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
            self.carry_out(shard, effect)?;
            if self.life != life {
                return Ok(());
            }
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
            Effect::Sync { token, job } => {
                // The disk may do the work at once or at the last moment; the crash in between
                // shows who relied upon the one or the other.
                let early = self.random.one_in(2);
                let job = if self.disk_lies {
                    None
                } else if early {
                    job.run(&self.disk).err().map(|_| job)
                } else {
                    Some(job)
                };
                self.after(2_000, Occurrence::SyncEnds { life, shard, token, job });
            }
            Effect::Compact { token, task } => {
                self.after(5_000, Occurrence::Compact { life, shard, token, task });
            }
            Effect::Copy { token, job } => {
                self.after(2_000, Occurrence::CopyEnds { life, shard, token, job });
            }
            Effect::Remove { paths } => {
                for path in paths {
                    // One of the two fits; both fail when it is gone already.
                    let _ = self.disk.remove_file(&path);
                    let _ = self.disk.remove_dir_all(&path);
                }
            }
            Effect::Halt { reason } => {
                self.note(format_args!("shard {shard} halts: {reason}"));
                self.fall(Fall::Kill);
            }
            Effect::Reading { .. } | Effect::CommandReply { .. } | Effect::Stopped => {}
        }
        Ok(())
    }

    // ---- faults

    fn fault(&mut self) -> Result<(), Broken> {
        if !self.faulty {
            return Ok(());
        }
        self.after(150_000, Occurrence::Fault);
        if self.shards.is_empty() {
            return Ok(());
        }
        match self.random.below(12) {
            0..=3 => self.fall(Fall::Power),
            4 | 5 => self.fall(Fall::Kill),
            6 => self.fall(Fall::Stop),
            7 => {
                self.note(format_args!("the disk will fail a sync"));
                self.disk.fail_sync_after(self.random.below(4));
            }
            8 if self.has_two_dirs() => {
                self.note(format_args!("the second disk breaks"));
                self.disk.set_fault(Path::new(DIRS[1]), SimulatedFault::Broken);
            }
            _ => self.cut_connection(),
        }
        Ok(())
    }

    pub(crate) fn has_two_dirs(&self) -> bool {
        !self.config.further_log_dirs.is_empty()
    }

    fn cut_connection(&mut self) {
        let count = self.connections.len() as u64;
        let place = self.random.below(count.max(1)) as usize;
        if let Some(connection) = self.connections.keys().nth(place).copied() {
            self.note(format_args!("the network cuts connection {connection}"));
            self.plan(Duration::ZERO, Occurrence::ConnectionLost { connection });
        }
    }

    /// Takes the broker down; it comes up again after a while.
    pub(crate) fn fall(&mut self, how: Fall) {
        self.note(format_args!("the broker falls: {how:?}"));
        self.falls += 1;
        if matches!(how, Fall::Stop) {
            self.stop_cleanly();
        }
        self.shards.clear();
        self.life += 1;
        match how {
            Fall::Power => self.disk.crash(self.random.next_u64()),
            // A disk that has failed once is replaced by what it kept.
            Fall::Kill if self.random.one_in(4) => self.disk.crash(self.random.next_u64()),
            Fall::Kill | Fall::Stop => self.disk.kill_process(),
        }
        let lost: Vec<u64> = self.connections.keys().copied().collect();
        for connection in lost {
            self.after(500, Occurrence::ConnectionLost { connection });
        }
        self.after(30_000, Occurrence::Start);
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
                        let result = job.run(&self.disk);
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

    pub(crate) fn start(&mut self) -> Result<(), Broken> {
        if !self.shards.is_empty() {
            return Ok(());
        }
        // A sync that was ordered to fail may be one of the start's own; faults end with a fall.
        self.disk.mend_syncs();
        self.disk.mend(Path::new(DIRS[1]));
        for shard in 0..self.shard_count {
            let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
            let (config, seed) = (self.config.clone(), self.random.next_u64());
            let index = ShardIndex(shard);
            let node = ShardNode::open(config, index, self.shard_count, disk, seed, self.now)
                .map_err(|error| Broken(format!("the broker does not start: {error}")))?;
            self.shards.push(node);
        }
        self.pass_planned = vec![false; self.shards.len()];
        let life = self.life;
        self.note(format_args!("the broker is up, life {life}"));
        for shard in 0..self.shards.len() {
            self.plan_pass(shard);
        }
        Ok(())
    }

    // ---- the clients' side

    fn accepted(&mut self, actor: usize, connection: u64) -> Result<(), Broken> {
        if self.shard_of(connection).is_none() {
            return self.drop_connection(connection);
        }
        self.actors[actor].1.connected = true;
        self.tell(actor, |actor, port| actor.connected(port))
    }

    fn answer_arrives(&mut self, connection: u64, frame: Bytes) -> Result<(), Broken> {
        let Some(Connection { actor, .. }) = self.connections.get(&connection) else {
            return Ok(());
        };
        let actor = *actor;
        let correlation = mainstem_protocol::frame::correlation_id(&frame)
            .ok_or_else(|| Broken("an answer without a correlation id".to_owned()))?;
        self.tell(actor, |actor, port| actor.answered(port, correlation, frame))
    }

    fn drop_connection(&mut self, connection: u64) -> Result<(), Broken> {
        let Some(Connection { actor, .. }) = self.connections.remove(&connection) else {
            return Ok(());
        };
        if self.connections.values().any(|other| other.actor == actor) {
            return Ok(());
        }
        self.actors[actor].1.connected = false;
        self.tell(actor, |actor, port| {
            actor.disconnected(port);
            Ok(())
        })
    }

    /// Calls an actor and carries out its orders.
    fn tell(
        &mut self,
        actor: usize,
        call: impl FnOnce(&mut dyn Actor, &mut Port) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let now = self.now;
        let (machine, port) = &mut self.actors[actor];
        port.now = now;
        let outcome = call(&mut **machine, port);
        let orders = std::mem::take(&mut port.orders);
        let remarks = std::mem::take(&mut port.remarks);
        let name = self.actors[actor].0.name();
        for remark in remarks {
            self.note(format_args!("{name}: {remark}"));
        }
        outcome?;
        for order in orders {
            match order {
                Order::Wake(delay) => self.plan(delay, Occurrence::Wake { actor }),
                Order::Connect => self.connect(actor)?,
                Order::Send(frame) => self.send(actor, frame),
            }
        }
        Ok(())
    }

    fn connect(&mut self, actor: usize) -> Result<(), Broken> {
        let old: Vec<u64> = self.connections_of(actor).collect();
        for connection in old {
            if let Some(shard) = self.shard_of(connection) {
                let connection = ConnectionId(connection);
                self.handle(shard, Event::Disconnected { connection });
            }
            self.connections.remove(&connection);
            self.actors[actor].1.connected = false;
        }
        if self.shards.is_empty() {
            return Ok(());
        }
        let connection = self.next_connection;
        self.next_connection += 1;
        let shard = self.random.below(self.shards.len() as u64) as usize;
        self.connections.insert(connection, Connection { actor, shard, life: self.life });
        let peer = self.actors[actor].0.name();
        self.note(format_args!("{peer} connects to shard {shard} as {connection}"));
        self.handle(shard, Event::Connected { connection: ConnectionId(connection), peer });
        self.after(200, Occurrence::Accepted { actor, connection });
        Ok(())
    }

    fn connections_of(&self, actor: usize) -> impl Iterator<Item = u64> + '_ {
        let of_actor =
            move |(id, connection): (&u64, &Connection)| (connection.actor == actor).then_some(*id);
        self.connections.iter().filter_map(of_actor)
    }

    fn send(&mut self, actor: usize, frame: Bytes) {
        let Some(connection) = self.connections_of(actor).next() else { return };
        let at = self.now.instant.plus(delay(&mut self.random, 200));
        let what = Occurrence::FrameArrives { connection, frame };
        self.schedule.on_link((connection, 0), at, what);
    }

    /// A line of the trace by an oracle or a runner.
    pub(crate) fn remark(&mut self, what: &str) {
        self.note(format_args!("{what}"));
    }
}

/// The bytes of a response without its length, files read.
fn gather(segments: &[ResponseSegment]) -> Result<Bytes, Broken> {
    let mut frame = BytesMut::new();
    for segment in segments {
        match segment {
            ResponseSegment::Bytes(bytes) => frame.extend_from_slice(bytes),
            ResponseSegment::File { file, position, len } => {
                let mut bytes = vec![0; *len as usize];
                file.read_exact_at(&mut bytes, *position)
                    .map_err(|error| Broken(format!("a range of a response: {error}")))?;
                frame.extend_from_slice(&bytes);
            }
        }
    }
    Ok(frame.split_off(4).freeze())
}
