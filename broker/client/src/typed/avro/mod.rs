//! Avro values in records, with the schema named by its id in a registry.
//!
//! The bytes of a key or value are
//! 1. magic (1): 0
//! 2. schema id (4), big-endian
//! 3. the value, in the binary encoding of Avro
//!
//! The schema of the id is the writer's. A reader has a schema of its own and the value is
//! resolved from the one to the other, so that both sides can change apart.
//!
//! - `AvroSchema` is a parsed schema. `AvroCodec` writes and reads values of one type and asks
//!   nobody for anything; `AvroDecoder` reads whatever comes, and asks a registry.
//! - `shape` goes over bytes before they are decoded: nothing may be cut off, left over, nested
//!   too deep or announced in numbers that the bytes cannot hold.
//!
//! Deliberately absent: renaming by aliases, which the Avro library does not resolve; Avro object
//! files; Avro's single-object encoding.

mod codec;
mod decoder;
mod schema;
mod shape;
mod to_json;

pub use apache_avro::types::Value;
pub use codec::AvroCodec;
pub use decoder::AvroDecoder;
pub use schema::AvroSchema;
pub use to_json::to_json;

use super::registry::{RegistryError, SchemaId};

const MAGIC: u8 = 0;
const HEADER_SIZE: usize = 5;

/// Why a value could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AvroError {
    /// The text is no Avro schema. Mend it.
    #[error("parse an Avro schema: {0}")]
    BadSchema(String),
    /// The value does not fit the schema. Change one of them.
    #[error("write Avro: {0}")]
    Unwritable(String),
    /// The bytes were not written with the schema that they name, or with none. Skip the record
    /// or set it aside.
    #[error("read Avro: {0}")]
    Malformed(String),
    /// The codec's own schema has no id yet: register it.
    #[error("the schema is not registered yet")]
    NotRegistered,
    /// The writer's schema is not known yet: fetch it from the registry and try again.
    #[error("schema {0} is not known")]
    UnknownSchema(SchemaId),
    /// The registry did not give the schema.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// The schema id and the Avro bytes of a framed value.
pub fn split(bytes: &[u8]) -> Result<(SchemaId, &[u8]), AvroError> {
    match bytes {
        [MAGIC, a, b, c, d, value @ ..] => {
            Ok((SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), value))
        }
        _ => Err(AvroError::Malformed("the bytes name no schema".to_string())),
    }
}

/// Begins a framed value.
fn framed(id: SchemaId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_SIZE + 64);
    bytes.push(MAGIC);
    bytes.extend_from_slice(&id.0.to_be_bytes());
    bytes
}
