//! The command line as a type: every command, flag and default, with the help that users read.
//!
//! No command is listed here that does not work. Flags that have an environment variable name it in their help.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::bench::BenchCommand;

/// A stream-processing platform: Kafka-compatible broker, schema registry, Connect, and their tools.
#[derive(Parser)]
#[command(name = "mainstem", version, about, propagate_version = true)]
pub(crate) struct Arguments {
    /// Print one JSON document instead of a table
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the platform: broker, schema registry and Connect in one process
    Serve(Box<ServeArguments>),
    /// Create, list, describe, change and delete topics
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Show or change the configuration of brokers and groups
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write records, one a line, from standard input or a file
    Produce(ProduceArguments),
    /// Read records and print them
    Consume(ConsumeArguments),
    /// List and describe consumer groups
    #[command(subcommand)]
    Group(GroupCommand),
    /// Look into transactions, and end one that hangs
    #[command(subcommand)]
    Txn(TxnCommand),
    /// Register, read, check and delete schemas
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Deploy and watch connectors
    #[command(subcommand)]
    Connector(ConnectorCommand),
    /// Measure a broker, as a share of what the machine could do
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print the completions of a shell
    Completions { shell: clap_complete::Shell },
}

/// Where the Kafka cluster is.
#[derive(Args, Clone)]
pub(crate) struct Cluster {
    /// Brokers to begin with, host:port, separated by commas
    #[arg(long, short = 'b', env = "MAINSTEM_BOOTSTRAP", default_value = "127.0.0.1:9092")]
    pub bootstrap: String,
}

