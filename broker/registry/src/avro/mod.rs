//! Avro schemas as the registry needs them: read, written back in one canonical way, compared.
//!
//! A schema becomes a flat list of nodes that point to each other by number, so that recursive
//! types need no reference counting and a comparison can remember which pairs it has seen.
//!
//! Invariants:
//! * A schema that was read has at most `SCHEMA_NODES_MAX` nodes, nests at most
//!   `SCHEMA_DEPTH_MAX` types, and every name in it is resolved.
//! * The canonical text read again gives the same canonical text.
//!
//! Deliberately absent: data. Nothing here encodes or decodes a record.
//!
//! Specification: Apache Avro 1.11, "Schema Declaration" and "Schema Resolution". Logical types
//! are kept as attributes and do not matter for compatibility, as in the Java implementation.

mod default;
mod fields;
mod names;
mod node;
mod parse;
mod read;

pub use node::{Avro, ParseError};
pub use read::Incompatibility;
