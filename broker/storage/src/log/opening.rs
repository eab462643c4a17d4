//! Opening a log: find the files, trust or verify them, rebuild what is known of producers.
//!
//! After a clean end everything is trusted; heads of the last segment are walked to find its end.
//! After any other end:
//! - Segments that end before the recovery point are trusted: they were closed when it was written,
//!   and were synced with their indexes. One that ends at it may have been active still.
//! - The others, and the last one always, are read whole: every checksum is computed, offsets must
//!   follow one another, indexes are built anew. Where that stops, the log is cut and later segments
//!   are dropped, unless it stops before the recovery point: then data that was durable is damaged,
//!   and the log is not opened.
//! - What was verified past the recovery point is written again and synced before the log is used:
//!   recovered data is acknowledged by being there, and must not be lost by a second crash.
//!
//! A segment whose indexes make no sense is rebuilt in either case.
//!
//! The producer table comes from the newest whole snapshot that sums up no more than is trusted, and a
//! walk over the heads after it. Snapshots past the log's end are removed: the offsets they speak of
//! will be given to other records. So are epochs.

use super::Log;
use super::accepting::Accepted;
use super::compaction::CompactionState;
use super::leftovers::{Listing, remove_segment, settle};
use super::replay::{Tail, note_batch};
use super::sync::SyncBook;
use crate::checkpoint::{RecoveryCheckpoint, RecoveryPoint, read_text};
use crate::config::LogConfig;
use crate::epochs::LeaderEpochs;
use crate::error::StorageError;
use crate::header::BatchHeader;
use crate::names::{Kind, LEADER_EPOCHS, SegmentFile};
use crate::producer::{ProducerStates, decode_snapshot};
use crate::scan::{HeaderScan, ScanError, read_batch};
use crate::segment::Segment;
use crate::slice::{Recovery, Shutdown};
use mainstem_platform::{Disk, Now, OpenMode, replace_file};
use mainstem_protocol::ids::Offset;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of the log's tail is walked to give producers back their last five batches. A retry that
/// is still in flight when a broker restarts is not older than this.
const TAIL_BYTES: u64 = 32 << 20;
/// Heads are read through a buffer of this size.
const WALK_BUFFER_BYTES: usize = 16 << 10;

impl Log {
    /// Opens the log in `dir`, creating it when there is none.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        config: LogConfig,
        shutdown: Shutdown,
        now: Now,
    ) -> Result<Self, StorageError> {
        config.check();
        disk.create_dir_all(&dir).map_err(StorageError::disk("create", &dir))?;
        let listing = settle(&*disk, &dir)?;
        let has_files = !listing.bases.is_empty();
        let mut checkpoint = RecoveryCheckpoint::open(&*disk, &dir, shutdown)?;
        let mut opening = Opening::new(&*disk, &dir, &config, now, checkpoint.value());
        opening.open_segments(&listing)?;
        opening.run(&listing, shutdown)?;
        opening.finish(&listing, &mut checkpoint)?;
        let Opening { mut segments, producers, epochs, next_offset, report, .. } = opening;
        if let Some(active) = segments.last_mut() {
            active.make_active(&config).map_err(StorageError::disk("preallocate in", &dir))?;
        }
        let first = segments.first().map_or(next_offset, |segment| segment.base);
        let mut sync = SyncBook::new(next_offset);
        if !has_files || shutdown == Shutdown::Unclean {
            // Whoever made them may have died before their first sync.
            sync.note_names();
            sync.note_parent();
        }
        let compaction = CompactionState::open(&*disk, &dir)?;
        let mut log = Self {
            log_start: checkpoint.value().log_start.max(first).min(next_offset),
            disk,
            dir,
            config,
            segments,
            next_offset,
            high_watermark: next_offset,
            producers,
            epochs,
            checkpoint,
            sync,
            compaction,
            jitter_seed: 0,
            recovery: report,
            failed: None,
            accepted: Accepted::default(),
            headers: Vec::new(),
        };
        log.producers.settle(next_offset);
        log.expire_producers(now);
        Ok(log)
    }
}

