//! The connector SDK: all that the author of a connector sees.
//!
//! A connector is a type that implements [`Connector`] and either [`Source`] or [`Sink`], and one
//! line that exports it:
//!
//! ```ignore
//! mainstem_connect_sdk::export_source!(MySource);
//! ```
//!
//! Reading order: [`connector`] (the traits), [`config`] (describing and reading configuration),
//! [`batch`] (records going out and coming in), [`avro`] (typed values without a dependency),
//! [`files`] (the file capability), [`host`] (log, metrics, time), and `adapter` (how the traits
//! meet the generated bindings).
//!
//! Words: a *task* is one running instance of a connector; the *host* is the worker that runs it; a
//! *position* is how far one was read or written.
//!
//! Deliberately absent: producers, consumers, converters, retries and offsets commits are the
//! host's. A guest has one thread, and its calls come one after the other. A panic ends the task
//! with the panic's message in its status.

mod adapter;
pub mod avro;
pub mod batch;
pub mod bindings;
pub mod config;
pub mod connector;
pub mod files;
pub mod host;
pub mod state;

pub use adapter::{PluginAdapter, SinkAdapter, SourceAdapter};
pub use batch::{Batch, BatchBuilder, NewRecord, Partition, Record, Schema};
pub use config::{Config, Key, Kind, Manifest};
pub use connector::{
    Boundary, Connector, Encoding, Error, ErrorKind, ExactlyOnce, Failure, Issue, Limits, Mark,
    Polled, Position, Rejected, Sink, Source, TopicPartition,
};
