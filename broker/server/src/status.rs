//! What the threads of a server know of each other: who runs, who has failed, what was counted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Shared by all threads of one server.
#[derive(Debug, Default)]
pub(crate) struct Status {
    progress: Mutex<Progress>,
    changed: Condvar,
    /// Open connections of Kafka clients, of all shards, by where they come from.
    connections: Mutex<BTreeMap<IpAddr, usize>>,
    connection_count: AtomicUsize,
    pub(crate) counters: Counters,
}

#[derive(Debug, Default)]
struct Progress {
    shards_running: usize,
    /// The first reason to give up; later ones follow from it.
    failure: Option<String>,
    is_stopping: bool,
}

/// What the shell counts; the machines count for themselves.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections_accepted: AtomicU64,
    /// Turned away because there were `max.connections` already, or `max.connections.per.ip` of
    /// one address.
    pub(crate) connections_refused: AtomicU64,
    /// Closed because of a frame with an impossible length.
    pub(crate) frames_refused: AtomicU64,
    /// Closed because nothing came, or nothing could be sent, for too long.
    pub(crate) connections_timed_out: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Status {
    pub(crate) fn shard_started(&self) {
        self.progress.lock().shards_running += 1;
    }

    pub(crate) fn shard_ended(&self) {
        self.progress.lock().shards_running -= 1;
        self.changed.notify_all();
    }

    /// The server cannot go on. The one who calls this also sees to it that the others end.
    pub(crate) fn fail(&self, reason: String) {
        tracing::error!(%reason, "the server halts");
        self.progress.lock().failure.get_or_insert(reason);
        self.changed.notify_all();
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.progress.lock().failure.clone()
    }

    /// True for the first caller only.
    pub(crate) fn begin_stopping(&self) -> bool {
        let was_stopping = std::mem::replace(&mut self.progress.lock().is_stopping, true);
        self.changed.notify_all();
        !was_stopping
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.progress.lock().is_stopping
    }

    /// Waits until no shard runs, one has failed, or the server is to stop.
    pub(crate) fn wait(&self) -> Option<String> {
        let mut progress = self.progress.lock();
        while progress.shards_running > 0 && progress.failure.is_none() && !progress.is_stopping {
            self.changed.wait(&mut progress);
        }
        progress.failure.clone()
    }

    /// Waits until no shard runs; false when that took too long.
    pub(crate) fn wait_until_ended(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut progress = self.progress.lock();
        while progress.shards_running > 0 {
            if self.changed.wait_until(&mut progress, deadline).timed_out() {
                return progress.shards_running == 0;
            }
        }
        true
    }

    /// Takes a place for a connection from `address`, which has this descriptor; `None` when there is
    /// none left.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        descriptor: i32,
        places: Places,
    ) -> Option<Place> {
        if places.descriptors <= descriptor {
            return None;
        }
        let mut connections = self.connections.lock();
        let of_this = connections.get(&address).copied().unwrap_or(0);
        if places.per_address <= of_this || places.of_all <= self.connections() {
            return None;
        }
        connections.insert(address, of_this + 1);
        self.connection_count.fetch_add(1, Ordering::Relaxed);
        Some(Place { status: self.clone(), address })
    }

    pub(crate) fn connections(&self) -> usize {
        self.connection_count.load(Ordering::Relaxed)
    }
}

/// How many connections there may be at one time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    /// Of all shards.
    pub(crate) of_all: usize,
    /// From one address.
    pub(crate) per_address: usize,
    /// File descriptors from this number on are kept for the logs. The kernel gives the lowest that
    /// is free, so the number of a new connection tells how many are in use.
    pub(crate) descriptors: i32,
}

impl Places {
    /// Of so many descriptors that the process may have, the part that connections may take.
    pub(crate) fn descriptors_of(limit: Option<u64>) -> i32 {
        const KEPT_MIN: u64 = 64;
        let Some(limit) = limit else { return i32::MAX };
        let kept = (limit / 16).max(KEPT_MIN).min(limit / 2);
        i32::try_from(limit - kept).unwrap_or(i32::MAX)
    }
}

/// A connection's place among those that are allowed; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    status: Arc<Status>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = self.status.connections.lock();
        if let Some(count) = connections.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.address);
            }
        }
        self.status.connection_count.fetch_sub(1, Ordering::Relaxed);
    }
}
