//! `mainstem bench fetch`: reads what the page cache holds as fast as it goes, over and over.

use mainstem_protocol::messages::fetch::{FetchPartition, FetchTopic};
use mainstem_protocol::messages::{FetchRequest, FetchResponse};
use mainstem_protocol::record::batches;
use std::sync::Arc;

use super::application;
use super::arguments::{Acks, Driver, FetchArguments, Writing};
use super::ceilings::Ceilings;
use super::load::{Counters, Done, Worker, measure};
use super::produce::appenders;
use super::report::Report;
use super::shape;
use super::target::Target;
use super::wire::{Wire, encode, refuse};
use crate::failure::Failure;

/// The last version that names topics by name.
pub(crate) const FETCH_VERSION_CAP: i16 = 12;
/// Kafka's consumers ask for this much in one answer.
const ANSWER_BYTES_MAX: i32 = 50 << 20;
const MAX_WAIT_MS: i32 = 500;

/// Reads its partitions from the beginning to the end and from the beginning again.
struct Fetcher {
    wire: Wire,
    version: i16,
    topic: Arc<str>,
    positions: Vec<(i32, i64)>,
    record_bytes: u64,
    partition_fetch_bytes: i32,
}

/// Runs the measurement.
pub(super) fn run(arguments: &FetchArguments) -> Result<Report, Failure> {
    let FetchArguments { broker, shape, window, machine, driver, .. } = arguments;
    let ceilings = Ceilings::new(machine);
    let target = Target::create(&broker.cluster.bootstrap, shape.partitions)?;
    fill(&target, arguments)?;
    let measured = match driver {
        Driver::Wire => measure(fetchers(&target, arguments)?, window, broker)?,
        Driver::Client => application::fetch(&target, arguments)?,
    };
    let mut report = Report::default();
    shape::describe(&mut report, shape, &target);
    report.setting("data MiB", arguments.data_mib);
    report.setting("partition fetch bytes", arguments.partition_fetch_bytes);
    report.setting("seconds", window.seconds);
    ceilings.describe(&mut report);
    measured.describe(&mut report, ceilings.sendfile()?)?;
    Ok(report)
}

/// Writes what will be read; it stays in the page cache because it was just written. Nobody waits for
/// a sync meanwhile: that is not what is measured.
fn fill(target: &Target, arguments: &FetchArguments) -> Result<(), Failure> {
    let writing = Writing { acks: Acks::Leader, in_flight: 5, linger_ms: 0 };
    let appenders = appenders(target, &arguments.shape, &writing)?;
    let share = (u64::from(arguments.data_mib) << 20) / appenders.len() as u64;
    for mut appender in appenders {
        appender.fill(share)?;
    }
    Ok(())
}

fn fetchers(target: &Target, arguments: &FetchArguments) -> Result<Vec<Fetcher>, Failure> {
    let fetcher = |(address, partitions): (String, Vec<i32>)| -> Result<Fetcher, Failure> {
        let wire = Wire::connect(&address)?;
        Ok(Fetcher {
            version: wire.version::<FetchRequest>(FETCH_VERSION_CAP)?,
            wire,
            topic: target.topic.clone(),
            positions: partitions.into_iter().map(|partition| (partition, 0)).collect(),
            record_bytes: arguments.shape.record_bytes.into(),
            partition_fetch_bytes: i32::try_from(arguments.partition_fetch_bytes)
                .unwrap_or(i32::MAX),
        })
    };
    target.shares(arguments.shape.connections).into_iter().map(fetcher).collect()
}

/// A fetch outside of any session.
pub(crate) fn request(
    topic: &str,
    positions: &[(i32, i64)],
    partition_max_bytes: i32,
    max_wait_ms: i32,
) -> FetchRequest {
    let partition = |(partition, fetch_offset): &(i32, i64)| FetchPartition {
        partition: *partition,
        fetch_offset: *fetch_offset,
        partition_max_bytes,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_wait_ms,
        min_bytes: 1,
        max_bytes: ANSWER_BYTES_MAX,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            partitions: positions.iter().map(partition).collect(),
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

impl Worker for Fetcher {
    fn step(&mut self, counters: &Counters) -> Result<(), Failure> {
        let request =
            request(&self.topic, &self.positions, self.partition_fetch_bytes, MAX_WAIT_MS);
        self.wire.write(&encode(&request, self.version)?)?;
        let (positions, record_bytes) = (&mut self.positions, self.record_bytes);
        let done = self.wire.read::<FetchRequest, _>(self.version, |response| {
            take(response, positions, record_bytes)
        })?;
        counters.add(done);
        Ok(())
    }
}

/// Moves the positions behind what came; a partition that is at its end begins anew.
fn take(
    response: &FetchResponse,
    positions: &mut [(i32, i64)],
    record_bytes: u64,
) -> Result<Done, Failure> {
    refuse("fetch", response.error_code)?;
    let mut done = Done::default();
    for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
        refuse("fetch", partition.error_code)?;
        let index = partition.partition_index;
        let Some((_, position)) = positions.iter_mut().find(|(own, _)| *own == index) else {
            return Err(Failure::new(format!("partition {index} was not asked for")));
        };
        let Some(records) = partition.records.as_ref().and_then(|records| records.bytes()) else {
            continue;
        };
        let mut walk = batches(records);
        for batch in walk.by_ref() {
            let batch = batch.map_err(|error| Failure::doing("read a batch", &error))?;
            let count = u64::try_from(batch.view().record_count()).unwrap_or(0);
            done.records += count;
            done.value_bytes += count * record_bytes;
            *position = batch.view().next_offset().0;
        }
        // The rest of a batch that was cut off will come again.
        done.batch_bytes += (records.len() - walk.rest().len()) as u64;
        if partition.high_watermark <= *position {
            *position = 0;
        }
    }
    Ok(done)
}
