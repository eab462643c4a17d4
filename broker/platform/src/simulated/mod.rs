//! A disk in memory that behaves as badly as a real one may.
//!
//! What a crash does ([`SimulatedDisk::crash`], all choices from one seed):
//! - A file keeps its synced bytes. Of the writes since, per file: none, all, a prefix with the last
//!   write torn, or any subset of 512-byte sectors (a page cache writes back in any order).
//! - Names not made durable by `sync_dir` are lost from some point on: a journal keeps a prefix of
//!   the changes. A file whose name is lost is lost; a removed one may be back; a rename may not have
//!   happened.
//! - Handles and maps from before the crash are dead: every use is an error. A machine that survived
//!   its own crash by mistake cannot write into the new life.
//!
//! Faults on request: a full disk, a failing sync (the unsynced bytes are then dropped from what a
//! crash may keep, as with a kernel that marks pages clean), flipped bits; and a directory that
//! breaks or runs full alone, as if a disk of its own were mounted there.
//!
//! Not modelled: permissions, links, misdirected writes, slow disks.

mod file;
mod names;
#[cfg(test)]
mod tests;

use crate::disk::{Disk, Entry, File, OpenMode, Space};
use crate::random::SeededRandom;
use file::{Inode, SimulatedFile};
use names::{Names, Node};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The disk; a clone is another handle to the same one, as two processes see one disk.
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk {
    world: Arc<Mutex<World>>,
}

/// All that the handles share.
#[derive(Debug, Default)]
pub(crate) struct World {
    names: Names,
    /// Counts crashes; a handle of an earlier life is dead.
    pub(crate) life: u64,
    /// Bytes that writes may still take, when the disk has a size.
    pub(crate) room: Option<u64>,
    /// Syncs that will still work, when one is to fail.
    pub(crate) syncs_until_failure: Option<u64>,
    /// Syncs so far, for tests that count them.
    pub(crate) syncs: u64,
    /// Bytes that were read from files so far.
    pub(crate) bytes_read: u64,
    /// Directories that are disks of their own, and what is wrong with them.
    faults: BTreeMap<PathBuf, Fault>,
}

/// What is wrong with one directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every write, sync and change of names fails. What was read before can still be read.
    Broken,
    /// No file grows and none is made.
    Full,
}

impl World {
    fn fault_of(&self, path: &Path) -> Option<Fault> {
        let found = self.faults.iter().find(|(dir, _)| path.starts_with(dir));
        found.map(|(_, fault)| *fault)
    }

    /// Whether bytes and names of `path` can be changed; `grows` when the disk needs room for it.
    pub(crate) fn check_change(&self, path: &Path, grows: bool) -> io::Result<()> {
        match self.fault_of(path) {
            Some(Fault::Broken) => Err(io::Error::other("simulated disk failure")),
            Some(Fault::Full) if grows => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    /// Counts one sync, or fails it as ordered. After a failure every sync fails: the disk is gone.
    pub(crate) fn count_sync(&mut self) -> io::Result<()> {
        match &mut self.syncs_until_failure {
            Some(0) => return Err(io::Error::other("simulated sync failure")),
            Some(left) => *left -= 1,
            None => {}
        }
        self.syncs += 1;
        Ok(())
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in a test that held the lock says nothing about the data of the next look.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimulatedDisk {
    /// An empty disk without a size.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power: unsynced bytes and names are kept, torn or lost as `seed` decides, and all
    /// handles die.
    pub fn crash(&self, seed: u64) {
        let mut random = SeededRandom::new(seed);
        let mut world = lock(&self.world);
        world.life += 1;
        world.names.crash(&mut random);
        world.syncs_until_failure = None;
    }

    /// Kills the process only: everything written stays, handles die.
    pub fn kill_process(&self) {
        lock(&self.world).life += 1;
    }

    /// Lets writes take `bytes` more, then fail with `StorageFull`; `None` takes the limit away.
    pub fn set_room(&self, bytes: Option<u64>) {
        lock(&self.world).room = bytes;
    }

    /// Lets `count` more syncs work; the next one fails, and so do all after it until a crash.
    pub fn fail_sync_after(&self, count: u64) {
        lock(&self.world).syncs_until_failure = Some(count);
    }

    /// Takes back an order to fail syncs that has not been carried out: a process that starts on a
    /// disk after a fault finds a working one.
    pub fn mend_syncs(&self) {
        lock(&self.world).syncs_until_failure = None;
    }

    /// What `set_room` has left.
    pub fn room(&self) -> Option<u64> {
        lock(&self.world).room
    }

    /// Lets everything below `dir` fail from now on, through crashes too, until it is mended.
    pub fn set_fault(&self, dir: &Path, fault: Fault) {
        lock(&self.world).faults.insert(dir.to_owned(), fault);
    }

    /// Puts a working disk in the place of the faulty one, with what was on it.
    pub fn mend(&self, dir: &Path) {
        lock(&self.world).faults.remove(dir);
    }

    /// How many syncs have worked so far.
    pub fn syncs(&self) -> u64 {
        lock(&self.world).syncs
    }

    /// How many bytes have been read from files so far.
    pub fn bytes_read(&self) -> u64 {
        lock(&self.world).bytes_read
    }

    /// Flips bits of one stored byte, behind everyone's back and durably.
    pub fn flip(&self, path: &Path, position: u64, mask: u8) -> io::Result<()> {
        let inode = lock(&self.world).names.file(path)?;
        let mut inode = lock(&inode);
        inode.flip(usize::try_from(position).map_err(io::Error::other)?, mask)
    }

    /// Every file with its content as a process sees it now, for comparing two disks.
    pub fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = lock(&self.world).names.files();
        files.into_iter().map(|(path, inode)| (path, lock(&inode).bytes().to_vec())).collect()
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut world = lock(&self.world);
        let existing = world.names.get(path);
        let inode = match (existing, mode) {
            (Some(Node::Dir), _) => return Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), OpenMode::CreateNew) => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            (Some(Node::File(inode)), _) => inode,
            (None, OpenMode::Read | OpenMode::Write) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            (None, _) => {
                world.check_change(path, true)?;
                let inode = Arc::new(Mutex::new(Inode::default()));
                world.names.link(path, Node::File(inode.clone()))?;
                inode
            }
        };
        if mode == OpenMode::CreateOrTruncate {
            world.check_change(path, false)?;
            lock(&inode).set_len(0);
        }
        let path = path.to_owned();
        Ok(Arc::new(SimulatedFile { life: world.life, world: self.world.clone(), inode, path }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        lock(&self.world).names.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut world = lock(&self.world);
        if world.names.get(dir).is_none() {
            world.check_change(dir, true)?;
        }
        world.names.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = lock(&self.world);
        world.check_change(from, false)?;
        world.check_change(to, false)?;
        world.names.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut world = lock(&self.world);
        world.names.file(path)?;
        world.check_change(path, false)?;
        world.names.unlink(path);
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut world = lock(&self.world);
        world.check_change(dir, false)?;
        world.names.remove_dir_all(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(lock(&self.world).names.get(path).is_some())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = lock(&self.world);
        world.names.require_dir(dir)?;
        world.check_change(dir, false)?;
        world.count_sync()?;
        world.names.sync_dir(dir);
        Ok(())
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let world = lock(&self.world);
        world.names.require_dir(dir)?;
        let used: u64 =
            world.names.files().iter().map(|(_, inode)| lock(inode).bytes().len() as u64).sum();
        let usable_bytes = world.room.unwrap_or(u64::MAX - used);
        Ok(Space { total_bytes: used.saturating_add(usable_bytes), usable_bytes })
    }
}