/// The work in progress.
struct Opening<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    config: &'a LogConfig,
    now: Now,
    point: RecoveryPoint,
    segments: Vec<Segment>,
    /// Places of segments whose indexes must be rebuilt.
    broken: BTreeSet<usize>,
    producers: ProducerStates,
    epochs: LeaderEpochs,
    next_offset: Offset,
    /// Places from here on were verified and are to be synced.
    verified_from: usize,
    report: Recovery,
}

impl<'a> Opening<'a> {
    fn new(
        disk: &'a dyn Disk,
        dir: &'a Path,
        config: &'a LogConfig,
        now: Now,
        point: RecoveryPoint,
    ) -> Self {
        Self {
            disk,
            dir,
            config,
            now,
            point,
            segments: Vec::new(),
            broken: BTreeSet::new(),
            producers: ProducerStates::default(),
            epochs: LeaderEpochs::default(),
            next_offset: Offset(0),
            verified_from: 0,
            report: Recovery::default(),
        }
    }

    fn open_segments(&mut self, listing: &Listing) -> Result<(), StorageError> {
        let fresh = BTreeSet::from([self.point.log_start]);
        let bases = if listing.bases.is_empty() { &fresh } else { &listing.bases };
        for (place, base) in bases.iter().enumerate() {
            let (segment, sane) = Segment::open(self.disk, self.dir, *base, self.now.wall_ms)?;
            if !sane || (listing.unindexed.contains(base) && segment.size > 0) {
                self.broken.insert(place);
            }
            self.segments.push(segment);
        }
        Ok(())
    }

    /// Removes segments that a roll on a full disk left empty while the log went on in the one
    /// before. The last segment may be empty for good reason: then it begins where that one ends.
    fn drop_unbegun(&mut self) -> Result<(), StorageError> {
        let last = self.segments.len() - 1;
        let mut place = last;
        while place > 0 {
            let unbegun = self.segments[place].size == 0
                && (place < last || !self.ends_at(place - 1, self.segments[place].base)?);
            if unbegun {
                let segment = self.segments.remove(place);
                remove_segment(self.disk, self.dir, segment.base)?;
                self.broken = self.broken.iter().map(|at| at - usize::from(place < *at)).collect();
            }
            place -= 1;
        }
        Ok(())
    }

    /// Whether the batches of a segment fill it and end at `offset`.
    fn ends_at(&self, place: usize, offset: Offset) -> Result<bool, StorageError> {
        let mut end = self.segments[place].base;
        let whole = self.walk(place, 0, |header, _| end = header.next_offset())?;
        Ok(whole && end == offset)
    }

    fn run(&mut self, listing: &Listing, shutdown: Shutdown) -> Result<(), StorageError> {
        self.drop_unbegun()?;
        let last = self.segments.len() - 1;
        let reaches_past = |place: usize| {
            let next = self.segments.get(place + 1);
            next.is_none_or(|next| self.point.recovery_point <= next.base)
        };
        let mut from = match shutdown {
            Shutdown::Clean => self.segments.len(),
            Shutdown::Unclean => (0..=last).find(|place| reaches_past(*place)).unwrap_or(last),
        };
        if let Some(broken) = self.broken.first() {
            from = from.min(*broken);
        }
        self.load_epochs()?;
        let mut trusted_end = self.segments.get(from).map(|segment| segment.base);
        if trusted_end.is_none() {
            match self.end_of_last() {
                Ok(end) => trusted_end = Some(end),
                // A clean end that is not clean: look closer.
                Err(ScanError::Bad { .. }) => from = last,
                Err(ScanError::Disk(error)) => {
                    return Err(StorageError::disk("read", self.dir)(error));
                }
            }
        }
        self.next_offset = trusted_end.unwrap_or(self.segments[last].base);
        self.verified_from = from;
        self.load_producers(listing, self.next_offset, from)?;
        let mut place = from;
        while place < self.segments.len() {
            self.verify(place)?;
            place += 1;
        }
        if self.next_offset < self.point.recovery_point {
            let reason = "the log ends before its recovery point".to_owned();
            return Err(self.corrupt(reason));
        }
        if self.next_offset < self.point.log_start {
            self.begin_anew(self.point.log_start)?;
        }
        Ok(())
    }

