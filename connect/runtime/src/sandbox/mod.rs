//! Running somebody else's code: one engine for the worker, one store per task, limits on
//! everything.
//!
//! - Memory, tables and handles are limited by the store; what a call may carry to the host by
//!   hostcall fuel.
//! - Time is limited by epochs: a ticker thread advances the engine's epoch, and every tick that
//!   finds a guest computing is counted against the call. Waiting in the host is not counted.
//! - A guest has exactly the imports of `connect/wit`, all of them checked against what its task
//!   was granted.
//!
//! Invariant: after a trap, an overrun or an exhausted limit the store is thrown away; no call
//! enters it again.
//!
//! Calls block. They are made from a task's own thread, never from the threads of the async
//! runtime.

pub(crate) mod bindings;
mod capabilities;
pub(crate) mod files;
pub(crate) mod guest;
#[cfg(test)]
mod tests;

use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, Store, StoreLimits, StoreLimitsBuilder, UpdateDeadline};

use crate::limits;

pub(crate) use capabilities::{Identity, Observed, StopSignal, Tenant};

/// The engine with its ticker. Dropping it ends the ticker.
pub(crate) struct Sandbox {
    engine: Engine,
    /// The ticker ends when this goes.
    _alive: Mutex<mpsc::Sender<()>>,
}

impl Sandbox {
    /// An engine for components, with interruption by epochs.
    pub(crate) fn new() -> wasmtime::Result<Sandbox> {
        let mut config = Config::new();
        config.wasm_component_model(true);
        config.epoch_interruption(true);
        // Sync calls only: without the machinery for concurrent guests a call costs a third.
        config.concurrency_support(false);
        let engine = Engine::new(&config)?;
        let (alive, ended) = mpsc::channel::<()>();
        let ticking = engine.weak();
        std::thread::Builder::new().name("connect-ticker".to_string()).spawn(move || {
            // Nothing is ever sent: the wait ends by time, or because the sandbox is gone.
            while ended.recv_timeout(limits::TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                match ticking.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => break,
                }
            }
        })?;
        Ok(Sandbox { engine, _alive: Mutex::new(alive) })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A linker with every capability of the contract.
    pub(crate) fn linker(&self) -> wasmtime::Result<Linker<Tenant>> {
        use bindings::capabilities::mainstem::connect as wit;
        let mut linker = Linker::new(&self.engine);
        wit::types::add_to_linker::<_, HasSelf<Tenant>>(&mut linker, |tenant| tenant)?;
        wit::log::add_to_linker::<_, HasSelf<Tenant>>(&mut linker, |tenant| tenant)?;
        wit::metrics::add_to_linker::<_, HasSelf<Tenant>>(&mut linker, |tenant| tenant)?;
        wit::clock::add_to_linker::<_, HasSelf<Tenant>>(&mut linker, |tenant| tenant)?;
        wit::context::add_to_linker::<_, HasSelf<Tenant>>(&mut linker, |tenant| tenant)?;
        wit::state::add_to_linker::<_, HasSelf<Tenant>>(&mut linker, |tenant| tenant)?;
        wit::files::add_to_linker::<_, HasSelf<Tenant>>(&mut linker, |tenant| tenant)?;
        Ok(linker)
    }

    /// A store for one tenant, with all limits set.
    pub(crate) fn store(&self, tenant: Tenant) -> Store<Tenant> {
        let mut store = Store::new(&self.engine, tenant);
        store.limiter(|tenant| &mut tenant.limits);
        store.set_hostcall_fuel(limits::GUEST_CALL_BYTES_MAX);
        store.set_max_component_handles(limits::GUEST_HANDLES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            let tenant = context.data_mut();
            tenant.budget.ticks_left = tenant.budget.ticks_left.saturating_sub(1);
            if tenant.budget.ticks_left == 0 || tenant.interrupted() {
                return Ok(UpdateDeadline::Interrupt);
            }
            Ok(UpdateDeadline::Continue(1))
        });
        store
    }
}

/// What is left of the computing time of the call in progress.
#[derive(Debug)]
pub(crate) struct Budget {
    ticks_left: u64,
}

impl Budget {
    pub(crate) fn of(time: Duration) -> Budget {
        let ticks = time.as_millis() / limits::TICK.as_millis().max(1);
        Budget { ticks_left: u64::try_from(ticks).unwrap_or(u64::MAX).max(2) }
    }

    fn is_spent(&self) -> bool {
        self.ticks_left == 0
    }
}

fn store_limits() -> StoreLimits {
    StoreLimitsBuilder::new()
        .memory_size(limits::GUEST_MEMORY_BYTES_MAX)
        .table_elements(limits::GUEST_TABLE_ELEMENTS_MAX)
        // A component is a handful of core instances: the guest and its adapters.
        .instances(32)
        .memories(4)
        .tables(16)
        .build()
}
