//! Copying files of a partition from one log directory to another, away from the shard's thread.
//!
//! Invariants:
//! - A job copies only bytes that do not change any more while it runs: the shard names them.
//! - A job ends soon after nobody wants it any more: a stop does not wait for a large copy.
//! - When it has ended without an error, what it copied is durable, names and all.

use mainstem_platform::{Disk, OpenMode};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Weak;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A part of one file; the rest of it was copied before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) name: String,
    pub(crate) position: u64,
    pub(crate) len: u64,
}

/// Files to copy from folder to folder.
#[derive(Debug, Clone)]
pub struct CopyJob {
    pub(crate) from: PathBuf,
    /// Made when it is not there; its parent is a log directory.
    pub(crate) to: PathBuf,
    pub(crate) pieces: Vec<Piece>,
    /// Lives as long as the move that the copy is for.
    pub(crate) wanted: Weak<()>,
}

/// Why a copy came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFault {
    /// What is to be copied cannot be read, or is not wanted any more.
    Source,
    /// The disk that is copied to fails.
    Target,
    /// It works and is full.
    NoRoom,
}

/// A copy came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFailure {
    /// What is to blame.
    pub fault: CopyFault,
    /// What went wrong, with the path.
    pub reason: String,
}

impl CopyJob {
    /// Carries the job out; the caller hands the result back as `Event::Copied`. Blocks for as
    /// long as the disks need: this is for a thread of the shell's pool, or for a simulator.
    pub fn run(&self, disk: &dyn Disk) -> Result<(), CopyFailure> {
        disk.create_dir_all(&self.to).map_err(target_failed(&self.to))?;
        let mut buffer = vec![0_u8; CHUNK_BYTES];
        for piece in &self.pieces {
            self.copy(disk, piece, &mut buffer)?;
        }
        let parent = self.to.parent().into_iter();
        for dir in std::iter::once(self.to.as_path()).chain(parent) {
            disk.sync_dir(dir).map_err(target_failed(dir))?;
        }
        Ok(())
    }

    fn copy(&self, disk: &dyn Disk, piece: &Piece, buffer: &mut [u8]) -> Result<(), CopyFailure> {
        let (from, to) = (self.from.join(&piece.name), self.to.join(&piece.name));
        let source = disk.open(&from, OpenMode::Read).map_err(source_failed(&from))?;
        // What was copied before stays; a file that is copied whole is made anew.
        let mode = match piece.position {
            0 => OpenMode::CreateOrTruncate,
            _ => OpenMode::OpenOrCreate,
        };
        let target = disk.open(&to, mode).map_err(target_failed(&to))?;
        let end = piece.position + piece.len;
        let mut position = piece.position;
        while position < end {
            if self.wanted.strong_count() == 0 {
                let reason = "nobody wants it any more".to_owned();
                return Err(CopyFailure { fault: CopyFault::Source, reason });
            }
            let len = buffer.len().min(usize::try_from(end - position).unwrap_or(usize::MAX));
            let chunk = &mut buffer[..len];
            source.read_exact_at(chunk, position).map_err(source_failed(&from))?;
            target.write_at(chunk, position).map_err(target_failed(&to))?;
            position += len as u64;
        }
        target.sync_data().map_err(target_failed(&to))
    }
}

fn source_failed(path: &Path) -> impl FnOnce(io::Error) -> CopyFailure {
    move |error| CopyFailure { fault: CopyFault::Source, reason: reason(path, &error) }
}

fn target_failed(path: &Path) -> impl FnOnce(io::Error) -> CopyFailure {
    move |error| {
        let fault = match error.kind() {
            io::ErrorKind::StorageFull => CopyFault::NoRoom,
            _ => CopyFault::Target,
        };
        CopyFailure { fault, reason: reason(path, &error) }
    }
}

fn reason(path: &Path, error: &io::Error) -> String {
    format!("copy {}: {error}", path.display())
}
