//! The aborted transactions of one segment: `.txnindex`.
//!
//! An entry is written when an abort marker is, into the index of the segment that holds the marker.
//! Layout of an entry, 34 bytes, numbers big-endian:
//! 1. version (0), 2 bytes
//! 2. producer id, 8
//! 3. first offset of the transaction, 8
//! 4. offset of the marker, 8
//! 5. last stable offset once the marker was written, 8
//!
//! Invariant: markers and last stable offsets grow from entry to entry; first offsets need not. The
//! file appears with the first entry. All entries are kept in memory: an abort is rare, and a fetch
//! must not read a file to learn that there was none. The file is not synced with the data; what a
//! crash takes from it is rebuilt, because the log holds the markers.

use crate::error::StorageError;
use crate::slice::AbortedTransaction;
use mainstem_platform::{Disk, File, OpenMode};
use mainstem_protocol::ids::{Offset, ProducerId};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

const ENTRY_BYTES: usize = 34;
const VERSION: i16 = 0;

/// One aborted transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: ProducerId,
    pub(crate) first_offset: Offset,
    /// Where the marker is.
    pub(crate) last_offset: Offset,
    pub(crate) last_stable_offset: Offset,
}

impl Aborted {
    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut entry = [0; ENTRY_BYTES];
        entry[..2].copy_from_slice(&VERSION.to_be_bytes());
        let numbers = [
            self.producer_id.0,
            self.first_offset.0,
            self.last_offset.0,
            self.last_stable_offset.0,
        ];
        for (place, number) in entry[2..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        entry
    }

    fn decode(entry: &[u8]) -> Option<Self> {
        if entry.len() != ENTRY_BYTES || entry[..2] != VERSION.to_be_bytes() {
            return None;
        }
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&entry[at..at + 8]);
            i64::from_be_bytes(bytes)
        };
        Some(Self {
            producer_id: ProducerId(number(2)),
            first_offset: Offset(number(10)),
            last_offset: Offset(number(18)),
            last_stable_offset: Offset(number(26)),
        })
    }
}

/// The index of one segment.
#[derive(Debug)]
pub(crate) struct TransactionIndex {
    path: PathBuf,
    file: Option<Arc<dyn File>>,
    entries: Vec<Aborted>,
}

impl TransactionIndex {
    /// Reads the file when there is one. `Ok((_, false))` says that it made no sense.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: PathBuf,
        base: Offset,
    ) -> Result<(Self, bool), StorageError> {
        let mut index = Self { path, file: None, entries: Vec::new() };
        let failed = || StorageError::disk("read", &index.path);
        let file = match disk.open(&index.path, OpenMode::Write) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((index, true)),
            Err(error) => return Err(failed()(error)),
        };
        let mut bytes = vec![0; file.len().map_err(failed())? as usize];
        file.read_exact_at(&mut bytes, 0).map_err(failed())?;
        index.file = Some(file);
        let mut sane = true;
        for entry in bytes.chunks(ENTRY_BYTES) {
            match Aborted::decode(entry) {
                Some(aborted) if base <= aborted.last_offset => index.entries.push(aborted),
                _ => sane = false,
            }
        }
        Ok((index, sane))
    }

    pub(crate) fn push(&mut self, disk: &dyn Disk, aborted: Aborted) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(disk.open(&self.path, OpenMode::OpenOrCreate)?),
        };
        file.write_at(&aborted.encode(), (self.entries.len() * ENTRY_BYTES) as u64)?;
        self.entries.push(aborted);
        Ok(())
    }

    /// The file was given another name. One that appears later gets it too.
    pub(crate) fn renamed(&mut self, path: PathBuf) {
        self.path = path;
    }

    /// Forgets all entries, for a rebuild.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.entries.clear();
        match &self.file {
            Some(file) => file.set_len(0),
            None => Ok(()),
        }
    }

    pub(crate) fn file(&self) -> Option<&Arc<dyn File>> {
        self.file.as_ref()
    }

    pub(crate) fn entries(&self) -> &[Aborted] {
        &self.entries
    }

    /// Adds what a reader of `from..to` must know. The answer says whether later segments have to be
    /// asked as well: their markers may end transactions that reach back into the range.
    pub(crate) fn collect(
        &self,
        from: Offset,
        to: Offset,
        found: &mut Vec<AbortedTransaction>,
    ) -> bool {
        for aborted in &self.entries {
            if from <= aborted.last_offset && aborted.first_offset < to {
                let Aborted { producer_id, first_offset, .. } = *aborted;
                found.push(AbortedTransaction { producer_id, first_offset });
            }
            // Nothing that ends later can have begun before this entry's stable offset.
            if to <= aborted.last_stable_offset {
                return false;
            }
        }
        true
    }
}
