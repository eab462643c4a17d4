//! The flags of `mainstem bench`. What several measurements take stands in groups of its own.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

use crate::arguments::{Cluster, Codec};

#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// What the machine does without a broker
    Ceilings(Machine),
    /// Append as fast as it goes
    Produce(ProduceArguments),
    /// Read from the page cache as fast as it goes
    Fetch(FetchArguments),
    /// Append at a fixed rate and say how long the answers took, from the time each was due
    Latency(LatencyArguments),
    /// Join and rebalance times of a group
    Groups(GroupsArguments),
    /// Memory that a broker keeps for each partition and connection, and how it works with many
    Connections(ConnectionsArguments),
}

/// Where the ceilings are measured.
#[derive(Args)]
pub(crate) struct Machine {
    /// Folder for the files of the ceilings; should lie on the broker's disk [default: the temporary folder]
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Bytes that each ceiling moves, in MiB
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=16_384))]
    pub ceiling_mib: u32,
}

/// The broker that is measured.
#[derive(Args)]
pub(crate) struct Broker {
    #[command(flatten)]
    pub cluster: Cluster,
    /// Process of the broker on this machine: its CPU time and memory are reported too
    #[arg(long)]
    pub pid: Option<u32>,
}

/// The form of the requests.
#[derive(Args, Clone)]
pub(crate) struct Shape {
    /// Bytes of a record's value
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub record_bytes: u32,
    /// Bytes at which a batch is closed, before compression
    #[arg(long, default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_bytes: u32,
    /// Compression of batches
    #[arg(long, short = 'z', value_enum, default_value_t = Codec::None)]
    pub compression: Codec,
    /// Partitions of the topic
    #[arg(long, short = 'p', default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub partitions: i32,
    /// Connections, each with a thread and a share of the partitions
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub connections: u16,
}

/// How long is measured.
#[derive(Args)]
pub(crate) struct Window {
    /// Seconds that are measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Seconds before, which are not
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub warm_up: u32,
}

/// What speaks to the broker.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Driver {
    /// Requests that were encoded beforehand: measures the broker
    Wire,
    /// Mainstem's producer and consumer, one record at a time: measures what an application gets
    Client,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Acks {
    All,
    Leader,
}

/// How records are appended.
#[derive(Args)]
pub(crate) struct Writing {
    /// Whose append is waited for
    #[arg(long, value_enum, default_value_t = Acks::All)]
    pub acks: Acks,
    /// Requests that one connection has under way
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub in_flight: u16,
    /// Milliseconds that the client waits for a fuller batch; only with --driver client
    #[arg(long, default_value_t = 5)]
    pub linger_ms: u64,
}

#[derive(Args)]
pub(crate) struct ProduceArguments {
    #[command(flatten)]
    pub broker: Broker,
    #[command(flatten)]
    pub shape: Shape,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub window: Window,
    #[command(flatten)]
    pub machine: Machine,
    #[arg(long, value_enum, default_value_t = Driver::Wire)]
    pub driver: Driver,
}

#[derive(Args)]
pub(crate) struct FetchArguments {
    #[command(flatten)]
    pub broker: Broker,
    #[command(flatten)]
    pub shape: Shape,
    #[command(flatten)]
    pub window: Window,
    #[command(flatten)]
    pub machine: Machine,
    #[arg(long, value_enum, default_value_t = Driver::Wire)]
    pub driver: Driver,
    /// Size of what is written first and then read over and over, in MiB
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub data_mib: u32,
    /// Bytes of a partition in one answer
    #[arg(long, default_value_t = 1_048_576, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub partition_fetch_bytes: u32,
}

#[derive(Args)]
pub(crate) struct LatencyArguments {
    #[command(flatten)]
    pub broker: Broker,
    #[command(flatten)]
    pub shape: Shape,
    #[command(flatten)]
    pub writing: Writing,
    #[command(flatten)]
    pub window: Window,
    #[command(flatten)]
    pub machine: Machine,
    #[arg(long, value_enum, default_value_t = Driver::Wire)]
    pub driver: Driver,
    /// Records a second that are due, whatever the broker does
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub rate: u64,
}

#[derive(Args)]
pub(crate) struct GroupsArguments {
    #[command(flatten)]
    pub broker: Broker,
    #[command(flatten)]
    pub machine: Machine,
    /// Members that join at the same time
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    pub members: u16,
    /// Partitions of the topic; more than members
    #[arg(long, short = 'p', default_value_t = 24, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub partitions: i32,
    /// Milliseconds between heartbeats, by which members learn of a rebalance
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=3_000))]
    pub heartbeat_ms: u64,
}

#[derive(Args)]
pub(crate) struct ConnectionsArguments {
    #[command(flatten)]
    pub broker: Broker,
    #[command(flatten)]
    pub machine: Machine,
    /// Connections that only are there
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub idle: u32,
    /// Connections that work: each active partition has one that writes, and others that wait for it
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub active: u32,
    /// Partitions of the topic
    #[arg(long, short = 'p', default_value_t = 400, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub partitions: i32,
    /// Partitions that are written to [default: half as many as active connections]
    #[arg(long)]
    pub active_partitions: Option<u32>,
    /// Records a second that are due, over all partitions
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: u64,
    #[command(flatten)]
    pub window: Window,
}
