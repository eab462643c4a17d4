//! The settings of a broker: one struct, made from Kafka's property names or in code.
//!
//! Invariants:
//! - All problems of a set of properties are reported at once, each with its key.
//! - What a setting may be comes from the metadata crate's table of configurations, here as in
//!   DescribeConfigs and AlterConfigs, so the three cannot drift apart.
//! - [`NodeConfig`] as it was at the start is kept: what is changed while the broker runs is laid
//!   over it anew with every change, so that a deleted change leaves no trace.
//!
//! Absent on purpose: listeners, threads and HTTP ports (the shell's own settings, which are only
//! kept here to be described) and topic settings (here are only the broker-wide defaults for them).

mod settings;

#[cfg(test)]
pub(crate) use settings::SETTINGS;
pub(crate) use settings::Setting;

use crate::limits::Limits;
use mainstem_coordinator::group::ConsumerGroupConfig;
use mainstem_metadata::config::{
    BrokerDefinition, ConfigError, broker_definition, definition, validate, validate_at_start,
};
use mainstem_protocol::BrokerId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// When acks=all is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushPolicy {
    /// After the batch is synced to disk; all batches of a moment share one sync.
    Commit,
    /// After the batch is in the page cache: survives the process, not the machine.
    Os,
}

/// Settings of one broker, shared by its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// `node.id`.
    pub node_id: BrokerId,
    /// Host that clients are told to connect to.
    pub advertised_host: String,
    /// Port that clients are told to connect to. The shell sets it after binding.
    pub advertised_port: u16,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// `log.dir`, or the first of `log.dirs`: identity, metadata log, and partitions.
    pub log_dir: PathBuf,
    /// The others of `log.dirs`: partitions only.
    pub further_log_dirs: Vec<PathBuf>,
    /// `cluster.id`: only for a new log directory; otherwise it must agree with the stored one.
    pub cluster_id: Option<String>,
    /// `flush`.
    pub flush: FlushPolicy,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `num.partitions`: of topics created without a count.
    pub num_partitions: i32,
    /// `offsets.topic.num.partitions`. The topic is made at the first use of a group.
    pub offsets_topic_partitions: i32,
    /// `transaction.state.log.num.partitions`. Made at the first transactional producer.
    pub transaction_topic_partitions: i32,
    /// `log.retention.check.interval.ms`: retention of a shard's partitions.
    pub housekeeping_interval: Duration,
    /// `log.cleaner.backoff.ms`: how often logs to be compacted are looked for.
    pub cleaner_backoff: Duration,
    /// `log.cleaner.dedupe.buffer.size`: memory for the keys of logs under compaction, shared out
    /// among the shards.
    pub cleaner_dedupe_buffer_bytes: usize,
    /// `producer.id.expiration.ms`: how long partitions remember an idle producer.
    pub producer_id_expiration: Duration,
    /// `group.initial.rebalance.delay.ms`.
    pub group_initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`.
    pub group_min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`.
    pub group_max_session_timeout: Duration,
    /// `group.max.size`: members of one group.
    pub group_size_max: usize,
    /// `group.consumer.*`.
    pub consumer_groups: ConsumerGroupConfig,
    /// `offset.metadata.max.bytes`.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`: how long an empty group keeps its offsets.
    pub offsets_retention: Duration,
    /// `transaction.max.timeout.ms`.
    pub transaction_max_timeout: Duration,
    /// `transactional.id.expiration.ms`.
    pub transactional_id_expiration: Duration,
    /// Defaults of topic settings by their topic name (`retention.ms`, `segment.bytes` ...).
    pub topic_defaults: BTreeMap<String, String>,
    /// `num.recovery.threads.per.data.dir`: how many logs of a directory are opened side by side.
    pub recovery_threads: u16,
    /// `metadata.log.max.record.bytes.between.snapshots`: how much of the metadata log is kept
    /// beside a snapshot before the next one is written.
    pub metadata_snapshot_bytes: u64,
    /// Settings of the shell by their property names, as they were given; only to be described.
    pub shell: BTreeMap<String, String>,
    /// What a shard refuses.
    pub limits: Limits,
}

