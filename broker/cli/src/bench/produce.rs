//! `mainstem bench produce`: appends as fast as they go.

use mainstem_protocol::messages::{ProduceRequest, ProduceResponse};

use super::application;
use super::arguments::{Acks, Driver, ProduceArguments, Shape, Writing};
use super::ceilings::{Ceilings, Movement};
use super::load::{Counters, Done, Worker, measure};
use super::report::Report;
use super::shape::{self, PreparedRequest};
use super::target::Target;
use super::wire::{Wire, refuse};
use crate::failure::Failure;

/// Keeps a connection's window of requests full.
pub(crate) struct Appender {
    wire: Wire,
    request: PreparedRequest,
    batch_bytes: u64,
    in_flight: u16,
    in_flight_max: u16,
}

/// Runs the measurement.
pub(super) fn run(arguments: &ProduceArguments) -> Result<Report, Failure> {
    let ProduceArguments { broker, shape, writing, window, machine, driver } = arguments;
    let ceilings = Ceilings::new(machine);
    let target = Target::create(&broker.cluster.bootstrap, shape.partitions)?;
    let measured = match driver {
        Driver::Wire => measure(appenders(&target, shape, writing)?, window, broker)?,
        Driver::Client => application::produce(&target, arguments)?,
    };
    let mut report = Report::default();
    shape::describe(&mut report, shape, &target);
    shape::describe_writing(&mut report, writing, *driver);
    report.setting("seconds", window.seconds);
    ceilings.describe(&mut report);
    measured.describe(&mut report, append_ceiling(&ceilings, &target, writing.acks)?)?;
    Ok(report)
}

/// What limits appends: the relay, and with synced appends the disk where that is slower.
fn append_ceiling(ceilings: &Ceilings, target: &Target, acks: Acks) -> Result<Movement, Failure> {
    let mut relay = ceilings.relay()?;
    if target.is_synced() && acks == Acks::All {
        let durable = ceilings.durable_write()?;
        if durable.value < relay.rate.value {
            relay.rate = durable;
        }
    }
    Ok(relay)
}

/// One appender for each connection.
pub(crate) fn appenders(
    target: &Target,
    shape: &Shape,
    writing: &Writing,
) -> Result<Vec<Appender>, Failure> {
    let batch = shape::batch(shape)?;
    let appender = |(address, partitions): (String, Vec<i32>)| -> Result<Appender, Failure> {
        let wire = Wire::connect(&address)?;
        let request = shape::request(&wire, target, &partitions, &batch, writing.acks)?;
        let batch_bytes = batch.bytes.len() as u64 * partitions.len() as u64;
        let in_flight_max = writing.in_flight;
        Ok(Appender { wire, request, batch_bytes, in_flight: 0, in_flight_max })
    };
    target.shares(shape.connections).into_iter().map(appender).collect()
}

impl Appender {
    /// Appends until so many batches of values are written, for measurements that read.
    pub(crate) fn fill(&mut self, value_bytes: u64) -> Result<(), Failure> {
        let counters = Counters::default();
        let requests = value_bytes.div_ceil(self.request.value_bytes);
        for _ in 0..requests {
            self.step(&counters)?;
        }
        while self.in_flight > 0 {
            self.take_answer()?;
        }
        Ok(())
    }

    fn take_answer(&mut self) -> Result<(), Failure> {
        self.wire.read::<ProduceRequest, _>(self.request.version, check)?;
        self.in_flight -= 1;
        Ok(())
    }
}

impl Worker for Appender {
    fn step(&mut self, counters: &Counters) -> Result<(), Failure> {
        while self.in_flight < self.in_flight_max {
            self.wire.write(&self.request.frame)?;
            self.in_flight += 1;
        }
        self.take_answer()?;
        counters.add(Done {
            records: self.request.records,
            value_bytes: self.request.value_bytes,
            batch_bytes: self.batch_bytes,
        });
        Ok(())
    }
}

/// Every partition must have taken its batch.
pub(crate) fn check(response: &ProduceResponse) -> Result<(), Failure> {
    for topic in &response.responses {
        for partition in &topic.partition_responses {
            refuse("append", partition.error_code)?;
        }
    }
    Ok(())
}
