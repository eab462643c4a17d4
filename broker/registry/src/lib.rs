//! The schema registry as a decide/apply machine over the compacted topic `_schemas`.
//!
//! Words: a **subject** is a name with numbered **versions**; a version points to a **schema**,
//! which has one **id** in the whole registry however many subjects use it. A schema is the same
//! as another when its canonical text and its references are the same.
//!
//! How a host drives it: [`Registry::decide`] reads only and answers with the records to append
//! and the reply to give; the host appends the records to `_schemas`, calls [`Registry::apply`]
//! for each of them (and for each record found at start), and holds the reply back until the end
//! of the log as it was at `decide` is durable. That also covers a reply without records: it
//! may speak of a record which is appended and not yet synced.
//!
//! Invariants:
//! * Ids only grow; the id of a deleted schema is never given to another.
//! * Versions of a subject only grow, also past deleted ones, until the subject is removed for
//!   good.
//! * `apply` is total: a record that it cannot read changes nothing and is reported.
//! * Every schema is data from a stranger: text, depth, names and comparison steps are bounded
//!   by [`limits`].
//!
//! Deliberately absent: HTTP (the server's), Protobuf and JSON Schema (refused with 42201),
//! contexts, rule sets and metadata, IMPORT mode.

mod avro;
mod command;
mod decide;
mod error;
mod level;
pub mod limits;
mod record;
mod state;

pub use avro::{Avro, Incompatibility, ParseError};
pub use command::{
    Command, Deleted, Reference, Reply, Response, SchemaId, SchemaText, SchemaVersion, Version,
    VersionSelector,
};
pub use decide::{Decision, TopicRecord};
pub use error::RegistryError;
pub use level::{CompatibilityLevel, Mode};
pub use record::MalformedRecord;
pub use state::Registry;

/// The topic that holds every record of the registry: one partition, compacted.
pub const SCHEMAS_TOPIC: &str = "_schemas";

#[cfg(test)]
mod tests;
