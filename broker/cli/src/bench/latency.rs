//! `mainstem bench latency`: how long answers take when requests are due at a fixed rate.
//!
//! The load is open: a request is due at its time whatever became of those before it, and its
//! latency counts from then, not from the moment at which it could at last be written. So a pause of
//! the broker shows in every request that was due during it (no coordinated omission). A broker that
//! cannot keep up shows as latencies that grow, and as an achieved rate below the rate that was due.

use hdrhistogram::Histogram;
use mainstem_protocol::messages::ProduceRequest;
use std::io::Write;
use std::time::{Duration, Instant};

use super::arguments::{Acks, Driver, LatencyArguments};
use super::ceilings::Ceilings;
use super::produce::check;
use super::report::{Ceiling, Report, Unit};
use super::shape::{self, PreparedRequest};
use super::target::Target;
use super::wire::Wire;
use super::{application, process};
use crate::failure::Failure;

/// Digits of a latency that are kept.
const DIGITS: u8 = 3;
/// A due time that is nearer than this is waited for awake: a sleeping thread wakes up too late.
const AWAKE: Duration = Duration::from_micros(80);

/// When requests are due: evenly spaced from the beginning on.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) begun: Instant,
    pub(crate) interval: Duration,
    /// What was due before this is not counted.
    pub(crate) counts_from: Instant,
    pub(crate) ends: Instant,
}

impl Pace {
    pub(crate) fn new(interval: Duration, warm_up_s: u32, seconds: u32) -> Pace {
        let begun = Instant::now();
        let counts_from = begun + Duration::from_secs(warm_up_s.into());
        Pace {
            begun,
            interval,
            counts_from,
            ends: counts_from + Duration::from_secs(seconds.into()),
        }
    }

    /// The same pace, begun later.
    fn shifted(self, by: Duration) -> Pace {
        Pace { begun: self.begun + by, ..self }
    }

    /// When the request of this number is due; nothing after the end.
    pub(crate) fn due(&self, number: u64) -> Option<Instant> {
        let nanos = self.interval.as_nanos().saturating_mul(number.into());
        let due = self.begun + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        (due < self.ends).then_some(due)
    }
}

/// Latencies in nanoseconds, and what belongs to them.
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
    records: u64,
    last_answer: Instant,
}

impl Latencies {
    pub(crate) fn new(pace: &Pace) -> Result<Latencies, Failure> {
        let histogram = Histogram::new(DIGITS).map_err(|error| Failure::new(error.to_string()))?;
        Ok(Latencies { histogram, records: 0, last_answer: pace.counts_from })
    }

    /// Notes an answer that has just come.
    pub(crate) fn note(&mut self, pace: &Pace, due: Instant, records: u64) -> Result<(), Failure> {
        if due < pace.counts_from {
            return Ok(());
        }
        let now = Instant::now();
        let nanos = u64::try_from(now.saturating_duration_since(due).as_nanos());
        let noted = self.histogram.record(nanos.unwrap_or(u64::MAX).max(1));
        noted.map_err(|error| Failure::doing("note a latency", &error))?;
        self.records += records;
        self.last_answer = self.last_answer.max(now);
        Ok(())
    }

