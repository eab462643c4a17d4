//! Threads that open logs side by side when the server starts.
//!
//! Each shard opens its own logs, so there are as many openers as shards in any case. With
//! `num.recovery.threads.per.data.dir` a directory wants more than its share of these, every shard
//! gets helpers; they live for one call only.

use mainstem_node::NodeConfig;
use mainstem_platform::{Job, Workers};
use parking_lot::Mutex;

/// Helpers of one shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecoveryThreads {
    threads: usize,
}

impl RecoveryThreads {
    /// Shares the threads that the settings want for all directories out among the shards.
    pub(crate) fn new(config: &NodeConfig, shards: u16) -> Self {
        let wanted = config.log_dirs().count() * usize::from(config.recovery_threads);
        Self { threads: wanted.div_ceil(usize::from(shards.max(1))).max(1) }
    }
}

impl Workers for RecoveryThreads {
    fn run_all(&self, jobs: Vec<Job<'_>>) {
        let helpers = self.threads.min(jobs.len()).saturating_sub(1);
        let jobs = Mutex::new(jobs.into_iter());
        let work = || {
            loop {
                // The lock is held only while a job is taken out.
                let job = jobs.lock().next();
                match job {
                    Some(job) => job(),
                    None => return,
                }
            }
        };
        std::thread::scope(|scope| {
            for index in 0..helpers {
                let name = format!("recovery-{index}");
                // Without helpers it takes longer; this thread does all jobs that are left.
                if let Err(error) = std::thread::Builder::new().name(name).spawn_scoped(scope, work)
                {
                    tracing::warn!(%error, "start a thread that opens logs");
                }
            }
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn every_job_is_done_once_whatever_the_number_of_threads() {
        for threads in 1..5 {
            for count in [0, 1, 3, 100] {
                let sum = AtomicU64::new(0);
                let job = |number: u64| {
                    let sum = &sum;
                    Box::new(move || {
                        sum.fetch_add(number, Ordering::Relaxed);
                    }) as Job<'_>
                };
                RecoveryThreads { threads }.run_all((1..=count).map(job).collect());
                assert_eq!(sum.into_inner(), count * (count + 1) / 2, "{threads} {count}");
            }
        }
    }

    #[test]
    fn threads_are_shared_out_among_the_shards() {
        let config = NodeConfig { recovery_threads: 4, ..NodeConfig::default() };
        for (shards, expected) in [(1, 4), (2, 2), (3, 2), (16, 1)] {
            assert_eq!(RecoveryThreads::new(&config, shards).threads, expected);
        }
    }
}
