//! Compaction of one log as a task: of each key the last value stays (`cleanup.policy=compact`).
//!
//! The log plans a task and goes on serving; the task reads the segments it was given and writes their
//! successors, on a thread where nobody waits. It works in *steps* of bounded size, and between steps
//! it comes back to the log, which gives files other names (a moment's work) and may drop the task.
//!
//! Order of the work:
//! 1. *Map*: the keys of the stretch that was never compacted, each with its last offset (`keys`).
//!    When the map is full, the stretch ends there and the rest is for another task.
//! 2. *Clean*, group by group from the log's front: segments are written anew without the records that
//!    `filter` drops, and into one file as long as the next fits behind what was kept. The files have
//!    the suffix `.cleaned`, the base of the first, and are synced with their indexes.
//! 3. The log renames them to `.swap`, the log file last. The task syncs the directory: from here on a
//!    crash finishes the replacement (`log/leftovers`).
//! 4. The log renames the old files to `.deleted`, the new ones to their own names, and reads them from
//!    then on. Readers that hold the old files are not disturbed.
//!
//! What the task was given does not change: segments are closed, synced, below the last stable offset,
//! and retention leaves them alone as long as the task is there.
//!
//! Absent: a limit on the rate of I/O.

mod filter;
mod keys;
#[cfg(test)]
mod tests;
mod transactions;

pub(crate) use filter::LastOfProducer;

use crate::config::LogConfig;
use crate::error::StorageError;
use crate::header::BatchHeader;
use crate::names::{Kind, SegmentFile, Stage};
use crate::scan::{HeaderScan, ScanError, read_batch};
use crate::segment::Segment;
use crate::transaction_index::Aborted;
use filter::{Fate, Filter, map_batch};
use keys::KeyMap;
use mainstem_platform::{Disk, File};
use mainstem_protocol::ids::{Offset, ProducerId};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use transactions::Transactions;

/// Bytes of old segments that a step looks at. A step takes a fraction of a second, so a broker that
/// stops does not wait long for it.
const STEP_BYTES: u64 = 8 << 20;
/// What is kept is written in pieces of this size.
const WRITE_BYTES: usize = 1 << 20;
/// Heads are read through a buffer of this size.
const WALK_BUFFER_BYTES: usize = 64 << 10;

/// A segment to be compacted.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) base: Offset,
    /// Base of the next segment.
    pub(crate) end: Offset,
    pub(crate) file: Arc<dyn File>,
    pub(crate) size: u64,
    pub(crate) index_bytes: u64,
    pub(crate) modified_ms: i64,
}

/// What the log knows of the stretch and hands over.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) dir: PathBuf,
    pub(crate) config: LogConfig,
    pub(crate) now_ms: i64,
    /// From the log's front on, without gaps.
    pub(crate) sources: Vec<Source>,
    /// What lies before was compacted already.
    pub(crate) first_dirty: Offset,
    /// All aborted transactions that the log has an index entry of.
    pub(crate) aborted: Vec<Aborted>,
    pub(crate) producers: BTreeMap<ProducerId, LastOfProducer>,
    pub(crate) memory_bytes: usize,
    pub(crate) salt: u64,
}

/// Neighbours and what they become.
#[derive(Debug)]
pub(crate) struct Group {
    /// Places in the sources; the end moves on while there is room.
    from: usize,
    to: usize,
    /// Where in the sources the walk is.
    place: usize,
    position: u64,
    pub(crate) segment: Segment,
    /// Kept bytes that are not in the file yet.
    buffer: Vec<u8>,
}

/// Where the work stands. A group is boxed: it is handed from state to state.
#[derive(Debug)]
pub(crate) enum Work {
    Map {
        transactions: Transactions,
        place: usize,
        position: u64,
    },
    /// The next group is to begin.
    Next,
    Clean(Box<Group>),
    /// Written and synced: the log gives it the suffix `.swap`.
    Written(Box<Group>),
    /// The directory is to be synced.
    Named(Box<Group>),
    /// The log takes it over.
    Ready(Box<Group>),
    Finished,
}

/// See the module's words. Made by [`Log::begin_compaction`](crate::Log::begin_compaction); a dropped
/// task leaves files behind that the next task or start removes.
#[derive(Debug)]
pub struct CompactionTask {
    dir: PathBuf,
    config: LogConfig,
    sources: Vec<Source>,
    first_dirty: Offset,
    filter: Filter,
    /// The next source to be cleaned.
    next: usize,
    pub(crate) work: Work,
}

