//! As fast as it goes: workers repeat a step each on its thread while the time is measured.
//!
//! The first failure of a worker ends the measurement.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::arguments::{Broker, Window};
use super::ceilings::Movement;
use super::process;
use super::report::{Report, Unit};
use crate::failure::Failure;

/// What all workers have done since they began.
#[derive(Default)]
pub(crate) struct Counters {
    records: AtomicU64,
    value_bytes: AtomicU64,
    batch_bytes: AtomicU64,
}

/// What was done in the time that was measured.
#[derive(Clone, Copy, Default)]
pub(crate) struct Done {
    pub(crate) records: u64,
    /// Bytes of the records' values: what an application moves.
    pub(crate) value_bytes: u64,
    /// Bytes of the batches, compressed: what the machine moves.
    pub(crate) batch_bytes: u64,
}

/// One connection's part of the load.
pub(crate) trait Worker: Send {
    /// Does a little and counts it.
    fn step(&mut self, counters: &Counters) -> Result<(), Failure>;
}

/// The result of a measurement.
pub(crate) struct Measured {
    pub(crate) done: Done,
    pub(crate) took: Duration,
    cpu: Option<Duration>,
    resident_bytes: Option<u64>,
}

impl Counters {
    pub(crate) fn add(&self, done: Done) {
        self.records.fetch_add(done.records, Ordering::Relaxed);
        self.value_bytes.fetch_add(done.value_bytes, Ordering::Relaxed);
        self.batch_bytes.fetch_add(done.batch_bytes, Ordering::Relaxed);
    }

    fn now(&self) -> Done {
        Done {
            records: self.records.load(Ordering::Relaxed),
            value_bytes: self.value_bytes.load(Ordering::Relaxed),
            batch_bytes: self.batch_bytes.load(Ordering::Relaxed),
        }
    }
}

/// The broker's process and the clock at one moment.
pub(crate) struct Stopwatch {
    pid: Option<u32>,
    begun: Instant,
    cpu: Option<Duration>,
}

impl Stopwatch {
    pub(crate) fn start(broker: &Broker) -> Result<Stopwatch, Failure> {
        let cpu = broker.pid.map(process::cpu_time).transpose()?;
        Ok(Stopwatch { pid: broker.pid, begun: Instant::now(), cpu })
    }

    pub(crate) fn stop(&self, done: Done) -> Result<Measured, Failure> {
        let took = self.begun.elapsed();
        let cpu = self.pid.map(process::cpu_time).transpose()?;
        Ok(Measured {
            done,
            took,
            cpu: cpu.zip(self.cpu).map(|(after, before)| after.saturating_sub(before)),
            resident_bytes: self.pid.map(process::resident_bytes).transpose()?,
        })
    }
}

/// Runs the workers through the warm-up and the measured time.
pub(crate) fn measure<W: Worker>(
    workers: Vec<W>,
    window: &Window,
    broker: &Broker,
) -> Result<Measured, Failure> {
    let (counters, over) = (Counters::default(), AtomicBool::new(false));
    let (failures, failed) = channel();
    std::thread::scope(|scope| {
        for mut worker in workers {
            let (counters, over, failures) = (&counters, &over, failures.clone());
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    if let Err(failure) = worker.step(counters) {
                        let _nobody_listens_any_more = failures.send(failure);
                        return;
                    }
                }
            });
        }
        let measured = watch(&counters, &failed, window, broker);
        over.store(true, Ordering::Relaxed);
        measured
    })
}

fn watch(
    counters: &Counters,
    failed: &Receiver<Failure>,
    window: &Window,
    broker: &Broker,
) -> Result<Measured, Failure> {
    pass(failed, Duration::from_secs(window.warm_up.into()))?;
    let (stopwatch, before) = (Stopwatch::start(broker)?, counters.now());
    pass(failed, Duration::from_secs(window.seconds.into()))?;
    let after = counters.now();
    stopwatch.stop(Done {
        records: after.records - before.records,
        value_bytes: after.value_bytes - before.value_bytes,
        batch_bytes: after.batch_bytes - before.batch_bytes,
    })
}

/// Lets the time pass, unless a worker fails.
fn pass(failed: &Receiver<Failure>, time: Duration) -> Result<(), Failure> {
    match failed.recv_timeout(time) {
        Ok(failure) => Err(failure),
        Err(RecvTimeoutError::Timeout) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => Err(Failure::new("no worker is left")),
    }
}

impl Measured {
    /// Throughput and CPU cost beside what moving the same bytes takes without a broker.
    pub(crate) fn describe(&self, report: &mut Report, floor: Movement) -> Result<(), Failure> {
        if self.done.records == 0 {
            return Err(Failure::new("nothing was moved in the measured time"));
        }
        let seconds = self.took.as_secs_f64();
        let (values, batches) = (self.done.value_bytes as f64, self.done.batch_bytes as f64);
        let records = self.done.records as f64;
        report.figure_scaled(
            "throughput",
            values / 1e6 / seconds,
            Unit::MegabytesPerSecond,
            floor.rate,
            batches / values,
        );
        report.figure_scaled(
            "records",
            records / seconds,
            Unit::RecordsPerSecond,
            floor.rate,
            batches / records / 1e6,
        );
        if let Some(cpu) = self.cpu {
            report.figure_scaled(
                "broker CPU",
                cpu.as_secs_f64() / (values / 1e9),
                Unit::CpuSecondsPerGigabyte,
                floor.cpu,
                values / batches,
            );
        }
        if let Some(resident) = self.resident_bytes {
            report.amount("broker resident", resident as f64, Unit::Bytes);
        }
        Ok(())
    }
}
