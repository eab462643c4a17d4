//! What will happen, and when, in virtual time.
//!
//! Invariants: occurrences come out in the order of their time, those of the same time in the order
//! in which they were put in; what travels on one link arrives in the order in which it was sent.

use mainstem_platform::{Instant, Random, SeededRandom};
use std::collections::BTreeMap;
use std::time::Duration;

/// A way on which order is kept: one direction of a connection, one shard to another.
pub(crate) type Link = (u64, u64);

/// The future.
#[derive(Debug)]
pub(crate) struct Schedule<T> {
    queue: BTreeMap<(Instant, u64), T>,
    next: u64,
    /// When the last thing on each link arrives.
    links: BTreeMap<Link, Instant>,
}

impl<T> Schedule<T> {
    pub(crate) fn new() -> Self {
        Self { queue: BTreeMap::new(), next: 0, links: BTreeMap::new() }
    }

    pub(crate) fn at(&mut self, at: Instant, what: T) {
        self.queue.insert((at, self.next), what);
        self.next += 1;
    }

    /// Puts something on a link, to arrive not before `at` and not before what was sent earlier.
    pub(crate) fn on_link(&mut self, link: Link, at: Instant, what: T) {
        let last = self.links.entry(link).or_default();
        let at = at.max(*last);
        *last = at;
        self.at(at, what);
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, T)> {
        self.queue.pop_first().map(|((at, _), what)| (at, what))
    }
}

/// A delay as networks and disks have them: mostly short, now and then a hundred times that.
pub(crate) fn delay(random: &mut SeededRandom, typical_us: u64) -> Duration {
    let base_us = typical_us / 2 + random.below(typical_us);
    let us = if random.one_in(50) { base_us * (1 + random.below(100)) } else { base_us };
    Duration::from_micros(us)
}
