//! `mainstem bench connections`: what a broker keeps in memory for each partition and each client that
//! is there, and how it answers while it has many of both.
//!
//! Idle connections have asked for the versions and nothing else. Active ones are lanes: one connection
//! writes a record to the lane's partition when it is due, the others wait for it with a fetch, as
//! consumers do that have read everything. The load is open, as in [`super::latency`]; one thread
//! writes what is due, another one reads the answers in the same order, so that an answer counts as
//! late as the latest of those before it. Memory is the resident memory of the broker's process; what
//! its allocator keeps for later counts too.

use mainstem_protocol::messages::{FetchRequest, ProduceRequest};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::arguments::{Acks, ConnectionsArguments, Shape};
use super::ceilings::Ceilings;
use super::fetch::{FETCH_VERSION_CAP, request as fetch_request};
use super::latency::{Latencies, Pace, wait_until};
use super::produce::check;
use super::report::{Report, Unit};
use super::shape::PreparedRequest;
use super::target::Target;
use super::wire::{Wire, encode, refuse};
use super::{process, shape};
use crate::arguments::Codec;
use crate::descriptors;
use crate::failure::Failure;

/// Longer than a lane waits for its next record.
const FETCH_WAIT_MS: i32 = 600_000;
const PARTITION_BYTES: i32 = 1 << 20;
/// Files that the command has open besides its connections.
const OTHER_FILES: u64 = 64;
const ONE_RECORD: Shape = Shape {
    record_bytes: 100,
    batch_bytes: 1,
    compression: Codec::None,
    partitions: 1,
    connections: 1,
};

/// A partition, who writes to it, and who reads it.
struct Lane {
    producer: Wire,
    append: PreparedRequest,
    readers: Vec<Reader>,
}

struct Reader {
    wire: Wire,
    fetch_version: i16,
    partition: i32,
    /// What is waited for.
    position: i64,
}

/// Runs the measurement.
pub(super) fn run(arguments: &ConnectionsArguments) -> Result<Report, Failure> {
    let ConnectionsArguments { broker, machine, idle, partitions, rate, window, .. } = arguments;
    let pid = broker.pid.ok_or_else(|| {
        Failure::new("--pid is missing: memory is read from the broker's process")
    })?;
    let lanes = arguments.active_partitions.unwrap_or(arguments.active / 2);
    let readers = (arguments.active / lanes.max(1)).saturating_sub(1);
    if readers == 0 || partitions.unsigned_abs() < lanes {
        let needs = "each active partition is one of the topic's and needs two connections";
        return Err(Failure::new(needs));
    }
    let active = lanes * (1 + readers);
    // Each producer is opened twice: to read, and to write.
    allow_files(u64::from(*idle) + u64::from(active) + u64::from(lanes) + OTHER_FILES)?;
    let ceilings = Ceilings::new(machine);
    let before = process::resident_bytes(pid)?;
    let target = Target::create(&broker.cluster.bootstrap, *partitions)?;
    let hosting = process::resident_bytes(pid)?;
    let address = target.leaders.keys().next().cloned().unwrap_or_default();
    let begun = Instant::now();
    let idle_wires = (0..*idle).map(|_| Wire::connect(&address)).collect::<Result<Vec<_>, _>>()?;
    let connecting = begun.elapsed();
    let with_idle = process::resident_bytes(pid)?;
    let mut lanes = open_lanes(&target, lanes, readers)?;
    let with_active = process::resident_bytes(pid)?;
    let cpu_before = process::cpu_time(pid)?;
    let begun = Instant::now();
    let (appends, deliveries) = exchange(&mut lanes, &target, arguments)?;
    let cpu = (process::cpu_time(pid)? - cpu_before).as_secs_f64() / begun.elapsed().as_secs_f64();
    let at_work = process::resident_bytes(pid)?;
    drop(idle_wires);

    let mut report = Report::default();
    report.setting("flush", target.flush.clone());
    report.setting("idle connections", *idle);
    report.setting("active connections", active);
    report.setting("partitions", *partitions);
    report.setting("active partitions", lanes.len());
    report.setting("record bytes", ONE_RECORD.record_bytes);
    report.setting("rate records/s", *rate);
    report.setting("seconds", window.seconds);
    let each = |from: u64, to: u64, count: f64| to.saturating_sub(from) as f64 / count;
    let (idle, active) = (f64::from(*idle), f64::from(active));
    let per_partition = each(before, hosting, f64::from(*partitions));
    report.amount("resident before", before as f64, Unit::Bytes);
    report.amount("resident per partition", per_partition, Unit::Bytes);
    report.amount("resident per idle connection", each(hosting, with_idle, idle), Unit::Bytes);
    let per_active = each(with_idle, with_active, active);
    report.amount("resident per active connection", per_active, Unit::Bytes);
    report.amount("resident at work", at_work as f64, Unit::Bytes);
    let connect = connecting.as_secs_f64() * 1e6 / idle;
    let round_trip = ceilings.round_trip()?;
    report.figure("connect and ask for versions", connect, Unit::Microseconds, round_trip);
    let floor = if target.is_synced() { ceilings.synced_write()? } else { round_trip };
    appends.describe(&mut report, floor, &[("append p50", 0.5), ("append p99", 0.99)])?;
    deliveries.describe(&mut report, floor, &[("delivery p50", 0.5), ("delivery p99", 0.99)])?;
    deliveries.describe_rate(&mut report, *rate, window.seconds);
    report.amount("CPU time per second of the load, in percent", cpu * 100.0, Unit::Count);
    Ok(report)
}

