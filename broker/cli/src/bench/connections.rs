//! `mainstem bench connections`: what a broker keeps in memory for each client that is there.
//!
//! Idle connections have asked for the versions and nothing else. Active ones have also written a
//! record, read it, and now wait with a fetch at the end of the partition, as a consumer does that
//! has read everything. Memory is the resident memory of the broker's process; what its allocator
//! keeps for later counts too.

use mainstem_protocol::messages::{FetchRequest, ProduceRequest};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Instant;

use super::arguments::{Acks, ConnectionsArguments, Shape};
use super::ceilings::Ceilings;
use super::fetch::{FETCH_VERSION_CAP, request as fetch_request};
use super::produce::check;
use super::report::{Report, Unit};
use super::target::Target;
use super::wire::{Wire, encode};
use super::{process, shape};
use crate::arguments::Codec;
use crate::failure::Failure;

/// Longer than the command runs.
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

/// Runs the measurement.
pub(super) fn run(arguments: &ConnectionsArguments) -> Result<Report, Failure> {
    let ConnectionsArguments { broker, machine, count } = arguments;
    let pid = broker.pid.ok_or_else(|| {
        Failure::new("--pid is missing: memory is read from the broker's process")
    })?;
    allow_files(u64::from(*count) + OTHER_FILES)?;
    let ceilings = Ceilings::new(machine);
    let target = Target::create(&broker.cluster.bootstrap, 1)?;
    let address = target.leaders.keys().next().cloned().unwrap_or_default();
    let before = process::resident_bytes(pid)?;
    let begun = Instant::now();
    let mut wires = Vec::new();
    for _ in 0..*count {
        wires.push(Wire::connect(&address)?);
    }
    let took = begun.elapsed();
    let idle = process::resident_bytes(pid)?;
    activate(&mut wires, &target)?;
    let active = process::resident_bytes(pid)?;
    drop(wires);

    let mut report = Report::default();
    report.setting("connections", *count);
    report.setting("record bytes", ONE_RECORD.record_bytes);
    let per_connection = |after: u64| after.saturating_sub(before) as f64 / f64::from(*count);
    report.amount("resident before", before as f64, Unit::Bytes);
    report.amount("resident per idle connection", per_connection(idle), Unit::Bytes);
    report.amount("resident per active connection", per_connection(active), Unit::Bytes);
    let each = took.as_secs_f64() * 1e6 / f64::from(*count);
    report.figure("connect and ask for versions", each, Unit::Microseconds, ceilings.round_trip()?);
    Ok(report)
}

/// Makes every connection write a record, read one, and wait for more.
fn activate(wires: &mut [Wire], target: &Target) -> Result<(), Failure> {
    let batch = shape::batch(&ONE_RECORD)?;
    for (offset, wire) in (0..).zip(wires.iter_mut()) {
        let append = shape::request(wire, target, &[0], &batch, Acks::All)?;
        wire.write(&append.frame)?;
        wire.read::<ProduceRequest, _>(append.version, check)?;
        let read = fetch_request(&target.topic, &[(0, offset)], PARTITION_BYTES, FETCH_WAIT_MS);
        wire.call(&read, FETCH_VERSION_CAP)?;
    }
    let end = wires.len() as i64;
    for wire in wires {
        let version = wire.version::<FetchRequest>(FETCH_VERSION_CAP)?;
        let wait = fetch_request(&target.topic, &[(0, end)], PARTITION_BYTES, FETCH_WAIT_MS);
        wire.write(&encode(&wait, version)?)?;
    }
    Ok(())
}

/// Lets this process have so many files open.
fn allow_files(count: u64) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| count <= current) {
        return Ok(());
    }
    let wanted = Rlimit { current: Some(count), maximum: limit.maximum };
    setrlimit(Resource::Nofile, wanted).map_err(|error| {
        Failure::doing(&format!("allow {count} open files (see ulimit -n)"), &error)
    })
}
