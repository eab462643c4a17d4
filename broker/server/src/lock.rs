//! One process per data directory.
//!
//! The lock is the kernel's (`flock`) and goes with the process, however that ends. The file is
//! never removed: removing it would let two processes lock two files of the same name.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::ServerError;

/// Holds the directory until it is dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory if it is not there and takes it.
    pub(crate) fn acquire(directory: &Path) -> Result<Self, ServerError> {
        let failed = |action| {
            let path = directory.to_owned();
            move |source: std::io::Error| ServerError::Directory { action, path, source }
        };
        std::fs::create_dir_all(directory).map_err(failed("create the data directory"))?;
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