impl CompactionTask {
    pub(crate) fn new(plan: Plan) -> Self {
        let Plan { dir, config, now_ms, sources, first_dirty, aborted, .. } = plan;
        let mut keys = KeyMap::new(plan.memory_bytes, plan.salt);
        keys.cover(first_dirty.plus(-1));
        // What ended before the stretch says nothing about batches in it.
        let within = aborted.iter().filter(|a| first_dirty <= a.last_offset).copied().collect();
        let place = sources.partition_point(|source| source.end <= first_dirty);
        let work = Work::Map { transactions: Transactions::new(within), place, position: 0 };
        let filter = Filter {
            keys,
            transactions: Transactions::new(aborted),
            producers: plan.producers,
            now_ms,
            delete_retention_ms: config.delete_retention_ms,
            decompressed_bytes_max: config.decompressed_bytes_max,
        };
        Self { dir, config, sources, first_dirty, filter, next: 0, work }
    }

    /// Does a piece of the work. Blocks: this is for a thread of a pool, or for a simulator. After an
    /// error the task is to be given up.
    pub fn step(&mut self, disk: &dyn Disk) -> Result<(), StorageError> {
        self.work = match std::mem::replace(&mut self.work, Work::Finished) {
            Work::Map { transactions, place, position } => {
                self.map(transactions, place, position)?
            }
            Work::Next => self.begin_group(disk)?,
            Work::Clean(group) => self.clean(disk, group)?,
            Work::Named(group) => {
                disk.sync_dir(&self.dir).map_err(StorageError::disk("sync", &self.dir))?;
                Work::Ready(group)
            }
            // These wait for the log, not for the disk.
            work @ (Work::Written(_) | Work::Ready(_) | Work::Finished) => work,
        };
        Ok(())
    }

    /// From here on the log is not compacted when the task is finished.
    pub(crate) fn first_dirty_after(&self) -> Offset {
        self.filter.keys.covered().next()
    }

    /// The bases of the segments that a group replaces.
    pub(crate) fn replaced(&self, group: &Group) -> Vec<Offset> {
        self.sources[group.from..group.to].iter().map(|source| source.base).collect()
    }

    fn map(
        &mut self,
        mut transactions: Transactions,
        mut place: usize,
        mut position: u64,
    ) -> Result<Work, StorageError> {
        let mut left = STEP_BYTES;
        let mut batch = Vec::new();
        let mut buffer = vec![0; WALK_BUFFER_BYTES];
        while let Some(source) = self.sources.get(place) {
            let mut scan = HeaderScan::new(&*source.file, position, source.size, &mut buffer);
            while let Some((at, header)) = scan.step().map_err(|e| self.broken(e, source.base))? {
                if left == 0 {
                    return Ok(Work::Map { transactions, place, position: at });
                }
                left = left.saturating_sub(header.size as u64);
                if header.last_offset() < self.first_dirty {
                    continue;
                }
                self.read(source, at, &header, &mut batch)?;
                let cap = self.config.decompressed_bytes_max;
                let keys = &mut self.filter.keys;
                let mapped = map_batch(keys, &mut transactions, &header, &batch, cap);
                if !mapped.map_err(|error| self.unreadable(&header, &error))? {
                    return Ok(self.end_at_full_map());
                }
            }
            self.filter.keys.cover(source.end.plus(-1));
            position = 0;
            place += 1;
        }
        Ok(Work::Next)
    }

    /// What has no room in the map is left to another task.
    fn end_at_full_map(&mut self) -> Work {
        let covered = self.filter.keys.covered();
        self.sources.retain(|source| source.base <= covered);
        Work::Next
    }

    fn begin_group(&mut self, disk: &dyn Disk) -> Result<Work, StorageError> {
        let Some(first) = self.sources.get(self.next) else { return Ok(Work::Finished) };
        remove_cleaned(disk, &self.dir, first.base)?;
        let (dir, base) = (&self.dir, first.base);
        let (mut segment, _) =
            Segment::open_at(disk, dir, base, Stage::Cleaned, first.modified_ms)?;
        segment.make_active(&self.config).map_err(StorageError::disk("preallocate in", dir))?;
        let group = Group {
            from: self.next,
            to: self.next + 1,
            place: self.next,
            position: 0,
            segment,
            buffer: Vec::new(),
        };
        Ok(Work::Clean(Box::new(group)))
    }

