//! Tasks: one thread, one guest, one loop each.
//!
//! A task thread is plain sequential code. It calls the guest directly and waits for the client's
//! futures with the runtime's handle; so a guest that computes holds up nobody but its own task.
//!
//! Both loops follow the same rule for what went wrong: an error ends the task with a trace;
//! whether it is started again decides the machine. A task never goes on with a guest, a
//! transaction or a position that it is not sure of.

mod offsets;
mod sink;
mod source;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mainstem_client::typed::registry::RegistryClient;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use crate::config::ConnectConfig;
use crate::convert::{Converter, Format, Part};
use crate::definition::ConfigMap;
use crate::error::TaskError;
use crate::plugin::{Direction, Plugin, Plugins, explain};
use crate::sandbox::bindings::capabilities::mainstem::connect::types::ErrorKind;
use crate::sandbox::files::Grants;
use crate::sandbox::guest::CallError;
use crate::sandbox::{Identity, Observed, StopSignal, Tenant};
use crate::worker::Event;

pub(crate) use offsets::read_topic;

/// What all tasks of a worker share.
pub(crate) struct Services {
    pub config: ConnectConfig,
    pub plugins: Plugins,
    pub grants: Arc<Grants>,
    pub runtime: Handle,
    pub events: UnboundedSender<Event>,
}

/// Numbers of one task, shown in its status.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Records that came from the guest, or from the topics.
    pub taken: AtomicU64,
    /// Records that are committed.
    pub delivered: AtomicU64,
    /// Records that were skipped by `errors.tolerance`.
    pub skipped: AtomicU64,
    pub commits: AtomicU64,
    /// Topics that a source has written to.
    pub topics: Mutex<std::collections::BTreeSet<String>>,
    /// Why the last record was skipped.
    pub last_skip: Mutex<Option<String>>,
}

/// A running task, seen from outside.
pub(crate) struct TaskHandle {
    pub stop: Arc<StopSignal>,
    pub observed: Arc<Mutex<Observed>>,
    pub numbers: Arc<Numbers>,
}

impl TaskHandle {
    /// Everything that the task counts, by name.
    pub(crate) fn metrics(&self) -> BTreeMap<String, serde_json::Value> {
        let numbers = &self.numbers;
        let mut metrics = BTreeMap::new();
        for (name, number) in [
            ("records-taken", &numbers.taken),
            ("records-delivered", &numbers.delivered),
            ("records-skipped", &numbers.skipped),
            ("commits", &numbers.commits),
        ] {
            metrics.insert(name.to_string(), number.load(Ordering::Relaxed).into());
        }
        if let Some(reason) = numbers.last_skip.lock().clone() {
            metrics.insert("last-skip".to_string(), reason.into());
        }
        let observed = self.observed.lock();
        for (name, value) in &observed.counters {
            metrics.entry(name.clone()).or_insert_with(|| (*value).into());
        }
        for (name, value) in &observed.gauges {
            metrics.entry(name.clone()).or_insert_with(|| (*value).into());
        }
        metrics
    }
}

/// Everything that one task is made of.
pub(crate) struct TaskContext {
    pub services: Arc<Services>,
    pub plugin: Arc<Plugin>,
    pub connector: String,
    pub index: u32,
    pub generation: u64,
    pub config: ConfigMap,
    pub stop: Arc<StopSignal>,
    pub observed: Arc<Mutex<Observed>>,
    pub numbers: Arc<Numbers>,
}

/// Starts the task's thread. Its end, whatever the reason, comes as an event.
pub(crate) fn start(context: TaskContext) -> std::io::Result<TaskHandle> {
    let handle = TaskHandle {
        stop: Arc::clone(&context.stop),
        observed: Arc::clone(&context.observed),
        numbers: Arc::clone(&context.numbers),
    };
    let name = format!("connect-{}-{}", context.connector, context.index);
    std::thread::Builder::new().name(name).spawn(move || {
        let events = context.services.events.clone();
        let (connector, index, generation) =
            (context.connector.clone(), context.index, context.generation);
        // A defect of ours in one task must not leave it RUNNING for ever in the eyes of the
        // worker.
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| context.run()));
        let result = result.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(TaskError::lasting(format!("the task panicked: {}", text.unwrap_or_default())))
        });
        if let Err(error) = &result {
            tracing::warn!(connector, task = index, "task ended: {error}");
        }
        let _ = events.send(Event::TaskEnded { connector, index, generation, result });
    })?;
    Ok(handle)
}

impl TaskContext {
    fn run(&self) -> Result<(), TaskError> {
        match self.plugin.direction {
            Direction::Source => source::run(self),
            Direction::Sink => sink::run(self),
        }
    }

    fn tenant(&self) -> Tenant {
        let identity = Identity {
            connector: self.connector.clone(),
            task: self.index,
            generation: self.generation,
        };
        let (stop, observed) = (Arc::clone(&self.stop), Arc::clone(&self.observed));
        Tenant::new(identity, Arc::clone(&self.services.grants), stop, observed)
    }

    fn text(&self, key: &str) -> &str {
        self.config.get(key).map(String::as_str).unwrap_or_default()
    }

    fn millis(&self, key: &str, default_ms: u64) -> std::time::Duration {
        std::time::Duration::from_millis(self.text(key).trim().parse().unwrap_or(default_ms))
    }

    /// The configuration as the guest is given it.
    fn guest_config(&self) -> Vec<(String, String)> {
        crate::definition::with_defaults(&self.plugin, &self.config)
    }

    fn converter(&self, part: Part) -> Result<Converter, TaskError> {
        let (key, default) = match part {
            Part::Key => ("key.converter", "string"),
            Part::Value => ("value.converter", self.plugin.value_converter.as_str()),
        };
        let name = self.config.get(key).map_or(default, String::as_str);
        let format = Format::parse(name)
            .ok_or_else(|| TaskError::lasting(format!("{key}: {name} is no converter")))?;
        let own = self.text(&format!("{key}.schema.registry.url"));
        let url =
            if own.is_empty() { self.services.config.registry_url.as_deref() } else { Some(own) };
        let registry = url.filter(|_| format == Format::Avro).map(RegistryClient::new);
        Ok(Converter::new(format, part, registry))
    }

    /// A record that cannot be handled: fail, or count and go on.
    fn skip(&self, position: &str, reason: &str) -> Result<(), TaskError> {
        let sentence = format!("{position}: {reason}");
        if self.text("errors.tolerance") != "all" {
            return Err(TaskError::lasting(sentence));
        }
        self.numbers.skipped.fetch_add(1, Ordering::Relaxed);
        if !self.text("errors.log.enable").eq_ignore_ascii_case("false") {
            tracing::warn!(connector = self.connector, task = self.index, "skipped {sentence}");
        }
        *self.numbers.last_skip.lock() = Some(sentence);
        Ok(())
    }

    fn progressed(&self) {
        let (connector, index, generation) = (self.connector.clone(), self.index, self.generation);
        let _ = self.services.events.send(Event::Progress { connector, index, generation });
    }
}

/// A failed call into the guest as the end of the task.
fn guest_failed(operation: &str, error: &CallError) -> TaskError {
    let trace = format!("{operation}: {}", explain(error));
    match error {
        // A guest that breaks down may meet better luck in a new instance.
        CallError::Broken(_) => TaskError::passing(trace),
        CallError::Refused(error) => match error.kind {
            ErrorKind::Retriable | ErrorKind::Throttled => TaskError::passing(trace),
            ErrorKind::Config | ErrorKind::Auth | ErrorKind::Data | ErrorKind::Fatal => {
                TaskError::lasting(trace)
            }
        },
    }
}
