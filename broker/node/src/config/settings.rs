//! How broker settings are read into a [`NodeConfig`] and shown. What they are (type, default,
//! limits, documentation) stands in the metadata crate's table.
//!
//! Invariant: showing what was read gives an equal value, and the defaults of [`NodeConfig`] are
//! those of the table (a test walks both).

use super::{FlushPolicy, NodeConfig};
use mainstem_coordinator::group::{MigrationPolicy, ServerAssignor};
use mainstem_protocol::BrokerId;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// One setting of a broker.
pub(crate) struct Setting {
    /// Kafka's property name, or ours where Kafka has none.
    pub(crate) key: &'static str,
    read: fn(&mut NodeConfig, &str) -> Result<(), String>,
    show: fn(&NodeConfig) -> Option<String>,
}

impl Setting {
    /// All settings, in the order of their names.
    pub(crate) fn all() -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter()
    }

    /// The setting of that name.
    pub(crate) fn find(key: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// Reads a value that keeps to the table; the error is a sentence without the key.
    pub(crate) fn apply(&self, config: &mut NodeConfig, value: &str) -> Result<(), String> {
        (self.read)(config, value)
    }

    /// The value in force.
    pub(crate) fn value(&self, config: &NodeConfig) -> Option<String> {
        (self.show)(config)
    }
}

fn number<N: FromStr>(value: &str) -> Result<N, String> {
    value.parse().map_err(|_| format!("`{value}` is not a whole number in range"))
}

macro_rules! duration {
    ($key:literal, $($field:ident).+) => {
        Setting {
            key: $key,
            read: |config, value| {
                config.$($field).+ = Duration::from_millis(number(value)?);
                Ok(())
            },
            show: |config| Some(config.$($field).+.as_millis().to_string()),
        }
    };
}

/// One end of a range of times; `$with` gives the range with another value there.
macro_rules! bound {
    ($key:literal, $field:ident, $end:ident, $with:expr) => {
        Setting {
            key: $key,
            read: |config, value| {
                let with: fn(Duration, &RangeInclusive<Duration>) -> RangeInclusive<Duration> =
                    $with;
                let range = &mut config.consumer_groups.$field;
                *range = with(Duration::from_millis(number(value)?), range);
                Ok(())
            },
            show: |config| Some(config.consumer_groups.$field.$end().as_millis().to_string()),
        }
    };
}

macro_rules! number {
    ($key:literal, $($field:ident).+) => {
        Setting {
            key: $key,
            read: |config, value| {
                config.$($field).+ = number(value)?;
                Ok(())
            },
            show: |config| Some(config.$($field).+.to_string()),
        }
    };
}

