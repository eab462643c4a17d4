//! Settings of an application, with defaults, and the check that names every wrong one at once.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::StreamsError;
use crate::operator::BadRecords;
use crate::task::Idle;

/// How often a record's effects can be seen after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Once: outputs, state and offsets are committed in one transaction.
    ExactlyOnceV2,
    /// Once or more: cheaper, and visible before the commit.
    AtLeastOnce,
}

/// Settings of an application.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the group and prefix of internal topics.
    pub application_id: String,
    /// `host:port[,host:port...]`
    pub bootstrap: String,
    pub guarantee: Guarantee,
    /// Time between two commits. Under exactly once it is also how late results are seen.
    pub commit_interval: Duration,
    /// Workers of this instance; each has its own clients and transactions.
    pub threads: usize,
    /// Where state is kept; the application adds its own folder.
    pub state_dir: PathBuf,
    /// Base URL, for codecs with schemas.
    pub schema_registry: Option<String>,
    /// Of internal topics; -1 is the broker's default.
    pub replication_factor: i16,
    pub bad_records: BadRecords,
    pub idle: Idle,
    /// A member that is silent for so long is taken for dead, and its tasks move.
    pub session_timeout: Duration,
    /// An abandoned transaction is aborted after so long; until then its partitions wait.
    pub transaction_timeout: Duration,
    /// How long the start waits for source topics that do not exist yet.
    pub topic_wait: Duration,
    /// How long a worker begins anew after passing troubles before it gives up.
    pub recovery_timeout: Duration,
}

impl Config {
    pub fn new(application_id: &str, bootstrap: &str) -> Config {
        Config {
            application_id: application_id.to_owned(),
            bootstrap: bootstrap.to_owned(),
            guarantee: Guarantee::ExactlyOnceV2,
            commit_interval: Duration::from_millis(100),
            threads: 1,
            state_dir: std::env::temp_dir().join("mainstem-streams"),
            schema_registry: None,
            replication_factor: -1,
            bad_records: BadRecords::Fail,
            idle: Idle::CaughtUpAnd { wait_ms: 0 },
            session_timeout: Duration::from_secs(10),
            transaction_timeout: Duration::from_secs(10),
            topic_wait: Duration::from_secs(60),
            recovery_timeout: Duration::from_secs(300),
        }
    }

    #[must_use]
    pub fn guarantee(mut self, guarantee: Guarantee) -> Config {
        self.guarantee = guarantee;
        self
    }

    #[must_use]
    pub fn commit_interval(mut self, interval: Duration) -> Config {
        self.commit_interval = interval;
        self
    }

    #[must_use]
    pub fn threads(mut self, threads: usize) -> Config {
        self.threads = threads;
        self
    }

    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Config {
        self.state_dir = path.into();
        self
    }

    #[must_use]
    pub fn schema_registry(mut self, url: &str) -> Config {
        self.schema_registry = Some(url.to_owned());
        self
    }

    #[must_use]
    pub fn bad_records(mut self, bad_records: BadRecords) -> Config {
        self.bad_records = bad_records;
        self
    }

    #[must_use]
    pub fn idle(mut self, idle: Idle) -> Config {
        self.idle = idle;
        self
    }

    #[must_use]
    pub fn session_timeout(mut self, timeout: Duration) -> Config {
        self.session_timeout = timeout;
        self
    }

    #[must_use]
    pub fn topic_wait(mut self, wait: Duration) -> Config {
        self.topic_wait = wait;
        self
    }

    pub(super) fn check(&self) -> Result<(), StreamsError> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let id = &self.application_id;
        let rules = [
            (
                id.is_empty() || id.len() > 100 || !id.chars().all(is_name),
                "application_id: letters, digits, '.', '_' and '-', at most 100",
            ),
            (self.threads == 0 || self.threads > 256, "threads: between 1 and 256"),
            (self.commit_interval.is_zero(), "commit_interval: more than nothing"),
            (
                self.commit_interval >= self.transaction_timeout,
                "commit_interval: less than transaction_timeout",
            ),
        ];
        let broken: Vec<&str> =
            rules.iter().filter(|(is_broken, _)| *is_broken).map(|(_, rule)| *rule).collect();
        match broken.is_empty() {
            true => Ok(()),
            false => Err(StreamsError::Config(broken.join("; "))),
        }
    }
}
