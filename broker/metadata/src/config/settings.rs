//! A topic's configuration as typed values: what the log and the node act on.

use super::table::definition;
use mainstem_protocol::compression::Compression;
use std::collections::BTreeMap;
use std::str::FromStr;

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlushPolicy {
    /// After it is synced to disk.
    #[default]
    Commit,
    /// After it is in the page cache.
    Os,
}

impl FlushPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Os => "os",
        }
    }
}

impl FromStr for FlushPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "commit" => Ok(Self::Commit),
            "os" => Ok(Self::Os),
            other => Err(format!("'{other}' is neither commit nor os")),
        }
    }
}

/// What happens to old records; both may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub compact: bool,
    pub delete: bool,
}

/// Whose time a record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// Every setting that the broker honours.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicSettings {
    pub cleanup_policy: CleanupPolicy,
    /// `None`: as the producer compressed them.
    pub compression: Option<Compression>,
    /// For `compression`; `None`: what the codec thinks best.
    pub compression_level: Option<i32>,
    pub delete_retention_ms: i64,
    pub file_delete_delay_ms: i64,
    pub flush: FlushPolicy,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub index_interval_bytes: i32,
    pub max_compaction_lag_ms: i64,
    pub max_message_bytes: i32,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: TimestampType,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: i32,
    /// -1: no limit.
    pub retention_bytes: i64,
    /// -1: for ever.
    pub retention_ms: i64,
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
}

impl TopicSettings {
    /// The values that hold: the topic's own, else the broker's, else the table's. Both maps were
    /// validated before they were stored; a value that does not parse falls back to the table.
    pub fn resolve(
        topic: &BTreeMap<String, String>,
        broker: &BTreeMap<String, String>,
    ) -> TopicSettings {
        let layers = Layers { topic, broker };
        let policies = layers.text("cleanup.policy");
        let has = |word: &str| policies.split(',').any(|policy| policy.trim() == word);
        let compression = match layers.text("compression.type") {
            "producer" => None,
            "uncompressed" => Some(Compression::None),
            // Any other word was refused before it was stored.
            codec => codec.parse().ok(),
        };
        TopicSettings {
            cleanup_policy: CleanupPolicy { compact: has("compact"), delete: has("delete") },
            compression,
            compression_level: compression.and_then(|codec| match codec {
                // -1 is Java's word for the codec's own choice.
                Compression::Gzip => {
                    Some(layers.number("compression.gzip.level")).filter(|level| 0 < *level)
                }
                Compression::Zstd => Some(layers.number("compression.zstd.level")),
                Compression::None | Compression::Snappy | Compression::Lz4 => None,
            }),
            delete_retention_ms: layers.number("delete.retention.ms"),
            file_delete_delay_ms: layers.number("file.delete.delay.ms"),
            flush: layers.number("flush.policy"),
            flush_messages: layers.number("flush.messages"),
            flush_ms: layers.number("flush.ms"),
            index_interval_bytes: layers.number("index.interval.bytes"),
            max_compaction_lag_ms: layers.number("max.compaction.lag.ms"),
            max_message_bytes: layers.number("max.message.bytes"),
            message_timestamp_after_max_ms: layers.number("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: layers.number("message.timestamp.before.max.ms"),
            message_timestamp_type: match layers.text("message.timestamp.type") {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: layers.number("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: layers.number("min.compaction.lag.ms"),
            min_insync_replicas: layers.number("min.insync.replicas"),
            retention_bytes: layers.number("retention.bytes"),
            retention_ms: layers.number("retention.ms"),
            segment_bytes: layers.number("segment.bytes"),
            segment_index_bytes: layers.number("segment.index.bytes"),
            segment_jitter_ms: layers.number("segment.jitter.ms"),
            segment_ms: layers.number("segment.ms"),
        }
    }
}

struct Layers<'a> {
    topic: &'a BTreeMap<String, String>,
    broker: &'a BTreeMap<String, String>,
}

impl<'a> Layers<'a> {
    fn text(&self, name: &str) -> &'a str {
        let set = self.topic.get(name).or_else(|| self.broker.get(name));
        set.map_or_else(|| default(name), |value| value.trim())
    }

    fn number<T: FromStr>(&self, name: &str) -> T {
        let parsed = self.text(name).parse().or_else(|_| default(name).parse());
        parsed.ok().expect("the defaults of the table are of their type")
    }
}

fn default(name: &str) -> &'static str {
    definition(name).expect("settings are named as in the table").default
}
