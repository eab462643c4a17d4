//! Why a server did not start, or does not run any more.

use std::net::SocketAddr;
use std::path::PathBuf;

use mainstem_node::{ConfigProblems, NodeError};

/// Every variant ends the server; none leaves something half done behind.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Mend the configuration; all that is wrong with it is listed.
    #[error("the configuration is wrong:\n{0}")]
    Config(#[from] ConfigProblems),
    /// Stop the other process, or use another directory.
    #[error("the data directory {0} is in use by another process")]
    DirectoryInUse(PathBuf),
    /// Name each directory once.
    #[error("log.dirs names one directory twice: {first} is {second}")]
    DirectoryTwice { first: PathBuf, second: PathBuf },
    /// Look after the file system.
    #[error("{action} {path}: {source}")]
    Directory { action: &'static str, path: PathBuf, source: std::io::Error },
    /// Free the port, or use another one.
    #[error("listen on {address} ({key}): {source}")]
    Listen { key: &'static str, address: SocketAddr, source: std::io::Error },
    /// What is on the disk could not be opened; nothing was deleted.
    #[error("open shard {shard}: {source}")]
    Open { shard: u16, source: NodeError },
    /// The operating system gave no thread or no runtime.
    #[error("start {what}: {source}")]
    Spawn { what: String, source: std::io::Error },
    /// The server gave up while it ran: start it again after looking at the reason. What was
    /// acknowledged is on the disk.
    #[error("the server has halted: {0}")]
    Halted(String),
}
