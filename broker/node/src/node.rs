//! One shard of a broker: the struct that ties the parts, and the order of a pass.
//!
//! Invariants:
//! - An event is carried through to its end: messages of the shard to itself and requests whose
//!   turn it made are handled before `handle_event` returns.
//! - After `Halt` or `Stopped` the shard does nothing more.
//! - Until the first view of the cluster arrives, frames wait in their sessions.
//!
//! Absent on purpose: what the parts do. See `dispatch`, `partition` and `seat`.

use crate::api::Pending;
use crate::ask::{Asker, PartitionKey, Ticket};
use crate::cluster::ClusterView;
use crate::command::{LocalCommand, LocalReply};
use crate::config::NodeConfig;
use crate::dispatch::{Origin, RequestState};
use crate::effect::Effect;
use crate::event::{CommandToken, ConnectionId, Event, ShardIndex};
use crate::fetch_session::FetchSessions;
use crate::log_dirs::LogDirs;
use crate::metrics::{Metrics, MetricsSnapshot};
use crate::partition::Partitions;
use crate::seat::Seat;
use crate::session::Sessions;
use crate::shard_message::ShardMessage;
use crate::stopping::Stopping;
use mainstem_platform::{Disk, InOrder, Instant, Now, SeededRandom, Workers};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Why a shard could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration is wrong; nothing was touched. Show it and stop.
    #[error("{0}")]
    Config(#[from] crate::config::ConfigProblems),
    /// The log directory belongs to another cluster or broker, or cannot be read. Stop: an
    /// operator must look.
    #[error("{0}")]
    LogDir(String),
    /// A log could not be opened. Stop: nothing was deleted.
    #[error("open {path}: {problem}")]
    Log { path: String, problem: String },
}

/// How long beyond its timeout a transaction may be open before it counts as late. Kafka's figure.
const LATE_TRANSACTION: Duration = Duration::from_secs(5 * 60);

/// Open transactions that were written to last before this wall time are late.
fn late_before_ms(config: &NodeConfig, now: Now) -> i64 {
    let patience = config.transaction_max_timeout.saturating_add(LATE_TRANSACTION);
    now.wall_ms.saturating_sub(i64::try_from(patience.as_millis()).unwrap_or(i64::MAX))
}

/// What one deadline of the shard is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A fetch has waited long enough.
    Fetch(Ticket),
    /// Retention.
    Housekeeping,
    /// Compaction.
    Cleaning,
    /// There may be room for partitions by now.
    Reopen,
    /// Files have waited long enough for their removal.
    Removal(u64),
    /// Records have been unsynced for long enough.
    Flush(PartitionKey),
    /// A stop has waited long enough.
    Stop,
}

/// One shard of a broker. See the crate's documentation for how a shell drives it.
pub struct ShardNode {
    /// As the broker was started.
    pub(crate) config_at_start: Arc<NodeConfig>,
    /// With what was changed while it runs.
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) shard: ShardIndex,
    pub(crate) shard_count: u16,
    pub(crate) disk: Arc<dyn Disk>,
    /// Who opens many logs at once.
    pub(crate) workers: Arc<dyn Workers>,
    pub(crate) dirs: LogDirs,
    pub(crate) random: SeededRandom,
    /// `None` until shard zero has sent its first view.
    pub(crate) cluster: Option<ClusterView>,
    pub(crate) sessions: Sessions,
    /// Requests that are not answered yet.
    pub(crate) requests: BTreeMap<Ticket, RequestState>,
    /// What was gathered so far for requests whose parts are at partitions.
    pub(crate) pending: BTreeMap<Ticket, Pending>,
    pub(crate) next_ticket: u64,
    /// Connections whose next frame may have its turn.
    pub(crate) runnable: BTreeSet<ConnectionId>,
    /// Messages of this shard to itself.
    pub(crate) local: VecDeque<ShardMessage>,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) timers: BTreeSet<(Instant, Timer)>,
    pub(crate) partitions: Partitions,
    /// Controller, coordinators and registry: on shard zero only.
    pub(crate) seat: Option<Box<Seat>>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) metrics: Metrics,
    /// Since the broker was asked to stop.
    pub(crate) stopping: Option<Stopping>,
    /// Halted or stopped.
    pub(crate) over: bool,
}

