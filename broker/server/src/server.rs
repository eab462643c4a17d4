//! A whole server: its threads, its sockets, its beginning and its end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use mainstem_node::{Event, NodeConfig, ShardIndex};
use mainstem_platform::Disk;
use mainstem_platform::os::OsDisk;
use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};

use crate::config::ServerConfig;
use crate::connection::ConnectionLimits;
use crate::disk_pool::{DiskPool, DiskThreads};
use crate::error::ServerError;
use crate::http::HttpThread;
use crate::lock::{DirectoryLock, acquire_all};
use crate::shard::{self, Mail, Mailbox, ShardSeed};
use crate::status::{Places, Status};

/// How long a clean close may take before the server ends without it. Nothing acknowledged is
/// lost then; the next start has more to read.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// A running broker. Dropping it stops it cleanly.
pub struct Server {
    status: Arc<Status>,
    mailboxes: Vec<Mailbox>,
    /// Taken by the one who ends the server.
    threads: Mutex<Option<Threads>>,
    kafka_address: SocketAddr,
    registry_address: Option<SocketAddr>,
    metrics_address: Option<SocketAddr>,
}

struct Threads {
    shards: Vec<JoinHandle<()>>,
    disk: DiskThreads,
    http: Option<HttpThread>,
    _locks: Vec<DirectoryLock>,
}

/// Asks a server to stop, from a signal handler or another thread.
#[derive(Clone)]
pub struct StopHandle {
    status: Arc<Status>,
    mailboxes: Vec<Mailbox>,
}

impl StopHandle {
    /// Begins to stop; [`Server::wait`] comes back when it is done.
    pub fn request_stop(&self) {
        if self.status.begin_stopping() {
            self.tell_all(|| Mail::Event(Event::Shutdown));
        }
    }

    fn abandon(&self) {
        self.status.begin_stopping();
        self.tell_all(|| Mail::Abandon);
    }

    fn tell_all(&self, mail: impl Fn() -> Mail) {
        for mailbox in &self.mailboxes {
            mailbox.send(mail());
        }
    }
}

impl Server {
    /// Starts a server. It answers when this returns.
    pub fn start(config: ServerConfig) -> Result<Self, ServerError> {
        Self::start_on(config, Arc::new(OsDisk))
    }

    /// Like [`start`](Self::start), upon a disk that the caller brings along.
    pub fn start_on(config: ServerConfig, disk: Arc<dyn Disk>) -> Result<Self, ServerError> {
        let ServerConfig { mut node, kafka_listen, registry_listen, metrics_listen, .. } = config;
        for warning in config.warnings {
            tracing::warn!("{warning}");
        }
        let problems = node.problems();
        if !problems.0.is_empty() {
            return Err(problems.into());
        }
        name_absolutely(&mut node)?;
        let locks = acquire_all(node.log_dirs())?;
        let registry = registry_listen.map(|at| listen("registry.listener", at));
        let registry = registry.transpose()?;
        let metrics = metrics_listen.map(|at| listen("metrics.listener", at));
        let metrics = metrics.transpose()?;
        // Last: whoever can connect to Kafka's port finds the others open.
        let listener = listen("listeners", kafka_listen)?;
        let kafka_address = listener.local_addr().unwrap_or(kafka_listen);
        if node.advertised_port == 0 {
            node.advertised_port = kafka_address.port();
        }
        let at = |listener: &Option<TcpListener>| {
            listener.as_ref().and_then(|listener| listener.local_addr().ok())
        };
        let (registry_address, metrics_address) = (at(&registry), at(&metrics));

        let status = Arc::new(Status::default());
        let mailboxes: Vec<Mailbox> = (0..config.shards).map(|_| Mailbox::default()).collect();
        let stopper = StopHandle { status: status.clone(), mailboxes: mailboxes.clone() };
        let (pool, disk_threads) = DiskPool::start(&disk, config.shards, node.log_dirs().count())?;
        let limits = ConnectionLimits {
            frame_bytes_max: node.limits.frame_bytes_max,
            idle_timeout: config.idle_timeout,
            places: Places {
                of_all: config.connections_max,
                per_address: config.connections_per_address_max,
                descriptors: Places::descriptors_of(getrlimit(Resource::Nofile).current),
            },
        };
        let start = ShardStart { limits, node: Arc::new(node), disk, pool, listener };
        let shards = start.run(&stopper)?;

        // Kafka clients are served from here on; the rest takes its time.
        let http = HttpThread::start(registry, metrics, mailboxes.clone(), status.clone());
        let http = match http {
            Ok(http) => http,
            Err(error) => {
                stopper.abandon();
                join(shards);
                return Err(error);
            }
        };
        tracing::info!(kafka = %kafka_address, "the server is ready");
        let threads = Threads { shards, disk: disk_threads, http, _locks: locks };
        let threads = Mutex::new(Some(threads));
        Ok(Self { status, mailboxes, threads, kafka_address, registry_address, metrics_address })
    }

