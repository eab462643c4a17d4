//! The table of topic configurations, in the order of their names.

use super::definition::{Definition, Effect, Kind};
use Effect::{Fixed, Honoured};

const NO_TIERS: &str = "there is no remote storage";
const ONE_LEVEL: &str = "the lz4 encoder has one level";
const ONE_COPY: &str = "partitions have one replica";
const LONG_MAX: &str = "9223372036854775807";

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    broker_name: &'static str,
    effect: Effect,
    documentation: &'static str,
) -> Definition {
    Definition { name, kind, default, broker_name, effect, documentation }
}

const LONG: Kind = Kind::Long { min: 0 };
const BOOLEAN: Kind = Kind::Boolean;

#[rustfmt::skip]
const TABLE: &[Definition] = &[
    row("cleanup.policy", Kind::List(&["compact", "delete"]), "delete", "log.cleanup.policy", Honoured,
        "What happens to old records: 'delete' drops whole segments by age and size, 'compact' keeps the latest \
         record of every key."),
    row("compression.gzip.level", Kind::Int { min: -1 }, "-1", "compression.gzip.level", Honoured,
        "Compression level of gzip when the broker recompresses."),
    row("compression.lz4.level", Kind::Int { min: 1 }, "9", "compression.lz4.level", Fixed(ONE_LEVEL),
        "Compression level of lz4 when the broker recompresses."),
    row("compression.type", Kind::Choice(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), "producer",
        "compression.type", Honoured,
        "Compression of stored batches; 'producer' keeps what the producer chose."),
    row("compression.zstd.level", Kind::Int { min: -131_072 }, "3", "compression.zstd.level", Honoured,
        "Compression level of zstd when the broker recompresses."),
    row("delete.retention.ms", LONG, "86400000", "log.cleaner.delete.retention.ms", Honoured,
        "How long a tombstone stays readable in a compacted topic."),
    row("file.delete.delay.ms", LONG, "60000", "log.segment.delete.delay.ms", Honoured,
        "Pause before a deleted segment leaves the disk."),
    row("flush.messages", Kind::Long { min: 1 }, LONG_MAX, "log.flush.interval.messages", Honoured,
        "Unsynced records that make the next answer wait for a sync; matters where records count before they are \
         synced."),
    row("flush.ms", LONG, LONG_MAX, "log.flush.interval.ms", Honoured,
        "How long a record stays unsynced; matters where records count before they are synced."),
    row("flush.policy", Kind::Choice(&["commit", "os"]), "commit", "flush", Honoured,
        "When a record counts as written: 'commit' after it is synced to disk, 'os' after it is in the page cache. \
         This setting is Mainstem's own."),
    row("follower.replication.throttled.replicas", Kind::List(&[]), "", "follower.replication.throttled.replicas",
        Fixed(ONE_COPY), "Replicas whose copying is throttled on the follower's side."),
    row("index.interval.bytes", Kind::Int { min: 0 }, "4096", "log.index.interval.bytes", Honoured,
        "Bytes of log between two entries of the offset index."),
    row("leader.replication.throttled.replicas", Kind::List(&[]), "", "leader.replication.throttled.replicas",
        Fixed(ONE_COPY), "Replicas whose copying is throttled on the leader's side."),
    row("local.retention.bytes", Kind::Long { min: -2 }, "-2", "log.local.retention.bytes", Fixed(NO_TIERS),
        "Bytes kept locally beside remote storage; -2 follows retention.bytes."),
    row("local.retention.ms", Kind::Long { min: -2 }, "-2", "log.local.retention.ms", Fixed(NO_TIERS),
        "Time kept locally beside remote storage; -2 follows retention.ms."),
    row("max.compaction.lag.ms", Kind::Long { min: 1 }, LONG_MAX, "log.cleaner.max.compaction.lag.ms", Honoured,
        "The longest a record stays uncompacted in a compacted topic."),
    row("max.message.bytes", Kind::Int { min: 0 }, "1048588", "message.max.bytes", Honoured,
        "Largest record batch, as it is on the wire."),
    row("message.timestamp.after.max.ms", LONG, "3600000", "log.message.timestamp.after.max.ms", Honoured,
        "How far a record's timestamp may be ahead of the broker's clock."),
    row("message.timestamp.before.max.ms", LONG, LONG_MAX, "log.message.timestamp.before.max.ms", Honoured,
        "How far a record's timestamp may be behind the broker's clock."),
    row("message.timestamp.type", Kind::Choice(&["CreateTime", "LogAppendTime"]), "CreateTime",
        "log.message.timestamp.type", Honoured, "Whether a record's time is the producer's or the time of its append."),
    row("min.cleanable.dirty.ratio", Kind::Double { min: 0.0, max: 1.0 }, "0.5", "log.cleaner.min.cleanable.ratio",
        Honoured, "Part of a compacted log that may be uncompacted before the cleaner takes it on."),
    row("min.compaction.lag.ms", LONG, "0", "log.cleaner.min.compaction.lag.ms", Honoured,
        "The least time a record stays uncompacted."),
    row("min.insync.replicas", Kind::Int { min: 1 }, "1", "min.insync.replicas", Honoured,
        "Replicas that must have a record before acks=all is answered."),
    row("preallocate", BOOLEAN, "false", "log.preallocate", Fixed("segments grow as they are written"),
        "Whether a new segment's file is allocated at once."),
    row("remote.log.copy.disable", BOOLEAN, "false", "remote.log.copy.disable", Fixed(NO_TIERS),
        "Whether copying to remote storage is stopped."),
    row("remote.log.delete.on.disable", BOOLEAN, "false", "remote.log.delete.on.disable", Fixed(NO_TIERS),
        "Whether remote data goes when remote storage is switched off."),
    row("remote.storage.enable", BOOLEAN, "false", "remote.storage.enable", Fixed(NO_TIERS),
        "Whether segments are moved to remote storage."),
    row("retention.bytes", Kind::Long { min: -1 }, "-1", "log.retention.bytes", Honoured,
        "Bytes that a partition keeps; -1 for no limit."),
    row("retention.ms", Kind::Long { min: -1 }, "604800000", "log.retention.ms", Honoured,
        "How long a partition keeps records; -1 for ever."),
    row("segment.bytes", Kind::Int { min: 1_048_576 }, "1073741824", "log.segment.bytes", Honoured,
        "Size at which a new segment is begun."),
    row("segment.index.bytes", Kind::Int { min: 4 }, "10485760", "log.index.size.max.bytes", Honoured,
        "Largest index of one segment."),
    row("segment.jitter.ms", LONG, "0", "log.roll.jitter.ms", Honoured,
        "Random time taken off segment.ms."),
    row("segment.ms", Kind::Long { min: 1 }, "604800000", "log.roll.ms", Honoured,
        "Age at which a new segment is begun."),
    row("unclean.leader.election.enable", BOOLEAN, "false", "unclean.leader.election.enable", Fixed(ONE_COPY),
        "Whether an incomplete replica may become leader and lose records."),
];

/// All topic configurations, by name.
pub fn definitions() -> &'static [Definition] {
    TABLE
}

/// The row of that name.
pub fn definition(name: &str) -> Option<&'static Definition> {
    TABLE.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &TABLE[at])
}
