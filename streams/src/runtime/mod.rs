//! The shell: runs an application's tasks against a cluster.
//!
//! ```text
//! App -- threads --> worker --+-- consumer   group of the application's id, task assignor
//!                             +-- producer   one transactional id per thread
//!                             +-- tasks      the machines
//!                             +-- restore    changelog consumer without a group
//! ```
//!
//! Only this room knows clients, the clock, files and tokio. A worker polls, feeds its tasks, sends
//! what they put out and commits at the interval: outputs, changelogs, watermarks and offsets in
//! one transaction, then the state in one batch on disk. Whatever goes wrong within a transaction
//! has one answer: abort it, drop the tasks and both clients, and begin anew from what is
//! committed. That is also what happens after a SIGKILL, so there is one way back, not two.
//!
//! Left out for now, with their seams kept: standby copies, restoring beside processing, remote
//! queries, a dead-letter topic.

mod config;
mod directory;
mod restore;
mod schemas;
mod sender;
mod topics;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstem_client::{Admin, AdminConfig, ClientError};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::error::StreamsError;
use crate::operator::Counters;
use crate::state::{MemoryBackend, RocksBackend};
use crate::task::{Application, Backends, PartitionMetadata, TaskId};
use crate::topology::Topology;

pub use config::{Config, Guarantee};
use directory::StateDirectory;

/// How often `ended` looks at the group's offsets for tasks of other instances.
const ENDED_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What the workers of an application share.
struct Shared {
    config: Config,
    admin: Admin,
    application: Arc<Application>,
    backends: Backends,
    directory: StateDirectory,
    registry: Option<schemas::Registry>,
    /// Tasks whose state was on disk at the start.
    at_home: BTreeSet<TaskId>,
    is_stopping: AtomicBool,
    changed: Notify,
    counters: Mutex<BTreeMap<usize, Counters>>,
    ended: Mutex<BTreeSet<TaskId>>,
    failure: Mutex<Option<String>>,
}

/// A running application. Dropping it stops the work where it stands, without a commit, as a
/// crash would; [`App::close`] ends it in good order.
pub struct App {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<Result<(), StreamsError>>>,
}

impl App {
    /// Starts the topology: waits for its source topics, makes its internal topics, registers its
    /// schemas, opens the state directory and starts the threads.
    pub async fn start(topology: Topology, config: Config) -> Result<App, StreamsError> {
        config.check()?;
        let directory = StateDirectory::open(&config.state_dir, &config.application_id)?;
        let admin = Admin::connect(AdminConfig::new(config.bootstrap.clone()))
            .await
            .map_err(|error| client_error("connect", error))?;
        let external = topics::external_counts(&admin, &topology, &config).await?;
        let application = Arc::new(Application::new(
            topology,
            &config.application_id,
            &external,
            config.bad_records,
            config.idle,
        )?);
        topics::create_internal(&admin, &application, &config).await?;
        let registry = schemas::register(&application, &config).await?;
        let disk = Arc::new(RocksBackend::open(&directory.database())?);
        let at_home = tasks_at_home(&application, &disk)?;
        let backends = Backends { disk, memory: Arc::new(MemoryBackend::default()) };
        let shared = Arc::new(Shared {
            config,
            admin,
            application,
            backends,
            directory,
            registry,
            at_home,
            is_stopping: AtomicBool::new(false),
            changed: Notify::new(),
            counters: Mutex::default(),
            ended: Mutex::default(),
            failure: Mutex::default(),
        });
        let workers = (0..shared.config.threads)
            .map(|index| tokio::spawn(worker::run(shared.clone(), index)))
            .collect();
        Ok(App { shared, workers })
    }

    /// Waits until the application has stopped by itself: the first error, if there is one.
    pub async fn closed(mut self) -> Result<(), StreamsError> {
        let mut result = Ok(());
        for worker in std::mem::take(&mut self.workers) {
            let ended = worker.await.unwrap_or_else(|error| {
                Err(StreamsError::State { store: "all".to_owned(), reason: error.to_string() })
            });
            if result.is_ok() {
                result = ended;
            }
        }
        result
    }

    /// Commits, leaves the group and stops.
    pub async fn close(self) -> Result<(), StreamsError> {
        self.shared.is_stopping.store(true, Ordering::Release);
        self.closed().await
    }

    /// Stops the work where it stands, without a commit, as a crash would, and waits until nothing
    /// of it is left in this process.
    pub async fn abort(mut self) {
        for worker in std::mem::take(&mut self.workers) {
            worker.abort();
            // The answer is that it was aborted.
            let _ = worker.await;
        }
    }

    /// Waits until every task of the application, in this instance or another, has committed
    /// everything up to the end of its inputs. Needs a topology with watermarks.
    pub async fn ended(&self) -> Result<(), StreamsError> {
        if !self.shared.application.has_watermarks() {
            let reason = "only a topology with watermarks knows its end";
            return Err(StreamsError::Config(reason.to_owned()));
        }
        let tasks: BTreeSet<TaskId> = self.shared.application.tasks().into_iter().collect();
        loop {
            let changed = self.shared.changed.notified();
            if let Some(reason) = self.shared.failure.lock().clone() {
                return Err(StreamsError::Client { context: "run".to_owned(), reason });
            }
            let own: BTreeSet<TaskId> = self.shared.ended.lock().clone();
            if own == tasks || self.is_ended_elsewhere(&tasks, &own).await {
                return Ok(());
            }
            let _ = tokio::time::timeout(ENDED_LOOK_INTERVAL, changed).await;
        }
    }

    /// What the tasks of this instance have counted since it was started.
    pub fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for counters in self.shared.counters.lock().values() {
            sum.add(*counters);
        }
        sum
    }

    /// True if the tasks that are not ours say in their committed offsets that they have ended.
    async fn is_ended_elsewhere(&self, tasks: &BTreeSet<TaskId>, own: &BTreeSet<TaskId>) -> bool {
        let shared = &self.shared;
        let Ok(offsets) = shared.admin.group_offsets(&shared.config.application_id).await else {
            return false;
        };
        let ended = offsets.iter().filter(|(_, committed)| {
            PartitionMetadata::decode(&committed.metadata).is_some_and(|m| m.has_ended())
        });
        let ended = ended.filter_map(|(place, _)| {
            let sub = self.shared.application.sub_of(&place.topic)?;
            Some(TaskId { sub, partition: place.partition })
        });
        let ended: BTreeSet<TaskId> = ended.collect();
        tasks.difference(own).all(|task| ended.contains(task))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.abort();
        }
    }
}

/// The tasks of which some state lies on disk.
fn tasks_at_home(
    application: &Application,
    disk: &RocksBackend,
) -> Result<BTreeSet<TaskId>, StreamsError> {
    let slots: BTreeSet<_> = disk.slots()?.into_iter().collect();
    let tasks = application.tasks().into_iter();
    let is_home =
        |task: &TaskId| application.slots(*task).iter().any(|(_, slot, _, _)| slots.contains(slot));
    Ok(tasks.filter(is_home).collect())
}

/// What a client's error means for the worker.
fn client_error(context: &str, error: ClientError) -> StreamsError {
    match error {
        ClientError::Fenced(cause) => StreamsError::Fenced(format!("{context}: {cause}")),
        ClientError::Config(reason) => StreamsError::Config(format!("{context}: {reason}")),
        ClientError::Refused(cause) | ClientError::Authentication(cause) => {
            StreamsError::Client { context: context.to_owned(), reason: cause.to_string() }
        }
        error => StreamsError::Abort(format!("{context}: {error}")),
    }
}
