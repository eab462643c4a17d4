//! The settings of a broker: one struct, made from Kafka's property names or in code.
//!
//! Invariants:
//! - All problems of a set of properties are reported at once, each with its key.
//! - Whatever DescribeConfigs says about a broker comes from the same table ([`SETTINGS`]) that
//!   reads the properties, so the two cannot drift apart.
//!
//! Absent on purpose: listeners, threads and HTTP ports (the shell's own settings) and topic
//! settings (the metadata crate's; here are only the broker-wide defaults for them).

mod settings;

pub use settings::{SETTINGS, Setting, SettingKind};

use crate::limits::Limits;
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
    /// `log.retention.check.interval.ms`: retention and compaction of a shard's partitions.
    pub housekeeping_interval: Duration,
    /// `group.initial.rebalance.delay.ms`.
    pub group_initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`.
    pub group_min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`.
    pub group_max_session_timeout: Duration,
    /// `group.max.size`: members of one group.
    pub group_size_max: usize,
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
            group_initial_rebalance_delay: Duration::from_secs(3),
            group_min_session_timeout: Duration::from_secs(6),
            group_max_session_timeout: Duration::from_secs(1_800),
            group_size_max: 10_000,
            offset_metadata_bytes_max: 4_096,
            offsets_retention: Duration::from_secs(7 * 24 * 3_600),
            transaction_max_timeout: Duration::from_secs(900),
            transactional_id_expiration: Duration::from_secs(7 * 24 * 3_600),
            topic_defaults: BTreeMap::new(),
            recovery_threads: 2,
            metadata_snapshot_bytes: 20 * 1024 * 1024,
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

    /// Reads Kafka's property names over the defaults. Keys that are not in [`SETTINGS`] are
    /// problems: the shell takes its own out first.
    pub fn from_properties(
        properties: &BTreeMap<String, String>,
    ) -> Result<NodeConfig, ConfigProblems> {
        let mut config = NodeConfig::default();
        let mut problems = Vec::new();
        for (key, value) in properties {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
                problems.push(ConfigProblem {
                    key: key.clone(),
                    problem: "no setting has this name".to_owned(),
                });
                continue;
            };
            if let Err(problem) = setting.apply(&mut config, value.trim()) {
                problems.push(ConfigProblem { key: key.clone(), problem });
            }
        }
        problems.extend(config.problems().0);
        if problems.is_empty() { Ok(config) } else { Err(ConfigProblems(problems)) }
    }

    /// What is wrong with settings made in code, and the relations between settings.
    pub fn problems(&self) -> ConfigProblems {
        let mut problems: Vec<ConfigProblem> = self
            .limits
            .problems()
            .into_iter()
            .map(|problem| ConfigProblem { key: "limits".to_owned(), problem: problem.to_owned() })
            .collect();
        if self.group_max_session_timeout < self.group_min_session_timeout {
            problems.push(ConfigProblem {
                key: "group.max.session.timeout.ms".to_owned(),
                problem: "is below group.min.session.timeout.ms".to_owned(),
            });
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