impl ShardNode {
    /// Opens shard `shard` of `shard_count` upon the log directories of `disk`, one log after the
    /// other. Blocks while it reads them. `seed` is the shard's only source of randomness.
    pub fn open(
        config: Arc<NodeConfig>,
        shard: ShardIndex,
        shard_count: u16,
        disk: Arc<dyn Disk>,
        seed: u64,
        now: Now,
    ) -> Result<ShardNode, NodeError> {
        ShardNode::open_with(config, shard, shard_count, (disk, Arc::new(InOrder)), seed, now)
    }

    /// Like [`open`](Self::open), with somebody who may open logs side by side.
    pub fn open_with(
        config: Arc<NodeConfig>,
        shard: ShardIndex,
        shard_count: u16,
        (disk, workers): (Arc<dyn Disk>, Arc<dyn Workers>),
        seed: u64,
        now: Now,
    ) -> Result<ShardNode, NodeError> {
        let problems = config.problems();
        if !problems.0.is_empty() {
            return Err(problems.into());
        }
        let mut random = SeededRandom::new(seed);
        let fetch_sessions = FetchSessions::new(
            config.limits.fetch_sessions_max,
            config.limits.fetch_session_partitions_max,
            random.fork(),
        );
        let mut node = ShardNode {
            partitions: Partitions::new(shard, &config),
            dirs: LogDirs::new(&config),
            workers,
            config_at_start: Arc::clone(&config),
            config,
            shard,
            shard_count,
            disk,
            random,
            cluster: None,
            sessions: Sessions::default(),
            requests: BTreeMap::new(),
            pending: BTreeMap::new(),
            next_ticket: 0,
            runnable: BTreeSet::new(),
            local: VecDeque::new(),
            fetch_sessions,
            timers: BTreeSet::new(),
            seat: None,
            effects: VecDeque::new(),
            metrics: Metrics::default(),
            stopping: None,
            over: false,
        };
        let housekeeping = now.instant.plus(node.config.housekeeping_interval);
        node.timers.insert((housekeeping, Timer::Housekeeping));
        let cleaning = now.instant.plus(node.config.cleaner_backoff);
        node.timers.insert((cleaning, Timer::Cleaning));
        if shard == ShardIndex::FIRST {
            node.open_seat(now)?;
        }
        node.settle(now);
        Ok(node)
    }

    /// Something happened.
    pub fn handle_event(&mut self, now: Now, event: Event) {
        if self.over {
            return;
        }
        if !matches!(event, Event::Connected { .. } | Event::Frame { .. } | Event::FromShard { .. })
        {
            self.write_all_accepted(now);
        }
        match event {
            Event::Connected { connection, peer } => self.sessions.connected(connection, &peer),
            Event::Frame { connection, frame } => {
                self.sessions.enqueue(connection, frame);
                self.runnable.insert(connection);
            }
            Event::Disconnected { connection } => self.handle_disconnected(connection),
            Event::FromShard { from, message } => self.handle_message(now, from, message),
            Event::Synced { token, result } => self.handle_synced(now, token, result),
            Event::Compacted { token, task, result } => {
                self.handle_compacted(now, token, task, result);
            }
            Event::Command { token, command } => self.handle_command(now, token, command),
            Event::Copied { token, result } => self.handle_copied(now, token, result),
            Event::Shutdown => self.begin_stop(now),
        }
        self.settle(now);
    }

    /// All events of a pass were handled: group commit.
    pub fn end_pass(&mut self, now: Now) {
        if self.over {
            return;
        }
        self.commit_pass(now);
        // With flush=os the commit itself makes answers, and those may let new requests in.
        while self.settle(now) {
            self.commit_pass(now);
        }
    }

