//! The disk as machines see it.
//!
//! Words used:
//! - *written*: in the page cache; survives the death of the process, not of the computer.
//! - *synced*: survives both. A file's bytes are synced by [`File::sync_data`], its name by
//!   [`Disk::sync_dir`] on the directory that holds it. A rename is a change of names.
//!
//! Contract, checked by the conformance suite for every implementation:
//! - Writes are positional and complete: all bytes or an error; there is no cursor.
//! - Writing past the end fills the hole with zeros.
//! - A handle stays good after its file is renamed or removed.
//! - After a failed sync the bytes must be taken for lost; a second sync proves nothing (the kernel
//!   may have marked the pages clean), so callers stop using the directory and never retry.
//! - `rename` replaces its target in one step.
//!
//! Absent on purpose: append mode, cursors, locks, permissions, anything asynchronous. Shells move
//! slow calls (sync, cold reads, removal) to threads of their own.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

/// How [`Disk::open`] treats a file that is there, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; only reads are meant.
    Read,
    /// Must exist; reads and writes.
    Write,
    /// Reads and writes; created empty when missing.
    OpenOrCreate,
    /// Reads and writes; it is an error when it exists.
    CreateNew,
    /// Reads and writes; created when missing, emptied when not.
    CreateOrTruncate,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The last part of the path; names that are not UTF-8 are not listed, as we never make them.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes in the file; zero for a directory.
    pub len: u64,
}

/// A tree of files.
pub trait Disk: Send + Sync + Debug {
    /// Opens one file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes a directory and its missing parents; fine when it exists.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Gives a file or directory a new name, replacing a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all that is in it.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Whether the path names a file or directory.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Makes the names in `dir` durable (not the bytes of the files).
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// How large the volume is that holds `dir`, and what is left of it.
    fn space(&self, dir: &Path) -> io::Result<Space>;
}

/// The size of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes that this process may still write.
    pub usable_bytes: u64,
}

/// One open file. Shared by its owner and by those who still send from it.
pub trait File: Send + Sync + Debug {
    /// Writes all slices, one after the other, from `position` on.
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<()>;
    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Present length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts the file, or extends it with zeros (sparse where the file system can).
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes bytes and length durable. See the module's words about failure.
    fn sync_data(&self) -> io::Result<()>;
    /// A view of the first `len` bytes that sees later writes without a system call per read.
    /// The file must be at least that long for as long as the view lives.
    fn map(&self, len: u64) -> io::Result<Box<dyn Mapping>>;
    /// The descriptor for `sendfile`, when there is an operating system beneath.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Writes all of `bytes` at `position`.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.write_vectored_at(&[IoSlice::new(bytes)], position)
    }

    /// Fills `buffer` or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        if self.read_at(buffer, position)? < buffer.len() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "file ends early"));
        }
        Ok(())
    }

    /// Whether the file holds no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A file seen as memory, for indexes: many small reads, no system calls.
///
/// Reads only. Writes go through [`File::write_at`], so that a full disk is an error to handle and
/// not a signal that kills the process, as it would be when writing into a mapped hole.
pub trait Mapping: Send + Sync + Debug {
    /// Copies bytes out.
    ///
    /// # Panics
    /// When the range is not within the mapped length: callers keep their own bounds.
    fn read(&self, buffer: &mut [u8], position: usize);
}

/// Replaces a small file so that after a crash there is the old or the new content, never a mix:
/// written beside, synced, renamed, directory synced.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = Path::new(&beside);
    let file = disk.open(beside, OpenMode::CreateOrTruncate)?;
    file.write_at(bytes, 0)?;
    file.sync_data()?;
    disk.rename(beside, path)?;
    match path.parent() {
        Some(dir) => disk.sync_dir(dir),
        None => Ok(()),
    }
}
