//! `mainstem bench`: what a broker does, as a share of what the machine could do.
//!
//! Works against any broker that speaks Kafka. In reading order: [`ceilings`] (the machine without a
//! broker), [`shape`] and [`wire`] (prebuilt requests over plain sockets), [`load`] (as fast as it
//! goes) with [`produce`] and [`fetch`], [`application`] (the same through the real clients),
//! [`latency`] (at a fixed rate), [`groups`], [`connections`], [`process`] (the broker seen from
//! `/proc`), [`target`] (the topic that is measured) and [`report`] (what is printed).
//!
//! Invariants:
//! - A figure is printed with the settings it was measured under and with its share of a ceiling that
//!   was measured in the same run: alone it would say more about the machine than about the broker.
//! - The generator does next to nothing for each record: requests are encoded once and sent again and
//!   again. What is measured is the broker, also where both share two cores.
//! - A topic that a measurement made is deleted when it ends, failed or not.
//!
//! Left out on purpose: several generator processes, and comparing brokers; a script beside the tests
//! runs this command against each of them in turn.

mod application;
mod arguments;
mod ceilings;
mod connections;
mod fetch;
mod groups;
mod latency;
mod load;
mod process;
mod produce;
mod report;
mod shape;
mod target;
mod wire;

pub(crate) use arguments::BenchCommand;

use crate::failure::Failure;

/// Runs one measurement and prints its report.
pub(crate) fn run(command: &BenchCommand, json: bool) -> Result<(), Failure> {
    let report = match command {
        BenchCommand::Ceilings(arguments) => ceilings::run(arguments),
        BenchCommand::Produce(arguments) => produce::run(arguments),
        BenchCommand::Fetch(arguments) => fetch::run(arguments),
        BenchCommand::Latency(arguments) => latency::run(arguments),
        BenchCommand::Groups(arguments) => groups::run(arguments),
        BenchCommand::Connections(arguments) => connections::run(arguments),
    };
    report?.print(json);
    Ok(())
}

/// A runtime for the parts that go through the real clients.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
