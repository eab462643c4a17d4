//! Walking over the batches of a file, head by head.
//!
//! The walk reads heads through a buffer that the caller lends, so a lookup needs no allocation. Whole
//! batches are read only by those who verify or look at records ([`read_batch`]).

use crate::header::{BatchHeader, HEADER_BYTES, NotABatch};
use mainstem_platform::File;
use std::io;

/// A lend-able buffer of this size fits a dozen small batches, or one index interval's heads.
pub(crate) const LOOKUP_BUFFER_BYTES: usize = 1024;

/// Why the walk cannot go on.
#[derive(Debug)]
pub(crate) enum ScanError {
    Disk(io::Error),
    /// What stands at `position` is not a whole batch.
    Bad {
        position: u64,
        reason: String,
    },
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// A place in a file of batches.
#[derive(Debug)]
pub(crate) struct HeaderScan<'a> {
    file: &'a dyn File,
    /// The next batch begins here.
    position: u64,
    /// Nothing at or after is read.
    end: u64,
    buffer: &'a mut [u8],
    /// The part of the file that is in the buffer.
    held_from: u64,
    held_len: usize,
}

impl<'a> HeaderScan<'a> {
    /// # Panics
    /// When the buffer cannot hold one head.
    pub(crate) fn new(file: &'a dyn File, from: u64, end: u64, buffer: &'a mut [u8]) -> Self {
        assert!(buffer.len() >= HEADER_BYTES, "the buffer holds at least one head");
        Self { file, position: from, end, buffer, held_from: 0, held_len: 0 }
    }

    /// The next batch with its position, or the end.
    pub(crate) fn step(&mut self) -> Result<Option<(u64, BatchHeader)>, ScanError> {
        let position = self.position;
        if position >= self.end {
            return Ok(None);
        }
        let bad = |reason: String| ScanError::Bad { position, reason };
        if self.end - position < HEADER_BYTES as u64 {
            return Err(bad("the file ends within a batch head".to_owned()));
        }
        self.hold(position)?;
        let at = (position - self.held_from) as usize;
        let header =
            BatchHeader::read(&self.buffer[at..self.held_len]).map_err(|not| match not {
                NotABatch::Short => bad("the file ends within a batch head".to_owned()),
                NotABatch::Length(length) => bad(format!("batch length {length}")),
                NotABatch::Magic(magic) => bad(format!("magic {magic}")),
                NotABatch::Number => bad("negative offset".to_owned()),
            })?;
        if self.end - position < header.size as u64 {
            return Err(bad(format!("the file ends within a batch of {} bytes", header.size)));
        }
        self.position = position + header.size as u64;
        Ok(Some((position, header)))
    }

    /// Sees to it that the head at `position` is in the buffer.
    fn hold(&mut self, position: u64) -> io::Result<()> {
        let held_end = self.held_from + self.held_len as u64;
        if self.held_from <= position && position + HEADER_BYTES as u64 <= held_end {
            return Ok(());
        }
        let wanted = (self.end - position).min(self.buffer.len() as u64) as usize;
        self.held_len = 0;
        let read = self.file.read_at(&mut self.buffer[..wanted], position)?;
        self.held_from = position;
        self.held_len = read;
        Ok(())
    }
}

/// Reads one whole batch into `buffer`, which is reused from call to call.
pub(crate) fn read_batch(
    file: &dyn File,
    position: u64,
    size: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    buffer.resize(size, 0);
    file.read_exact_at(buffer, position)
}
