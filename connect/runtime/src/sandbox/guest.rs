//! One guest: an instance in its store, and calls into it with a budget and an explained failure.
//!
//! A [`Guest`] that has failed a call with [`CallError::Broken`] answers every further call the
//! same way; its owner drops it and makes a new one.

use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Component, Linker, ResourceAny};

use super::bindings::capabilities::mainstem::connect::types;
use super::bindings::{described, sink, source};
use super::{Sandbox, Tenant};
use crate::limits;

pub(crate) use described::exports::mainstem::connect::plugin as wit_plugin;
pub(crate) use sink::exports::mainstem::connect::sink as wit_sink;
pub(crate) use source::exports::mainstem::connect::source as wit_source;

/// Why a call did not succeed.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The guest answered with an error of its own and lives on.
    Refused(types::Error),
    /// The guest trapped, overran or broke a limit; it is dead.
    Broken(String),
}

/// Calls into one store.
struct Caller {
    store: Store<Tenant>,
    dead: Option<String>,
}

impl Caller {
    fn call<R>(
        &mut self,
        time: Duration,
        call: impl FnOnce(&mut Store<Tenant>) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        if let Some(reason) = &self.dead {
            return Err(CallError::Broken(reason.clone()));
        }
        self.store.data_mut().begin_call(time);
        self.store.set_epoch_deadline(1);
        call(&mut self.store).map_err(|error| {
            let trap = error.root_cause().to_string();
            let reason = self.store.data().explain_trap().unwrap_or(trap);
            self.dead = Some(reason.clone());
            CallError::Broken(reason)
        })
    }
}

/// Turns the two layers of a call's result into one.
fn flatten<R>(result: Result<Result<R, types::Error>, CallError>) -> Result<R, CallError> {
    result?.map_err(CallError::Refused)
}

/// A guest that only describes itself.
pub(crate) struct DescribedGuest {
    caller: Caller,
    bindings: described::Described,
}

impl DescribedGuest {
    pub(crate) fn start(
        sandbox: &Sandbox,
        linker: &Linker<Tenant>,
        component: &Component,
        tenant: Tenant,
    ) -> wasmtime::Result<DescribedGuest> {
        let mut store = sandbox.store(tenant);
        let bindings = described::Described::instantiate(&mut store, component, linker)?;
        Ok(DescribedGuest { caller: Caller { store, dead: None }, bindings })
    }

    pub(crate) fn describe(&mut self) -> Result<wit_plugin::Manifest, CallError> {
        let plugin = self.bindings.mainstem_connect_plugin();
        self.caller.call(limits::DESCRIBE_COMPUTE_MAX, |store| plugin.call_describe(store))
    }

    pub(crate) fn validate(
        &mut self,
        config: &types::Config,
    ) -> Result<Vec<wit_plugin::Issue>, CallError> {
        let plugin = self.bindings.mainstem_connect_plugin();
        self.caller.call(limits::DESCRIBE_COMPUTE_MAX, |store| plugin.call_validate(store, config))
    }

    pub(crate) fn exactly_once(
        &mut self,
        config: &types::Config,
    ) -> Result<wit_plugin::ExactlyOnce, CallError> {
        let plugin = self.bindings.mainstem_connect_plugin();
        self.caller.call(limits::DESCRIBE_COMPUTE_MAX, |store| {
            plugin.call_exactly_once_support(store, config)
        })
    }

    pub(crate) fn grants(&mut self, config: &types::Config) -> Result<Vec<String>, CallError> {
        let plugin = self.bindings.mainstem_connect_plugin();
        self.caller.call(limits::DESCRIBE_COMPUTE_MAX, |store| plugin.call_grants(store, config))
    }
}

/// One running task of a source.
pub(crate) struct SourceGuest {
    caller: Caller,
    bindings: source::Sourcer,
    task: ResourceAny,
}

/// Splits a source's work into task configurations.
pub(crate) fn split_source(
    sandbox: &Sandbox,
    linker: &Linker<Tenant>,
    component: &Component,
    tenant: Tenant,
    config: &types::Config,
    tasks_max: u32,
) -> Result<Vec<types::Config>, CallError> {
    let mut caller = Caller { store: sandbox.store(tenant), dead: None };
    let bindings = caller.call(limits::DESCRIBE_COMPUTE_MAX, |store| {
        source::Sourcer::instantiate(store, component, linker)
    })?;
    let connector = bindings.mainstem_connect_source().connector();
    flatten(caller.call(limits::CALL_COMPUTE_MAX, |store| {
        let resource = connector.call_constructor(&mut *store, config)?;
        connector.call_task_configs(store, resource, tasks_max)
    }))
}