    /// Reports these quantiles, under their names.
    pub(crate) fn describe(
        &self,
        report: &mut Report,
        floor: Ceiling,
        quantiles: &[(&'static str, f64)],
    ) -> Result<(), Failure> {
        if self.histogram.is_empty() {
            return Err(Failure::new("no request was due in the measured time: raise the rate"));
        }
        for (name, quantile) in quantiles {
            let nanos = self.histogram.value_at_quantile(*quantile);
            report.figure(name, nanos as f64 / 1e3, Unit::Microseconds, floor);
        }
        Ok(())
    }

    /// Reports the rate that was reached as a share of the one that was due.
    pub(crate) fn describe_rate(&self, report: &mut Report, rate: u64, seconds: u32) {
        let value = rate as f64;
        let due = Ceiling { name: "rate that was due", value, unit: Unit::RecordsPerSecond };
        let achieved = self.records as f64 / f64::from(seconds);
        report.figure("achieved rate", achieved, Unit::RecordsPerSecond, due);
    }

    fn add(&mut self, other: &Latencies) -> Result<(), Failure> {
        let added = self.histogram.add(&other.histogram);
        added.map_err(|error| Failure::doing("add latencies", &error))?;
        self.records += other.records;
        self.last_answer = self.last_answer.max(other.last_answer);
        Ok(())
    }
}

/// Runs the measurement.
pub(super) fn run(arguments: &LatencyArguments) -> Result<Report, Failure> {
    let LatencyArguments { broker, shape, writing, window, machine, driver, rate } = arguments;
    let ceilings = Ceilings::new(machine);
    let target = Target::create(&broker.cluster.bootstrap, shape.partitions)?;
    let latencies = match driver {
        Driver::Wire => wire(&target, arguments)?,
        Driver::Client => application::latency(&target, arguments)?,
    };
    let mut report = Report::default();
    shape::describe(&mut report, shape, &target);
    shape::describe_writing(&mut report, writing, *driver);
    report.setting("rate records/s", *rate);
    report.setting("seconds", window.seconds);
    ceilings.describe(&mut report);
    let synced = target.is_synced() && writing.acks == Acks::All;
    let floor = if synced { ceilings.synced_write()? } else { ceilings.round_trip()? };
    describe(&latencies, &mut report, floor, *rate, window.seconds)?;
    if let Some(pid) = broker.pid {
        let resident = process::resident_bytes(pid)?;
        report.amount("broker resident", resident as f64, Unit::Bytes);
    }
    Ok(report)
}

fn describe(
    latencies: &Latencies,
    report: &mut Report,
    floor: Ceiling,
    rate: u64,
    seconds: u32,
) -> Result<(), Failure> {
    latencies.describe(
        report,
        floor,
        &[("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)],
    )?;
    report.amount("requests", latencies.histogram.len() as f64, Unit::Count);
    latencies.describe_rate(report, rate, seconds);
    Ok(())
}

/// One thread of each connection writes what is due, another reads the answers.
fn wire(target: &Target, arguments: &LatencyArguments) -> Result<Latencies, Failure> {
    let LatencyArguments { shape, writing, window, rate, .. } = arguments;
    let batch = shape::batch(shape)?;
    let mut connections = Vec::new();
    for (address, partitions) in target.shares(shape.connections) {
        let wire = Wire::connect(&address)?;
        let request = shape::request(&wire, target, &partitions, &batch, writing.acks)?;
        connections.push((wire, request));
    }
    // In one interval every connection sends one request.
    let records: u64 = connections.iter().map(|(_, request)| request.records).sum();
    let interval = Duration::from_secs_f64(records as f64 / *rate as f64);
    let pace = Pace::new(interval, window.warm_up, window.seconds);
    let count = connections.len() as u32;
    let mut all = Latencies::new(&pace)?;
    std::thread::scope(|scope| {
        let mut readers = Vec::new();
        for (index, (wire, request)) in connections.into_iter().enumerate() {
            let pace = pace.shifted(interval * index as u32 / count);
            let mut output = wire.writer()?;
            let frame = request.frame.clone();
            scope.spawn(move || {
                let mut number = 0;
                while let Some(due) = pace.due(number) {
                    wait_until(due);
                    // The reader sees why it failed.
                    if output.write_all(&frame).is_err() {
                        return;
                    }
                    number += 1;
                }
            });
            readers.push(scope.spawn(move || read(wire, &request, &pace)));
        }
        for reader in readers {
            let panicked = |_| Failure::new("a thread of the measurement panicked");
            all.add(&reader.join().map_err(panicked)??)?;
        }
        Ok(all)
    })
}

fn read(mut wire: Wire, request: &PreparedRequest, pace: &Pace) -> Result<Latencies, Failure> {
    let mut latencies = Latencies::new(pace)?;
    let mut number = 0;
    while let Some(due) = pace.due(number) {
        wire.read::<ProduceRequest, _>(request.version, check)?;
        latencies.note(pace, due, request.records)?;
        number += 1;
    }
    Ok(latencies)
}

/// Waits for a time, precisely; a time that is over is not waited for.
pub(crate) fn wait_until(due: Instant) {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        match left.checked_sub(AWAKE) {
            Some(asleep) if !asleep.is_zero() => std::thread::park_timeout(asleep),
            _ => std::thread::yield_now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Latencies, Pace};
    use std::time::Duration;

    #[test]
    fn requests_are_due_evenly_until_the_end() {
        let pace = Pace::new(Duration::from_millis(250), 0, 1);
        let due: Vec<u128> =
            (0..).map_while(|n| pace.due(n)).map(|at| (at - pace.begun).as_millis()).collect();
        assert_eq!(due, [0, 250, 500, 750]);
    }

    #[test]
    fn a_pause_counts_for_every_request_that_was_due_in_it() {
        let mut pace = Pace::new(Duration::from_millis(100), 0, 1);
        // All answers come only now, a second after the first request was due.
        pace.begun -= Duration::from_secs(1);
        pace.counts_from -= Duration::from_secs(1);
        pace.ends -= Duration::from_secs(1);
        let mut latencies = Latencies::new(&pace).expect("a histogram");
        for due in (0..).map_while(|number| pace.due(number)) {
            latencies.note(&pace, due, 1).expect("noted");
        }
        assert_eq!(latencies.histogram.len(), 10);
        let median = latencies.histogram.value_at_quantile(0.5);
        assert!(median >= 500_000_000, "{median} ns");
    }
}
