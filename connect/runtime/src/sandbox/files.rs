//! The file capability: files below granted directories, nothing else.
//!
//! A path is resolved, links included, before it is compared with the grants, and the resolved path
//! is what gets opened. A path outside is `denied` whether or not it exists. Only regular files are
//! opened: a pipe or a device could hold the task for ever.
//!
//! What this does not defend against: another process of this machine that swaps a directory for a
//! link between the check and the opening. Whoever can write into a granted directory from outside
//! is trusted.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wasmtime::component::Resource;

use super::Tenant;
use super::bindings::capabilities::mainstem::connect::files::{
    Entry, FileError, Host, HostReader, HostWriter,
};
use crate::limits;

/// Directories of which a connector may open files.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    directories: Vec<PathBuf>,
}

/// An open file to read.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct ReadHandle {
    file: File,
}

/// An open file to append to; locked against a second writer as long as it is open.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings export it again")]
pub struct WriteHandle {
    file: File,
    size: u64,
}

impl Grants {
    /// Grants these directories. One that is not there yet is granted once it is.
    pub(crate) fn new(directories: &[PathBuf]) -> Grants {
        let resolve = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        Grants { directories: directories.iter().map(resolve).collect() }
    }

    /// The resolved path, if it lies below a grant. The last part need not exist.
    pub(crate) fn resolve(&self, path: &str) -> Result<PathBuf, FileError> {
        let path = Path::new(path);
        let resolved = if path.is_absolute() { resolve_existing_part(path) } else { None };
        match resolved {
            Some(resolved) if self.directories.iter().any(|root| resolved.starts_with(root)) => {
                Ok(resolved)
            }
            _ => Err(FileError::Denied(self.denied(&path.display().to_string()))),
        }
    }

    /// Why a path is denied, and what is granted.
    pub(crate) fn denied(&self, path: &str) -> String {
        if self.directories.is_empty() {
            return format!(
                "{path} is not granted: this worker grants no directory (connect.files.allow)"
            );
        }
        let granted: Vec<String> =
            self.directories.iter().map(|directory| directory.display().to_string()).collect();
        let granted = granted.join(", ");
        format!("{path} is not granted: this worker grants {granted} (connect.files.allow)")
    }
}

/// Resolves what exists of a path and appends the rest, which must be plain names.
fn resolve_existing_part(path: &Path) -> Option<PathBuf> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        match existing.canonicalize() {
            Ok(resolved) => {
                return Some(missing.iter().rev().fold(resolved, |path, name| path.join(name)));
            }
            // A link to nowhere exists, but where it leads is unknown.
            Err(_) if existing.is_symlink() => return None,
            Err(_) => {
                missing.push(existing.file_name()?);
                existing = existing.parent()?;
            }
        }
    }
}

fn refuse(path: &Path, error: &std::io::Error) -> FileError {
    let text = format!("{}: {error}", path.display());
    if error.kind() == ErrorKind::NotFound {
        FileError::NotFound(text)
    } else {
        FileError::Other(text)
    }
}

fn check_regular(path: &Path) -> Result<(), FileError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(FileError::Other(format!("{} is not a regular file", path.display()))),
        Err(error) => Err(refuse(path, &error)),
    }
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn other(error: &std::io::Error) -> FileError {
    FileError::Other(error.to_string())
}

impl Host for Tenant {
    fn entries(&mut self, directory: String) -> Result<Vec<Entry>, FileError> {
        let directory = self.grants.resolve(&directory)?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(&directory).map_err(|error| refuse(&directory, &error))? {
            let entry = entry.map_err(|error| other(&error))?;
            // A file that goes away while we look is not there.
            let Ok(metadata) = entry.metadata() else { continue };
            if limits::DIRECTORY_ENTRIES_MAX <= entries.len() {
                let text = format!("{} has too many entries", directory.display());
                return Err(FileError::Other(text));
            }
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                directory: metadata.is_dir(),
                size: metadata.len(),
                modified_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            });
        }
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    fn replace(&mut self, path: String, content: Vec<u8>) -> Result<(), FileError> {
        let path = self.grants.resolve(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let new = path.with_file_name(format!(".{name}.new"));
        let written = (|| {
            let mut file = File::create(&new)?;
            file.write_all(&content)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            sync_directory(&path)
        })();
        written.map_err(|error| refuse(&path, &error))
    }
}

