//! Sparse indexes: from an offset to a place in the file, from a time to an offset.
//!
//! Layouts, numbers big-endian, no header; the segment's base offset is subtracted from offsets:
//! - `.index`: relative offset of a batch's last record, 4 bytes; byte position of the batch, 4.
//! - `.timeindex`: largest timestamp so far, 8; relative offset of the last record of the batch that
//!   has it, 4.
//!
//! Invariants:
//! - Entries grow strictly in offset (and position); times grow strictly too, but for the entry at a
//!   roll which may repeat nothing and is skipped when it would.
//! - No first entry for the first batch: a lookup before the first entry starts at the base.
//! - An index of the active segment is preallocated (sparse) to its largest size, mapped once, and cut
//!   to its true length at a roll and at a clean end. After an unclean end it is rebuilt, because its
//!   pages reach the disk in any order.
//!
//! Reads go through the map. Writes go through the file, so that a full disk is an error and not a
//! signal; a few entries share one write, and are read from memory until then.

use crate::error::StorageError;
use mainstem_platform::{Disk, File, Mapping, OpenMode};
use mainstem_protocol::ids::Offset;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Entries that share a write. Few, for every partition that is written to keeps them in memory.
const UNWRITTEN_MAX: usize = 32;

/// What both kinds share: a file of entries of `N` bytes.
#[derive(Debug)]
pub(crate) struct EntryFile<const N: usize> {
    file: Arc<dyn File>,
    map: Box<dyn Mapping>,
    capacity: usize,
    /// Of entries in the file.
    written: usize,
    /// Those that follow.
    unwritten: Vec<[u8; N]>,
}

impl<const N: usize> EntryFile<N> {
    fn open(disk: &dyn Disk, path: &Path) -> Result<Self, StorageError> {
        let failed = || StorageError::disk("open", path);
        let file = disk.open(path, OpenMode::OpenOrCreate).map_err(failed())?;
        let count = (file.len().map_err(failed())? as usize) / N;
        let map = file.map((count * N) as u64).map_err(failed())?;
        Ok(Self { file, map, capacity: count, written: count, unwritten: Vec::new() })
    }

    /// Makes room for more entries, up to `bytes` in all.
    fn grow(&mut self, bytes: u32) -> io::Result<()> {
        let capacity = (bytes as usize / N).max(self.count() + 2);
        self.remap(capacity)
    }

    /// Gives the room that no entry uses back.
    fn trim(&mut self) -> io::Result<()> {
        self.write()?;
        self.unwritten = Vec::new();
        if self.capacity == self.written { Ok(()) } else { self.remap(self.written) }
    }

    fn count(&self) -> usize {
        self.written + self.unwritten.len()
    }

    fn size_bytes(&self) -> u64 {
        (self.count() * N) as u64
    }

    fn clear(&mut self) {
        self.written = 0;
        self.unwritten.clear();
    }

    fn remap(&mut self, capacity: usize) -> io::Result<()> {
        let len = (capacity * N) as u64;
        if capacity < self.capacity {
            // The map must not outlive the bytes it shows.
            self.map = self.file.map(len)?;
        }
        self.file.set_len(len)?;
        self.map = self.file.map(len)?;
        self.capacity = capacity;
        Ok(())
    }

    fn push(&mut self, entry: [u8; N]) -> io::Result<()> {
        debug_assert!(self.count() < self.capacity, "a full index rolls its segment first");
        self.unwritten.push(entry);
        if self.unwritten.len() < UNWRITTEN_MAX { Ok(()) } else { self.write() }
    }

    /// Brings all entries into the file. Those that cannot be written are lost: an index is sparse, and
    /// lookups get longer.
    fn write(&mut self) -> io::Result<()> {
        let entries = self.unwritten.len();
        if entries == 0 {
            return Ok(());
        }
        let written = self.file.write_at(self.unwritten.as_flattened(), (self.written * N) as u64);
        self.unwritten.clear();
        written?;
        self.written += entries;
        Ok(())
    }

    fn get(&self, at: usize) -> [u8; N] {
        if let Some(after) = at.checked_sub(self.written) {
            return self.unwritten[after];
        }
        let mut entry = [0; N];
        self.map.read(&mut entry, at * N);
        entry
    }

