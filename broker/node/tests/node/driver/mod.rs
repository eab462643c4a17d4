//! A broker without a shell: shards that are stepped by hand on a disk in memory.
//!
//! [`World`] does what a shell does and nothing else: it carries frames in, effects out, messages
//! between shards, and time when it is told to. [`script`] makes text of it.
mod configs;
mod directories;
mod inspection;
pub(crate) mod script;

use bytes::{Bytes, BytesMut};
use mainstem_node::{
    CommandToken, CompactionToken, ConnectionId, CopyJob, CopyToken, Effect, Event, LocalCommand,
    LocalReply, NodeConfig, ResponseSegment, ShardIndex, ShardNode, SyncJob, SyncToken,
};
use mainstem_platform::simulated::SimulatedDisk;
use mainstem_platform::{Disk, InOrder, Instant, Now, Workers};
use mainstem_protocol::Request;
use mainstem_protocol::frame::{decode_response, encode_request};
use mainstem_storage::CompactionTask;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

/// All shards of one broker, its disk and its clients.
pub(crate) struct World {
    pub(crate) disk: Arc<SimulatedDisk>,
    pub(crate) config: NodeConfig,
    shards: u16,
    nodes: Vec<ShardNode>,
    inbox: Vec<VecDeque<Event>>,
    now: Now,
    answers: BTreeMap<u64, VecDeque<Bytes>>,
    replies: BTreeMap<u64, LocalReply>,
    pub(crate) closed: BTreeSet<u64>,
    pub(crate) not_reading: BTreeSet<u64>,
    connections: BTreeSet<u64>,
    /// While true, syncs are asked for and not done.
    pub(crate) hold_syncs: bool,
    held: Vec<(usize, SyncToken, SyncJob)>,
    /// While true, copies are asked for and not made.
    pub(crate) hold_copies: bool,
    held_copies: Vec<(usize, CopyToken, CopyJob)>,
    /// While true, steps of compactions are asked for and not done.
    pub(crate) hold_compactions: bool,
    held_compactions: Vec<(usize, CompactionToken, Box<CompactionTask>)>,
    /// Who opens logs.
    pub(crate) workers: Arc<dyn Workers>,
    pub(crate) halted: Option<String>,
    /// Shards that have closed their logs.
    pub(crate) stopped: usize,
    correlation_id: i32,
    seed: u64,
    pub(crate) syncs: u64,
}

impl World {
    pub(crate) fn new(shards: u16) -> World {
        Self::with_config(shards, NodeConfig::default())
    }

    pub(crate) fn with_config(shards: u16, mut config: NodeConfig) -> World {
        config.log_dir = PathBuf::from("/data");
        config.group_initial_rebalance_delay = std::time::Duration::ZERO;
        // A disk in memory holds what is preallocated.
        config.topic_defaults.insert("segment.index.bytes".to_owned(), "4096".to_owned());
        let mut world = World {
            disk: Arc::new(SimulatedDisk::new()),
            config,
            shards,
            nodes: Vec::new(),
            inbox: Vec::new(),
            now: Now { instant: Instant::from_millis(1_000), wall_ms: 1_700_000_000_000 },
            answers: BTreeMap::new(),
            replies: BTreeMap::new(),
            closed: BTreeSet::new(),
            not_reading: BTreeSet::new(),
            connections: BTreeSet::new(),
            hold_syncs: false,
            held: Vec::new(),
            hold_copies: false,
            held_copies: Vec::new(),
            hold_compactions: false,
            held_compactions: Vec::new(),
            workers: Arc::new(InOrder),
            halted: None,
            stopped: 0,
            correlation_id: 0,
            seed: 7,
            syncs: 0,
        };
        world.open().expect("a new broker opens");
        world
    }

    /// Starts all shards upon what is on the disk.
    pub(crate) fn open(&mut self) -> Result<(), mainstem_node::NodeError> {
        self.nodes.clear();
        self.inbox = (0..self.shards).map(|_| VecDeque::new()).collect();
        self.answers.clear();
        self.connections.clear();
        self.closed.clear();
        self.held.clear();
        self.held_copies.clear();
        self.held_compactions.clear();
        self.halted = None;
        for shard in 0..self.shards {
            self.seed += 1;
            let config = Arc::new(self.config.clone());
            let disk: Arc<dyn Disk> = Arc::clone(&self.disk) as Arc<dyn Disk>;
            let index = ShardIndex(shard);
            let doors = (disk, Arc::clone(&self.workers));
            let (shards, seed) = (self.shards, self.seed);
            let node = ShardNode::open_with(config, index, shards, doors, seed, self.now)?;
            self.nodes.push(node);
        }
        for shard in 0..self.nodes.len() {
            self.end_pass(shard);
        }
        self.pump();
        Ok(())
    }

