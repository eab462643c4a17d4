//! An open load: record `i` is due at `i / rate`, whatever became of those before it, and its
//! latency counts from then to when the consumer has it. A pause anywhere between the two shows in
//! all records that were due during it.
//!
//! Sending has a thread of its own, because a runtime's timers are coarse: a client that can only
//! be awaited is awaited on this thread.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::{Measurement, Outcome, Report, Task, Values};

/// What is sent first and not counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// The first bytes of a value say when it was due.
const STAMP_BYTES: usize = 8;

/// When records are due.
#[derive(Clone, Copy)]
pub struct Pace {
    begin: Instant,
    rate: u64,
    warm_up: u64,
    count: u64,
}

impl Pace {
    pub fn begin(task: &Task) -> Self {
        let warm_up = task.rate * WARM_UP.as_secs();
        let count = warm_up + task.rate * task.duration.as_secs();
        Self { begin: Instant::now(), rate: task.rate, warm_up, count }
    }

    /// Runs what sends on a thread of its own. Its first error ends the program, which would wait for
    /// records that do not come.
    pub fn spawn(self, work: impl FnOnce(Self) -> Outcome<()> + Send + 'static) -> JoinHandle<()> {
        thread::spawn(move || {
            if let Err(error) = work(self) {
                eprintln!("{error}");
                std::process::exit(1);
            }
        })
    }

    /// Calls `send` with the number and the value of each record when it is due.
    pub fn send(
        self,
        value_bytes: usize,
        mut send: impl FnMut(u64, Bytes) -> Outcome<()>,
    ) -> Outcome<()> {
        let values = Values::new(value_bytes);
        for number in 0..self.count {
            let due = Duration::from_nanos(number * 1_000_000_000 / self.rate);
            // It may return early.
            while let Some(left) = due.checked_sub(self.begin.elapsed()) {
                thread::park_timeout(left);
            }
            let mut value = BytesMut::from(&values.get(number)[..]);
            let stamp = u64::try_from(due.as_nanos())?.to_be_bytes();
            value.get_mut(..STAMP_BYTES).ok_or("the value is too short")?.copy_from_slice(&stamp);
            send(number, value.freeze())?;
        }
        Ok(())
    }

    pub fn arrivals(self) -> Arrivals {
        Arrivals { pace: self, seen: 0, latencies: Vec::with_capacity(self.count as usize) }
    }
}

/// What the consumer has.
pub struct Arrivals {
    pace: Pace,
    seen: u64,
    latencies: Vec<Duration>,
}

impl Arrivals {
    pub fn take(&mut self, value: Option<&[u8]>) -> Outcome<()> {
        let stamp = value.and_then(<[u8]>::first_chunk::<STAMP_BYTES>).ok_or("no value")?;
        let due = Duration::from_nanos(u64::from_be_bytes(*stamp));
        let latency = self.pace.begin.elapsed().checked_sub(due).ok_or("it came early")?;
        self.seen += 1;
        let counted = Duration::from_nanos(self.pace.warm_up * 1_000_000_000 / self.pace.rate);
        if counted <= due {
            self.latencies.push(latency);
        }
        Ok(())
    }

    pub fn complete(&self) -> bool {
        self.pace.count <= self.seen
    }

    /// Ends the measurement and tells what was seen.
    pub fn report(mut self, measurement: Measurement) -> Outcome<Report> {
        let mut report = measurement.end("records", self.seen, 1e6)?;
        self.latencies.sort_unstable();
        let last = self.latencies.len().saturating_sub(1);
        for (name, share) in [("p50_us", 0.5), ("p99_us", 0.99), ("p99_9_us", 0.999)] {
            let place = (last as f64 * share).round() as usize;
            let latency = self.latencies.get(place).copied().unwrap_or_default();
            report.add(name, latency.as_secs_f64() * 1e6);
        }
        Ok(report)
    }
}
