//! Kafka Connect with connectors as sandboxed WebAssembly components.
//!
//! Reading order: `config` (the worker's settings), `plugin` (components found, `compiled`,
//! described), `sandbox` (running them), `definition` (a connector's configuration), `convert`
//! (between plugins and topics), `worker` (the machine that decides what runs, and its shell),
//! `task` (the two loops), `rest` (the API).
//!
//! Words: a *connector* is a configuration with a name; a *task* is one running part of it; a
//! *plugin* is the component that it runs. The REST API and the layout of the three topics are
//! Kafka Connect's.
//!
//! Invariants:
//! - a plugin reaches nothing but what `connect/wit` offers and the operator grants;
//! - what a source delivers and how far it has read are committed in one transaction;
//! - only positions that a sink's target has made durable are committed, and a target's own
//!   positions come first;
//! - a record that cannot be handled fails its task or is counted: nothing is dropped in silence.
//!
//! Deliberately absent: more than one worker per group, transforms, dead letter queues, network
//! capabilities for plugins. Tasks, topics and API have the shape that these need.

mod compiled;
mod config;
mod convert;
mod definition;
mod error;
mod limits;
mod plugin;
mod rest;
mod sandbox;
mod task;
mod worker;

pub use config::ConnectConfig;
pub use error::{ConnectError, Result};
pub use worker::ConnectWorker;
