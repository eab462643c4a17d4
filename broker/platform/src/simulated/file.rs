//! A simulated file: the bytes a process sees, the bytes that would survive, and the way between.
//!
//! Invariant: `durable` with all of `pending` applied in order gives `seen`, unless a sync failed:
//! then the pending changes are forgotten while `seen` still shows them, which is what a page cache
//! does that marks pages clean after a failed write-back.

use super::{World, lock};
use crate::disk::{File, Mapping};
use crate::random::{Random, SeededRandom};
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Disks promise to write a sector whole or not at all.
const SECTOR_BYTES: usize = 512;

#[derive(Debug, Clone)]
enum Change {
    Write { position: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { position, bytes: new } => write_into(bytes, *position, new),
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

fn write_into(bytes: &mut Vec<u8>, position: usize, new: &[u8]) {
    let end = position + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[position..end].copy_from_slice(new);
}

#[derive(Debug, Default)]
pub(crate) struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

impl Inode {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.seen
    }

    pub(crate) fn set_len(&mut self, len: usize) {
        self.change(Change::SetLen(len));
    }

    pub(crate) fn flip(&mut self, position: usize, mask: u8) -> io::Result<()> {
        let byte = self.seen.get_mut(position).ok_or(io::ErrorKind::UnexpectedEof)?;
        *byte ^= mask;
        let flipped = *byte;
        self.sync();
        write_into(&mut self.durable, position, &[flipped]);
        Ok(())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }

    /// Decides what of the pending changes reached the platter.
    pub(crate) fn crash(&mut self, random: &mut SeededRandom) {
        let pending = std::mem::take(&mut self.pending);
        match random.below(4) {
            0 => {}
            1 => pending.iter().for_each(|change| change.apply(&mut self.durable)),
            2 => {
                let kept = random.below(pending.len() as u64 + 1) as usize;
                pending[..kept].iter().for_each(|change| change.apply(&mut self.durable));
                if let Some(Change::Write { position, bytes }) = pending.get(kept) {
                    let torn = random.below(bytes.len() as u64 + 1) as usize;
                    write_into(&mut self.durable, *position, &bytes[..torn]);
                }
            }
            _ => pending.iter().for_each(|change| self.keep_some_sectors(change, random)),
        }
        self.seen = self.durable.clone();
    }

    fn keep_some_sectors(&mut self, change: &Change, random: &mut SeededRandom) {
        match change {
            Change::SetLen(_) => {
                if random.one_in(2) {
                    change.apply(&mut self.durable);
                }
            }
            Change::Write { position, bytes } => {
                let mut from = 0;
                while from < bytes.len() {
                    // Pieces end where the disk's sectors end, wherever the write began.
                    let left_in_sector = SECTOR_BYTES - (position + from) % SECTOR_BYTES;
                    let to = bytes.len().min(from + left_in_sector);
                    if random.one_in(2) {
                        write_into(&mut self.durable, position + from, &bytes[from..to]);
                    }
                    from = to;
                }
            }
        }
    }
}

/// A handle, good for one life of the disk.
#[derive(Debug)]
pub(crate) struct SimulatedFile {
    pub(crate) life: u64,
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) inode: Arc<Mutex<Inode>>,
    /// Where it was opened: tells which disk it is on.
    pub(crate) path: PathBuf,
}

impl SimulatedFile {
    fn check_alive(&self, world: &World) -> io::Result<()> {
        if world.life != self.life {
            return Err(io::Error::other("handle of a process that has died"));
        }
        Ok(())
    }
}

impl File for SimulatedFile {
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()> {
        let mut world = lock(&self.world);
        self.check_alive(&world)?;
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let position = usize::try_from(position).map_err(io::Error::other)?;
        let mut inode = lock(&self.inode);
        world.check_change(&self.path, inode.seen.len() < position + bytes.len())?;
        let mut full = false;
        if let Some(room) = &mut world.room {
            let grows = (position + bytes.len()).saturating_sub(inode.seen.len());
            let fits = usize::try_from(*room).unwrap_or(usize::MAX);
            if grows > fits {
                // A full disk takes what still fits and then says so.
                full = true;
                bytes.truncate(bytes.len().saturating_sub(grows - fits));
            }
            *room -= grows.min(fits) as u64;
        }
        if !bytes.is_empty() {
            inode.change(Change::Write { position, bytes });
        }
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut world = lock(&self.world);
        self.check_alive(&world)?;
        let inode = lock(&self.inode);
        let from = usize::try_from(position).map_err(io::Error::other)?.min(inode.seen.len());
        let count = buffer.len().min(inode.seen.len() - from);
        world.bytes_read += count as u64;
        buffer[..count].copy_from_slice(&inode.seen[from..from + count]);
        Ok(count)
    }

    fn len(&self) -> io::Result<u64> {
        self.check_alive(&lock(&self.world))?;
        Ok(lock(&self.inode).seen.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let world = lock(&self.world);
        self.check_alive(&world)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut inode = lock(&self.inode);
        world.check_change(&self.path, inode.seen.len() < len)?;
        inode.set_len(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = lock(&self.world);
        self.check_alive(&world)?;
        let mut inode = lock(&self.inode);
        let checked = world.check_change(&self.path, false);
        if let Err(error) = checked.and_then(|()| world.count_sync()) {
            inode.pending.clear();
            return Err(error);
        }
        inode.sync();
        Ok(())
    }

    fn map(&self, len: u64) -> io::Result<Box<dyn Mapping>> {
        if self.len()? < len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "map past the file's end"));
        }
        let len = usize::try_from(len).map_err(io::Error::other)?;
        Ok(Box::new(SimulatedMapping { inode: self.inode.clone(), len }))
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

#[derive(Debug)]
struct SimulatedMapping {
    inode: Arc<Mutex<Inode>>,
    len: usize,
}

impl Mapping for SimulatedMapping {
    fn read(&self, buffer: &mut [u8], position: usize) {
        assert!(position + buffer.len() <= self.len, "read past the mapped length");
        let inode = lock(&self.inode);
        buffer.copy_from_slice(&inode.seen[position..position + buffer.len()]);
    }
}
