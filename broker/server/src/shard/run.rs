//! The thread of a shard and its loop.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use mainstem_node::{
    CommandToken, ConnectionId, Event, LocalCommand, LocalReply, NodeConfig, ShardIndex, ShardNode,
};
use mainstem_platform::os::{OsClock, os_seed};
use mainstem_platform::{Clock, Disk, Now, Workers};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, yield_now};

use super::{Inbox, Mail, Mailbox};
use crate::acceptor;
use crate::connection::{Connection, ConnectionLimits, FrameBudget};
use crate::disk_pool::DiskPool;
use crate::error::ServerError;
use crate::recovery::RecoveryThreads;
use crate::status::{Place, Status};

/// The machine's calls are deep in places (recovery, decoding) and never recursive.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// How long clients get to fetch their last responses when the server stops.
const LAST_RESPONSES: Duration = Duration::from_millis(500);

/// Everything that a shard's thread is started with.
pub(crate) struct ShardSeed {
    pub(crate) index: ShardIndex,
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) pool: DiskPool,
    pub(crate) status: Arc<Status>,
    pub(crate) limits: ConnectionLimits,
    /// The mailboxes of all shards, by index.
    pub(crate) mailboxes: Vec<Mailbox>,
    /// On the first shard: where clients connect.
    pub(crate) listener: Option<TcpListener>,
}

/// How a shard's loop ends.
pub(super) enum Ending {
    /// Everything is closed cleanly.
    Stopped,
    /// The machine, or the shell, cannot go on.
    Failed(String),
    /// Somebody wanted the end without a clean close.
    Abandoned,
}

/// The state of the loop.
pub(super) struct Shard {
    pub(super) node: ShardNode,
    pub(super) index: ShardIndex,
    pub(super) mailbox: Mailbox,
    pub(super) peers: Vec<Mailbox>,
    pub(super) inbox: Rc<Inbox>,
    pub(super) pool: DiskPool,
    pub(super) connections: BTreeMap<ConnectionId, Rc<Connection>>,
    pub(super) commands: BTreeMap<CommandToken, oneshot::Sender<LocalReply>>,
    limits: ConnectionLimits,
    next_connection: u64,
    next_command: u64,
}

/// Starts the thread. It opens the machine and says through `ready` how that went.
pub(crate) fn start(
    seed: ShardSeed,
    ready: Sender<Result<(), ServerError>>,
) -> Result<JoinHandle<()>, ServerError> {
    let name = format!("shard-{}", seed.index.0);
    let what = name.clone();
    let status = seed.status.clone();
    status.shard_started();
    std::thread::Builder::new()
        .name(name)
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let guard = EndOfThread { status: seed.status.clone(), peers: seed.mailboxes.clone() };
            thread_main(seed, ready, &guard);
        })
        .map_err(|source| {
            status.shard_ended();
            ServerError::Spawn { what, source }
        })
}

/// However the thread ends, also by a failed assertion of the machine, the others hear of it.
struct EndOfThread {
    status: Arc<Status>,
    peers: Vec<Mailbox>,
}

impl EndOfThread {
    fn fail(&self, reason: String) {
        self.status.fail(reason);
        for peer in &self.peers {
            peer.send(Mail::Abandon);
        }
    }
}

impl Drop for EndOfThread {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fail("a shard has found its own state to be wrong (see the panic)".into());
        }
        self.status.shard_ended();
    }
}

