//! The tenant of a store, and what it may ask of the host besides files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};
use wasmtime::StoreLimits;
use wasmtime::component::ResourceTable;

use super::bindings::capabilities::mainstem::connect as wit;
use super::files::Grants;
use super::{Budget, store_limits};
use crate::limits;

/// Who a guest is; shown in logs and given to the guest itself.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub connector: String,
    pub task: u32,
    pub generation: u64,
}

/// A task's stop signal. Guests see it as `context.stopping`; a sleeping guest and a waiting task
/// wake by it.
#[derive(Debug, Default)]
pub(crate) struct StopSignal {
    stopping: AtomicBool,
    /// Do not finish anything: interrupt the guest wherever it is, and commit nothing.
    abandon: AtomicBool,
    sleepers: (Mutex<()>, Condvar),
    waiters: tokio::sync::Notify,
}

impl StopSignal {
    /// Finish what was begun, and end.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let guard = self.sleepers.0.lock();
        self.sleepers.1.notify_all();
        drop(guard);
        self.waiters.notify_waiters();
        // One permit for a waiter that is about to wait.
        self.waiters.notify_one();
    }

    /// End now, as if the process had died.
    pub(crate) fn abandon(&self) {
        self.abandon.store(true, Ordering::Release);
        self.stop();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandon.load(Ordering::Acquire)
    }

    /// Waits in a guest's call, or until the stop.
    fn sleep(&self, time: Duration) {
        let mut guard = self.sleepers.0.lock();
        if !self.is_stopping() {
            self.sleepers.1.wait_for(&mut guard, time);
        }
    }

    /// Returns at the stop.
    pub(crate) async fn stopped(&self) {
        while !self.is_stopping() {
            self.waiters.notified().await;
        }
    }
}

/// What a guest has said about itself, read by the status.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub counters: BTreeMap<String, u64>,
    pub gauges: BTreeMap<String, f64>,
    /// The last panic; explains the trap that follows it.
    pub panic: Option<String>,
}

/// A task's private state: what is stored, and what was put since the last commit.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub values: BTreeMap<String, Vec<u8>>,
    pub changed: BTreeMap<String, Option<Vec<u8>>>,
}

/// Everything that belongs to one store.
pub(crate) struct Tenant {
    pub(crate) limits: StoreLimits,
    pub(crate) budget: Budget,
    pub(crate) table: ResourceTable,
    pub(crate) grants: Arc<Grants>,
    pub(crate) state: State,
    pub(crate) observed: Arc<Mutex<Observed>>,
    identity: Identity,
    stop: Arc<StopSignal>,
    started: Instant,
}

impl Tenant {
    pub(crate) fn new(
        identity: Identity,
        grants: Arc<Grants>,
        stop: Arc<StopSignal>,
        observed: Arc<Mutex<Observed>>,
    ) -> Tenant {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::GUEST_HANDLES_MAX);
        Tenant {
            limits: store_limits(),
            budget: Budget::of(limits::DESCRIBE_COMPUTE_MAX),
            table,
            grants,
            state: State::default(),
            observed,
            identity,
            stop,
            started: Instant::now(),
        }
    }

    /// A tenant that only describes itself: no grants, no state.
    pub(crate) fn describing(plugin: &str) -> Tenant {
        let identity = Identity { connector: plugin.to_string(), task: 0, generation: 0 };
        Tenant::new(identity, Arc::default(), Arc::default(), Arc::default())
    }

    pub(crate) fn interrupted(&self) -> bool {
        self.stop.is_abandoned()
    }

    /// Begins a call that may compute for this long.
    pub(crate) fn begin_call(&mut self, time: Duration) {
        self.budget = Budget::of(time);
        self.observed.lock().panic = None;
    }

    /// Why the last call ended in a trap, where the host knows better than the trap.
    pub(crate) fn explain_trap(&self) -> Option<String> {
        if let Some(panic) = self.observed.lock().panic.take() {
            return Some(panic);
        }
        if self.interrupted() {
            return Some("the plugin did not stop in time and was interrupted".to_string());
        }
        self.budget.is_spent().then(|| {
            "the plugin computed for longer than a call may and was interrupted".to_string()
        })
    }
}

