//! Who carries out independent pieces of work: one after the other, or side by side.
//!
//! A machine that opens a thousand logs at its start hands a thousand jobs out and waits. Whether
//! threads carry them out is the shell's affair; the simulator runs them in their order.
//!
//! Invariant: `run_all` comes back when every job has ended. Jobs do not depend on one another, so
//! their order shows in nothing.

use std::fmt::Debug;

/// One piece of work; it leaves its result where its maker looks for it.
pub type Job<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Carries jobs out.
pub trait Workers: Send + Sync + Debug {
    /// Carries all of them out, in any order, and waits for the last one.
    fn run_all(&self, jobs: Vec<Job<'_>>);
}

/// One job after the other, on the thread that asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct InOrder;

impl Workers for InOrder {
    fn run_all(&self, jobs: Vec<Job<'_>>) {
        jobs.into_iter().for_each(|job| job());
    }
}