fn thread_main(seed: ShardSeed, ready: Sender<Result<(), ServerError>>, guard: &EndOfThread) {
    let what = format!("the runtime of shard {}", seed.index.0);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            let _ = ready.send(Err(ServerError::Spawn { what, source }));
            return;
        }
    };
    let local = LocalSet::new();
    let ending = local.block_on(&runtime, async {
        let (shard, said) = match Shard::open(seed) {
            Ok(shard) => (Some(shard), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let _ = ready.send(said);
        // The one who starts the server waits until all senders are gone.
        drop(ready);
        match shard {
            Some(shard) => shard.run().await,
            None => Ending::Abandoned,
        }
    });
    // The machine is gone by now; tasks of connections that still wait are dropped with these.
    drop(local);
    drop(runtime);
    if let Ending::Failed(reason) = ending {
        guard.fail(reason);
    }
}

impl Shard {
    fn open(seed: ShardSeed) -> Result<Self, ServerError> {
        let ShardSeed { index, config, disk, pool, status, limits, mailboxes, .. } = seed;
        let shard_count = u16::try_from(mailboxes.len()).unwrap_or(u16::MAX);
        let frame_budget = FrameBudget::new(config.limits.frame_bytes_of_all_max);
        let workers: Arc<dyn Workers> = Arc::new(RecoveryThreads::new(&config, shard_count));
        let (doors, now) = ((disk, workers), OsClock.now());
        let node = ShardNode::open_with(config, index, shard_count, doors, os_seed(), now)
            .map_err(|source| ServerError::Open { shard: index.0, source })?;
        if let Some(listener) = seed.listener {
            let listener = tokio::net::TcpListener::from_std(listener)
                .map_err(|source| ServerError::Spawn { what: "the acceptor".into(), source })?;
            let places = (limits.places, status.clone());
            tokio::task::spawn_local(acceptor::run(listener, mailboxes.clone(), places));
        }
        let mailbox = mailboxes[usize::from(index.0)].clone();
        let inbox = Rc::new(Inbox::new(mailbox.clone(), status, frame_budget));
        Ok(Self {
            node,
            index,
            mailbox,
            peers: mailboxes,
            inbox,
            pool,
            connections: BTreeMap::new(),
            commands: BTreeMap::new(),
            limits,
            next_connection: 0,
            next_command: 0,
        })
    }

    async fn run(mut self) -> Ending {
        loop {
            let ending = self.pass();
            match ending {
                None => {}
                Some(Ending::Stopped) => {
                    self.flush_responses().await;
                    return Ending::Stopped;
                }
                Some(ending) => return ending,
            }
            // Sockets are looked at between passes, also when there is always more to do.
            yield_now().await;
            self.wait().await;
        }
    }

    fn pass(&mut self) -> Option<Ending> {
        let now = OsClock.now();
        self.inbox.begin_pass();
        for mail in self.mailbox.take() {
            match mail {
                Mail::Event(event) => self.node.handle_event(now, event),
                Mail::Accepted { stream, peer, place } => {
                    self.connect(stream, peer, place);
                }
                Mail::Command { command, reply } => self.command(now, command, reply),
                Mail::Abandon => return Some(Ending::Abandoned),
            }
        }
        for event in self.inbox.take() {
            if let Event::Disconnected { connection } = &event {
                self.connections.remove(connection);
            }
            self.node.handle_event(now, event);
        }
        if self.node.deadline().is_some_and(|deadline| deadline <= now.instant) {
            self.node.handle_deadline(now);
        }
        self.node.end_pass(now);
        self.carry_out_effects()
    }

    async fn wait(&self) {
        match self.node.deadline() {
            None => self.mailbox.wait().await,
            Some(deadline) => {
                let rest = deadline.saturating_duration_since(OsClock.now().instant);
                // Woken or not: the next pass looks for itself.
                let _ = tokio::time::timeout(rest, self.mailbox.wait()).await;
            }
        }
    }

    fn connect(&mut self, stream: TcpStream, peer: SocketAddr, place: Place) {
        let stream = match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%peer, %error, "take a connection over");
                return;
            }
        };
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.inbox.push(Event::Connected { connection: id, peer: peer.ip().to_string() });
        let connection = Connection::start(id, stream, place, self.limits, &self.inbox);
        self.connections.insert(id, connection);
    }

    fn command(&mut self, now: Now, command: LocalCommand, reply: oneshot::Sender<LocalReply>) {
        let token = CommandToken(self.next_command);
        self.next_command += 1;
        self.commands.insert(token, reply);
        self.node.handle_event(now, Event::Command { token, command });
    }

    async fn flush_responses(&self) {
        for connection in self.connections.values() {
            connection.close_after_responses();
        }
        let written = async {
            while self.connections.values().any(|connection| connection.has_responses()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // A client that does not read its responses does not hold the end up.
        let _ = tokio::time::timeout(LAST_RESPONSES, written).await;
    }
}