    /// Where Kafka clients connect.
    pub fn kafka_address(&self) -> SocketAddr {
        self.kafka_address
    }

    /// Where the schema registry answers.
    pub fn registry_address(&self) -> Option<SocketAddr> {
        self.registry_address
    }

    /// Where metrics and health are shown.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Something that can stop the server from elsewhere.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle { status: self.status.clone(), mailboxes: self.mailboxes.clone() }
    }

    /// Waits until the server was stopped, by whomever, and everything is closed; that comes within
    /// a limit. An error means that it gave up.
    pub fn wait(&self) -> Result<(), ServerError> {
        let failure = self.status.wait();
        if self.status.is_stopping() && !self.status.wait_until_ended(STOP_PATIENCE) {
            tracing::error!("the logs could not be closed in time");
            self.stop_handle().abandon();
        }
        self.end();
        match failure.or_else(|| self.status.failure()) {
            Some(reason) => Err(ServerError::Halted(reason)),
            None => Ok(()),
        }
    }

    /// Stops the server cleanly and waits for it.
    pub fn stop(&self) -> Result<(), ServerError> {
        if let Some(http) = self.threads.lock().as_mut().and_then(|threads| threads.http.take()) {
            http.stop();
        }
        self.stop_handle().request_stop();
        self.wait()
    }

    /// Ends the server without a clean close, as a killed process would. For tests of recovery.
    pub fn abandon(self) {
        self.stop_handle().abandon();
        self.end();
    }

    fn end(&self) {
        let Some(threads) = self.threads.lock().take() else { return };
        if let Some(http) = threads.http {
            http.stop();
        }
        join(threads.shards);
        // The pool ends with the last shard that could give it work.
        threads.disk.join();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.threads.lock().is_some()
            && let Err(error) = self.stop()
        {
            tracing::error!(%error, "stop the server");
        }
    }
}

/// What the shards are started with.
struct ShardStart {
    limits: ConnectionLimits,
    node: Arc<NodeConfig>,
    disk: Arc<dyn Disk>,
    pool: DiskPool,
    listener: TcpListener,
}

impl ShardStart {
    /// Starts all shards and waits until each has opened its logs; when one cannot, none runs.
    fn run(self, stopper: &StopHandle) -> Result<Vec<JoinHandle<()>>, ServerError> {
        let Self { limits, node, disk, pool, listener } = self;
        let (ready, opened) = channel();
        let mut threads = Vec::new();
        let mut failure = None;
        let mut listener = Some(listener);
        for index in 0..u16::try_from(stopper.mailboxes.len()).unwrap_or(u16::MAX) {
            let seed = ShardSeed {
                index: ShardIndex(index),
                config: node.clone(),
                disk: disk.clone(),
                pool: pool.clone(),
                status: stopper.status.clone(),
                limits,
                mailboxes: stopper.mailboxes.clone(),
                listener: listener.take(),
            };
            match shard::start(seed, ready.clone()) {
                Ok(thread) => threads.push(thread),
                Err(error) => failure = Some(error),
            }
        }
        drop(ready);
        // Ends when every thread has spoken, or has gone without a word.
        for result in opened {
            if let Err(error) = result {
                failure.get_or_insert(error);
            }
        }
        let failure = failure.or_else(|| stopper.status.failure().map(ServerError::Halted));
        match failure {
            None => Ok(threads),
            Some(error) => {
                stopper.abandon();
                join(threads);
                Err(error)
            }
        }
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // A panic has been reported by the thread itself.
        let _ = thread.join();
    }
}

/// Clients are shown log directories by their paths and name them in requests.
fn name_absolutely(node: &mut NodeConfig) -> Result<(), ServerError> {
    for path in std::iter::once(&mut node.log_dir).chain(&mut node.further_log_dirs) {
        *path = std::path::absolute(&*path).map_err(|source| {
            let path = path.clone();
            ServerError::Directory { action: "find the log directory", path, source }
        })?;
    }
    Ok(())
}

fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, ServerError> {
    let failed = |source| ServerError::Listen { key, address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
