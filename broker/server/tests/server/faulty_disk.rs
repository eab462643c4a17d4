//! The real disk, parts of which stop to sync when they are told to.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mainstem_platform::os::OsDisk;
use mainstem_platform::{Disk, Entry, File, Mapping, OpenMode, Space};

/// Directories below which every sync fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<Vec<PathBuf>>>);

impl FaultyDisk {
    pub(crate) fn fail_syncs_below(&self, dir: &Path) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(dir.to_owned());
    }

    fn check(&self, path: &Path) -> io::Result<()> {
        let broken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match broken.iter().any(|dir| path.starts_with(dir)) {
            true => Err(io::Error::other("this disk is broken")),
            false => Ok(()),
        }
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = OsDisk.open(path, mode)?;
        Ok(Arc::new(FaultyFile { file, path: path.to_owned(), disk: self.clone() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        OsDisk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        OsDisk.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        OsDisk.remove_dir_all(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        OsDisk.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(dir)?;
        OsDisk.sync_dir(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        OsDisk.space(dir)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn File>,
    path: PathBuf,
    disk: FaultyDisk,
}

impl File for FaultyFile {
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        self.file.write_vectored_at(slices, position)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.check(&self.path)?;
        self.file.sync_data()
    }

    fn map(&self, len: u64) -> io::Result<Box<dyn Mapping>> {
        self.file.map(len)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }
}