impl wit::types::Host for Tenant {}

impl wit::log::Host for Tenant {
    fn enabled(&mut self, level: wit::log::Level) -> bool {
        match level {
            wit::log::Level::Trace => tracing::enabled!(tracing::Level::TRACE),
            wit::log::Level::Debug => tracing::enabled!(tracing::Level::DEBUG),
            wit::log::Level::Info | wit::log::Level::Warn | wit::log::Level::Error => true,
        }
    }

    fn log(&mut self, level: wit::log::Level, message: String, fields: Vec<(String, String)>) {
        let message = cut(message);
        let (connector, task) = (self.identity.connector.as_str(), self.identity.task);
        if fields.iter().any(|(name, value)| name == "panic" && value == "true") {
            self.observed.lock().panic = Some(message.clone());
        }
        match level {
            wit::log::Level::Trace => tracing::trace!(connector, task, "{message}"),
            wit::log::Level::Debug => tracing::debug!(connector, task, "{message}"),
            wit::log::Level::Info => tracing::info!(connector, task, "{message}"),
            wit::log::Level::Warn => tracing::warn!(connector, task, "{message}"),
            wit::log::Level::Error => tracing::error!(connector, task, "{message}"),
        }
    }
}

impl wit::metrics::Host for Tenant {
    fn count(&mut self, name: String, delta: u64) {
        let mut observed = self.observed.lock();
        if observed.counters.len() < limits::METRIC_NAMES_MAX
            || observed.counters.contains_key(&name)
        {
            let counter = observed.counters.entry(name).or_default();
            *counter = counter.saturating_add(delta);
        }
    }

    fn gauge(&mut self, name: String, value: f64) {
        let mut observed = self.observed.lock();
        if observed.gauges.len() < limits::METRIC_NAMES_MAX || observed.gauges.contains_key(&name) {
            observed.gauges.insert(name, value);
        }
    }
}

impl wit::clock::Host for Tenant {
    fn now_ms(&mut self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic_ns(&mut self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn sleep_ms(&mut self, ms: u32) {
        self.stop.sleep(Duration::from_millis(u64::from(ms)).min(limits::GUEST_SLEEP_MAX));
    }
}

impl wit::context::Host for Tenant {
    fn task(&mut self) -> wit::context::TaskId {
        wit::context::TaskId {
            connector: self.identity.connector.clone(),
            task: self.identity.task,
            generation: self.identity.generation,
        }
    }

    fn stopping(&mut self) -> bool {
        self.stop.is_stopping()
    }
}

impl wit::state::Host for Tenant {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        self.state.values.get(&key).cloned()
    }

    fn put(&mut self, key: String, value: Option<Vec<u8>>) -> Result<(), String> {
        let state = &mut self.state;
        if value.as_ref().is_some_and(|value| limits::STATE_VALUE_BYTES_MAX < value.len()) {
            return Err(format!("state '{key}' is larger than {}", limits::STATE_VALUE_BYTES_MAX));
        }
        match &value {
            None => {
                state.values.remove(&key);
            }
            Some(_)
                if limits::STATE_KEYS_MAX <= state.values.len()
                    && !state.values.contains_key(&key) =>
            {
                return Err(format!("a task keeps at most {} keys", limits::STATE_KEYS_MAX));
            }
            Some(value) => {
                state.values.insert(key.clone(), value.clone());
            }
        }
        state.changed.insert(key, value);
        Ok(())
    }

    fn scan(&mut self, prefix: String, limit: u32) -> Vec<(String, Vec<u8>)> {
        let from = self.state.values.range(prefix.clone()..);
        let matching = from.take_while(|(key, _)| key.starts_with(&prefix));
        matching.take(limit as usize).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// A guest's text, cut to a bearable length.
fn cut(mut text: String) -> String {
    if limits::MESSAGE_BYTES_MAX < text.len() {
        let end = (0..=limits::MESSAGE_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
    text
}
