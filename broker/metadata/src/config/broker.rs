//! The table of broker configurations.
//!
//! It has two parts: the rows below, in the order of their names, and the defaults that topics and
//! groups inherit, which are derived from the tables of those under their broker's name. A row
//! below stands before a derived one.
//!
//! Deliberately absent: how a value is read and used. That is the node's part, and for listeners and
//! threads the shell's; their tests compare what they read with this table.

use super::definition::{BrokerDefinition, Definition, Effect, Kind, Update};
use super::group::group_definitions;
use super::table::definitions;
use Update::{ClusterWide, ReadOnly};

const BOOLEAN: Kind = Kind::Boolean;
/// Durations stay far below what a clock's arithmetic can hold.
const DURATION: Kind = Kind::LongWithin { min: 0, max: i32::MAX as i64 * 1_000 };
const INTERVAL: Kind = Kind::LongWithin { min: 1, max: i32::MAX as i64 * 1_000 };
const MILLIS: Kind = Kind::Int { min: 0 };
const MILLIS_NOT_0: Kind = Kind::Int { min: 1 };
/// Kafka's settings may name assignors by their classes.
const ASSIGNORS: Kind = Kind::List(&[
    "uniform",
    "range",
    "org.apache.kafka.coordinator.group.assignor.UniformAssignor",
    "org.apache.kafka.coordinator.group.assignor.RangeAssignor",
]);
const POLICIES: Kind = Kind::Choice(&["bidirectional", "downgrade", "upgrade", "disabled"]);
const PARTITIONS: Kind = Kind::IntWithin { min: 1, max: 10_000 };

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    update: Update,
    documentation: &'static str,
) -> BrokerDefinition {
    let (effect, default_of) = (Effect::Honoured, None);
    BrokerDefinition {
        name,
        kind,
        default: Some(default),
        update,
        effect,
        default_of,
        documentation,
    }
}

/// A row that has no value when nobody sets it.
const fn unset(name: &'static str, kind: Kind, documentation: &'static str) -> BrokerDefinition {
    BrokerDefinition { default: None, ..row(name, kind, "", ReadOnly, documentation) }
}

