//! Errors of the worker. Each says what the caller does next.

use std::fmt;

use mainstem_client::ClientError;

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A setting is wrong. Mend it and start again.
    #[error("invalid Connect configuration: {0}")]
    Config(String),
    /// The address of the REST API cannot be used.
    #[error("listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    /// The sandbox for plugins cannot be set up on this machine.
    #[error("set up the plugin sandbox: {0}")]
    Sandbox(String),
    /// The broker did not answer, or refused. Try again once it is up.
    #[error("{operation}: {source}")]
    Broker { operation: &'static str, source: ClientError },
}

pub type Result<T, E = ConnectError> = std::result::Result<T, E>;

/// Why a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskError {
    /// Would starting the task again help?
    pub passing: bool,
    /// What the status shows.
    pub trace: String,
}

impl TaskError {
    /// It may go better next time.
    pub(crate) fn passing(trace: impl Into<String>) -> TaskError {
        TaskError { passing: true, trace: trace.into() }
    }

    /// It would fail the same way again.
    pub(crate) fn lasting(trace: impl Into<String>) -> TaskError {
        TaskError { passing: false, trace: trace.into() }
    }

    /// The same error, saying what was being done.
    pub(crate) fn during(self, operation: &str) -> TaskError {
        TaskError { passing: self.passing, trace: format!("{operation}: {}", self.trace) }
    }

    pub(crate) fn from_client(operation: &str, error: &ClientError) -> TaskError {
        let passing = !matches!(
            error,
            ClientError::Config(_) | ClientError::Refused(_) | ClientError::Authentication(_)
        );
        TaskError { passing, trace: format!("{operation}: {error}") }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.trace)
    }
}

/// A REST error: HTTP status and sentence, as Kafka Connect answers them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub status: u16,
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }

    pub(crate) fn unknown_connector(name: &str) -> Refusal {
        Refusal::new(404, format!("Connector {name} not found"))
    }
}
