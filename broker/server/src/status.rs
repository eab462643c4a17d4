//! What the threads of a server know of each other: who runs, who has failed, what was counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Shared by all threads of one server.
#[derive(Debug, Default)]
pub(crate) struct Status {
    progress: Mutex<Progress>,
    changed: Condvar,
    /// Open connections of Kafka clients, of all shards.
    connections: AtomicUsize,
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
    /// Turned away because there were `max.connections` already.
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
        !std::mem::replace(&mut self.progress.lock().is_stopping, true)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.progress.lock().is_stopping
    }

    /// Waits until no shard runs, or one has failed.
    pub(crate) fn wait(&self) -> Option<String> {
        let mut progress = self.progress.lock();
        while progress.shards_running > 0 && progress.failure.is_none() {
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

    /// Takes one of `limit` places for a connection.
    pub(crate) fn admit(self: &Arc<Self>, limit: usize) -> Option<Place> {
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        let place = Place(self.clone());
        (taken < limit).then_some(place)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A connection's place among those that are allowed; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Status>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