/// Opens the lanes; in each a record has been written and read, and the next is waited for.
fn open_lanes(target: &Target, count: u32, readers: u32) -> Result<Vec<Lane>, Failure> {
    let batch = shape::batch(&ONE_RECORD)?;
    let led = target.leaders.iter();
    let places = led.flat_map(|(address, own)| own.iter().map(move |index| (address, *index)));
    let mut lanes = Vec::new();
    for (address, partition) in places.take(count as usize) {
        let producer = Wire::connect(address)?;
        let append = shape::request(&producer, target, &[partition], &batch, Acks::All)?;
        let reader = |_| Reader::connect(address, partition, &target.topic);
        let readers = (0..readers).map(reader).collect::<Result<_, _>>()?;
        let mut lane = Lane { producer, append, readers };
        lane.producer.write(&lane.append.frame)?;
        lane.take_answer()?;
        lane.take_record(&target.topic)?;
        lanes.push(lane);
    }
    Ok(lanes)
}

impl Lane {
    fn take_answer(&mut self) -> Result<(), Failure> {
        self.producer.read::<ProduceRequest, _>(self.append.version, check).map(|_| ())
    }

    fn take_record(&mut self, topic: &str) -> Result<(), Failure> {
        self.readers.iter_mut().try_for_each(|reader| reader.take_record(topic))
    }
}

impl Reader {
    fn connect(address: &str, partition: i32, topic: &str) -> Result<Reader, Failure> {
        let wire = Wire::connect(address)?;
        let fetch_version = wire.version::<FetchRequest>(FETCH_VERSION_CAP)?;
        let mut reader = Reader { wire, fetch_version, partition, position: 0 };
        reader.wait(topic)?;
        Ok(reader)
    }

    fn wait(&mut self, topic: &str) -> Result<(), Failure> {
        let place = [(self.partition, self.position)];
        let fetch = fetch_request(topic, &place, PARTITION_BYTES, FETCH_WAIT_MS);
        self.wire.write(&encode(&fetch, self.fetch_version)?)
    }

    /// Takes the next record and waits for the one behind it. An answer may hold more, which come
    /// again, or none, when the wait was over.
    fn take_record(&mut self, topic: &str) -> Result<(), Failure> {
        let mut has_come = false;
        while !has_come {
            has_come = self.wire.read::<FetchRequest, _>(self.fetch_version, |response| {
                refuse("fetch", response.error_code)?;
                let mut partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
                let Some(partition) = partitions.next() else { return Ok(false) };
                refuse("fetch", partition.error_code)?;
                let records = partition.records.as_ref().and_then(|records| records.bytes());
                Ok(records.is_some_and(|records| !records.is_empty()))
            })?;
            self.position += i64::from(has_come);
            self.wait(topic)?;
        }
        Ok(())
    }
}

/// The load: latencies of appends, and of deliveries to the consumers.
fn exchange(
    lanes: &mut [Lane],
    target: &Target,
    arguments: &ConnectionsArguments,
) -> Result<(Latencies, Latencies), Failure> {
    let ConnectionsArguments { rate, window, .. } = arguments;
    let interval = Duration::from_secs_f64(1.0 / *rate as f64);
    let outputs = lanes
        .iter()
        .map(|lane| Ok((lane.producer.writer()?, lane.append.frame.clone())))
        .collect::<Result<Vec<(TcpStream, _)>, Failure>>()?;
    let pace = Pace::new(interval, window.warm_up, window.seconds);
    let mut appends = Latencies::new(&pace)?;
    let mut deliveries = Latencies::new(&pace)?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut outputs = outputs;
            let count = outputs.len() as u64;
            for (number, due) in (0..).map_while(|number| Some((number, pace.due(number)?))) {
                wait_until(due);
                let (output, frame) = &mut outputs[(number % count) as usize];
                // The reader sees why it failed.
                if output.write_all(frame).is_err() {
                    return;
                }
            }
        });
        let count = lanes.len() as u64;
        for (number, due) in (0..).map_while(|number| Some((number, pace.due(number)?))) {
            let lane = &mut lanes[(number % count) as usize];
            lane.take_answer()?;
            appends.note(&pace, due, 1)?;
            lane.take_record(&target.topic)?;
            deliveries.note(&pace, due, 1)?;
        }
        Ok((appends, deliveries))
    })
}

/// Lets this process have so many files open.
fn allow_files(count: u64) -> Result<(), Failure> {
    match descriptors::allow_all() {
        Some(limit) if limit < count => Err(Failure::new(format!(
            "{count} files are needed, {limit} are allowed: see ulimit -n"
        ))),
        _ => Ok(()),
    }
}