    /// The next thing to be done.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When `handle_deadline` is to be called, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        let seat = self.seat.as_ref().and_then(|seat| seat.deadline());
        timer.into_iter().chain(seat).min()
    }

    /// The deadline has come. Call `end_pass` afterwards as after events.
    pub fn handle_deadline(&mut self, now: Now) {
        if self.over {
            return;
        }
        self.write_all_accepted(now);
        while let Some((at, timer)) = self.timers.first().copied() {
            if now.instant < at {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Fetch(ticket) => self.handle_fetch_deadline(now, ticket),
                Timer::Housekeeping => self.housekeep(now),
                Timer::Cleaning => self.clean(now),
                Timer::Reopen => self.handle_reopen(now),
                Timer::Removal(number) => self.handle_removal(number),
                Timer::Flush(key) => self.handle_flush_timer(&key),
                Timer::Stop => return self.end_stop(now),
            }
        }
        self.handle_seat_deadline(now);
        self.settle(now);
    }

    /// Handles what the shard says to itself and whose turn it is, until nothing is left. Says
    /// whether there was anything.
    fn settle(&mut self, now: Now) -> bool {
        let mut settled = false;
        while !self.over {
            if self.drain_seat(now) {
                settled = true;
            } else if let Some(message) = self.local.pop_front() {
                self.handle_message(now, self.shard, message);
                settled = true;
            } else if self.stopping.is_some() {
                if !self.go_on_stopping(now) {
                    break;
                }
                settled = true;
            } else if self.cluster.is_none() {
                break;
            } else if let Some(connection) = self.runnable.pop_first() {
                self.run_connection(now, connection);
                settled = true;
            } else {
                break;
            }
        }
        settled
    }

    fn handle_message(&mut self, now: Now, from: ShardIndex, message: ShardMessage) {
        match message {
            ShardMessage::Cluster(view) => self.handle_view(now, view),
            ShardMessage::Ask { ticket, view_offset, ask } => {
                self.handle_ask(now, Asker { shard: from, ticket }, view_offset, ask);
            }
            ShardMessage::Told { ticket, told } => self.handle_told(now, ticket, told),
            ShardMessage::Forward { ticket, peer, frame } => {
                let asker = Asker { shard: from, ticket };
                let ticket = self.take_ticket();
                self.begin_request(now, ticket, Origin::Shard(asker), peer, frame);
            }
            ShardMessage::Forwarded { ticket, segments } => self.handle_forwarded(ticket, segments),
            ShardMessage::VerifyTransaction(verify) => self.handle_verify(now, from, verify),
            ShardMessage::TransactionVerified { ticket, error } => {
                self.handle_verified(now, ticket, error);
            }
            ShardMessage::DirFailed { dir } => self.handle_dir_failed(dir),
            ShardMessage::WentOffline(keys) => self.handle_went_offline(keys),
            ShardMessage::CameOnline(keys) => self.handle_came_online(&keys),
            ShardMessage::Moved { key, dir } => self.handle_moved(key, dir),
            ShardMessage::Drained => self.handle_drained(now, from),
        }
    }

    fn handle_disconnected(&mut self, connection: ConnectionId) {
        for ticket in self.sessions.disconnected(connection) {
            self.requests.remove(&ticket);
            if let Some(pending) = self.pending.remove(&ticket) {
                self.drop_pending(ticket, &pending);
            }
        }
        self.runnable.remove(&connection);
        self.runnable.append(&mut self.sessions.release(&self.config.limits));
    }

    fn handle_command(&mut self, now: Now, token: CommandToken, command: LocalCommand) {
        match command {
            LocalCommand::Registry(command) => self.handle_registry(now, token, command),
            LocalCommand::Metrics => {
                let snapshot = Box::new(self.metrics_snapshot(now));
                self.effects.push_back(Effect::CommandReply {
                    token,
                    reply: LocalReply::Metrics(snapshot),
                });
            }
        }
    }

    fn metrics_snapshot(&self, now: Now) -> MetricsSnapshot {
        let mut snapshot = self.metrics.snapshot();
        snapshot.connections = self.sessions.len() as u64;
        snapshot.fetches_waiting =
            self.timers.iter().filter(|(_, timer)| matches!(timer, Timer::Fetch(_))).count() as u64;
        snapshot.fetch_sessions = self.fetch_sessions.len() as u64;
        snapshot.requests_under_way = self.requests.len() as u64;
        self.partitions.fill_gauges(&mut snapshot, late_before_ms(&self.config, now));
        snapshot.log_dirs_offline = (self.dirs.len() - self.dirs.online().count()) as u64;
        snapshot
    }

    /// The metadata is not to be trusted any more, and without it there is no broker.
    pub(crate) fn halt(&mut self, reason: String) {
        tracing::error!(reason, "the broker halts");
        self.over = true;
        // Nothing that was going to be promised may leave now.
        self.effects.retain(|effect| !matches!(effect, Effect::Respond { .. }));
        self.effects.push_back(Effect::Halt { reason });
    }
}