    fn clean(&mut self, disk: &dyn Disk, mut group: Box<Group>) -> Result<Work, StorageError> {
        let mut left = STEP_BYTES;
        let mut batch = Vec::new();
        let mut buffer = vec![0; WALK_BUFFER_BYTES];
        while group.place < group.to {
            let source = self.sources[group.place].clone();
            let from = group.position;
            let mut takes_next = false;
            let mut scan = HeaderScan::new(&*source.file, from, source.size, &mut buffer);
            while let Some((at, header)) = scan.step().map_err(|e| self.broken(e, source.base))? {
                if left == 0 {
                    group.position = at;
                    return Ok(Work::Clean(group));
                }
                left = left.saturating_sub(header.size as u64);
                self.read(&source, at, &header, &mut batch)?;
                let is_last = at + header.size as u64 == source.size;
                takes_next = is_last && self.has_room_for_next(&group, header.size);
                self.judge(disk, &mut group, &header, &batch, is_last && !takes_next)?;
            }
            group.segment.modified_ms = source.modified_ms;
            group.position = 0;
            group.place += 1;
            group.to += usize::from(takes_next);
        }
        self.next = group.to;
        self.end_group(&mut group)?;
        Ok(Work::Written(group))
    }

    /// Whether the next source fits into the same file, whatever is dropped of it. Asked before the
    /// last batch of a source, of `size` bytes, is judged.
    fn has_room_for_next(&self, group: &Group, size: usize) -> bool {
        let Some(next) = self.sources.get(group.to) else { return false };
        let bytes = group.segment.size + size as u64 + next.size;
        let index_bytes = group.segment.index_bytes() + next.index_bytes;
        bytes <= u64::from(self.config.segment_bytes)
            && index_bytes <= u64::from(self.config.segment_index_bytes)
            && next.end.0 - 1 - group.segment.base.0 <= i64::from(i32::MAX)
    }

    fn judge(
        &mut self,
        disk: &dyn Disk,
        group: &mut Group,
        header: &BatchHeader,
        batch: &[u8],
        ends_file: bool,
    ) -> Result<(), StorageError> {
        let judged = self.filter.judge(header, batch, ends_file);
        let (fate, entry) = judged.map_err(|error| self.unreadable(header, &error))?;
        match fate {
            Fate::Dropped => {}
            Fate::AsItIs => self.keep(group, header, batch)?,
            Fate::Rewritten(bytes) => {
                let rewritten = BatchHeader::read(&bytes)
                    .map_err(|not| self.unreadable(header, &format!("{not:?}")))?;
                self.keep(group, &rewritten, &bytes)?;
            }
        }
        if let Some(entry) = entry {
            group.segment.aborted.push(disk, entry).map_err(self.failed())?;
        }
        Ok(())
    }

    fn keep(
        &self,
        group: &mut Group,
        header: &BatchHeader,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        group.segment.note_batch(header, &self.config).map_err(self.failed())?;
        group.buffer.extend_from_slice(bytes);
        if WRITE_BYTES <= group.buffer.len() { self.flush(group) } else { Ok(()) }
    }

    fn flush(&self, group: &mut Group) -> Result<(), StorageError> {
        let position = group.segment.size - group.buffer.len() as u64;
        group.segment.file.write_at(&group.buffer, position).map_err(self.failed())?;
        group.buffer.clear();
        Ok(())
    }

    fn end_group(&self, group: &mut Group) -> Result<(), StorageError> {
        self.flush(group)?;
        group.buffer = Vec::new();
        group.segment.make_closed().map_err(self.failed())?;
        for file in group.segment.files() {
            file.sync_data().map_err(self.failed())?;
        }
        Ok(())
    }

    fn read(
        &self,
        source: &Source,
        position: u64,
        header: &BatchHeader,
        batch: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        read_batch(&*source.file, position, header.size, batch).map_err(|error| {
            match error.kind() {
                io::ErrorKind::UnexpectedEof => self.unreadable(header, &error),
                _ => StorageError::disk("read", &self.dir)(error),
            }
        })?;
        if header.crc_matches(batch) { Ok(()) } else { Err(self.unreadable(header, &"checksum")) }
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> StorageError + use<> {
        StorageError::disk("compact", self.dir.clone())
    }

    fn broken(&self, error: ScanError, base: Offset) -> StorageError {
        match error {
            ScanError::Disk(error) => StorageError::disk("read", &self.dir)(error),
            ScanError::Bad { position, reason } => {
                let reason = format!("{reason} at byte {position}");
                StorageError::Corrupt { path: self.dir.clone(), offset: base, reason }
            }
        }
    }

    fn unreadable(&self, header: &BatchHeader, error: &dyn ToString) -> StorageError {
        let (path, offset) = (self.dir.clone(), header.base_offset);
        StorageError::Corrupt { path, offset, reason: error.to_string() }
    }
}

/// Removes what an earlier task left behind.
pub(crate) fn remove_cleaned(
    disk: &dyn Disk,
    dir: &Path,
    base: Offset,
) -> Result<(), StorageError> {
    for kind in Kind::ALL {
        let path = SegmentFile { base, kind, stage: Stage::Cleaned }.path(dir);
        match disk.remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::disk("remove", path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}
