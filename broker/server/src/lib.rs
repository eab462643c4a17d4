//! The shell around a broker: everything that touches sockets, threads, clocks and signals.
//!
//! A broker is one [`mainstem_node::ShardNode`] per shard, each a pure machine. This crate gives
//! each shard an OS thread with an event loop of its own, carries out what the machines ask for,
//! and puts HTTP beside it. [`Server::start`] runs a broker with a [`ServerConfig`];
//! [`Embedded::start`] runs one inside a test:
//!
//! ```
//! # fn main() -> Result<(), mainstem_server::ServerError> {
//! let broker = mainstem_server::Embedded::start()?;
//! let stream = std::net::TcpStream::connect(broker.bootstrap()).expect("the broker listens");
//! # drop(stream);
//! // Give `broker.bootstrap()` to any Kafka client. The broker stops when it is dropped.
//! # Ok(())
//! # }
//! ```
//!
//! Threads of a server: one per shard (sockets and machine, no locks on the data path), one per
//! shard and log directory for syncs, one for deletions, one for copies, one for HTTP.
//!
//! Reading order: [`config`], `server`, `shard` (the loop), `connection` (one client),
//! `disk_pool`, `recovery`, `http`, `embedded`.
//!
//! Invariants:
//! * A client that is slow, silent or hostile costs its own connection only.
//! * Memory follows bytes that have arrived, never a length that was announced.
//! * A data directory belongs to one process at a time.
//!
//! Deliberately absent: decisions about Kafka (the node's) and about schemas (the registry's),
//! TLS and authentication.

mod acceptor;
pub mod config;
mod connection;
mod disk_pool;
mod embedded;
mod error;
mod http;
mod lock;
mod recovery;
mod server;
mod shard;
mod status;

pub use config::ServerConfig;
pub use embedded::{Embedded, EmbeddedOptions};
pub use error::ServerError;
pub use mainstem_node::{ConfigProblem, ConfigProblems, FlushPolicy, NodeConfig};
pub use server::{Server, StopHandle};
