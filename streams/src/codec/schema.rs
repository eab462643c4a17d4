//! What a codec with a schema asks of the shell, free of any input or output.
//!
//! The shell registers [`SchemaUse::definition`] under the subject of every topic where the codec
//! is used and answers with [`SchemaUse::registered`]. Before records reach a task it asks
//! [`SchemaUse::missing`] for each of them, fetches what is missing and hands it over by
//! [`SchemaUse::learn`]. So tasks never wait for a registry in the middle of a record.

use crate::codec::CodecError;

/// The registry's number of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u32);

/// A codec's need of a schema registry.
pub trait SchemaUse: Send + Sync {
    /// The schema that the codec writes with, as the registry wants it.
    fn definition(&self) -> String;

    /// The registry has given the codec's own schema this number.
    fn registered(&self, id: SchemaId);

    /// The schema that these bytes were written with, if it is not known yet.
    fn missing(&self, bytes: &[u8]) -> Option<SchemaId>;

    /// The registry's definition of schema `id`.
    fn learn(&self, id: SchemaId, definition: &str) -> Result<(), CodecError>;
}
