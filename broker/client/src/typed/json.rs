//! JSON without a schema, through serde.
//!
//! The bytes are those that `serde_json` writes: no spaces, fields in the order of the type. Equal
//! values have equal bytes as long as no map in them has an order of its own choosing.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a value could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The type cannot be written as JSON. Change the type.
    #[error("write JSON: {0}")]
    Unwritable(String),
    /// The bytes are no JSON, or not that of the type. Skip the record or set it aside.
    #[error("read JSON: {0}")]
    Malformed(String),
}

/// The bytes of a value.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, JsonError> {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(Bytes::from(bytes)),
        Err(error) => Err(JsonError::Unwritable(error.to_string())),
    }
}

/// The value behind bytes. The depth of what they hold is limited by `serde_json`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    serde_json::from_slice(bytes).map_err(|error| JsonError::Malformed(error.to_string()))
}
