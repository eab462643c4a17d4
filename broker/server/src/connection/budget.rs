//! Memory for unfinished frames, shared by the connections of a shard.
//!
//! What is whole is counted by the machine; a frame that is still arriving is not the machine's yet.
//! Without a bound, clients that send large frames slowly could fill the memory, each within its own
//! limits.
//!
//! Invariants:
//! * Claims fit into the budget, except for those of one connection at a time, which may overdraw it: so
//!   there is always one whose frame can be finished, and nobody waits in a circle.
//! * What counts is what has arrived and the room for the next read, not what was announced: announcing
//!   costs a stranger nothing.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// Read of any frame without a claim; enough for requests that carry no records.
pub(super) const FREE_BYTES: usize = 4 * 1024;

/// See the module's words.
pub(crate) struct FrameBudget {
    total: usize,
    claimed: Cell<usize>,
    is_overdrawn: Cell<bool>,
    freed: Notify,
}

/// What one connection holds; given back when dropped.
pub(super) struct Claim {
    budget: Rc<FrameBudget>,
    bytes: usize,
    overdraws: bool,
}

impl FrameBudget {
    pub(crate) fn new(total: usize) -> Rc<Self> {
        let (claimed, is_overdrawn) = (Cell::new(0), Cell::new(false));
        Rc::new(Self { total, claimed, is_overdrawn, freed: Notify::new() })
    }

    /// A claim of nothing.
    pub(super) fn claim(self: &Rc<Self>) -> Claim {
        Claim { budget: Rc::clone(self), bytes: 0, overdraws: false }
    }

    /// Waits until something was given back.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }
}

impl Claim {
    /// Makes it so large, or says that there is no room for it yet.
    pub(super) fn cover(&mut self, bytes: usize) -> bool {
        let budget = &self.budget;
        let claimed = budget.claimed.get() + bytes.saturating_sub(self.bytes);
        if budget.total < claimed && !self.overdraws {
            if budget.is_overdrawn.replace(true) {
                return false;
            }
            self.overdraws = true;
        }
        budget.claimed.set(claimed);
        self.bytes = self.bytes.max(bytes);
        true
    }

    /// Gives everything back.
    pub(super) fn release(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let budget = &self.budget;
        budget.claimed.set(budget.claimed.get() - std::mem::take(&mut self.bytes));
        if std::mem::take(&mut self.overdraws) {
            budget.is_overdrawn.set(false);
        }
        budget.freed.notify_waiters();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::FrameBudget;

    #[test]
    fn claims_fit_into_the_budget_and_one_may_overdraw_it() {
        let budget = FrameBudget::new(100);
        let [mut first, mut second, mut third] = [(); 3].map(|()| budget.claim());
        assert!(first.cover(60));
        assert!(second.cover(40), "exactly enough");
        assert!(first.cover(500), "the first that wants more than there is");
        assert!(first.cover(600), "and goes on");
        assert!(!second.cover(41), "nobody else");
        assert!(!third.cover(1));
        first.release();
        assert!(third.cover(60));
        assert!(second.cover(41), "now it is this one");
        drop(second);
        assert!(third.cover(100));
        assert!(!budget.is_overdrawn.get());
    }
}