impl Default for NodeConfig {
    fn default() -> Self {
        NodeConfig {
            node_id: BrokerId(1),
            advertised_host: "127.0.0.1".to_owned(),
            advertised_port: 9092,
            rack: None,
            log_dir: PathBuf::from("data"),
            further_log_dirs: Vec::new(),
            cluster_id: None,
            flush: FlushPolicy::Commit,
            auto_create_topics: true,
            num_partitions: 1,
            offsets_topic_partitions: 8,
            transaction_topic_partitions: 8,
            housekeeping_interval: Duration::from_secs(300),
            cleaner_backoff: Duration::from_secs(15),
            cleaner_dedupe_buffer_bytes: 128 << 20,
            producer_id_expiration: Duration::from_secs(24 * 3_600),
            group_initial_rebalance_delay: Duration::from_secs(3),
            group_min_session_timeout: Duration::from_secs(6),
            group_max_session_timeout: Duration::from_secs(1_800),
            group_size_max: 10_000,
            consumer_groups: ConsumerGroupConfig::default(),
            offset_metadata_bytes_max: 4_096,
            offsets_retention: Duration::from_secs(7 * 24 * 3_600),
            transaction_max_timeout: Duration::from_secs(900),
            transactional_id_expiration: Duration::from_secs(7 * 24 * 3_600),
            topic_defaults: BTreeMap::new(),
            recovery_threads: 2,
            metadata_snapshot_bytes: 20 * 1024 * 1024,
            shell: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}

/// One wrong property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Its key, as given.
    pub key: String,
    /// What is wrong with it, as a sentence without the key.
    pub problem: String,
}

/// Everything that is wrong with a set of properties.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigProblems(pub Vec<ConfigProblem>);

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> =
            self.0.iter().map(|problem| format!("{}: {}", problem.key, problem.problem)).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigProblems {}

impl NodeConfig {
    /// All log directories, that of the metadata log first.
    pub fn log_dirs(&self) -> impl Iterator<Item = &Path> {
        let first = std::iter::once(self.log_dir.as_path());
        first.chain(self.further_log_dirs.iter().map(PathBuf::as_path))
    }

    /// Reads Kafka's property names over the defaults. Keys that are not in the table are problems,
    /// and so are those of the shell: it takes its own out first.
    pub fn from_properties(
        properties: &BTreeMap<String, String>,
    ) -> Result<NodeConfig, ConfigProblems> {
        let mut config = NodeConfig::default();
        let mut problems = Vec::new();
        for (key, value) in properties {
            if let Err(problem) = config.read(key, value.trim()) {
                problems.push(ConfigProblem { key: key.clone(), problem });
            }
        }
        problems.extend(config.problems().0);
        if problems.is_empty() { Ok(config) } else { Err(ConfigProblems(problems)) }
    }

    fn read(&mut self, key: &str, value: &str) -> Result<(), String> {
        let unknown = || "no setting has this name".to_owned();
        validate_at_start(key, value).map_err(|error| match error {
            ConfigError::Unknown { .. } => unknown(),
            error => error.problem(),
        })?;
        if let Some(setting) = Setting::find(key) {
            return setting.apply(self, value);
        }
        let topic_key = broker_definition(key).ok_or_else(unknown)?.default_of;
        // What groups inherit has one value only; it was just found to be that.
        if let Some(topic_key) = topic_key.filter(|name| definition(name).is_some()) {
            self.topic_defaults.insert(topic_key.to_owned(), value.to_owned());
        } else if topic_key.is_none() {
            return Err(unknown());
        }
        Ok(())
    }

    /// This configuration with what was set while the broker ran; later layers over earlier ones.
    pub(crate) fn with_changes(&self, layers: [&BTreeMap<String, String>; 2]) -> NodeConfig {
        let mut config = self.clone();
        for (key, value) in layers.into_iter().flatten() {
            // It was checked before it was stored, perhaps by another release.
            if let Err(problem) = config.read(key, value) {
                tracing::warn!(key, value, problem, "ignore a stored broker setting");
            }
        }
        config
    }