    /// Where the batches of the last segment end, by heads alone.
    fn end_of_last(&self) -> Result<Offset, ScanError> {
        let Some(last) = self.segments.last() else { return Ok(Offset(0)) };
        let from = u64::from(last.offset_index.batch_start_before(last.size));
        let mut buffer = vec![0; WALK_BUFFER_BYTES];
        let mut scan = HeaderScan::new(&*last.file, from, last.size, &mut buffer);
        let mut end = last.base;
        while let Some((_, header)) = scan.step()? {
            end = header.next_offset();
        }
        Ok(end)
    }

    /// Reads a segment whole, rebuilds its indexes and cuts the log where it stops to make sense.
    fn verify(&mut self, place: usize) -> Result<(), StorageError> {
        let failed = StorageError::disk("rebuild the indexes in", self.dir);
        let trusted =
            self.segments.get(place + 1).is_some_and(|next| next.base <= self.point.recovery_point);
        let segment = &mut self.segments[place];
        let end = segment.size;
        segment.begin_rebuild(self.config).map_err(failed)?;
        self.next_offset = segment.base;
        let mut stop = self.verify_batches(place, end)?;
        let next_base = self.segments.get(place + 1).map(|next| next.base);
        // Only compaction leaves gaps, and only in segments that are synced.
        if stop.is_none() && next_base.is_some_and(|base| base != self.next_offset && !trusted) {
            stop = Some("offsets are missing before the next segment".to_owned());
        }
        self.report.scanned_bytes += end;
        self.report.segments_rebuilt += 1;
        if let Some(reason) = stop {
            if next_base == Some(self.next_offset) {
                // Nothing is missing: an append to a full disk has left a part of itself behind the
                // last batch, the log went on in the next segment, and the cut was not durable yet.
                self.cut_rest(place, end)?;
            } else if trusted || self.next_offset < self.point.recovery_point {
                return Err(self.corrupt(reason));
            } else {
                self.cut_after(place, end)?;
            }
        } else if let Some(base) = next_base {
            self.next_offset = base;
        }
        let failed = StorageError::disk("rebuild the indexes in", self.dir);
        if place + 1 < self.segments.len() {
            self.segments[place].make_closed().map_err(failed)?;
        }
        Ok(())
    }

    /// Notes batch after batch; the answer tells why it stopped before the end, if it did.
    fn verify_batches(&mut self, place: usize, end: u64) -> Result<Option<String>, StorageError> {
        let failed = || StorageError::disk("verify a segment in", self.dir);
        let (now_ms, point) = (self.now.wall_ms, self.point.recovery_point);
        let segment = &mut self.segments[place];
        let file = segment.file.clone();
        let mut buffer = vec![0; WALK_BUFFER_BYTES];
        let mut batch = Vec::new();
        let mut scan = HeaderScan::new(&*file, 0, end, &mut buffer);
        loop {
            let (position, header) = match scan.step() {
                Ok(Some(step)) => step,
                Ok(None) => return Ok(None),
                Err(ScanError::Bad { reason, .. }) => return Ok(Some(reason)),
                Err(ScanError::Disk(error)) => return Err(failed()(error)),
            };
            let expected = self.next_offset;
            if header.base_offset < expected
                || (point <= expected && header.base_offset != expected)
            {
                return Ok(Some(format!("offset {} instead of {expected}", header.base_offset)));
            }
            read_batch(&*file, position, header.size, &mut batch).map_err(failed())?;
            if !header.crc_matches(&batch) {
                return Ok(Some("checksum".to_owned()));
            }
            if point <= expected {
                // After a failed sync the kernel may keep bytes for clean that never reached the
                // disk, and syncing them again would do nothing. Written again, they are dirty.
                file.write_at(&batch, position).map_err(failed())?;
            }
            let aborted = note_batch(&mut self.producers, &header, &batch, now_ms);
            self.epochs.note(header.leader_epoch, header.base_offset);
            segment.note_batch(&header, self.config).map_err(failed())?;
            if let Some(aborted) = aborted {
                segment.aborted.push(self.disk, aborted).map_err(failed())?;
            }
            self.next_offset = header.next_offset();
        }
    }

