//! The table of broker settings: Kafka's name, documentation, how to read it into a
//! [`NodeConfig`] and how to show it.
//!
//! Invariant: showing what was read gives an equal value (a test walks the table).

use super::{FlushPolicy, NodeConfig};
use mainstem_protocol::BrokerId;
use std::path::PathBuf;
use std::time::Duration;

/// Kind of a value, as DescribeConfigs names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    Boolean,
    Int,
    Long,
    String,
}

/// One setting of a broker.
pub struct Setting {
    /// Kafka's property name, or ours where Kafka has none.
    pub key: &'static str,
    /// Type for DescribeConfigs.
    pub kind: SettingKind,
    /// One sentence.
    pub documentation: &'static str,
    read: fn(&mut NodeConfig, &str) -> Result<(), String>,
    show: fn(&NodeConfig) -> Option<String>,
}

impl Setting {
    /// Reads a value; the error is a sentence without the key.
    pub fn apply(&self, config: &mut NodeConfig, value: &str) -> Result<(), String> {
        (self.read)(config, value)
    }

    /// The value in force.
    pub fn value(&self, config: &NodeConfig) -> Option<String> {
        (self.show)(config)
    }
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.key)
    }
}

fn number<N>(value: &str, min: N, max: N) -> Result<N, String>
where
    N: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
{
    let parsed: N = value.parse().map_err(|_| format!("`{value}` is not a whole number"))?;
    if parsed < min || max < parsed {
        return Err(format!("{parsed} is not between {min} and {max}"));
    }
    Ok(parsed)
}

fn boolean(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("`{value}` is neither true nor false")),
    }
}

fn millis(value: &str) -> Result<Duration, String> {
    number(value, 0, i64::from(i32::MAX) * 1_000).map(|ms: i64| Duration::from_millis(ms as u64))
}

fn shown_millis(duration: Duration) -> Option<String> {
    Some(duration.as_millis().to_string())
}

macro_rules! topic_default {
    ($key:literal, $topic_key:literal, $kind:ident) => {
        Setting {
            key: $key,
            kind: SettingKind::$kind,
            documentation: concat!("Default of the topic setting ", $topic_key, "."),
            read: |config, value| {
                config.topic_defaults.insert($topic_key.to_owned(), value.to_owned());
                Ok(())
            },
            show: |config| config.topic_defaults.get($topic_key).cloned(),
        }
    };
}

macro_rules! duration {
    ($key:literal, $field:ident, $documentation:literal) => {
        Setting {
            key: $key,
            kind: SettingKind::Long,
            documentation: $documentation,
            read: |config, value| {
                config.$field = millis(value)?;
                Ok(())
            },
            show: |config| shown_millis(config.$field),
        }
    };
}

macro_rules! int {
    ($key:literal, $($field:ident).+, $min:expr, $max:expr, $documentation:literal) => {
        Setting {
            key: $key,
            kind: SettingKind::Int,
            documentation: $documentation,
            read: |config, value| {
                config.$($field).+ = number(value, $min, $max)?;
                Ok(())
            },
            show: |config| Some(config.$($field).+.to_string()),
        }
    };
}