/// Settings that are fields of [`NodeConfig`], in the order of their names. Those that a topic
/// inherits are in `topic_defaults`, those of the shell in `shell`.
pub(crate) static SETTINGS: &[Setting] = &[
    Setting {
        key: "auto.create.topics.enable",
        read: |config, value| {
            config.auto_create_topics = value.eq_ignore_ascii_case("true");
            Ok(())
        },
        show: |config| Some(config.auto_create_topics.to_string()),
    },
    Setting {
        key: "broker.rack",
        read: |config, value| {
            config.rack = (!value.is_empty()).then(|| value.to_owned());
            Ok(())
        },
        show: |config| config.rack.clone(),
    },
    Setting {
        key: "cluster.id",
        read: |config, value| {
            config.cluster_id = (!value.is_empty()).then(|| value.to_owned());
            Ok(())
        },
        show: |config| config.cluster_id.clone(),
    },
    number!("fetch.max.bytes", limits.fetch_bytes_max),
    Setting {
        key: "flush",
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
    duration!("group.consumer.assignment.interval.ms", consumer_groups.assignment_interval),
    Setting {
        key: "group.consumer.assignors",
        read: |config, value| {
            let find = |name: &str| {
                let name = name.trim();
                ServerAssignor::find(name).ok_or_else(|| format!("`{name}` is no assignor"))
            };
            let assignors = value.split(',').map(find).collect::<Result<Vec<_>, _>>()?;
            config.consumer_groups.assignors = assignors;
            Ok(())
        },
        show: |config| {
            let assignors = config.consumer_groups.assignors.iter();
            let names: Vec<&str> = assignors.map(|assignor| assignor.name()).collect();
            Some(names.join(","))
        },
    },
    duration!("group.consumer.heartbeat.interval.ms", consumer_groups.heartbeat_interval),
    bound!(
        "group.consumer.max.assignment.interval.ms",
        assignment_interval_range,
        end,
        |value, range| *range.start()..=value
    ),
    bound!(
        "group.consumer.max.heartbeat.interval.ms",
        heartbeat_interval_range,
        end,
        |value, range| *range.start()..=value
    ),
    bound!("group.consumer.max.session.timeout.ms", session_timeout_range, end, |value, range| {
        *range.start()..=value
    }),
    number!("group.consumer.max.size", consumer_groups.group_size_max),
    Setting {
        key: "group.consumer.migration.policy",
        read: |config, value| {
            let named = |policy: &MigrationPolicy| policy.name() == value;
            let policy = MigrationPolicy::ALL.into_iter().find(named);
            let policy = policy.ok_or_else(|| format!("`{value}` is no policy"))?;
            config.consumer_groups.migration_policy = policy;
            Ok(())
        },
        show: |config| Some(config.consumer_groups.migration_policy.name().to_owned()),
    },
    bound!(
        "group.consumer.min.assignment.interval.ms",
        assignment_interval_range,
        start,
        |value, range| value..=*range.end()
    ),
    bound!(
        "group.consumer.min.heartbeat.interval.ms",
        heartbeat_interval_range,
        start,
        |value, range| value..=*range.end()
    ),
    bound!(
        "group.consumer.min.session.timeout.ms",
        session_timeout_range,
        start,
        |value, range| value..=*range.end()
    ),
    duration!("group.consumer.session.timeout.ms", consumer_groups.session_timeout),
    duration!("group.initial.rebalance.delay.ms", group_initial_rebalance_delay),
    duration!("group.max.session.timeout.ms", group_max_session_timeout),
    number!("group.max.size", group_size_max),
    duration!("group.min.session.timeout.ms", group_min_session_timeout),
    duration!("log.cleaner.backoff.ms", cleaner_backoff),
    number!("log.cleaner.dedupe.buffer.size", cleaner_dedupe_buffer_bytes),
    Setting {
        key: "log.dir",
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
    duration!("log.retention.check.interval.ms", housekeeping_interval),
    number!("max.incremental.fetch.session.cache.slots", limits.fetch_sessions_max),
    number!("metadata.log.max.record.bytes.between.snapshots", metadata_snapshot_bytes),
    Setting {
        key: "node.id",
        read: |config, value| {
            config.node_id = BrokerId(number(value)?);
            Ok(())
        },
        show: |config| Some(config.node_id.0.to_string()),
    },
    number!("num.partitions", num_partitions),
    number!("num.recovery.threads.per.data.dir", recovery_threads),
    number!("offset.metadata.max.bytes", offset_metadata_bytes_max),
    Setting {
        key: "offsets.retention.minutes",
        read: |config, value| {
            config.offsets_retention = Duration::from_secs(number::<u32>(value)?.into()) * 60;
            Ok(())
        },
        show: |config| Some((config.offsets_retention.as_secs() / 60).to_string()),
    },
    number!("offsets.topic.num.partitions", offsets_topic_partitions),
    duration!("producer.id.expiration.ms", producer_id_expiration),
    number!("queued.max.request.bytes", limits.frame_bytes_of_all_max),
    number!("socket.request.max.bytes", limits.frame_bytes_max),
    duration!("transaction.max.timeout.ms", transaction_max_timeout),
    number!("transaction.state.log.num.partitions", transaction_topic_partitions),
    duration!("transactional.id.expiration.ms", transactional_id_expiration),
];
