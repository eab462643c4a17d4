//! Waiting before a retry: doubling, capped, with jitter from a given random number.

use std::time::Duration;

use mainstem_platform::{Instant, Random, SeededRandom};

/// Counts failures in a row and says when the next attempt may be made.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
    not_before: Instant,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, failures: 0, not_before: Instant(0) }
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = Instant(0);
    }

    /// Waits up to `max`, minus up to a fifth, so that clients do not come back in step.
    pub(crate) fn failed(&mut self, now: Instant, random: &mut SeededRandom) {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let fifth = u64::try_from(doubled.as_nanos() / 5).unwrap_or(u64::MAX);
        self.not_before = now.plus(doubled - Duration::from_nanos(random.below(fifth)));
    }

    /// Waits this long, without counting it as a failure.
    pub(crate) fn wait(&mut self, now: Instant, pause: Duration) {
        self.not_before = now.plus(pause);
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn ready(&self, now: Instant) -> bool {
        self.not_before <= now
    }

    /// When the next attempt may be made, if that is not yet.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        (now < self.not_before).then_some(self.not_before)
    }
}
