//! One segment: a file of batches, from its base offset on, with its indexes.
//!
//! Invariants:
//! - Batches lie one after the other from position 0 to `size`, offsets grow. Compaction leaves gaps
//!   in offsets, never in positions.
//! - All offsets are within 2^31-1 of the base, all positions below 2^31-1.
//! - `size` is the truth about where the next batch goes; bytes in the file after it are the rest of a
//!   failed write and are overwritten.
//! - An index entry is due once more than `index.interval.bytes` were written since the last one, and
//!   names the batch that was written after that.

use crate::config::LogConfig;
use crate::error::StorageError;
use crate::header::{BatchHeader, HEADER_BYTES};
use crate::index::{OffsetIndex, TimeIndex};
use crate::names::{Kind, SegmentFile, Stage};
use crate::scan::{HeaderScan, LOOKUP_BUFFER_BYTES, ScanError};
use crate::transaction_index::TransactionIndex;
use mainstem_platform::{Disk, File, Now, OpenMode};
use mainstem_protocol::ids::Offset;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An append that is about to be made, as far as rolling goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NextAppend {
    pub(crate) size_bytes: u64,
    pub(crate) last_offset: Offset,
    /// The largest of the batches; -1 when they have none.
    pub(crate) max_timestamp_ms: i64,
    pub(crate) now_ms: i64,
}

impl NextAppend {
    pub(crate) fn of(headers: &[BatchHeader], now: Now) -> Self {
        Self {
            size_bytes: headers.iter().map(|header| header.size as u64).sum(),
            last_offset: headers.last().map_or(Offset::NONE, BatchHeader::last_offset),
            max_timestamp_ms: headers.iter().map(|head| head.max_timestamp).max().unwrap_or(-1),
            now_ms: now.wall_ms,
        }
    }
}

/// Appends that will be written in front of the next one, in the same write.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Run {
    bytes: u64,
    /// The largest timestamp of the first one.
    first_ms: Option<i64>,
}

impl Run {
    pub(crate) fn add(&mut self, append: &NextAppend) {
        self.bytes += append.size_bytes;
        self.first_ms.get_or_insert(append.max_timestamp_ms);
    }
}

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: Offset,
    pub(crate) file: Arc<dyn File>,
    pub(crate) size: u64,
    pub(crate) offset_index: OffsetIndex,
    pub(crate) time_index: TimeIndex,
    pub(crate) aborted: TransactionIndex,
    /// The largest timestamp and the last offset of the first batch that has it.
    pub(crate) largest: Option<(i64, Offset)>,
    /// The largest timestamp of the first batch, once it is known; see `first_timestamp_ms`.
    first_ms: Option<i64>,
    /// When the segment was begun (or opened), on the broker's clock.
    pub(crate) created_ms: i64,
    /// When it was last written to (or opened), on the broker's clock.
    pub(crate) modified_ms: i64,
    bytes_since_entry: u64,
}