impl SourceGuest {
    pub(crate) fn start(
        sandbox: &Sandbox,
        linker: &Linker<Tenant>,
        component: &Component,
        tenant: Tenant,
        config: &types::Config,
    ) -> Result<SourceGuest, CallError> {
        let mut caller = Caller { store: sandbox.store(tenant), dead: None };
        let bindings = caller.call(limits::CALL_COMPUTE_MAX, |store| {
            source::Sourcer::instantiate(store, component, linker)
        })?;
        let resource = bindings.mainstem_connect_source().task();
        let task = caller
            .call(limits::CALL_COMPUTE_MAX, |store| resource.call_constructor(store, config))?;
        Ok(SourceGuest { caller, bindings, task })
    }

    pub(crate) fn open(&mut self, committed: &[(String, String)]) -> Result<(), CallError> {
        let (task, resource) = (self.task, self.bindings.mainstem_connect_source().task());
        flatten(
            self.caller
                .call(limits::CALL_COMPUTE_MAX, |store| resource.call_open(store, task, committed)),
        )
    }

    pub(crate) fn poll(&mut self, wait: Duration) -> Result<Option<wit_source::Polled>, CallError> {
        let (task, resource) = (self.task, self.bindings.mainstem_connect_source().task());
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        flatten(self.caller.call(limits::CALL_COMPUTE_MAX, |store| {
            let (records, bytes) = (limits::POLL_RECORDS_MAX, limits::POLL_BYTES_MAX);
            resource.call_poll(store, task, records, bytes, wait_ms)
        }))
    }

    pub(crate) fn committed(&mut self, token: u64) -> Result<(), CallError> {
        let (task, resource) = (self.task, self.bindings.mainstem_connect_source().task());
        flatten(
            self.caller.call(limits::CALL_COMPUTE_MAX, |store| {
                resource.call_committed(store, task, token)
            }),
        )
    }

    pub(crate) fn close(&mut self) -> Result<(), CallError> {
        let (task, resource) = (self.task, self.bindings.mainstem_connect_source().task());
        self.caller.call(limits::CALL_COMPUTE_MAX, |store| resource.call_close(store, task))
    }

    pub(crate) fn tenant(&mut self) -> &mut Tenant {
        self.caller.store.data_mut()
    }
}

/// One running task of a sink.
pub(crate) struct SinkGuest {
    caller: Caller,
    bindings: sink::Sinker,
    task: ResourceAny,
}

impl SinkGuest {
    pub(crate) fn start(
        sandbox: &Sandbox,
        linker: &Linker<Tenant>,
        component: &Component,
        tenant: Tenant,
        config: &types::Config,
    ) -> Result<SinkGuest, CallError> {
        let mut caller = Caller { store: sandbox.store(tenant), dead: None };
        let bindings = caller.call(limits::CALL_COMPUTE_MAX, |store| {
            sink::Sinker::instantiate(store, component, linker)
        })?;
        let resource = bindings.mainstem_connect_sink().task();
        let task = caller
            .call(limits::CALL_COMPUTE_MAX, |store| resource.call_constructor(store, config))?;
        Ok(SinkGuest { caller, bindings, task })
    }

    pub(crate) fn open(
        &mut self,
        assigned: &[wit_sink::TopicPartition],
    ) -> Result<Vec<wit_sink::Position>, CallError> {
        let (task, resource) = (self.task, self.bindings.mainstem_connect_sink().task());
        flatten(
            self.caller
                .call(limits::CALL_COMPUTE_MAX, |store| resource.call_open(store, task, assigned)),
        )
    }

    pub(crate) fn put(&mut self, batch: &types::Batch) -> Result<Vec<types::Failure>, CallError> {
        let (task, resource) = (self.task, self.bindings.mainstem_connect_sink().task());
        flatten(
            self.caller
                .call(limits::CALL_COMPUTE_MAX, |store| resource.call_put(store, task, batch)),
        )
    }

    pub(crate) fn flush(&mut self) -> Result<Vec<wit_sink::Position>, CallError> {
        let (task, resource) = (self.task, self.bindings.mainstem_connect_sink().task());
        flatten(
            self.caller.call(limits::CALL_COMPUTE_MAX, |store| resource.call_flush(store, task)),
        )
    }

    pub(crate) fn reassign(
        &mut self,
        revoked: &[wit_sink::TopicPartition],
        assigned: &[wit_sink::TopicPartition],
    ) -> Result<Vec<wit_sink::Position>, CallError> {
        let (task, resource) = (self.task, self.bindings.mainstem_connect_sink().task());
        flatten(self.caller.call(limits::CALL_COMPUTE_MAX, |store| {
            resource.call_reassign(store, task, revoked, assigned)
        }))
    }

    pub(crate) fn close(&mut self) -> Result<(), CallError> {
        let (task, resource) = (self.task, self.bindings.mainstem_connect_sink().task());
        self.caller.call(limits::CALL_COMPUTE_MAX, |store| resource.call_close(store, task))
    }
}
