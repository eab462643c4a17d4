//! Why bytes are not a batch of records, and which code says so to a client.

use crate::ErrorCode;
use crate::compression::CompressionError;

/// Why a batch was refused. [`BatchError::error_code`] is what its sender is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The batch ends beyond the bytes. At the end of a log or of a fetched stretch that is
    /// normal: leave it. In a request it is an error.
    #[error("a batch of {needed} bytes is cut off after {present}")]
    Truncated { needed: usize, present: usize },

    /// The length cannot be that of a batch.
    #[error("a batch length of {length} makes no sense")]
    BadLength { length: i32 },

    /// A format that is not spoken here.
    #[error("record format v{magic} is not supported")]
    UnsupportedMagic { magic: i8 },

    /// The bytes are not those that were written.
    #[error("the checksum is {found:08x}, the bytes yield {computed:08x}")]
    BadChecksum { found: u32, computed: u32 },

    /// The fields contradict each other or the protocol.
    #[error("{0}")]
    Invalid(&'static str),

    /// A record is not laid out as one.
    #[error("record {index} is malformed: {reason}")]
    BadRecord { index: i32, reason: &'static str },

    /// The records cannot be unpacked, or are too large for it.
    #[error(transparent)]
    Compression(#[from] CompressionError),
}

impl BatchError {
    /// The code that Kafka answers with.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            BatchError::Truncated { .. }
            | BatchError::BadLength { .. }
            | BatchError::BadChecksum { .. } => ErrorCode::CORRUPT_MESSAGE,
            BatchError::UnsupportedMagic { .. } => ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
            BatchError::Invalid(_) | BatchError::BadRecord { .. } | BatchError::Compression(_) => {
                ErrorCode::INVALID_RECORD
            }
        }
    }
}