impl Segment {
    /// Opens the files of a segment, creating those that are missing. The second answer is whether
    /// the indexes look as if they belong to the log file.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        base: Offset,
        now_ms: i64,
    ) -> Result<(Self, bool), StorageError> {
        Self::open_at(disk, dir, base, Stage::Live, now_ms)
    }

    /// Like [`Self::open`], with files that bear another suffix.
    pub(crate) fn open_at(
        disk: &dyn Disk,
        dir: &Path,
        base: Offset,
        stage: Stage,
        now_ms: i64,
    ) -> Result<(Self, bool), StorageError> {
        let path = |kind| SegmentFile { base, kind, stage }.path(dir);
        let log = path(Kind::Log);
        let file =
            disk.open(&log, OpenMode::OpenOrCreate).map_err(StorageError::disk("open", &log))?;
        let size = file.len().map_err(StorageError::disk("look at", &log))?;
        let offset_index = OffsetIndex::open(disk, &path(Kind::OffsetIndex), base)?;
        let time_index = TimeIndex::open(disk, &path(Kind::TimeIndex), base)?;
        let (aborted, aborted_sane) =
            TransactionIndex::open(disk, path(Kind::TransactionIndex), base)?;
        let sane = aborted_sane && offset_index.is_sane(size) && time_index.is_sane();
        let largest = if sane { time_index.last() } else { None };
        let segment = Self {
            base,
            file,
            size,
            offset_index,
            time_index,
            aborted,
            largest,
            first_ms: None,
            created_ms: now_ms,
            modified_ms: now_ms,
            bytes_since_entry: 0,
        };
        Ok((segment, sane))
    }

    /// Preallocates the indexes: batches are about to be appended.
    pub(crate) fn make_active(&mut self, config: &LogConfig) -> io::Result<()> {
        self.offset_index.grow(config.segment_index_bytes)?;
        self.time_index.grow(config.segment_index_bytes)
    }

    /// Notes the largest timestamp and trims the indexes: no batch comes any more.
    pub(crate) fn make_closed(&mut self) -> io::Result<()> {
        if let Some((timestamp_ms, offset)) = self.largest {
            self.time_index.push(timestamp_ms, offset)?;
        }
        self.offset_index.trim()?;
        self.time_index.trim()?;
        // The rest of a failed write would be taken for damage once the segment is closed.
        if self.size < self.file.len()? { self.file.set_len(self.size) } else { Ok(()) }
    }

    /// The largest timestamp of the first batch, which is read when it is not known; `None` when there
    /// is no batch, or it has no timestamp. Damage is for those to find who want the batch itself.
    pub(crate) fn first_timestamp_ms(&mut self) -> io::Result<Option<i64>> {
        if self.first_ms.is_none() && 0 < self.size {
            let mut head = [0; HEADER_BYTES];
            let read = self.file.read_at(&mut head, 0)?;
            self.first_ms = BatchHeader::read(&head[..read]).ok().map(|head| head.max_timestamp);
        }
        Ok(self.first_ms.filter(|first_ms| 0 <= *first_ms))
    }

    /// How long the segment has been growing: by the timestamps of its records, when they have any.
    fn age_ms(&mut self, run: &Run, next: &NextAppend) -> io::Result<i64> {
        let first_ms = match self.size {
            0 => run.first_ms.filter(|first_ms| 0 <= *first_ms),
            _ => self.first_timestamp_ms()?,
        };
        let age_ms = match first_ms {
            Some(first_ms) => next.max_timestamp_ms.saturating_sub(first_ms),
            None => next.now_ms.saturating_sub(self.created_ms),
        };
        Ok(age_ms)
    }

    /// Whether the segment must be rolled before `next` is added behind `run`.
    pub(crate) fn must_roll(
        &mut self,
        config: &LogConfig,
        jitter_ms: i64,
        run: &Run,
        next: &NextAppend,
    ) -> io::Result<bool> {
        let size = self.size + run.bytes;
        if size == 0 {
            return Ok(false);
        }
        Ok(size + next.size_bytes > u64::from(config.segment_bytes)
            || self.age_ms(run, next)? > config.segment_age_max_ms().saturating_sub(jitter_ms)
            || self.offset_index.is_full()
            || self.time_index.is_full()
            || next.last_offset.0 - self.base.0 > i64::from(i32::MAX))
    }

    /// Notes a batch that has been written at the segment's end.
    pub(crate) fn note_batch(
        &mut self,
        header: &BatchHeader,
        config: &LogConfig,
    ) -> io::Result<()> {
        let position = self.size;
        if position == 0 {
            self.first_ms = Some(header.max_timestamp);
        }
        self.size += header.size as u64;
        let last_offset = header.last_offset();
        if self.largest.is_none_or(|(largest, _)| largest < header.max_timestamp) {
            self.largest = Some((header.max_timestamp, last_offset));
        }
        let due = self.bytes_since_entry > u64::from(config.index_interval_bytes);
        // A rebuild may meet more batches than a full index takes; what is not indexed is scanned.
        if due && !self.offset_index.is_full() && !self.time_index.is_full() {
            self.offset_index.push((last_offset.0 - self.base.0) as i32, position as u32)?;
            if let Some((timestamp_ms, offset)) = self.largest {
                self.time_index.push(timestamp_ms, offset)?;
            }
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += header.size as u64;
        Ok(())
    }

    /// Empties the indexes and takes the segment for empty, to note its batches again.
    pub(crate) fn begin_rebuild(&mut self, config: &LogConfig) -> io::Result<()> {
        self.offset_index.clear();
        self.time_index.clear();
        self.aborted.clear()?;
        self.make_active(config)?;
        self.size = 0;
        self.first_ms = None;
        self.largest = None;
        self.bytes_since_entry = 0;
        Ok(())
    }

    /// The first batch that holds `offset` or comes after it.
    pub(crate) fn find(&self, offset: Offset) -> Result<Option<(u64, BatchHeader)>, ScanError> {
        let from = u64::from(self.offset_index.position_before(offset));
        let mut buffer = [0; LOOKUP_BUFFER_BYTES];
        let mut scan = HeaderScan::new(&*self.file, from, self.size, &mut buffer);
        while let Some((position, header)) = scan.step()? {
            if offset <= header.last_offset() {
                return Ok(Some((position, header)));
            }
        }
        Ok(None)
    }

    /// The time of the newest record; when none has one, of the last write.
    pub(crate) fn newest_ms(&self) -> i64 {
        match self.largest {
            Some((time_ms, _)) if 0 <= time_ms => time_ms,
            _ => self.modified_ms,
        }
    }

    /// What the larger of the two indexes takes.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.offset_index.size_bytes().max(self.time_index.size_bytes())
    }

    /// All files that a sync of this segment means.
    pub(crate) fn files(&self) -> impl Iterator<Item = Arc<dyn File>> + '_ {
        let indexes = [self.offset_index.file(), self.time_index.file(), &self.file];
        indexes.into_iter().chain(self.aborted.file()).cloned()
    }

    /// The paths that the segment's files may have, the snapshot at its base included.
    pub(crate) fn paths(base: Offset, dir: &Path) -> impl Iterator<Item = (Kind, PathBuf)> + '_ {
        Kind::ALL.into_iter().map(move |kind| (kind, SegmentFile::live(base, kind).path(dir)))
    }
}
