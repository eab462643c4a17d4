//! Time as a value.
//!
//! A machine never asks what time it is; it is told, by a [`Now`] argument. [`Instant`] is monotonic
//! and serves deadlines; `wall_ms` is what people and records call the time and may jump. The two are
//! carried together so that one event sees one time. Time zones and calendars are absent.

use std::time::Duration;

/// A point on a monotonic line, in nanoseconds since some fixed start.
///
/// Only differences mean anything; the start differs from one process to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The instant `milliseconds` after the start of the line.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds.saturating_mul(1_000_000))
    }

    /// This instant moved forward; sticks to the end of the line instead of wrapping.
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// The time from `earlier` to here, or zero when `earlier` is not earlier.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// What a machine is told about time with every event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines and durations; never goes back.
    pub instant: Instant,
    /// Milliseconds since 1970 in UTC, for timestamps; may jump either way.
    pub wall_ms: i64,
}

/// A source of [`Now`], asked by shells only.
pub trait Clock: Send + Sync {
    /// The present.
    fn now(&self) -> Now;
}
