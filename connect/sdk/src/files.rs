//! Files below the granted directories, as `std::io` readers and a writer with the operations that
//! a sink needs.

use std::io;

use crate::bindings::mainstem::connect::files as wire;
use crate::connector::{Error, ErrorKind};

pub use wire::{Entry, FileError};

/// Bytes asked for at once: large enough that crossing the border costs nothing, small beside a
/// task's memory.
const READ_BYTES: u32 = 256 * 1024;

impl From<FileError> for Error {
    fn from(error: FileError) -> Error {
        match error {
            FileError::Denied(text) => Error::new(ErrorKind::Config, "file-denied", text),
            FileError::NotFound(text) => Error::new(ErrorKind::Config, "file-not-found", text),
            FileError::Busy(text) => Error::new(ErrorKind::Retriable, "file-busy", text),
            FileError::Other(text) => Error::new(ErrorKind::Retriable, "file", text),
        }
    }
}

fn to_io(error: FileError) -> io::Error {
    io::Error::other(Error::from(error).message)
}

/// Reads a file from a position on.
#[derive(Debug)]
pub struct Reader {
    file: wire::Reader,
    position: u64,
    chunk: Vec<u8>,
    consumed: usize,
}

impl Reader {
    /// Opens the file and starts at this byte.
    pub fn open(path: &str, position: u64) -> Result<Reader, Error> {
        let file = wire::Reader::open(path)?;
        Ok(Reader { file, position, chunk: Vec::new(), consumed: 0 })
    }

    /// Its size right now.
    pub fn size(&self) -> Result<u64, Error> {
        Ok(self.file.size()?)
    }
}

impl io::BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.consumed == self.chunk.len() {
            self.chunk = self.file.read(self.position, READ_BYTES).map_err(to_io)?;
            self.position += self.chunk.len() as u64;
            self.consumed = 0;
        }
        Ok(&self.chunk[self.consumed..])
    }

    fn consume(&mut self, amount: usize) {
        self.consumed = (self.consumed + amount).min(self.chunk.len());
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = io::BufRead::fill_buf(self)?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        io::BufRead::consume(self, length);
        Ok(length)
    }
}

/// Appends to a file that nobody else of this worker writes.
#[derive(Debug)]
pub struct Writer(wire::Writer);

impl Writer {
    /// Opens the file for appending, and creates it if it is not there.
    pub fn open(path: &str) -> Result<Writer, Error> {
        Ok(Writer(wire::Writer::open(path)?))
    }

    pub fn size(&self) -> Result<u64, Error> {
        Ok(self.0.size()?)
    }

    pub fn append(&self, data: &[u8]) -> Result<(), Error> {
        Ok(self.0.append(data)?)
    }

    /// Cuts the file to this many bytes.
    pub fn truncate(&self, size_bytes: u64) -> Result<(), Error> {
        Ok(self.0.truncate(size_bytes)?)
    }

    /// Returns when everything so far is on disk.
    pub fn sync(&self) -> Result<(), Error> {
        Ok(self.0.sync()?)
    }
}

/// The whole of a small file; `None` when it is not there.
pub fn read_small(path: &str, size_bytes_max: usize) -> Result<Option<Vec<u8>>, Error> {
    let file = match wire::Reader::open(path) {
        Ok(file) => file,
        Err(FileError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut content = Vec::new();
    loop {
        let chunk = file.read(content.len() as u64, READ_BYTES)?;
        if chunk.is_empty() {
            return Ok(Some(content));
        }
        content.extend_from_slice(&chunk);
        if content.len() > size_bytes_max {
            return Err(Error::data(format!("{path} is larger than {size_bytes_max} bytes")));
        }
    }
}

/// Replaces a small file as a whole; on disk when this returns.
pub fn replace(path: &str, content: &[u8]) -> Result<(), Error> {
    Ok(wire::replace(path, content)?)
}

/// The entries of a directory by name.
pub fn list(directory: &str) -> Result<Vec<Entry>, Error> {
    Ok(wire::entries(directory)?)
}
