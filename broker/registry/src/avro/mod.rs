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
//! Known differences from the Java library that Confluent's registry uses: a union's default may be
//! a value of any branch, as Avro 1.12 says; a type wrapped once more (`{"type": {"type": ...}}`)
//! is unwrapped; messages name the same kinds and paths in words of their own; floating point
//! defaults are written as Rust writes them, so that 1e2 becomes 100.0.
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
