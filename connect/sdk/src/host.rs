//! The host's small capabilities: log lines, counters, time, and who we are.

use std::sync::Once;

use crate::bindings::mainstem::connect::{clock, context, log, metrics};

pub use context::TaskId;
pub use log::Level;

/// Writes a line to the worker's log.
pub fn log_line(level: Level, message: &str) {
    log::log(level, message, &[]);
}

/// Adds to a counter that the task's status shows.
pub fn count(name: &str, delta: u64) {
    metrics::count(name, delta);
}

/// Sets a gauge that the task's status shows.
pub fn gauge(name: &str, value: f64) {
    metrics::gauge(name, value);
}

/// Milliseconds since 1970 UTC.
pub fn now_ms() -> i64 {
    clock::now_ms()
}

/// Waits, at most a second; ends early when the task is told to stop.
pub fn sleep_ms(duration_ms: u32) {
    clock::sleep_ms(duration_ms);
}

/// True once the task should come back from a long call.
pub fn stopping() -> bool {
    context::stopping()
}

/// Which task of which connector this is.
pub fn task() -> TaskId {
    context::task()
}

/// Sends panics to the host's log, where they become the trace of the failed task. Without this a
/// panic would reach the user as `unreachable executed`.
pub(crate) fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let fields = [("panic".to_string(), "true".to_string())];
            log::log(Level::Error, &info.to_string(), &fields);
        }));
    });
}
