//! What can go wrong between structs and bytes, and what to do about it.

use crate::ErrorCode;

/// Why bytes could not be read. [`DecodeError::action`] says what a server does about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("{needed} more bytes are announced, {remaining} are there")]
    Truncated { needed: usize, remaining: usize },

    /// A length below what the protocol allows.
    #[error("a length of {length} makes no sense")]
    BadLength { length: i64 },

    /// A varint longer than its type.
    #[error("a varint does not end")]
    BadVarint,

    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    BadString,

    /// Null where the version does not allow it.
    #[error("a value is null that may not be")]
    UnexpectedNull,

    /// More elements than an honest peer sends; nothing was allocated for them.
    #[error("{count} elements are more than the {limit} allowed")]
    TooManyElements { count: usize, limit: usize },

    /// A tagged field is longer or shorter than it said.
    #[error("tagged field {tag} leaves {left} bytes of its length unread")]
    TagLength { tag: u32, left: usize },

    /// The message would take more memory than it was granted.
    #[error("the message needs more memory than its budget of {budget} bytes")]
    OverBudget { budget: usize },

    /// Bytes are left over after the message.
    #[error("{count} bytes are left over after the message")]
    TrailingBytes { count: usize },

    /// Nobody described this API.
    #[error("API key {api_key} is unknown")]
    UnknownApi { api_key: i16 },

    /// The API is known in other versions.
    #[error("version {version} of {message} is not supported")]
    UnsupportedVersion { message: &'static str, version: i16 },
}

/// What a server does with a request that it cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Drop the connection: what follows on it cannot be trusted to be a frame.
    Close,
    /// Send this code back, in the lowest version of the response.
    Answer(ErrorCode),
}

impl DecodeError {
    /// What to do. Only a client that asks for versions in too new a version is answered: it is
    /// how versions are negotiated. For everything else the connection is closed, as Kafka does.
    pub fn action(&self) -> Action {
        match self {
            DecodeError::UnsupportedVersion { message: "ApiVersions", .. } => {
                Action::Answer(ErrorCode::UNSUPPORTED_VERSION)
            }
            _ => Action::Close,
        }
    }
}

/// Why a struct could not be written: always a mistake of the caller, never of the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The field is set, would be lost, and is not ignorable: choose another version.
    #[error("{message} has no field {field} in version {version}")]
    NotInVersion { message: &'static str, field: &'static str, version: i16 },

    /// The field is null: fill it in, or choose another version.
    #[error("field {field} of {message} may not be null in version {version}")]
    UnexpectedNull { message: &'static str, field: &'static str, version: i16 },

    /// Longer than its length field can say.
    #[error("{length} is longer than the limit of {limit}")]
    TooLong { length: usize, limit: usize },

    /// Bytes of a file cannot be part of a contiguous message: use a frame of segments.
    #[error("a file range cannot be encoded into contiguous bytes")]
    ExternalSegment,

    /// Nobody described this version.
    #[error("version {version} of {message} is not supported")]
    UnsupportedVersion { message: &'static str, version: i16 },
}

impl EncodeError {
    /// Outlined, since generated code mentions it often.
    #[cold]
    pub(crate) fn not_in_version(
        message: &'static str,
        field: &'static str,
        version: i16,
    ) -> EncodeError {
        EncodeError::NotInVersion { message, field, version }
    }

    /// Outlined, since generated code mentions it often.
    #[cold]
    pub(crate) fn null(message: &'static str, field: &'static str, version: i16) -> EncodeError {
        EncodeError::UnexpectedNull { message, field, version }
    }
}
