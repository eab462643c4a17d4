//! Many seeds on several threads.
//!
//! Threads take seeds one by one, and all stop at the first failure; of several that fail at the same
//! moment the lowest seed is reported.

use crate::run::{Failure, Summary, run};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What came of many runs.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Runs that kept all rules.
    pub seeds: u64,
    /// All of them added up.
    pub total: Summary,
    /// The failure with the lowest seed.
    pub failure: Option<Failure>,
}

/// Runs every seed, or up to the first that fails. `progress` is told from time to time how many are
/// done; it is called on the threads that run.
pub fn soak(seeds: Range<u64>, threads: usize, progress: impl Fn(&Report) + Sync) -> Report {
    let next = AtomicU64::new(seeds.start);
    let report = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| work(&next, &seeds, &report, &progress));
        }
    });
    report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn work(
    next: &AtomicU64,
    seeds: &Range<u64>,
    report: &Mutex<Report>,
    progress: &(impl Fn(&Report) + Sync),
) {
    loop {
        let seed = next.fetch_add(1, Relaxed);
        if seeds.end <= seed {
            return;
        }
        let outcome = run(seed);
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(summary) => {
                report.seeds += 1;
                report.total.add(&summary);
                progress(&report);
            }
            Err(failure) => {
                next.store(seeds.end, Relaxed);
                let known = report.failure.as_ref().map(|failure| failure.seed);
                if known.is_none_or(|known| seed < known) {
                    report.failure = Some(*failure);
                }
                return;
            }
        }
    }
}