/// All settings of a broker, in the order of their names.
pub static SETTINGS: &[Setting] = &[
    Setting {
        key: "auto.create.topics.enable",
        kind: SettingKind::Boolean,
        documentation: "Create a topic when a client asks for one that is not there.",
        read: |config, value| {
            config.auto_create_topics = boolean(value)?;
            Ok(())
        },
        show: |config| Some(config.auto_create_topics.to_string()),
    },
    Setting {
        key: "broker.rack",
        kind: SettingKind::String,
        documentation: "Where this broker stands.",
        read: |config, value| {
            config.rack = (!value.is_empty()).then(|| value.to_owned());
            Ok(())
        },
        show: |config| config.rack.clone(),
    },
    Setting {
        key: "cluster.id",
        kind: SettingKind::String,
        documentation: "Identity given to a new log directory; an old one must agree with it.",
        read: |config, value| {
            config.cluster_id = (!value.is_empty()).then(|| value.to_owned());
            Ok(())
        },
        show: |config| config.cluster_id.clone(),
    },
    topic_default!("compression.type", "compression.type", String),
    int!("fetch.max.bytes", limits.fetch_bytes_max, 1, i32::MAX, "Largest response to one fetch."),
    Setting {
        key: "flush",
        kind: SettingKind::String,
        documentation: "When acks=all is answered: commit = after a sync, os = after the write.",
        read: |config, value| {
            config.flush = match value {
                "commit" => FlushPolicy::Commit,
                "os" => FlushPolicy::Os,
                _ => return Err(format!("`{value}` is neither commit nor os")),
            };
            Ok(())
        },
        show: |config| {
            let name = match config.flush {
                FlushPolicy::Commit => "commit",
                FlushPolicy::Os => "os",
            };
            Some(name.to_owned())
        },
    },
    duration!(
        "group.initial.rebalance.delay.ms",
        group_initial_rebalance_delay,
        "How long the first rebalance of an empty group waits for more members."
    ),
    duration!(
        "group.max.session.timeout.ms",
        group_max_session_timeout,
        "Longest session timeout a group member may ask for."
    ),
    int!(
        "group.max.size",
        group_size_max,
        1,
        i32::MAX as usize,
        "Members that one group may have."
    ),
    duration!(
        "group.min.session.timeout.ms",
        group_min_session_timeout,
        "Shortest session timeout a group member may ask for."
    ),
    topic_default!("log.cleanup.policy", "cleanup.policy", String),
    Setting {
        key: "log.dir",
        kind: SettingKind::String,
        documentation: "Directory of everything that survives a restart.",
        read: |config, value| {
            if value.is_empty() {
                return Err("names no directory".to_owned());
            }
            config.log_dir = PathBuf::from(value);
            Ok(())
        },
        show: |config| Some(config.log_dir.display().to_string()),
    },
    Setting {
        key: "log.dirs",
        kind: SettingKind::String,
        documentation: "Directories of logs, with commas; the first one holds the metadata log.",
        read: |config, value| {
            let mut dirs = value.split(',').map(|dir| PathBuf::from(dir.trim()));
            config.log_dir = dirs.next().unwrap_or_default();
            config.further_log_dirs = dirs.collect();
            match config.log_dirs().any(|dir| dir.as_os_str().is_empty()) {
                true => Err("names a directory without a name".to_owned()),
                false => Ok(()),
            }
        },
        show: |config| {
            let dirs: Vec<String> = config.log_dirs().map(|d| d.display().to_string()).collect();
            (1 < dirs.len()).then(|| dirs.join(","))
        },
    },
    topic_default!("log.message.timestamp.type", "message.timestamp.type", String),
    topic_default!("log.retention.bytes", "retention.bytes", Long),
    duration!(
        "log.retention.check.interval.ms",
        housekeeping_interval,
        "How often old segments are looked for."
    ),
    topic_default!("log.retention.ms", "retention.ms", Long),
    topic_default!("log.roll.ms", "segment.ms", Long),
    topic_default!("log.segment.bytes", "segment.bytes", Int),
    int!(
        "max.incremental.fetch.session.cache.slots",
        limits.fetch_sessions_max,
        0,
        1_000_000,
        "Incremental fetch sessions that one shard keeps."
    ),
    topic_default!("message.max.bytes", "max.message.bytes", Int),
    Setting {
        key: "metadata.log.max.record.bytes.between.snapshots",
        kind: SettingKind::Long,
        documentation: "Bytes of the metadata log after which its next snapshot is written.",
        read: |config, value| {
            config.metadata_snapshot_bytes = number(value, 1, i64::MAX as u64)?;
            Ok(())
        },
        show: |config| Some(config.metadata_snapshot_bytes.to_string()),
    },
    Setting {
        key: "node.id",
        kind: SettingKind::Int,
        documentation: "Number of this broker in its cluster.",
        read: |config, value| {
            config.node_id = BrokerId(number(value, 0, i32::MAX)?);
            Ok(())
        },
        show: |config| Some(config.node_id.0.to_string()),
    },
    int!(
        "num.partitions",
        num_partitions,
        1,
        1_000,
        "Partitions of a topic that is created without a count."
    ),
    int!(
        "num.recovery.threads.per.data.dir",
        recovery_threads,
        1,
        256,
        "Logs of one directory that are opened side by side at a start."
    ),
    int!(
        "offset.metadata.max.bytes",
        offset_metadata_bytes_max,
        0,
        1_048_576,
        "Largest text kept with a committed offset."
    ),
    Setting {
        key: "offsets.retention.minutes",
        kind: SettingKind::Int,
        documentation: "How long an empty group keeps its offsets.",
        read: |config, value| {
            let minutes: u64 = number(value, 1, i32::MAX as u64)?;
            config.offsets_retention = Duration::from_secs(minutes * 60);
            Ok(())
        },
        show: |config| Some((config.offsets_retention.as_secs() / 60).to_string()),
    },
    int!(
        "offsets.topic.num.partitions",
        offsets_topic_partitions,
        1,
        1_000,
        "Partitions of the topic of consumer groups, when it is made."
    ),
    int!(
        "queued.max.request.bytes",
        limits.frame_bytes_of_all_max,
        1_024,
        usize::MAX >> 1,
        "Bytes of requests that one shard holds before clients that send more have to wait."
    ),
    int!(
        "socket.request.max.bytes",
        limits.frame_bytes_max,
        1_024,
        1_073_741_824,
        "Largest request."
    ),
    duration!(
        "transaction.max.timeout.ms",
        transaction_max_timeout,
        "Longest timeout a transactional producer may ask for."
    ),
    int!(
        "transaction.state.log.num.partitions",
        transaction_topic_partitions,
        1,
        1_000,
        "Partitions of the topic of transactions, when it is made."
    ),
    duration!(
        "transactional.id.expiration.ms",
        transactional_id_expiration,
        "How long an idle transactional id is remembered."
    ),
];