    /// A clean stop and a new start, perhaps with another number of shards.
    pub(crate) fn restart(&mut self, shards: u16) {
        self.stop();
        self.shards = shards;
        self.open().expect("open again after a clean stop");
    }

    /// A clean stop.
    pub(crate) fn stop(&mut self) {
        for shard in 0..self.nodes.len() {
            self.inbox[shard].push_back(Event::Shutdown);
        }
        self.pump();
    }

    /// The computer loses power and starts again.
    pub(crate) fn crash(&mut self, seed: u64) {
        self.nodes.clear();
        self.disk.crash(seed);
        self.open().expect("open again after a crash");
    }

    /// The process is killed and starts again.
    pub(crate) fn kill(&mut self) {
        self.nodes.clear();
        self.disk.kill_process();
        self.open().expect("open again after a kill");
    }

    fn shard_of(&self, connection: u64) -> usize {
        (connection % u64::from(self.shards)) as usize
    }

    pub(crate) fn connect(&mut self, connection: u64) {
        if self.connections.insert(connection) {
            let shard = self.shard_of(connection);
            let event = Event::Connected {
                connection: ConnectionId(connection),
                peer: format!("10.0.0.{connection}:5000"),
            };
            self.inbox[shard].push_back(event);
        }
    }

    pub(crate) fn disconnect(&mut self, connection: u64) {
        self.connections.remove(&connection);
        let shard = self.shard_of(connection);
        let connection = ConnectionId(connection);
        self.inbox[shard].push_back(Event::Disconnected { connection });
        self.pump();
    }

    /// Sends a frame without stepping anything.
    pub(crate) fn send_frame(&mut self, connection: u64, frame: Bytes) {
        self.connect(connection);
        let shard = self.shard_of(connection);
        let connection = ConnectionId(connection);
        self.inbox[shard].push_back(Event::Frame { connection, frame });
    }

    pub(crate) fn send<R: Request>(&mut self, connection: u64, version: i16, request: &R) {
        self.post(connection, version, request);
        self.pump();
    }

    /// Sends a request without stepping anything.
    pub(crate) fn post<R: Request>(&mut self, connection: u64, version: i16, request: &R) {
        self.correlation_id += 1;
        let frame = encode_request(request, version, self.correlation_id, Some("test"))
            .expect("the request can be encoded");
        self.send_frame(connection, frame.slice(4..));
    }

    /// The oldest answer that was not taken yet.
    pub(crate) fn take_frame(&mut self, connection: u64) -> Option<Bytes> {
        self.answers.get_mut(&connection)?.pop_front()
    }

    pub(crate) fn take<R: Request>(
        &mut self,
        connection: u64,
        version: i16,
    ) -> Option<R::Response> {
        let frame = self.take_frame(connection)?;
        let (_, response) =
            decode_response::<R>(version, frame).expect("the response can be decoded");
        Some(response)
    }

    pub(crate) fn call<R: Request>(
        &mut self,
        connection: u64,
        version: i16,
        request: &R,
    ) -> R::Response {
        self.send(connection, version, request);
        self.take::<R>(connection, version).expect("the request is answered at once")
    }

    pub(crate) fn command(&mut self, shard: usize, command: LocalCommand) -> LocalReply {
        self.correlation_id += 1;
        let token = CommandToken(self.correlation_id as u64);
        self.inbox[shard].push_back(Event::Command { token, command });
        self.pump();
        self.replies.remove(&token.0).expect("the command is answered at once")
    }

    pub(crate) fn advance_ms(&mut self, ms: u64) {
        self.now.instant = self.now.instant.plus(std::time::Duration::from_millis(ms));
        self.now.wall_ms += ms as i64;
        for shard in 0..self.nodes.len() {
            if self.nodes[shard].deadline().is_some_and(|at| at <= self.now.instant) {
                self.nodes[shard].handle_deadline(self.now);
                self.end_pass(shard);
            }
        }
        self.pump();
    }

    /// Does the syncs that were held back.
    pub(crate) fn release_syncs(&mut self) {
        self.hold_syncs = false;
        for (shard, token, job) in std::mem::take(&mut self.held) {
            let result = job.run(&*self.disk);
            self.inbox[shard].push_back(Event::Synced { token, result });
        }
        self.pump();
    }

