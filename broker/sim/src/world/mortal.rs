//! A disk whose process may die at any of its operations.
//!
//! The machines work upon this disk; beneath it is the simulated one, which outlives them. When the
//! operations that were granted are used up, the next one is the last: a write leaves a part of its
//! bytes, anything else does nothing, and from there on everything fails, as nothing that a dead
//! process would have done reaches the disk. The world looks after each call into a machine whether
//! its process has died, and then lets the broker fall. So a crash comes between any two operations
//! of a machine, in the middle of a roll, of a checkpoint, of a recovery, and not only between events.
//!
//! Reads are not counted: they change nothing, so a death at one of them is a death at the next
//! operation that is counted.

use mainstem_platform::simulated::SimulatedDisk;
use mainstem_platform::{Disk, Entry, File, Mapping, OpenMode, Space};
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What stands in for "for ever".
const NO_END: u64 = u64::MAX;

/// When the process dies.
#[derive(Debug)]
struct Fate {
    operations_left: AtomicU64,
    /// Of a thousand, how much of its bytes the last write leaves.
    last_write_permille: AtomicU64,
    dead: AtomicBool,
}

impl Fate {
    /// Counts one operation. `Ok(true)` is the last one of a life.
    fn count(&self) -> io::Result<bool> {
        if self.dead.load(Relaxed) {
            return Err(died());
        }
        match self.operations_left.load(Relaxed) {
            NO_END => Ok(false),
            0 => {
                self.dead.store(true, Relaxed);
                Ok(true)
            }
            left => {
                self.operations_left.store(left - 1, Relaxed);
                Ok(false)
            }
        }
    }

    fn live(&self) -> io::Result<()> {
        if self.dead.load(Relaxed) { Err(died()) } else { Ok(()) }
    }

    /// For operations that are done or not done.
    fn count_whole(&self) -> io::Result<()> {
        if self.count()? { Err(died()) } else { Ok(()) }
    }
}

fn died() -> io::Error {
    io::Error::other("the process has died")
}

/// The disk of one life of the broker.
#[derive(Debug, Clone)]
pub(crate) struct MortalDisk {
    inner: SimulatedDisk,
    fate: Arc<Fate>,
}

impl MortalDisk {
    /// For a process that lives on until it is told otherwise.
    pub(crate) fn new(inner: SimulatedDisk) -> Self {
        let fate = Fate {
            operations_left: AtomicU64::new(NO_END),
            last_write_permille: AtomicU64::new(0),
            dead: AtomicBool::new(false),
        };
        Self { inner, fate: Arc::new(fate) }
    }

    /// Lets `operations` more be done; the process dies at the next one.
    pub(crate) fn die_after(&self, operations: u64, last_write_permille: u64) {
        self.fate.operations_left.store(operations, Relaxed);
        self.fate.last_write_permille.store(last_write_permille, Relaxed);
    }

    /// Takes `die_after` back.
    pub(crate) fn live_on(&self) {
        self.fate.operations_left.store(NO_END, Relaxed);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.fate.dead.load(Relaxed)
    }
}

impl Disk for MortalDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        match mode {
            OpenMode::Read | OpenMode::Write => self.fate.live()?,
            _ => self.fate.count_whole()?,
        }
        let inner = self.inner.open(path, mode)?;
        Ok(Arc::new(MortalFile { inner, fate: self.fate.clone() }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.fate.live()?;
        self.inner.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.fate.count_whole()?;
        self.inner.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fate.count_whole()?;
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.fate.count_whole()?;
        self.inner.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.fate.count_whole()?;
        self.inner.remove_dir_all(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.fate.live()?;
        self.inner.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.fate.count_whole()?;
        self.inner.sync_dir(dir)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.fate.live()?;
        self.inner.space(dir)
    }
}

#[derive(Debug)]
struct MortalFile {
    inner: Arc<dyn File>,
    fate: Arc<Fate>,
}

impl File for MortalFile {
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        if !self.fate.count()? {
            return self.inner.write_vectored_at(slices, position);
        }
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let permille = self.fate.last_write_permille.load(Relaxed) as usize;
        bytes.truncate(bytes.len() * permille / 1000);
        if !bytes.is_empty() {
            self.inner.write_at(&bytes, position)?;
        }
        Err(died())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.fate.live()?;
        self.inner.read_at(buffer, position)
    }

    fn len(&self) -> io::Result<u64> {
        self.fate.live()?;
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fate.count_whole()?;
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fate.count_whole()?;
        self.inner.sync_data()
    }

    fn map(&self, len: u64) -> io::Result<Box<dyn Mapping>> {
        self.fate.live()?;
        self.inner.map(len)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
