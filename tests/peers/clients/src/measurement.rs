//! Wall time, CPU time of this process, its peak of memory, and the line of JSON that tells them.

use std::fmt::Write;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Outcome;

/// Records between two looks at the clock.
const LOOK_EVERY: u64 = 64;

/// What goes on from `begin` to `end`.
pub struct Measurement {
    begun: Instant,
    cpu_begun: Duration,
    until: Instant,
}

impl Measurement {
    pub fn begin(duration: Duration) -> Self {
        let begun = Instant::now();
        Self { begun, cpu_begun: cpu(), until: begun + duration }
    }

    /// Whether there is time for one more, the one with this number.
    pub fn goes_on(&self, number: u64) -> bool {
        !number.is_multiple_of(LOOK_EVERY) || Instant::now() < self.until
    }

    /// Whether there is time for one more that takes long itself.
    pub fn has_time(&self) -> bool {
        Instant::now() < self.until
    }

    /// `count`: what was done, of what is called `what`; `cpu_per` of them are what CPU time is
    /// divided among.
    pub fn end(self, what: &str, count: u64, cpu_per: f64) -> Outcome<Report> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let cpu_s = (cpu() - self.cpu_begun).as_secs_f64();
        let mut report = Report::default();
        report.add(what, count as f64);
        report.add("per_s", count as f64 / seconds);
        report.add("cpu_s", cpu_s / (count as f64 / cpu_per));
        report.add("peak_mb", peak_bytes()? as f64 / 1e6);
        Ok(report)
    }
}

/// Figures by their names.
#[derive(Debug, Default)]
pub struct Report(Vec<(String, f64)>);

impl Report {
    pub fn add(&mut self, name: &str, value: f64) {
        self.0.push((name.to_owned(), value));
    }

    pub fn json(&self) -> String {
        let mut line = String::from("{");
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            // A text grows without an error.
            let _ = write!(line, "{comma}\"{name}\": {value}");
        }
        line + "}"
    }
}

/// Of all threads of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The most that this process had in memory since its begin.
fn peak_bytes() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line.and_then(|line| line.split_whitespace().next()).ok_or("VmHWM")?.parse()?;
    Ok(kib * 1024)
}
