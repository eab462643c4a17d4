//! The traits of a connector and the small types that their methods speak in.
//!
//! A source's promise: an offset that it hands out with a batch is enough to go on behind that
//! batch, in a new process. A sink's promise: everything before a position that `flush` returns is
//! safe in the target.

use crate::batch::{Batch, BatchBuilder};
use crate::config::{Config, Manifest};

pub use crate::bindings::mainstem::connect::types::{Encoding, Error, ErrorKind, Failure};

impl Error {
    /// An error of this kind, with a short stable word and a sentence.
    pub fn new(kind: ErrorKind, code: &str, message: impl Into<String>) -> Error {
        Error {
            kind,
            code: code.to_string(),
            message: message.into(),
            retry_after_ms: None,
            ext: Vec::new(),
        }
    }

    /// The configuration cannot work.
    pub fn config(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Config, "config", message)
    }

    /// The data is wrong.
    pub fn data(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Data, "data", message)
    }
}

/// What both kinds of connectors say about themselves. No method may do I/O.
pub trait Connector {
    /// Name, version, and the configuration keys.
    fn describe() -> Manifest;

    /// Checks what the key descriptions cannot say. Missing keys and wrong kinds are the host's to
    /// report.
    fn validate(_config: &Config) -> Vec<Issue> {
        Vec::new()
    }

    /// What this configuration can promise.
    fn exactly_once(_config: &Config) -> ExactlyOnce {
        ExactlyOnce::Unsupported
    }

    /// What this configuration will reach for, as `file:/path`.
    fn grants(_config: &Config) -> Vec<String> {
        Vec::new()
    }
}

/// Brings data in.
pub trait Source: Connector + Sized + 'static {
    /// Splits the work into at most `tasks_max` configurations.
    fn task_configs(config: &Config, _tasks_max: u32) -> Result<Vec<Config>, Error> {
        Ok(vec![config.clone()])
    }

    /// Starts behind the committed offsets, given as (partition, offset) in JSON.
    fn open(config: &Config, committed: &[(String, String)]) -> Result<Self, Error>;

    /// Writes the next records into `batch`; `None` when there is nothing right now.
    fn poll(&mut self, limits: Limits, batch: &mut BatchBuilder) -> Result<Option<Polled>, Error>;

    /// Everything up to this token is durable.
    fn committed(&mut self, _token: u64) -> Result<(), Error> {
        Ok(())
    }

    /// The task ends. Not called after a panic or an overrun.
    fn close(&mut self) {}
}

/// Takes data out.
pub trait Sink: Connector + Sized + 'static {
    /// Starts; the answer holds the positions that the target already has.
    fn open(config: &Config, assigned: &[TopicPartition]) -> Result<(Self, Vec<Position>), Error>;

    /// Takes records; returns those that it could not take.
    fn put(&mut self, batch: &Batch<'_>) -> Result<Vec<Failure>, Error>;

    /// Makes everything durable and says how far that reaches.
    fn flush(&mut self) -> Result<Vec<Position>, Error>;

    /// The assignment changed; the answer holds the target's positions of the new partitions.
    fn reassign(
        &mut self,
        revoked: &[TopicPartition],
        assigned: &[TopicPartition],
    ) -> Result<Vec<Position>, Error>;

    /// The task ends. Not called after a panic or an overrun.
    fn close(&mut self) {}
}

/// How much one poll may bring.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub records_max: u32,
    pub bytes_max: u32,
    pub wait_ms_max: u32,
}

/// What a poll brought besides the records.
#[derive(Debug, Clone, Default)]
pub struct Polled {
    pub marks: Vec<Mark>,
    pub rejected: Vec<Rejected>,
    pub token: u64,
    pub boundary: Boundary,
}

/// A position that is reached once the first `after` records of the batch are stored.
#[derive(Debug, Clone)]
pub struct Mark {
    pub after: u32,
    /// A JSON object.
    pub partition: String,
    /// A JSON object; `None` forgets the partition.
    pub offset: Option<String>,
}

/// Input that could not be made into a record.
#[derive(Debug, Clone)]
pub struct Rejected {
    pub position: String,
    pub code: String,
    pub message: String,
    pub content: Vec<u8>,
}

/// May the host commit after this batch?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Boundary {
    #[default]
    Auto,
    CommitAfter,
    Abort,
}

/// What a configuration promises. See the contract's `exactly-once`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExactlyOnce {
    Unsupported,
    Idempotent,
    TargetOffsets,
    Transactional,
}

/// What is wrong with one key.
#[derive(Debug, Clone)]
pub struct Issue {
    pub key: String,
    pub errors: Vec<String>,
}

impl Issue {
    /// One sentence about one key.
    pub fn new(key: &str, error: impl Into<String>) -> Issue {
        Issue { key: key.to_string(), errors: vec![error.into()] }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

/// `offset` is the next one to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}