    /// Cuts a segment's file at the end of what was verified of it.
    fn cut_rest(&mut self, place: usize, end: u64) -> Result<(), StorageError> {
        let segment = &self.segments[place];
        self.report.truncated_bytes += end - segment.size;
        segment.file.set_len(segment.size).map_err(StorageError::disk("cut", self.dir))
    }

    /// Cuts the log there.
    fn cut_after(&mut self, place: usize, end: u64) -> Result<(), StorageError> {
        self.cut_rest(place, end)?;
        for later in self.segments.split_off(place + 1) {
            self.report.truncated_bytes += later.size;
            remove_segment(self.disk, self.dir, later.base)?;
        }
        Ok(())
    }

    /// All that was left lies before the log's start.
    fn begin_anew(&mut self, base: Offset) -> Result<(), StorageError> {
        for old in std::mem::take(&mut self.segments) {
            remove_segment(self.disk, self.dir, old.base)?;
        }
        let (segment, _) = Segment::open(self.disk, self.dir, base, self.now.wall_ms)?;
        self.segments.push(segment);
        self.next_offset = base;
        self.verified_from = 0;
        Ok(())
    }

    fn load_epochs(&mut self) -> Result<(), StorageError> {
        let path = self.dir.join(LEADER_EPOCHS);
        let text = read_text(self.disk, &path)?;
        if let Some(epochs) = text.as_deref().and_then(LeaderEpochs::parse) {
            self.epochs = epochs;
            return Ok(());
        }
        for place in 0..self.segments.len() {
            let mut found = std::mem::take(&mut self.epochs);
            // What cannot be walked here is verified later, and notes its epochs then.
            let _ = self.walk(place, 0, |header, _| {
                found.note(header.leader_epoch, header.base_offset);
            })?;
            self.epochs = found;
        }
        Ok(())
    }

    /// Loads the table as of `end`, which is where place `from` begins.
    fn load_producers(
        &mut self,
        listing: &Listing,
        end: Offset,
        from: usize,
    ) -> Result<(), StorageError> {
        let mut at = self.segments[0].base;
        for offset in listing.snapshots.range(..=end).rev() {
            if let Some(states) = self.read_snapshot(*offset)? {
                self.producers = states;
                at = *offset;
                break;
            }
        }
        let mut producers = std::mem::take(&mut self.producers);
        let now_ms = self.now.wall_ms;
        let first = self.segments.partition_point(|s| s.base <= at).saturating_sub(1);
        for place in first..from {
            let start = u64::from(self.segments[place].offset_index.position_before(at));
            self.walk(place, start, |header, batch| {
                if at <= header.base_offset && header.base_offset < end {
                    note_batch(&mut producers, header, batch, now_ms);
                }
            })?;
        }
        self.producers = producers;
        Ok(())
    }

    fn read_snapshot(&self, offset: Offset) -> Result<Option<ProducerStates>, StorageError> {
        let path = SegmentFile::live(offset, Kind::Snapshot).path(self.dir);
        let failed = || StorageError::disk("read", &path);
        let file = self.disk.open(&path, OpenMode::Read).map_err(failed())?;
        let mut bytes = vec![0; file.len().map_err(failed())? as usize];
        file.read_exact_at(&mut bytes, 0).map_err(failed())?;
        Ok(decode_snapshot(&bytes))
    }

