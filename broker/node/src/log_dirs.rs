//! The log directories of a broker, and which of them still work.
//!
//! Words: a directory is *online* until a write or a sync in it fails; then it is *offline* until
//! the broker starts again. The first one, [`LogDirIndex::FIRST`], holds the metadata log.
//!
//! Invariants:
//! - A directory never comes back online: after a failed sync nobody knows what is on the disk.
//! - Every shard has the list, and hears of failures in the other shards.
//!
//! Absent on purpose: which partition is where. See `placement`.

use crate::config::NodeConfig;
use std::path::{Path, PathBuf};

/// Position of a log directory in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogDirIndex(pub u16);

impl LogDirIndex {
    /// The directory of the metadata log.
    pub const FIRST: LogDirIndex = LogDirIndex(0);

    pub(crate) fn place(self) -> usize {
        usize::from(self.0)
    }
}

#[derive(Debug)]
struct LogDir {
    path: PathBuf,
    is_online: bool,
}

/// All log directories, in the order of the settings.
#[derive(Debug)]
pub(crate) struct LogDirs(Vec<LogDir>);

impl LogDirs {
    pub(crate) fn new(config: &NodeConfig) -> LogDirs {
        let online = |path: &Path| LogDir { path: path.to_owned(), is_online: true };
        LogDirs(config.log_dirs().map(online).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn indexes(&self) -> impl Iterator<Item = LogDirIndex> + use<> {
        (0..u16::try_from(self.0.len()).unwrap_or(u16::MAX)).map(LogDirIndex)
    }

    pub(crate) fn online(&self) -> impl Iterator<Item = LogDirIndex> + '_ {
        self.indexes().filter(|dir| self.is_online(*dir))
    }

    pub(crate) fn path(&self, dir: LogDirIndex) -> &Path {
        &self.0[dir.place()].path
    }

    /// The directory of this path, as the settings write it.
    pub(crate) fn find(&self, path: &str) -> Option<LogDirIndex> {
        self.indexes().find(|dir| self.path(*dir) == Path::new(path))
    }

    pub(crate) fn is_online(&self, dir: LogDirIndex) -> bool {
        self.0[dir.place()].is_online
    }

    /// Takes a directory offline; false when it was.
    pub(crate) fn fail(&mut self, dir: LogDirIndex) -> bool {
        std::mem::replace(&mut self.0[dir.place()].is_online, false)
    }
}
