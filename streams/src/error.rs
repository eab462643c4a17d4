//! The one error of the crate; each variant says what its receiver does next.

use crate::codec::CodecError;

/// What can go wrong while a topology is built or runs.
#[derive(Debug, thiserror::Error)]
pub enum StreamsError {
    /// The topology cannot run as written: mend the program. All problems are listed at once.
    #[error("the topology cannot be built: {}", .0.join("; "))]
    Topology(Vec<String>),
    /// A setting is wrong: mend it and start again.
    #[error("configuration: {0}")]
    Config(String),
    /// A record could not be decoded or encoded: mend the data or the codec, or choose to skip.
    #[error("{place}: {source}")]
    Codec { place: String, source: CodecError },
    /// The local state cannot be read or written: the instance must stop.
    #[error("state store {store}: {reason}")]
    State { store: String, reason: String },
    /// A broker or the registry refused or could not be reached within all retries.
    #[error("{context}: {reason}")]
    Client { context: String, reason: String },
    /// Another instance has taken over: the tasks are closed without a commit and joined anew.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The transaction must be aborted: tasks are closed without a commit and started anew.
    #[error("transaction to abort: {0}")]
    Abort(String),
}

impl StreamsError {
    pub(crate) fn state(store: &str, reason: impl std::fmt::Display) -> StreamsError {
        StreamsError::State { store: store.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn codec(place: impl Into<String>, source: CodecError) -> StreamsError {
        StreamsError::Codec { place: place.into(), source }
    }

    /// True where closing the tasks and joining the group anew mends the trouble.
    pub fn is_recoverable(&self) -> bool {
        matches!(self, StreamsError::Fenced(_) | StreamsError::Abort(_))
    }
}
