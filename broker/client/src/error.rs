//! One error type. Each variant says what the caller does next.

use std::fmt;

use mainstem_protocol::ErrorCode;

pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// Why an operation did not succeed, sorted by what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It did not happen, or may not have happened, for a passing reason. Call again.
    #[error("{0}")]
    Retriable(Cause),
    /// The transaction cannot commit. Call `abort_transaction`, then begin again.
    #[error("transaction must be aborted: {0}")]
    Abortable(Cause),
    /// Another instance with the same transactional id has taken over. Close this client.
    #[error("fenced by a newer instance: {0}")]
    Fenced(Cause),
    /// The group went on without this member, or is being rebalanced. Poll, then decide anew;
    /// the offsets were not committed.
    #[error("group moved on: {0}")]
    Rejoin(Cause),
    /// A configuration or an argument is wrong. All problems are listed. Mend and start again.
    #[error("invalid configuration or argument: {0}")]
    Config(String),
    /// What was asked can never be accepted as it is (record too large, unknown topic, not
    /// allowed). The client itself stays usable.
    #[error("refused: {0}")]
    Refused(Cause),
    /// The client cannot go on. Close it; a new one may succeed.
    #[error("client failed: {0}")]
    Fatal(Cause),
    /// A broker refused the client's credentials or certificate, or the client a broker's
    /// certificate. Nothing is tried again: mend the security settings, close this client and
    /// begin anew.
    #[error("authentication failed: {0}")]
    Authentication(Cause),
    /// The client was closed.
    #[error("client is closed")]
    Closed,
}

/// The reason, with the broker's error code when there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Kafka's error code; 0 when the reason is not an answer of a broker.
    pub code: i16,
    pub text: String,
}

impl Cause {
    /// A broker's answer to `operation`.
    pub(crate) fn of(operation: impl fmt::Display, code: ErrorCode) -> Self {
        let text = format!("{operation}: {} ({})", code.message(), code.name());
        Self { code: code.0, text }
    }

    /// A reason of our own.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { code: 0, text: text.into() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ClientError {
    /// Kafka's error code, when a broker gave one.
    pub fn code(&self) -> Option<i16> {
        match self {
            Self::Retriable(c)
            | Self::Abortable(c)
            | Self::Fenced(c)
            | Self::Rejoin(c)
            | Self::Refused(c)
            | Self::Fatal(c)
            | Self::Authentication(c) => Some(c.code).filter(|code| *code != 0),
            Self::Config(_) | Self::Closed => None,
        }
    }

    /// Whether the same call may succeed when made again.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Retriable(_) | Self::Rejoin(_))
    }
}
