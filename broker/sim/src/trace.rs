//! The last steps of a run, kept for the report of a failure.

use mainstem_platform::Instant;
use std::collections::VecDeque;
use std::fmt;

/// Enough to see what led to a failure, small enough to read.
const LINES_MAX: usize = 400;

/// A window on the last steps.
#[derive(Debug, Default, Clone)]
pub(crate) struct Trace {
    lines: VecDeque<String>,
    /// Grows with every step and depends on all of them: two runs with one seed must agree on it.
    digest: u64,
}

impl Trace {
    pub(crate) fn note(&mut self, now: Instant, what: fmt::Arguments<'_>) {
        let line = format!("{:>9.3} ms  {what}", now.0 as f64 / 1e6);
        for byte in line.bytes() {
            // FNV-1a: short, and the same everywhere.
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
