//! The operating system behind the doors.
//!
//! The only file in the machines' reach that calls the OS, and the only one with `unsafe` in it: one
//! memory map, read only. Everything here blocks; shells decide on which thread.
//!
//! A process that has no file descriptor left is told so as `StorageFull`: like a full disk it is a
//! reason to refuse what was asked, harms nothing that is there, and passes.

#![expect(unsafe_code, reason = "mapping a file is unsafe by nature; see the comment at the call")]

use crate::disk::{Disk, Entry, File, Mapping, OpenMode, Space};
use crate::time::{Clock, Instant, Now};
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// The computer's clocks. All values in one process lie on the same line.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsClock;

impl Clock for OsClock {
    fn now(&self) -> Now {
        static START: OnceLock<std::time::Instant> = OnceLock::new();
        let elapsed = START.get_or_init(std::time::Instant::now).elapsed();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            instant: Instant(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)),
            wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// A seed that differs from one call to the next, for the shells that start machines.
pub fn os_seed() -> u64 {
    // The standard library keys each hasher from the system's randomness.
    std::hash::RandomState::new().build_hasher().finish()
}

/// What one system call takes (IOV_MAX).
const SLICES_MAX: usize = 1024;

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read);
        match mode {
            OpenMode::Read | OpenMode::Write => {}
            OpenMode::OpenOrCreate => {
                options.create(true);
            }
            OpenMode::CreateNew => {
                options.create_new(true);
            }
            OpenMode::CreateOrTruncate => {
                options.create(true).truncate(true);
            }
        }
        Ok(Arc::new(OsFile { inner: options.open(path).map_err(no_room)? }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir).map_err(no_room)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let metadata = entry.metadata()?;
            let is_dir = metadata.is_dir();
            entries.push(Entry { name, is_dir, len: if is_dir { 0 } else { metadata.len() } });
        }
        entries.sort();
        Ok(entries)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::File::open(dir) {
            Ok(opened) => {
                spare::keep();
                opened.sync_all()
            }
            // A sync that fails is the end of the directory, so it must not fail for this.
            Err(error) if is_out_of_descriptors(&error) => {
                spare::lend(|| fs::File::open(dir)?.sync_all())
            }
            Err(error) => Err(error),
        }
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let volume = rustix::fs::statvfs(dir)?;
        Ok(Space {
            total_bytes: volume.f_blocks.saturating_mul(volume.f_frsize),
            usable_bytes: volume.f_bavail.saturating_mul(volume.f_frsize),
        })
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn no_room(error: io::Error) -> io::Error {
    if is_out_of_descriptors(&error) {
        let reason = "no file descriptor is left, see ulimit -n";
        return io::Error::new(io::ErrorKind::StorageFull, reason);
    }
    error
}

/// One descriptor of the process that is kept for syncs.
mod spare {
    use super::is_out_of_descriptors;
    use std::fs::File;
    use std::io;
    use std::sync::{Mutex, PoisonError};

    static SPARE: Mutex<Option<File>> = Mutex::new(None);
    /// Another thread may be quicker to take what is given up; it will not be so for long.
    const ATTEMPTS: u32 = 100_000;

    /// Takes the descriptor, unless it is there.
    pub(super) fn keep() {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_none() {
            *spare = File::open("/").ok();
        }
    }

    /// Gives it up for as long as something is done, and takes it again for the next time.
    pub(super) fn lend(act: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = ATTEMPTS;
        loop {
            *spare = None;
            match act() {
                Err(error) if is_out_of_descriptors(&error) && 0 < left => left -= 1,
                outcome => {
                    *spare = File::open("/").ok();
                    return outcome;
                }
            }
            std::thread::yield_now();
        }
    }
}

#[derive(Debug)]
struct OsFile {
    inner: fs::File,
}

impl File for OsFile {
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], mut position: u64) -> io::Result<()> {
        if let [single] = slices {
            return self.inner.write_all_at(single, position);
        }
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let first = &slices[..slices.len().min(SLICES_MAX)];
        let written = rustix::io::pwritev(&self.inner, first, position)?;
        if written == total {
            return Ok(());
        }
        // A short write is rare (a signal, a full disk, too many slices): finish slice by slice,
        // which either completes or tells the true error.
        let mut done = written;
        position += written as u64;
        for slice in slices {
            if done >= slice.len() {
                done -= slice.len();
                continue;
            }
            let rest = &slice[done..];
            self.inner.write_all_at(rest, position)?;
            position += rest.len() as u64;
            done = 0;
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.inner.read_at(&mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inner.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn map(&self, len: u64) -> io::Result<Box<dyn Mapping>> {
        if self.len()? < len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "map past the file's end"));
        }
        let len = usize::try_from(len).map_err(io::Error::other)?;
        if len == 0 {
            return Ok(Box::new(OsMapping { map: None }));
        }
        // SAFETY: the map is read only and never lent out: `read` copies under `&self`. Bytes that
        // are being read are not written at the same time, because the one owner of an index holds
        // map and file together and writes with `&mut self`. The file is not cut below the mapped
        // length while the map lives (the contract of `File::map`), so no read leaves the file.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(&self.inner)? };
        Ok(Box::new(OsMapping { map: Some(map) }))
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.inner.as_fd())
    }
}

/// `None` stands for a map of no bytes, which the OS refuses to make.
#[derive(Debug)]
struct OsMapping {
    map: Option<memmap2::Mmap>,
}

impl Mapping for OsMapping {
    fn read(&self, buffer: &mut [u8], position: usize) {
        let bytes: &[u8] = self.map.as_deref().unwrap_or_default();
        buffer.copy_from_slice(&bytes[position..position + buffer.len()]);
    }
}