    /// How many leading entries fulfil `holds`, which must not come back once it has ended.
    fn partition_point(&self, holds: impl Fn([u8; N]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if holds(self.get(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

fn four(bytes: &[u8]) -> i32 {
    i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The `.index` file.
#[derive(Debug)]
pub(crate) struct OffsetIndex {
    base: Offset,
    entries: EntryFile<8>,
}

impl OffsetIndex {
    pub(crate) fn open(disk: &dyn Disk, path: &Path, base: Offset) -> Result<Self, StorageError> {
        Ok(Self { base, entries: EntryFile::open(disk, path)? })
    }

    fn decode(&self, entry: [u8; 8]) -> (Offset, u32) {
        (self.base.plus(i64::from(four(&entry))), four(&entry[4..]) as u32)
    }

    /// The position where to begin looking for `offset`.
    pub(crate) fn position_before(&self, offset: Offset) -> u32 {
        let found = self.entries.partition_point(|entry| self.decode(entry).0 <= offset);
        if found == 0 { 0 } else { self.decode(self.entries.get(found - 1)).1 }
    }

    /// The last batch start that is indexed at or before `position`.
    pub(crate) fn batch_start_before(&self, position: u64) -> u32 {
        let found =
            self.entries.partition_point(|entry| u64::from(self.decode(entry).1) <= position);
        if found == 0 { 0 } else { self.decode(self.entries.get(found - 1)).1 }
    }

    /// `relative` must be above that of the last entry; see [`Segment`](crate::segment::Segment).
    pub(crate) fn push(&mut self, relative: i32, position: u32) -> io::Result<()> {
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(&relative.to_be_bytes());
        entry[4..].copy_from_slice(&position.to_be_bytes());
        self.entries.push(entry)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.count() >= self.entries.capacity
    }

    /// Whether the last entry can be true for a log file of `log_bytes`.
    pub(crate) fn is_sane(&self, log_bytes: u64) -> bool {
        let Some(last) = self.entries.count().checked_sub(1) else { return true };
        let (offset, position) = self.decode(self.entries.get(last));
        self.base < offset && 0 < position && u64::from(position) < log_bytes
    }
}

/// The `.timeindex` file.
#[derive(Debug)]
pub(crate) struct TimeIndex {
    base: Offset,
    entries: EntryFile<12>,
}

impl TimeIndex {
    pub(crate) fn open(disk: &dyn Disk, path: &Path, base: Offset) -> Result<Self, StorageError> {
        Ok(Self { base, entries: EntryFile::open(disk, path)? })
    }

    fn decode(&self, entry: [u8; 12]) -> (i64, Offset) {
        let mut time = [0; 8];
        time.copy_from_slice(&entry[..8]);
        (i64::from_be_bytes(time), self.base.plus(i64::from(four(&entry[8..]))))
    }

    /// The offset up to which all records are not younger than `timestamp`, as far as is indexed.
    pub(crate) fn offset_before(&self, timestamp_ms: i64) -> Offset {
        let found = self.entries.partition_point(|entry| self.decode(entry).0 <= timestamp_ms);
        if found == 0 { self.base } else { self.decode(self.entries.get(found - 1)).1 }
    }

    /// The largest time and the record that has it.
    pub(crate) fn last(&self) -> Option<(i64, Offset)> {
        let last = self.entries.count().checked_sub(1)?;
        Some(self.decode(self.entries.get(last)))
    }

    /// Adds an entry, unless it tells nothing new.
    pub(crate) fn push(&mut self, timestamp_ms: i64, offset: Offset) -> io::Result<()> {
        if timestamp_ms < 0 || self.last().is_some_and(|(last, _)| timestamp_ms <= last) {
            return Ok(());
        }
        let relative = (offset.0 - self.base.0) as i32;
        let mut entry = [0; 12];
        entry[..8].copy_from_slice(&timestamp_ms.to_be_bytes());
        entry[8..].copy_from_slice(&relative.to_be_bytes());
        self.entries.push(entry)
    }

    /// One place is kept for the entry that a roll adds.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.count() + 1 >= self.entries.capacity
    }

    /// Whether the last entry can be true.
    pub(crate) fn is_sane(&self) -> bool {
        self.last().is_none_or(|(time, offset)| 0 <= time && self.base <= offset)
    }
}

macro_rules! shared {
    ($index:ty) => {
        impl $index {
            /// Preallocates for an active segment.
            pub(crate) fn grow(&mut self, bytes: u32) -> io::Result<()> {
                self.entries.grow(bytes)
            }

            /// Bytes of the entries.
            pub(crate) fn size_bytes(&self) -> u64 {
                self.entries.size_bytes()
            }

            /// Cuts the file to its true length.
            pub(crate) fn trim(&mut self) -> io::Result<()> {
                self.entries.trim()
            }

            /// Forgets all entries, for a rebuild.
            pub(crate) fn clear(&mut self) {
                self.entries.clear();
            }

            pub(crate) fn file(&self) -> &Arc<dyn File> {
                &self.entries.file
            }
        }
    };
}

shared!(OffsetIndex);
shared!(TimeIndex);