#[derive(Args)]
pub(crate) struct ServeArguments {
    /// Configuration file (TOML); flags and MAINSTEM_* variables win over it
    #[arg(long, env = "MAINSTEM_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where everything is kept
    #[arg(long, env = "MAINSTEM_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of the Kafka listener [default: 127.0.0.1:9092]
    #[arg(long)]
    pub listen: Option<SocketAddr>,
    /// Address of the schema registry [default: 127.0.0.1:8081]
    #[arg(long)]
    pub registry_listen: Option<SocketAddr>,
    /// Address of Connect's REST API
    #[arg(long, default_value = "127.0.0.1:8083")]
    pub connect_listen: SocketAddr,
    /// Address of metrics and health [default: 127.0.0.1:9644]
    #[arg(long)]
    pub admin_listen: Option<SocketAddr>,
    /// When acks=all is answered: after the sync (commit) or after the page cache (os)
    #[arg(long, value_enum)]
    pub flush: Option<Flush>,
    /// Threads that serve partitions [default: one per core]
    #[arg(long)]
    pub shards: Option<u16>,
    /// Folder with connector components (*.wasm)
    #[arg(long, env = "MAINSTEM_PLUGINS")]
    pub plugins: Option<PathBuf>,
    /// Folder that file connectors may use; may be given several times, none by default
    #[arg(long = "connect-files", value_name = "DIR")]
    pub connect_files: Vec<PathBuf>,
    /// Run the broker and the registry without Connect
    #[arg(long)]
    pub no_connect: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Flush {
    /// A record is on the disk before it is acknowledged or visible
    Commit,
    /// A record is in the page cache; a power cut may lose it
    Os,
}

#[derive(Subcommand)]
pub(crate) enum TopicCommand {
    /// Create a topic
    Create {
        name: String,
        /// Number of partitions; -1 takes the broker's default
        #[arg(long, short = 'p', default_value_t = -1)]
        partitions: i32,
        /// Copies of each partition; -1 takes the broker's default
        #[arg(long, short = 'r', default_value_t = -1)]
        replication_factor: i16,
        /// A topic configuration, name=value; may be given several times
        #[arg(long = "config", short = 'c', value_name = "NAME=VALUE")]
        configs: Vec<String>,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// List topics
    List {
        /// Internal topics too
        #[arg(long)]
        internal: bool,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Show partitions, leaders, offsets and configuration of a topic
    Describe {
        name: String,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Delete topics
    Delete {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Raise the number of partitions of a topic; keys may go to other partitions afterwards
    Partitions {
        name: String,
        /// Number of partitions that the topic shall have
        count: i32,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Show or change the configuration of a topic
    Config {
        name: String,
        #[command(flatten)]
        changes: ConfigChanges,
        #[command(flatten)]
        cluster: Cluster,
    },
}

/// Changes of a configuration; without any, it is shown.
#[derive(Args)]
pub(crate) struct ConfigChanges {
    /// Set a value; may be given several times
    #[arg(long, short = 's', value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Go back to the default
    #[arg(long, short = 'd', value_name = "NAME")]
    pub delete: Vec<String>,
    /// Add to a list
    #[arg(long, value_name = "NAME=VALUE")]
    pub append: Vec<String>,
    /// Take out of a list
    #[arg(long, value_name = "NAME=VALUE")]
    pub subtract: Vec<String>,
    /// Check the changes and do not make them
    #[arg(long)]
    pub dry_run: bool,
    /// Show what is built in too
    #[arg(long)]
    pub all: bool,
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Of all brokers
    Brokers {
        #[command(flatten)]
        changes: ConfigChanges,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Of one broker
    Broker {
        id: i32,
        #[command(flatten)]
        changes: ConfigChanges,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Of a group
    Group {
        group: String,
        #[command(flatten)]
        changes: ConfigChanges,
        #[command(flatten)]
        cluster: Cluster,
    },
}

#[derive(Args)]
pub(crate) struct ProduceArguments {
    pub topic: String,
    /// Text between key and value; without it, lines are values
    #[arg(long, short = 'K')]
    pub key_delimiter: Option<String>,
    /// Read this file instead of standard input
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// Compress batches
    #[arg(long, short = 'z', value_enum, default_value_t = Codec::None)]
    pub compression: Codec,
    /// Write all lines in one transaction under this id
    #[arg(long)]
    pub transactional_id: Option<String>,
    #[command(flatten)]
    pub cluster: Cluster,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Args)]
pub(crate) struct ConsumeArguments {
    pub topic: String,
    /// Read as a member of this group, continue where it stands and commit
    #[arg(long, short = 'g')]
    pub group: Option<String>,
    /// Where to begin when there is no committed offset
    #[arg(long, value_enum, default_value_t = From::Beginning)]
    pub from: From,
    /// Stop at the end of what was there when the command began
    #[arg(long, short = 'e')]
    pub exit: bool,
    /// Stop after so many records
    #[arg(long, short = 'n')]
    pub count: Option<u64>,
    /// Records of open and aborted transactions too
    #[arg(long)]
    pub read_uncommitted: bool,
    /// Schema registry with which Avro values are decoded
    #[arg(long, env = "MAINSTEM_REGISTRY")]
    pub registry: Option<String>,
    #[command(flatten)]
    pub cluster: Cluster,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    Beginning,
    End,
}

#[derive(Subcommand)]
pub(crate) enum GroupCommand {
    /// List groups with their states
    List {
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Show members, committed offsets and lag of a group
    Describe {
        group: String,
        #[command(flatten)]
        cluster: Cluster,
    },
}

#[derive(Subcommand)]
pub(crate) enum TxnCommand {
    /// List transactional ids with their states
    List {
        /// Only in this state (Empty, Ongoing, PrepareCommit, ...); may be given several times
        #[arg(long = "state")]
        states: Vec<String>,
        /// Only of this producer; may be given several times
        #[arg(long = "producer-id")]
        producer_ids: Vec<i64>,
        /// Only transactions that have been open for longer
        #[arg(long, value_name = "MS")]
        open_longer_than_ms: Option<u64>,
        /// Only ids that this regular expression matches from end to end
        #[arg(long, value_name = "REGEX")]
        pattern: Option<String>,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Show the state, producer and partitions of a transactional id
    Describe {
        transactional_id: String,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Show the producers of a partition and the transactions that they have open there
    Producers {
        topic: String,
        partition: i32,
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Abort a transaction in one partition, past its coordinator: for one that hangs
    ///
    /// A transaction that its coordinator still knows would be torn apart: look at `txn list` first.
    Abort {
        topic: String,
        partition: i32,
        /// First offset of the transaction, as `txn producers` shows it
        #[arg(long)]
        start_offset: i64,
        #[command(flatten)]
        cluster: Cluster,
    },
}

/// Where the schema registry is.
#[derive(Args, Clone)]
pub(crate) struct Registry {
    /// Address of the schema registry
    #[arg(long, env = "MAINSTEM_REGISTRY", default_value = "http://127.0.0.1:8081")]
    pub registry: String,
}

#[derive(Subcommand)]
pub(crate) enum SchemaCommand {
    /// List subjects
    Subjects {
        #[command(flatten)]
        registry: Registry,
    },
    /// Print a schema of a subject
    Get {
        subject: String,
        /// A version number or `latest`
        #[arg(default_value = "latest")]
        version: String,
        #[command(flatten)]
        registry: Registry,
    },
    /// Register the schema in a file under a subject
    Register {
        subject: String,
        file: PathBuf,
        #[command(flatten)]
        registry: Registry,
    },
    /// Check the schema in a file against the latest one of a subject
    Check {
        subject: String,
        file: PathBuf,
        #[command(flatten)]
        registry: Registry,
    },
    /// Delete a subject
    Delete {
        subject: String,
        /// Forget its versions too; the subject must have been deleted before
        #[arg(long)]
        permanent: bool,
        #[command(flatten)]
        registry: Registry,
    },
    /// Show or set the compatibility level, of a subject or of all
    Config {
        subject: Option<String>,
        #[arg(long)]
        set: Option<String>,
        #[command(flatten)]
        registry: Registry,
    },
}

/// Where Connect is.
#[derive(Args, Clone)]
pub(crate) struct Connect {
    /// Address of Connect's REST API
    #[arg(long, env = "MAINSTEM_CONNECT", default_value = "http://127.0.0.1:8083")]
    pub connect: String,
}

#[derive(Subcommand)]
pub(crate) enum ConnectorCommand {
    /// List connectors and their states
    List {
        #[command(flatten)]
        connect: Connect,
    },
    /// List the plugins that can be deployed
    Plugins {
        #[command(flatten)]
        connect: Connect,
    },
    /// Create a connector, or change its configuration, from a JSON file
    Apply {
        name: String,
        file: PathBuf,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show a connector, its tasks and their errors
    Status {
        name: String,
        #[command(flatten)]
        connect: Connect,
    },
    /// Restart a connector and its tasks
    Restart {
        name: String,
        #[command(flatten)]
        connect: Connect,
    },
    /// Remove a connector; its topics stay
    Delete {
        name: String,
        #[command(flatten)]
        connect: Connect,
    },
}
