//! The actor that drives the machine.

use std::sync::Arc;
use std::time::Duration;

use mainstem_platform::Instant;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::connector::Status;
use super::machine::Effect;
use super::records::ConfigRecord;
use super::storage::Storage;
use super::{Answer, Event, Request, Shared};
use crate::definition::ConfigMap;
use crate::error::{Refusal, TaskError};
use crate::limits;
use crate::plugin::{Direction, explain};
use crate::sandbox::guest::{CallError, split_source};
use crate::sandbox::{Identity, StopSignal, Tenant};
use crate::task::{self, Services, TaskContext};

pub(super) struct Shell {
    shared: Arc<Shared>,
    storage: Storage,
    events: mpsc::UnboundedReceiver<Event>,
    requests: mpsc::Receiver<(Request, Answer)>,
    began: std::time::Instant,
}

impl Shell {
    pub(super) fn new(
        shared: Arc<Shared>,
        storage: Storage,
        events: mpsc::UnboundedReceiver<Event>,
        requests: mpsc::Receiver<(Request, Answer)>,
    ) -> Shell {
        Shell { shared, storage, events, requests, began: std::time::Instant::now() }
    }

    /// Runs until the shutdown, and then until all tasks have ended.
    pub(super) async fn run(mut self, mut stopping: oneshot::Receiver<()>) {
        loop {
            self.settle().await;
            let deadline = self.shared.machine.lock().deadline();
            let wait = deadline.map(|at| at.saturating_duration_since(self.now()));
            tokio::select! {
                _ = &mut stopping => break,
                Some((request, answer)) = self.requests.recv() => {
                    let result = self.handle_request(request).await;
                    // The reply must not come before what it speaks of can be seen.
                    self.settle().await;
                    let _ = answer.send(result);
                }
                Some(event) = self.events.recv() => self.handle_event(event).await,
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
        self.stop_tasks().await;
        self.storage.close().await;
    }

    fn now(&self) -> Instant {
        Instant::default().plus(self.began.elapsed())
    }

    /// Carries out effects until there are none.
    async fn settle(&mut self) {
        loop {
            let now = self.now();
            let effect = {
                let mut machine = self.shared.machine.lock();
                machine.reconcile(now);
                machine.poll_effect()
            };
            match effect {
                Some(effect) => self.carry_out(effect).await,
                None => return,
            }
        }
    }

    async fn handle_request(&mut self, request: Request) -> Result<(), Refusal> {
        match request {
            Request::Command(command) => {
                let records = self.shared.machine.lock().decide(command)?;
                self.append_and_apply(records).await
            }
            Request::Restart { name, task, include_tasks, only_failed } => {
                let mut machine = self.shared.machine.lock();
                machine.handle_restart(&name, task, include_tasks, only_failed)
            }
            Request::WriteOffsets(offsets) => {
                let written = self.storage.write_offsets(offsets).await;
                written.map_err(|error| Refusal::new(500, format!("write offsets: {error}")))
            }
        }
    }

    async fn append_and_apply(&mut self, records: Vec<ConfigRecord>) -> Result<(), Refusal> {
        let appended = self.storage.append(&records).await;
        appended.map_err(|error| Refusal::new(500, format!("write the configuration: {error}")))?;
        let mut machine = self.shared.machine.lock();
        for record in records {
            machine.apply(record);
        }
        Ok(())
    }

    async fn handle_event(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Configured { connector, version, result } => {
                let records = {
                    let mut machine = self.shared.machine.lock();
                    machine.handle_configured(now, &connector, version, result)
                };
                if records.is_empty() {
                    return;
                }
                if let Err(error) = self.append_and_apply(records).await {
                    let error = Err(TaskError::passing(error.message));
                    let mut machine = self.shared.machine.lock();
                    machine.handle_configured(now, &connector, version, error);
                }
            }
            Event::TaskEnded { connector, index, generation, result } => {
                tracing::debug!(connector, index, generation, "task ended");
                self.shared.machine.lock().handle_task_ended(now, &connector, index, result);
            }
            Event::Progress { connector, index, generation } => {
                self.shared.machine.lock().handle_progress(&connector, index, generation);
            }
        }
    }

    async fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Configure { name, version, config } => self.configure(name, version, config),
            Effect::StartTask { name, index, generation, config } => {
                self.start_task(name, index, generation, config);
            }
            Effect::StopTask { name, index } => {
                let stop = {
                    let live = self.shared.live.lock();
                    live.get(&(name, index)).map(|task| Arc::clone(&task.stop))
                };
                if let Some(stop) = stop {
                    stop.stop();
                    tokio::spawn(async move {
                        tokio::time::sleep(limits::STOP_WAIT_MAX).await;
                        stop.abandon();
                    });
                }
            }
            Effect::WriteStatus { name, index, status } => {
                if status.is_none()
                    && let Some(index) = index
                {
                    self.shared.live.lock().remove(&(name.clone(), index));
                }
                self.write_status(&name, index, status).await;
            }
        }
    }

    /// Asks the plugin on a thread of its own: it may take its time.
    fn configure(&self, connector: String, version: u64, config: ConfigMap) {
        let services = Arc::clone(&self.shared.services);
        tokio::task::spawn_blocking(move || {
            let result = split(&services, &connector, version, &config);
            let _ = services.events.send(Event::Configured { connector, version, result });
        });
    }

    fn start_task(&self, connector: String, index: u32, generation: u64, config: ConfigMap) {
        let services = &self.shared.services;
        let class = config.get("connector.class").map(String::as_str).unwrap_or_default();
        let started = services.plugins.get(class).and_then(|plugin| {
            let context = TaskContext {
                services: Arc::clone(services),
                plugin,
                connector: connector.clone(),
                index,
                generation,
                config,
                stop: Arc::new(StopSignal::default()),
                observed: Arc::new(Mutex::default()),
                numbers: Arc::default(),
            };
            task::start(context).map_err(|error| format!("start a thread: {error}"))
        });
        match started {
            Ok(handle) => drop(self.shared.live.lock().insert((connector, index), handle)),
            Err(trace) => {
                let result = Err(TaskError::lasting(trace));
                let ended = Event::TaskEnded { connector, index, generation, result };
                let _ = services.events.send(ended);
            }
        }
    }

    async fn write_status(&self, name: &str, index: Option<u32>, status: Option<Status>) {
        let key = match index {
            None => format!("status-connector-{name}"),
            Some(index) => format!("status-task-{name}-{index}"),
        };
        let value = status.map(|status| {
            json!({
                "state": status.state.name(),
                "trace": status.trace,
                "worker_id": self.shared.worker_id,
                "generation": status.generation,
            })
            .to_string()
        });
        self.storage.write_status(key, value).await;
    }

    /// Tells every task to stop, and abandons those that do not.
    async fn stop_tasks(&mut self) {
        for task in self.shared.live.lock().values() {
            task.stop.stop();
        }
        let until = tokio::time::Instant::now() + limits::STOP_WAIT_MAX;
        while self.is_any_live() {
            match tokio::time::timeout_at(until, self.events.recv()).await {
                Ok(Some(Event::TaskEnded { connector, index, result, .. })) => {
                    let now = self.now();
                    let mut machine = self.shared.machine.lock();
                    machine.handle_task_ended(now, &connector, index, result);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        for task in self.shared.live.lock().values() {
            task.stop.abandon();
        }
        // Guests look at the signal every few milliseconds.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    fn is_any_live(&self) -> bool {
        self.shared.machine.lock().connectors().any(|(_, connector)| connector.has_live_task())
    }
}

/// How a connector's work is split into tasks. Runs on a thread that may block.
fn split(
    services: &Services,
    connector: &str,
    version: u64,
    config: &ConfigMap,
) -> Result<Vec<ConfigMap>, TaskError> {
    let class = config.get("connector.class").map(String::as_str).unwrap_or_default();
    let plugin = services.plugins.get(class).map_err(TaskError::lasting)?;
    let tasks_max = config.get("tasks.max").and_then(|text| text.trim().parse().ok());
    let tasks_max: u32 = tasks_max.unwrap_or(1).clamp(1, limits::TASKS_PER_CONNECTOR_MAX);
    check_grants(services, &plugin, config)?;
    if plugin.direction == Direction::Sink {
        return Ok(vec![config.clone(); tasks_max as usize]);
    }
    let identity = Identity { connector: connector.to_string(), task: 0, generation: version };
    let tenant =
        Tenant::new(identity, Arc::clone(&services.grants), Arc::default(), Arc::default());
    let (sandbox, linker) = (services.plugins.sandbox(), services.plugins.linker());
    let full = crate::definition::with_defaults(&plugin, config);
    let tasks = split_source(sandbox, linker, &plugin.component, tenant, &full, tasks_max);
    let tasks = tasks.map_err(|error| {
        let trace = format!("split the work: {}", explain(&error));
        if matches!(error, CallError::Broken(_)) {
            TaskError::passing(trace)
        } else {
            TaskError::lasting(trace)
        }
    })?;
    if tasks_max as usize * 2 < tasks.len() || tasks.is_empty() {
        let count = tasks.len();
        return Err(TaskError::lasting(format!(
            "the plugin made {count} tasks of at most {tasks_max}"
        )));
    }
    // A task's configuration stands on the connector's: converters and tolerance belong to both.
    let merge = |task: Vec<(String, String)>| {
        let mut merged = config.clone();
        merged.extend(task);
        merged
    };
    Ok(tasks.into_iter().map(merge).collect())
}

/// Everything that the plugin says it will reach for must be granted before a task starts.
fn check_grants(
    services: &Services,
    plugin: &crate::plugin::Plugin,
    config: &ConfigMap,
) -> Result<(), TaskError> {
    let full = crate::definition::with_defaults(plugin, config);
    let mut guest = services.plugins.describe(plugin).map_err(TaskError::lasting)?;
    let wishes = guest.grants(&full).map_err(|error| TaskError::lasting(explain(&error)))?;
    for wish in wishes {
        let Some(path) = wish.strip_prefix("file:") else {
            return Err(TaskError::lasting(format!("this worker cannot grant {wish}")));
        };
        if services.grants.resolve(path).is_err() {
            let denied = services.grants.denied(path);
            return Err(TaskError::lasting(denied));
        }
    }
    Ok(())
}
