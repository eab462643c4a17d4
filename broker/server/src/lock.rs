//! One process per log directory.
//!
//! The lock is the kernel's (`flock`) and goes with the process, however that ends. The file is
//! never removed: removing it would let two processes lock two files of the same name.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::ServerError;

/// Takes all log directories of a server, and sees that no two of them are one. One that does not
/// work is passed over, but for the first one: the broker decides what becomes of it.
pub(crate) fn acquire_all<'a>(
    directories: impl Iterator<Item = &'a Path>,
) -> Result<Vec<DirectoryLock>, ServerError> {
    let mut locks = Vec::new();
    let mut seen: Vec<(PathBuf, &Path)> = Vec::new();
    for directory in directories {
        let made = std::fs::create_dir_all(directory).and_then(|()| directory.canonicalize());
        let made = made.map_err(|source| {
            let path = directory.to_owned();
            ServerError::Directory { action: "make the log directory", path, source }
        });
        let true_path = match made {
            Ok(true_path) => true_path,
            Err(error) if seen.is_empty() => return Err(error),
            Err(error) => {
                tracing::error!(%error, "a log directory is not locked");
                continue;
            }
        };
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == true_path) {
            let (first, second) = ((*first).to_owned(), directory.to_owned());
            return Err(ServerError::DirectoryTwice { first, second });
        }
        match DirectoryLock::acquire(directory) {
            Ok(lock) => locks.push(lock),
            Err(error @ ServerError::Directory { .. }) if !seen.is_empty() => {
                tracing::error!(%error, "a log directory is not locked");
            }
            Err(error) => return Err(error),
        }
        seen.push((true_path, directory));
    }
    Ok(locks)
}

/// Holds the directory until it is dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes a directory that is there.
    pub(crate) fn acquire(directory: &Path) -> Result<Self, ServerError> {
        let failed = |action| {
            let path = directory.to_owned();
            move |source: std::io::Error| ServerError::Directory { action, path, source }
        };
        let path = directory.join(".lock");
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(failed("open the lock file of"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(ServerError::DirectoryInUse(directory.into())),
            Err(error) => Err(failed("lock")(error.into())),
        }
    }
}