#[rustfmt::skip]
const TABLE: &[BrokerDefinition] = &[
    unset("advertised.listeners", Kind::Text,
        "Host and port that clients are told to connect to; without it the host that is listened on, or this machine's \
         name when that is every address."),
    row("auto.create.topics.enable", BOOLEAN, "true", ClusterWide,
        "Create a topic when a client asks for one that is not there."),
    unset("broker.rack", Kind::Text, "Where this broker stands."),
    unset("cluster.id", Kind::Text, "Identity given to a new log directory; an old one must agree with it."),
    row("connections.max.idle.ms", Kind::LongWithin { min: 1_000, max: u32::MAX as i64 }, "600000", ReadOnly,
        "A connection without traffic for this long is closed."),
    row("fetch.max.bytes", Kind::Int { min: 1 }, "57671680", ClusterWide, "Largest response to one fetch."),
    row("group.consumer.assignment.interval.ms", MILLIS, "1000", ReadOnly,
        "Least time between two assignments of a group of the consumer protocol."),
    row("group.consumer.assignors", ASSIGNORS, "uniform,range", ReadOnly,
        "Assignors of the consumer protocol; the first is the default."),
    row("group.consumer.heartbeat.interval.ms", MILLIS_NOT_0, "5000", ReadOnly,
        "How often members of the consumer protocol shall be heard."),
    row("group.consumer.max.assignment.interval.ms", MILLIS, "15000", ReadOnly,
        "Largest assignment interval that the broker or a group may set."),
    row("group.consumer.max.heartbeat.interval.ms", MILLIS, "15000", ReadOnly,
        "Largest heartbeat interval that the broker or a group may set."),
    row("group.consumer.max.session.timeout.ms", MILLIS, "60000", ReadOnly,
        "Largest session timeout that the broker or a group may set."),
    row("group.consumer.max.size", Kind::Int { min: 1 }, "10000", ReadOnly,
        "Members that one group of the consumer protocol may have."),
    row("group.consumer.migration.policy", POLICIES, "bidirectional", ReadOnly,
        "Which groups with members may change between the protocols."),
    row("group.consumer.min.assignment.interval.ms", MILLIS, "0", ReadOnly,
        "Least assignment interval that the broker or a group may set."),
    row("group.consumer.min.heartbeat.interval.ms", MILLIS, "5000", ReadOnly,
        "Least heartbeat interval that the broker or a group may set."),
    row("group.consumer.min.session.timeout.ms", MILLIS, "45000", ReadOnly,
        "Least session timeout that the broker or a group may set."),
    row("group.consumer.session.timeout.ms", MILLIS_NOT_0, "45000", ReadOnly,
        "How long a member of the consumer protocol may be silent."),
    row("group.initial.rebalance.delay.ms", DURATION, "3000", ReadOnly,
        "How long the first rebalance of an empty group waits for more members."),
    row("group.max.session.timeout.ms", DURATION, "1800000", ReadOnly,
        "Longest session timeout a group member may ask for."),
    row("group.max.size", Kind::Int { min: 1 }, "10000", ReadOnly, "Members that one group may have."),
    row("group.min.session.timeout.ms", DURATION, "6000", ReadOnly,
        "Shortest session timeout a group member may ask for."),
    row("listeners", Kind::Text, "PLAINTEXT://127.0.0.1:9092", ReadOnly, "Address where Kafka clients connect."),
    row("log.cleaner.backoff.ms", INTERVAL, "15000", ReadOnly,
        "How often logs to be compacted are looked for."),
    row("log.cleaner.dedupe.buffer.size", Kind::Long { min: 1_048_576 }, "134217728", ReadOnly,
        "Memory for the keys of logs under compaction, shared out among the shards."),
    row("log.dir", Kind::Text, "data", ReadOnly, "Directory of everything that survives a restart."),
    unset("log.dirs", Kind::Text,
        "Directories of logs, with commas, in the place of log.dir; the first one holds the metadata log."),
    row("log.retention.check.interval.ms", INTERVAL, "300000", ClusterWide,
        "How often old segments are looked for. A change counts from the next round on."),
    row("max.connections", Kind::IntWithin { min: 1, max: 1_000_000 }, "50000", ReadOnly,
        "Connections of Kafka clients at one time; more are closed at once."),
    row("max.connections.per.ip", Kind::Int { min: 1 }, "2147483647", ReadOnly,
        "Connections of Kafka clients from one address at one time."),
    row("max.incremental.fetch.session.cache.slots", Kind::IntWithin { min: 0, max: 1_000_000 }, "1000", ReadOnly,
        "Incremental fetch sessions that one shard keeps."),
    row("metadata.log.max.record.bytes.between.snapshots", Kind::Long { min: 1 }, "20971520", ReadOnly,
        "Bytes of the metadata log after which its next snapshot is written."),
    row("metrics.listener", Kind::Text, "http://127.0.0.1:9644", ReadOnly,
        "Address of metrics and health, or off. This setting is Mainstem's own."),
    row("node.id", Kind::Int { min: 0 }, "1", ReadOnly, "Number of this broker in its cluster."),
    row("num.partitions", PARTITIONS, "1", ClusterWide, "Partitions of a topic that is created without a count."),
    row("num.recovery.threads.per.data.dir", Kind::IntWithin { min: 1, max: 256 }, "2", ReadOnly,
        "Logs of one directory that are opened side by side at a start."),
    row("offset.metadata.max.bytes", Kind::IntWithin { min: 0, max: 1_048_576 }, "4096", ReadOnly,
        "Largest text kept with a committed offset."),
    row("offsets.retention.minutes", Kind::Int { min: 1 }, "10080", ReadOnly,
        "How long an empty group keeps its offsets."),
    row("offsets.topic.num.partitions", PARTITIONS, "8", ReadOnly,
        "Partitions of the topic of consumer groups, when it is made."),
    unset("port", Kind::IntWithin { min: 0, max: 65_535 },
        "Port where Kafka clients connect, in place of the one of listeners. This setting is Mainstem's own."),
    row("producer.id.expiration.ms", DURATION, "86400000", ReadOnly,
        "How long partitions remember an idle producer."),
    row("queued.max.request.bytes", Kind::Long { min: 1_024 }, "268435456", ReadOnly,
        "Bytes of requests, and as many of unfinished ones, that a shard holds before clients have to wait."),
    row("registry.listener", Kind::Text, "http://127.0.0.1:8081", ReadOnly,
        "Address of the schema registry, or off. This setting is Mainstem's own."),
    unset("shards", Kind::IntWithin { min: 1, max: 256 },
        "Threads with an event loop; without it one per core, at most 16. This setting is Mainstem's own."),
    row("socket.request.max.bytes", Kind::IntWithin { min: 1_024, max: 1_073_741_824 }, "104857600", ReadOnly,
        "Largest request."),
    row("transaction.max.timeout.ms", DURATION, "900000", ReadOnly,
        "Longest timeout a transactional producer may ask for."),
    row("transaction.state.log.num.partitions", PARTITIONS, "8", ReadOnly,
        "Partitions of the topic of transactions, when it is made."),
    row("transactional.id.expiration.ms", DURATION, "604800000", ReadOnly,
        "How long an idle transactional id is remembered."),
];

/// All broker configurations, by name.
pub fn broker_definitions() -> Vec<BrokerDefinition> {
    let mut rows = TABLE.to_vec();
    let derived = definitions().iter().map(|row| derive(row, ClusterWide));
    let derived = derived.chain(group_definitions().iter().map(|row| derive(row, ReadOnly)));
    let own = |name: &str| TABLE.iter().any(|row| row.name == name);
    rows.extend(derived.filter(|row| !row.name.is_empty() && !own(row.name)));
    rows.sort_unstable_by_key(|row| row.name);
    rows
}

/// The row of that name.
pub fn broker_definition(name: &str) -> Option<BrokerDefinition> {
    if let Ok(at) = TABLE.binary_search_by(|row| row.name.cmp(name)) {
        return Some(TABLE[at]);
    }
    let inherits = |row: &&Definition| !name.is_empty() && row.broker_name == name;
    let of_topics = definitions().iter().find(inherits).map(|row| derive(row, ClusterWide));
    of_topics.or_else(|| group_definitions().iter().find(inherits).map(|row| derive(row, ReadOnly)))
}

/// The broker's default of a topic or group configuration.
fn derive(row: &Definition, update: Update) -> BrokerDefinition {
    BrokerDefinition {
        name: row.broker_name,
        kind: row.kind,
        default: Some(row.default),
        update,
        effect: row.effect,
        default_of: Some(row.name),
        documentation: row.documentation,
    }
}
