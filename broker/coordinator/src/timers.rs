//! Many named deadlines behind one.
//!
//! A timer is set, moved and cleared by its key. The order of expiry is by time and then by key, so
//! that two runs with the same events expire in the same order.

use mainstem_platform::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// Deadlines by key. Invariant: both maps hold the same pairs.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
}

impl<K: Ord + Clone> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }

    /// Sets or moves the timer.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        self.clear(&key);
        self.by_time.insert((at, key.clone()));
        self.by_key.insert(key, at);
    }

    pub(crate) fn is_set(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }

    /// Clears the timer if it is set.
    pub(crate) fn clear(&mut self, key: &K) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    /// Clears every timer whose key does not pass.
    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.by_time.retain(|(_, key)| keep(key));
        self.by_key.retain(|key, _| keep(key));
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}
