//! The worker: the machine, and the shell that carries out what it says.
//!
//! One actor owns the writing side. Commands and events come in through queues; every one goes the
//! same way: decide, append to the config topic, apply, reconcile, carry out effects. Readers look
//! at the machine under a lock that is never held across a wait.

pub(crate) mod connector;
pub(crate) mod machine;
pub(crate) mod records;
mod shell;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::ConnectConfig;
use crate::definition::ConfigMap;
use crate::error::{ConnectError, Refusal, Result, TaskError};
use crate::limits;
use crate::plugin::Plugins;
use crate::rest;
use crate::sandbox::files::Grants;
use crate::task::{Services, TaskHandle};
use machine::{Command, Machine};

/// What tasks and jobs tell the worker.
#[derive(Debug)]
pub(crate) enum Event {
    Configured { connector: String, version: u64, result: Result<Vec<ConfigMap>, TaskError> },
    TaskEnded { connector: String, index: u32, generation: u64, result: Result<(), TaskError> },
    Progress { connector: String, index: u32, generation: u64 },
}

/// What the REST API asks for.
pub(crate) enum Request {
    Command(Command),
    Restart {
        name: String,
        task: Option<u32>,
        include_tasks: bool,
        only_failed: bool,
    },
    /// Keys and values of the offsets topic.
    WriteOffsets(Vec<(String, Option<String>)>),
}

pub(crate) type Answer = oneshot::Sender<Result<(), Refusal>>;

/// What readers may look at.
pub(crate) struct Shared {
    pub services: Arc<Services>,
    pub machine: Mutex<Machine>,
    pub live: Mutex<BTreeMap<(String, u32), TaskHandle>>,
    pub cluster_id: String,
    pub worker_id: String,
    pub requests: mpsc::Sender<(Request, Answer)>,
}

impl Shared {
    /// Sends a request to the actor and waits for its answer.
    pub(crate) async fn ask(&self, request: Request) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        let late = || Refusal::new(500, "Request timed out. The worker is not responding");
        let sent = self.requests.send((request, answer));
        match tokio::time::timeout(limits::REQUEST_WAIT_MAX, async {
            sent.await.ok()?;
            answered.await.ok()
        })
        .await
        {
            Ok(Some(result)) => result,
            Ok(None) => Err(Refusal::new(503, "The worker is stopping")),
            Err(_) => Err(late()),
        }
    }
}

/// A running Connect worker with its REST API.
///
/// Dropping it is like killing it: tasks end where they are and commit nothing.
/// [`ConnectWorker::stop`] ends it in order.
pub struct ConnectWorker {
    rest_address: SocketAddr,
    shared: Arc<Shared>,
    shutdown: Option<oneshot::Sender<()>>,
    actor: Option<JoinHandle<()>>,
    rest: JoinHandle<()>,
}

impl ConnectWorker {
    /// Creates the three topics where they are missing, restores connectors from them, and starts
    /// everything that should run.
    ///
    /// # Errors
    /// When a setting is wrong, the address is taken, or the broker does not answer.
    pub async fn start(config: ConnectConfig) -> Result<ConnectWorker> {
        config.check()?;
        let listen = config.rest_listen;
        let listening = tokio::net::TcpListener::bind(listen).await;
        let refused = |source| ConnectError::Listen { address: listen.to_string(), source };
        let listener = listening.map_err(refused)?;
        let rest_address = listener.local_addr().map_err(refused)?;
        let directories = (config.plugin_dir.clone(), config.cache_dir.join("plugins-compiled"));
        let value_converter = config.default_value_converter().to_string();
        let plugins = tokio::task::spawn_blocking(move || {
            let plugins = Plugins::new(directories.0, directories.1, value_converter)?;
            plugins.scan();
            Ok(plugins)
        });
        let plugins = plugins.await.map_err(|error| ConnectError::Sandbox(error.to_string()))?;
        let plugins = plugins.map_err(ConnectError::Sandbox)?;
        let (events, event_queue) = mpsc::unbounded_channel();
        let (requests, request_queue) = mpsc::channel(limits::COMMANDS_WAITING_MAX);
        let services = Arc::new(Services {
            plugins,
            grants: Arc::new(Grants::new(&config.files_allow)),
            runtime: tokio::runtime::Handle::current(),
            events,
            config,
        });
        let cluster_id = storage::create_topics(&services.config).await?;
        let machine = storage::restore(&services.config).await?;
        let storage = storage::Storage::open(&services.config).await?;
        let shared = Arc::new(Shared {
            services,
            machine: Mutex::new(machine),
            live: Mutex::default(),
            cluster_id,
            worker_id: rest_address.to_string(),
            requests,
        });
        let (shutdown, stopping) = oneshot::channel();
        let actor = shell::Shell::new(Arc::clone(&shared), storage, event_queue, request_queue);
        let actor = tokio::spawn(actor.run(stopping));
        let rest = tokio::spawn(rest::serve(listener, Arc::clone(&shared)));
        tracing::info!("Connect REST API on http://{rest_address}");
        Ok(ConnectWorker {
            rest_address,
            shared,
            shutdown: Some(shutdown),
            actor: Some(actor),
            rest,
        })
    }

    /// Where the REST API listens.
    pub fn rest_address(&self) -> SocketAddr {
        self.rest_address
    }

    /// `http://` and the address.
    pub fn rest_url(&self) -> String {
        format!("http://{}", self.rest_address)
    }

    /// Lets tasks commit what they have, and ends.
    pub async fn stop(mut self) {
        self.rest.abort();
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
        if let Some(actor) = self.actor.take() {
            let wait = limits::STOP_WAIT_MAX + Duration::from_secs(5);
            let _ = tokio::time::timeout(wait, actor).await;
        }
    }
}

impl Drop for ConnectWorker {
    fn drop(&mut self) {
        self.rest.abort();
        if let Some(actor) = self.actor.take() {
            actor.abort();
        }
        for task in self.shared.live.lock().values() {
            task.stop.abandon();
        }
    }
}
