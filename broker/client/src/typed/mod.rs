//! Typed records: what stands in the bytes of keys and values.
//!
//! The producer and the consumer carry bytes. The rooms here turn values into such bytes and back:
//! `avro` with the schemas of a registry (feature `avro`), `json` without any (feature `json`).
//! `registry` is the client of the schema registry, over the REST API of Confluent's.
//!
//! Codecs decide and do no input or output; whoever owns a runtime asks the registry for them.
//!
//! Deliberately absent: protobuf and JSON Schema, whose texts the registry client carries but
//! nobody here reads.

#[cfg(feature = "avro")]
pub mod avro;
#[cfg(feature = "json")]
pub mod json;
#[cfg(feature = "avro")]
pub mod registry;

#[cfg(test)]
#[cfg(all(feature = "avro", feature = "json"))]
mod tests;
