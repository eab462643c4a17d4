//! The one binary, `mainstem`: the platform (`serve`) and the tools that talk to it or to any Kafka cluster.
//!
//! This crate is the composition root: the only one that knows the broker and Connect at once. It
//! decides nothing: a command parses its arguments, calls a client and prints. Every command prints
//! a table for people or, with `--json`, one JSON document for programs. Exit codes: 0 done, 1 the
//! command failed (the reason is on standard error), 2 wrong usage.

mod arguments;
mod bench;
mod config;
mod connector;
mod consume;
mod descriptors;
mod failure;
mod group;
mod http;
mod output;
mod produce;
mod schema;
mod serve;
mod topic;
mod txn;

use clap::Parser;
use std::process::ExitCode;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        // The platform brings its own runtimes: one thread per shard.
        Command::Serve(serve) => serve::run(&serve),
        Command::Bench(command) => bench::run(&command, arguments.json),
        Command::Completions { shell } => {
            output::completions(shell);
            Ok(())
        }
        command => run_client(command, arguments.json),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::error(&failure, arguments.json);
            ExitCode::FAILURE
        }
    }
}

fn run_client(command: Command, json: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        match command {
            Command::Topic(command) => topic::run(command, json).await,
            Command::Config(command) => config::run(command, json).await,
            Command::Produce(command) => produce::run(command, json).await,
            Command::Consume(command) => consume::run(command, json).await,
            Command::Group(command) => group::run(command, json).await,
            Command::Txn(command) => txn::run(command, json).await,
            Command::Schema(command) => schema::run(command, json).await,
            Command::Connector(command) => connector::run(command, json).await,
            Command::Serve(_) | Command::Bench(_) | Command::Completions { .. } => Ok(()),
        }
    });
    // A reader of standard input cannot be cancelled; the process is about to end anyway.
    runtime.shutdown_background();
    result
}
