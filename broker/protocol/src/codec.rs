//! Reading and writing the primitives of the protocol, and the traits of everything made of them.
//!
//! Since the flexible versions of KIP-482 every length comes in two forms: as a fixed-size
//! integer (`flexible == false`) or as a varint of the length plus one, with 0 for null.
//! Flexible structs end in tagged fields, which a reader may skip without knowing them.

mod error;
mod reader;
mod segment;
mod writer;

pub use error::{Action, DecodeError, EncodeError};
pub use reader::{ALLOCATION_BUDGET, ELEMENTS_MAX, Reader, TAGGED_FIELDS_MAX};
pub use segment::{RecordsRef, Segment};
pub use writer::Writer;

use crate::ApiKey;
use std::fmt::Debug;

/// A struct of the wire: whole messages and the structs they are made of.
pub trait Message: Default + Clone + Debug + PartialEq {
    /// Reads the struct as it is laid out in `version`; absent fields keep their defaults.
    fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Writes the struct as it is laid out in `version`.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// The fewest bytes that a value takes on the wire.
    fn wire_size_min(version: i16) -> usize;
}

/// A request: it has a number, versions, and a response.
pub trait Request: Message {
    type Response: Message;
    const API_KEY: ApiKey;
    const MIN_VERSION: i16;
    const MAX_VERSION: i16;

    /// Whether the version has compact lengths and tagged fields.
    fn is_flexible(version: i16) -> bool;
}

/// A struct that is stored in a log or passed through as a blob; it is nobody's response.
pub trait Data: Message {
    const NAME: &'static str;
    /// The type number of a metadata record.
    const KEY: Option<i16>;
    const MIN_VERSION: i16;
    const MAX_VERSION: i16;

    /// Whether the version has compact lengths and tagged fields.
    fn is_flexible(version: i16) -> bool;
}

/// What generated code needs in sight.
pub(crate) mod generated {
    pub(crate) use super::{
        Data, DecodeError, EncodeError, Message, Reader, RecordsRef, Request, Writer,
    };
    pub(crate) use crate::{ApiKey, ErrorCode, TopicId};
    pub(crate) use bytes::Bytes;

    /// Refuses to decode a version that is not described.
    pub(crate) fn check_decode(
        message: &'static str,
        version: i16,
        min: i16,
        max: i16,
    ) -> Result<(), DecodeError> {
        if (min..=max).contains(&version) {
            Ok(())
        } else {
            Err(DecodeError::UnsupportedVersion { message, version })
        }
    }

    /// Refuses to encode a version that is not described.
    pub(crate) fn check_encode(
        message: &'static str,
        version: i16,
        min: i16,
        max: i16,
    ) -> Result<(), EncodeError> {
        if (min..=max).contains(&version) {
            Ok(())
        } else {
            Err(EncodeError::UnsupportedVersion { message, version })
        }
    }
}