    /// Visits heads, with the bytes of control batches; false when the file stopped making sense.
    fn walk(
        &self,
        place: usize,
        start: u64,
        mut visit: impl FnMut(&BatchHeader, &[u8]),
    ) -> Result<bool, StorageError> {
        let failed = || StorageError::disk("read a segment in", self.dir);
        let segment = &self.segments[place];
        let mut buffer = vec![0; WALK_BUFFER_BYTES];
        let mut batch = Vec::new();
        let mut scan = HeaderScan::new(&*segment.file, start, segment.size, &mut buffer);
        loop {
            match scan.step() {
                Ok(None) => return Ok(true),
                Ok(Some((position, header))) => {
                    batch.clear();
                    if header.is_control() {
                        read_batch(&*segment.file, position, header.size, &mut batch)
                            .map_err(failed())?;
                    }
                    visit(&header, &batch);
                }
                Err(ScanError::Bad { .. }) => return Ok(false),
                Err(ScanError::Disk(error)) => return Err(failed()(error)),
            }
        }
    }

    /// Gives the table its depth, removes what speaks of lost offsets, makes what was found durable.
    fn finish(
        &mut self,
        listing: &Listing,
        checkpoint: &mut RecoveryCheckpoint,
    ) -> Result<(), StorageError> {
        self.deepen_producers()?;
        self.epochs.cut_at(self.next_offset);
        let last_base = self.segments.last().map_or(Offset(0), |segment| segment.base);
        let mut removed = false;
        for offset in &listing.snapshots {
            let stray = *offset < last_base && !listing.bases.contains(offset);
            if self.next_offset < *offset || stray {
                let path = SegmentFile::live(*offset, Kind::Snapshot).path(self.dir);
                self.disk.remove_file(&path).map_err(StorageError::disk("remove", &path))?;
                removed = true;
            }
        }
        let failed = || StorageError::disk("sync what was recovered in", self.dir);
        let verified = self.segments.get(self.verified_from..).unwrap_or_default();
        if verified.iter().all(|segment| segment.size == 0)
            && self.report.truncated_bytes == 0
            && !removed
        {
            return Ok(());
        }
        for segment in verified {
            for file in segment.files() {
                file.sync_data().map_err(failed())?;
            }
        }
        // What was killed before its first sync may have left nothing of itself durable: the history
        // of epochs, the names, the directory.
        let epochs = self.epochs.format();
        replace_file(self.disk, &self.dir.join(LEADER_EPOCHS), epochs.as_bytes())
            .map_err(failed())?;
        if let Some(parent) = self.dir.parent() {
            self.disk.sync_dir(parent).map_err(failed())?;
        }
        let log_start = checkpoint.value().log_start;
        let recovery_point = self.next_offset;
        checkpoint.write(RecoveryPoint { recovery_point, log_start }).map_err(failed())?;
        if let Some(file) = checkpoint.unsynced_file() {
            file.sync_data().map_err(failed())?;
            checkpoint.synced();
        }
        Ok(())
    }

    fn deepen_producers(&mut self) -> Result<(), StorageError> {
        let mut left = TAIL_BYTES;
        let mut first = self.segments.len();
        while first > 0 && left > 0 {
            first -= 1;
            left = left.saturating_sub(self.segments[first].size);
        }
        let mut tail = Tail::default();
        let end = self.next_offset;
        for place in first..self.segments.len() {
            let segment = &self.segments[place];
            // Only the first of them may have to be entered in its middle.
            let skipped = if place == first && left == 0 {
                let total: u64 = self.segments[first..].iter().map(|s| s.size).sum();
                u64::from(segment.offset_index.batch_start_before(total.saturating_sub(TAIL_BYTES)))
            } else {
                0
            };
            self.walk(place, skipped, |header, _| {
                if header.base_offset < end {
                    tail.note(header);
                }
            })?;
        }
        tail.deepen(&mut self.producers);
        Ok(())
    }

    fn corrupt(&self, reason: String) -> StorageError {
        StorageError::Corrupt { path: self.dir.to_owned(), offset: self.next_offset, reason }
    }
}