    /// The value of a row of the table, if it is set and not the row's default.
    pub(crate) fn given(&self, row: &BrokerDefinition) -> Option<String> {
        let value = match (Setting::find(row.name), row.default_of) {
            (Some(setting), _) => setting.value(self),
            (None, Some(topic_key)) => self.topic_defaults.get(topic_key).cloned(),
            (None, None) => self.shell.get(row.name).cloned(),
        };
        value.filter(|value| Some(&**value) != row.default)
    }

    /// The settings of consumer groups, by name.
    pub(crate) fn group_settings(&self) -> BTreeMap<String, String> {
        let of_groups = Setting::all().filter(|setting| setting.key.starts_with("group.consumer."));
        let value = |setting: &Setting| Some((setting.key.to_owned(), setting.value(self)?));
        of_groups.filter_map(value).collect()
    }

    /// What is wrong with settings made in code, and the relations between settings.
    pub fn problems(&self) -> ConfigProblems {
        let mut problems: Vec<ConfigProblem> = self
            .limits
            .problems()
            .into_iter()
            .map(|problem| ConfigProblem { key: "limits".to_owned(), problem: problem.to_owned() })
            .collect();
        if let Err(errors) = validate(&self.topic_defaults) {
            problems.extend(errors.0.into_iter().map(topic_default_problem));
        }
        if self.group_max_session_timeout < self.group_min_session_timeout {
            problems.push(ConfigProblem {
                key: "group.max.session.timeout.ms".to_owned(),
                problem: "is below group.min.session.timeout.ms".to_owned(),
            });
        }
        if self.consumer_groups.session_timeout <= self.consumer_groups.heartbeat_interval {
            problems.push(ConfigProblem {
                key: "group.consumer.session.timeout.ms".to_owned(),
                problem: "is not above group.consumer.heartbeat.interval.ms".to_owned(),
            });
        }
        let own = &self.consumer_groups;
        for (name, value, range) in [
            ("session.timeout", own.session_timeout, &own.session_timeout_range),
            ("heartbeat.interval", own.heartbeat_interval, &own.heartbeat_interval_range),
            ("assignment.interval", own.assignment_interval, &own.assignment_interval_range),
        ] {
            if !range.contains(&value) {
                problems.push(ConfigProblem {
                    key: format!("group.consumer.{name}.ms"),
                    problem: format!(
                        "is not between group.consumer.min.{name}.ms and \
                         group.consumer.max.{name}.ms"
                    ),
                });
            }
        }
        if usize::from(u16::MAX) < self.further_log_dirs.len() {
            problems.push(ConfigProblem {
                key: "log.dirs".to_owned(),
                problem: "names too many directories".to_owned(),
            });
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.log_dirs().find(|dir| !seen.insert(dir.to_owned())) {
            problems.push(ConfigProblem {
                key: "log.dirs".to_owned(),
                problem: format!("names {} twice", twice.display()),
            });
        }
        if self.advertised_host.is_empty() {
            problems.push(ConfigProblem {
                key: "advertised.listeners".to_owned(),
                problem: "names no host".to_owned(),
            });
        }
        ConfigProblems(problems)
    }
}

/// A default of topics is wrong; it is named as in the broker's file where it can be.
fn topic_default_problem(error: ConfigError) -> ConfigProblem {
    let problem = error.problem();
    let key = match error {
        ConfigError::Invalid { name, .. } | ConfigError::Fixed { name, .. } => {
            definition(name).map_or(name, |row| row.broker_name).to_owned()
        }
        ConfigError::Unknown { name, .. } | ConfigError::Null(name) => name,
        ConfigError::ReadOnly(name) => name.to_owned(),
        ConfigError::Contradiction(_) => "log.cleaner.min.compaction.lag.ms".to_owned(),
    };
    ConfigProblem { key, problem }
}