impl HostReader for Tenant {
    fn open(&mut self, path: String) -> Result<Resource<ReadHandle>, FileError> {
        let path = self.grants.resolve(&path)?;
        check_regular(&path)?;
        let file = File::open(&path).map_err(|error| refuse(&path, &error))?;
        self.table.push(ReadHandle { file }).map_err(|error| FileError::Other(error.to_string()))
    }

    fn size(&mut self, reader: Resource<ReadHandle>) -> Result<u64, FileError> {
        let handle =
            self.table.get(&reader).map_err(|error| FileError::Other(error.to_string()))?;
        handle.file.metadata().map(|metadata| metadata.len()).map_err(|error| other(&error))
    }

    fn read(
        &mut self,
        reader: Resource<ReadHandle>,
        position: u64,
        max: u32,
    ) -> Result<Vec<u8>, FileError> {
        let handle =
            self.table.get(&reader).map_err(|error| FileError::Other(error.to_string()))?;
        let mut bytes = vec![0; max.min(limits::FILE_READ_BYTES_MAX) as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match handle.file.read_at(&mut bytes[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(other(&error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn drop(&mut self, reader: Resource<ReadHandle>) -> wasmtime::Result<()> {
        self.table.delete(reader)?;
        Ok(())
    }
}

impl HostWriter for Tenant {
    fn open(&mut self, path: String) -> Result<Resource<WriteHandle>, FileError> {
        let path = self.grants.resolve(&path)?;
        if path.exists() {
            check_regular(&path)?;
        }
        let opened = OpenOptions::new().append(true).create(true).mode(0o644).open(&path);
        let file = opened.map_err(|error| refuse(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("{} is open for writing elsewhere", path.display());
                return Err(FileError::Busy(text));
            }
            Err(TryLockError::Error(error)) => return Err(refuse(&path, &error)),
        }
        // A file that was just created must still be there after a crash, like its content.
        sync_directory(&path).map_err(|error| refuse(&path, &error))?;
        let size = file.metadata().map_err(|error| refuse(&path, &error))?.len();
        let handle = WriteHandle { file, size };
        self.table.push(handle).map_err(|error| FileError::Other(error.to_string()))
    }

    fn size(&mut self, writer: Resource<WriteHandle>) -> Result<u64, FileError> {
        let handle =
            self.table.get(&writer).map_err(|error| FileError::Other(error.to_string()))?;
        Ok(handle.size)
    }

    fn append(&mut self, writer: Resource<WriteHandle>, data: Vec<u8>) -> Result<(), FileError> {
        let handle =
            self.table.get_mut(&writer).map_err(|error| FileError::Other(error.to_string()))?;
        handle.file.write_all(&data).map_err(|error| other(&error))?;
        handle.size += data.len() as u64;
        Ok(())
    }

    fn truncate(&mut self, writer: Resource<WriteHandle>, size: u64) -> Result<(), FileError> {
        let handle =
            self.table.get_mut(&writer).map_err(|error| FileError::Other(error.to_string()))?;
        if handle.size < size {
            return Err(FileError::Other("truncate cannot make a file longer".to_string()));
        }
        handle.file.set_len(size).map_err(|error| other(&error))?;
        handle.size = size;
        Ok(())
    }

    fn sync(&mut self, writer: Resource<WriteHandle>) -> Result<(), FileError> {
        let handle =
            self.table.get(&writer).map_err(|error| FileError::Other(error.to_string()))?;
        handle.file.sync_data().map_err(|error| other(&error))
    }

    fn drop(&mut self, writer: Resource<WriteHandle>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}