    /// Whether a sync was asked for that is held back.
    pub(crate) fn is_sync_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Does the oldest sync that was held back, and says whether there was one.
    pub(crate) fn release_one_sync(&mut self) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let (shard, token, job) = self.held.remove(0);
        let result = job.run(&*self.disk);
        self.inbox[shard].push_back(Event::Synced { token, result });
        self.pump();
        true
    }

    /// Makes the copies that were held back.
    pub(crate) fn release_copies(&mut self) {
        self.hold_copies = false;
        for (shard, token, job) in std::mem::take(&mut self.held_copies) {
            let result = job.run(&*self.disk);
            self.inbox[shard].push_back(Event::Copied { token, result });
        }
        self.pump();
    }

    /// Does the steps of compactions that were held back, and those that follow.
    pub(crate) fn release_compactions(&mut self) {
        self.hold_compactions = false;
        for (shard, token, mut task) in std::mem::take(&mut self.held_compactions) {
            let result = task.step(&*self.disk);
            self.inbox[shard].push_back(Event::Compacted { token, task, result });
        }
        self.pump();
    }

    /// How many answers of a connection wait to be taken.
    pub(crate) fn answers(&self, connection: u64) -> usize {
        self.answers.get(&connection).map_or(0, VecDeque::len)
    }

    /// Steps all shards until nothing happens any more.
    pub(crate) fn pump(&mut self) {
        for _ in 0..10_000 {
            let Some(shard) = (0..self.nodes.len()).find(|shard| !self.inbox[*shard].is_empty())
            else {
                return;
            };
            while let Some(event) = self.inbox[shard].pop_front() {
                self.nodes[shard].handle_event(self.now, event);
            }
            self.end_pass(shard);
        }
        panic!("the shards do not come to rest");
    }

    fn end_pass(&mut self, shard: usize) {
        self.nodes[shard].end_pass(self.now);
        while let Some(effect) = self.nodes[shard].poll_effect() {
            self.carry_out(shard, effect);
        }
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) {
        match effect {
            Effect::Respond { connection, segments } => {
                let frame = read_segments(&segments);
                let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
                assert_eq!(length as usize, frame.len() - 4, "the length prefix is right");
                self.answers.entry(connection.0).or_default().push_back(frame.slice(4..));
            }
            Effect::Close { connection } => {
                self.closed.insert(connection.0);
            }
            Effect::Reading { connection, on } => {
                if on {
                    self.not_reading.remove(&connection.0);
                } else {
                    self.not_reading.insert(connection.0);
                }
            }
            Effect::ToShard { shard: to, message } => {
                let from = ShardIndex(shard as u16);
                self.inbox[usize::from(to.0)].push_back(Event::FromShard { from, message });
            }
            Effect::Sync { token, job } => {
                self.syncs += 1;
                if self.hold_syncs {
                    self.held.push((shard, token, job));
                } else {
                    let result = job.run(&*self.disk);
                    self.inbox[shard].push_back(Event::Synced { token, result });
                }
            }
            Effect::Compact { token, mut task } => {
                if self.hold_compactions {
                    self.held_compactions.push((shard, token, task));
                } else {
                    let result = task.step(&*self.disk);
                    self.inbox[shard].push_back(Event::Compacted { token, task, result });
                }
            }
            Effect::Copy { token, job } => {
                if self.hold_copies {
                    self.held_copies.push((shard, token, job));
                } else {
                    let result = job.run(&*self.disk);
                    self.inbox[shard].push_back(Event::Copied { token, result });
                }
            }
            Effect::Remove { paths } => {
                for path in paths {
                    // The path may be a file or a folder.
                    let _ = self.disk.remove_file(&path);
                    let _ = self.disk.remove_dir_all(&path);
                }
            }
            Effect::CommandReply { token, reply } => {
                self.replies.insert(token.0, reply);
            }
            Effect::Halt { reason } => self.halted = Some(reason),
            Effect::Stopped => self.stopped += 1,
        }
    }
}

/// What a shell would write to the socket.
fn read_segments(segments: &[ResponseSegment]) -> Bytes {
    let mut frame = BytesMut::new();
    for segment in segments {
        match segment {
            ResponseSegment::Bytes(bytes) => frame.extend_from_slice(bytes),
            ResponseSegment::File { file, position, len } => {
                let start = frame.len();
                frame.resize(start + *len as usize, 0);
                file.read_exact_at(&mut frame[start..], *position).expect("read a file range");
            }
        }
    }
    frame.freeze()
}
