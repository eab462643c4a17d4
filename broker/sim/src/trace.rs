//! What a run leaves behind: a number that depends on every step, and the last steps in words.
//!
//! The words cost more than the steps, so they are written down only when somebody wants to read
//! them: a run that fails is run again for its words.

use mainstem_platform::Instant;
use std::collections::VecDeque;
use std::fmt;

/// Enough to see what led to a failure, small enough to read.
const LINES_MAX: usize = 400;

/// A window on the last steps.
#[derive(Debug, Default, Clone)]
pub(crate) struct Trace {
    /// `None` when nobody reads them.
    lines: Option<VecDeque<String>>,
    /// Grows with every step and depends on all of them: two runs with one seed must agree on it.
    digest: u64,
}

impl Trace {
    pub(crate) fn new(in_words: bool) -> Self {
        Self { lines: in_words.then(VecDeque::new), digest: 0 }
    }

    pub(crate) fn is_in_words(&self) -> bool {
        self.lines.is_some()
    }

    pub(crate) fn note(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        let Some(lines) = &mut self.lines else { return };
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(format!("{:>9.3} ms  {what}", now.0 as f64 / 1e6));
    }

    /// Takes a step into the digest.
    pub(crate) fn count(&mut self, number: u64) {
        // FNV-1a by words: short, and the same everywhere.
        self.digest = (self.digest ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().flatten().try_for_each(|line| writeln!(f, "{line}"))
    }
}
