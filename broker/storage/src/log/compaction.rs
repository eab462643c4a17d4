//! Compaction: of each key the latest value stays (`cleanup.policy=compact`).
//!
//! What is cleaned: closed segments from the first one on, as far as they are synced, below the last
//! stable offset (every transaction in them has ended) and older than `min.compaction.lag.ms`. It is
//! done when the share of bytes that were never cleaned is worth it.
//!
//! What goes, of the cleanable stretch:
//! - a record with a key that has a later record in the stretch;
//! - the records of aborted transactions (they count for no key either);
//! - a tombstone that is the latest of its key, once its batch is `delete.retention.ms` old;
//! - a marker of that age, once no record of its transaction is left. As long as one is, readers need
//!   the marker to know how the transaction ended.
//!
//! What stays: offsets, timestamps, sequences, epochs, batch by batch; records without a key; the
//! compression of a batch. A batch that loses nothing is copied byte for byte; one that loses all is
//! dropped. Producer state does not need the batches: it lives in the snapshots, of which the one at
//! the active segment's base is always there.
//!
//! How: neighbours whose survivors fit into one segment are written into one `.log.cleaned` at the base
//! of the first, synced, and renamed to `.log.swap` with the directory synced: from here on a crash
//! finishes the work (see `leftovers`). Then the old files go and the swap becomes the segment. Readers
//! that hold the old files are not disturbed.
//!
//! Keys are held in memory while cleaning; a stretch with more than [`KEYS_MAX`] of them is cleaned in
//! several runs. It works on the caller's thread and is meant for topics of small records: offsets,
//! transactions, schemas, changelogs.

use super::Log;
use super::leftovers::finish_swap;
use super::replay::marker_in;
use crate::error::StorageError;
use crate::header::BatchHeader;
use crate::names::{Kind, SegmentFile, Stage};
use crate::scan::{HeaderScan, ScanError, read_batch};
use crate::segment::Segment;
use bytes::Bytes;
use mainstem_platform::{Now, OpenMode};
use mainstem_protocol::ids::{Offset, ProducerId};
use mainstem_protocol::record::{BatchBuilder, BatchError, BatchView, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Bounds the memory of a run: a few hundred bytes each.
const KEYS_MAX: usize = 1_000_000;

/// What a run knows of the stretch it cleans.
struct Plan {
    /// The latest offset of each key, records of aborted transactions not counted.
    latest: BTreeMap<Bytes, Offset>,
    /// Aborted transactions: whose, from, to.
    aborted: Vec<(ProducerId, Offset, Offset)>,
    /// Batches before this time may lose their tombstones and markers.
    forget_before_ms: i64,
    /// Producers with records kept since their last marker.
    with_records: BTreeSet<ProducerId>,
}

impl Log {
    /// Cleans what can be cleaned, if it is worth it. Names files to remove: none at present, the old
    /// ones are gone when this returns.
    pub fn compact(&mut self, now: Now) -> Result<Vec<PathBuf>, StorageError> {
        let count = self.cleanable(now);
        if !self.config.cleanup_policy.compact || count == 0 || !self.is_worth_it(count) {
            return Ok(Vec::new());
        }
        // A gap past the recovery point would pass for a torn tail.
        self.make_checkpoint_durable()?;
        let (mut plan, count) = self.plan(count, now)?;
        let mut place = 0;
        let mut left = count;
        while left > 0 {
            let taken = self.clean_group(place, left, &mut plan)?;
            left -= taken;
            place += 1;
        }
        self.cleaned_to = self.segments.get(place).map_or(self.next_offset, |next| next.base);
        Ok(Vec::new())
    }

    /// How many segments from the front may be cleaned.
    fn cleanable(&self, now: Now) -> usize {
        let end = self.last_stable_offset().min(self.synced_offset());
        let lag_ms = self.config.min_compaction_lag_ms;
        let closed = self.segments.len() - 1;
        (0..closed)
            .take_while(|place| {
                let newest = self.segments[*place].largest.map_or(i64::MIN, |(time, _)| time);
                let old_enough = lag_ms == 0 || lag_ms <= now.wall_ms.saturating_sub(newest);
                self.segments[place + 1].base <= end && old_enough
            })
            .count()
    }

    fn is_worth_it(&self, count: usize) -> bool {
        let mut all = 0;
        let mut dirty = 0;
        for segment in &self.segments[..count] {
            all += segment.size;
            if self.cleaned_to <= segment.base {
                dirty += segment.size;
            }
        }
        dirty > 0 && all * u64::from(self.config.min_cleanable_dirty_percent) <= dirty * 100
    }

    /// Reads the stretch once. Fewer segments than asked for are planned when keys run out of room.
    fn plan(&self, count: usize, now: Now) -> Result<(Plan, usize), StorageError> {
        let aborted = self
            .segments
            .iter()
            .flat_map(|segment| segment.aborted.entries())
            .map(|aborted| (aborted.producer_id, aborted.first_offset, aborted.last_offset))
            .collect();
        let mut plan = Plan {
            latest: BTreeMap::new(),
            aborted,
            forget_before_ms: now.wall_ms.saturating_sub(self.config.delete_retention_ms),
            with_records: BTreeSet::new(),
        };
        for place in 0..count {
            self.visit(place, |log, header, batch| {
                if header.is_control() || plan.is_aborted(header) {
                    return Ok(());
                }
                for (offset, record) in log.records_of(header, batch)? {
                    if let Some(key) = record.key {
                        // A copy of its own: a slice would hold its whole batch in memory.
                        plan.latest.insert(Bytes::copy_from_slice(&key), offset);
                    }
                }
                Ok(())
            })?;
            if KEYS_MAX <= plan.latest.len() {
                return Ok((plan, place + 1));
            }
        }
        Ok((plan, count))
    }

    /// Writes the survivors of the segment at `place` and of as many neighbours as fit; the answer is
    /// how many segments became one.
    fn clean_group(
        &mut self,
        place: usize,
        available: usize,
        plan: &mut Plan,
    ) -> Result<usize, StorageError> {
        let base = self.segments[place].base;
        let cleaned = SegmentFile { base, kind: Kind::Log, stage: Stage::Cleaned }.path(&self.dir);
        let failed = || StorageError::disk("compact into", &cleaned);
        let file = self.disk.open(&cleaned, OpenMode::CreateOrTruncate).map_err(failed())?;
        let mut size = 0;
        let mut taken = 0;
        while taken < available {
            let from = &self.segments[place + taken];
            let last = self.segment_end(place + taken).0 - 1;
            let fits = size + from.size <= u64::from(self.config.segment_bytes)
                && last - base.0 <= i64::from(i32::MAX);
            if taken > 0 && !fits {
                break;
            }
            self.visit(place + taken, |log, header, batch| {
                let Some(kept) = log.survivor(header, batch, plan)? else { return Ok(()) };
                file.write_at(&kept, size).map_err(failed())?;
                size += kept.len() as u64;
                Ok(())
            })?;
            taken += 1;
        }
        file.sync_data().map_err(failed())?;
        drop(file);
        self.swap_in(place, taken)?;
        Ok(taken)
    }

    /// Puts the cleaned file in the place of `taken` segments.
    fn swap_in(&mut self, place: usize, taken: usize) -> Result<(), StorageError> {
        let base = self.segments[place].base;
        let path = |stage| SegmentFile { base, kind: Kind::Log, stage }.path(&self.dir);
        let failed = || StorageError::disk("swap a compacted segment into", &self.dir);
        self.disk.rename(&path(Stage::Cleaned), &path(Stage::Swap)).map_err(failed())?;
        self.disk.sync_dir(&self.dir).map_err(failed())?;
        let old: Vec<Offset> =
            self.segments[place..place + taken].iter().map(|segment| segment.base).collect();
        finish_swap(&*self.disk, &self.dir, base)?;
        for base in old.iter().skip(1) {
            super::leftovers::remove_segment(&*self.disk, &self.dir, *base)?;
        }
        let segment = self.reindex(base)?;
        self.disk.sync_dir(&self.dir).map_err(failed())?;
        let aborted: Vec<_> = self.segments[place..place + taken]
            .iter()
            .flat_map(|segment| segment.aborted.entries().to_vec())
            .collect();
        self.segments.splice(place..place + taken, [segment]);
        for aborted in aborted {
            let index = &mut self.segments[place].aborted;
            index
                .push(&*self.disk, aborted)
                .map_err(StorageError::disk("index aborted transactions in", &self.dir))?;
        }
        let files: Vec<_> = self.segments[place].files().collect();
        for file in files {
            file.sync_data().map_err(StorageError::disk("sync", &self.dir))?;
        }
        self.sync.note_names();
        Ok(())
    }

    /// Opens a compacted segment and builds its indexes.
    fn reindex(&self, base: Offset) -> Result<Segment, StorageError> {
        let failed = || StorageError::disk("index", &self.dir);
        let (mut segment, _) = Segment::open(&*self.disk, &self.dir, base)?;
        let end = segment.size;
        segment.begin_rebuild(&self.config).map_err(failed())?;
        let file = segment.file.clone();
        let mut buffer = vec![0; 16 << 10];
        let mut scan = HeaderScan::new(&*file, 0, end, &mut buffer);
        while let Some((_, header)) = scan.step().map_err(|error| self.broken(error, base))? {
            segment.note_batch(&header, &self.config).map_err(failed())?;
        }
        segment.make_closed().map_err(failed())?;
        Ok(segment)
    }

    /// The batch as it shall be: itself, a shorter one, or nothing.
    fn survivor(
        &self,
        header: &BatchHeader,
        batch: &[u8],
        plan: &mut Plan,
    ) -> Result<Option<Bytes>, StorageError> {
        let is_old = header.max_timestamp < plan.forget_before_ms;
        let producer = header.producer_id;
        if header.is_control() {
            let is_marker = marker_in(header, batch).is_some();
            let needed = plan.with_records.remove(&producer);
            let goes = is_marker && !needed && is_old;
            return Ok((!goes).then(|| Bytes::copy_from_slice(batch)));
        }
        if plan.is_aborted(header) {
            return Ok(None);
        }
        let mut kept = Vec::new();
        let mut count = 0;
        for (offset, record) in self.records_of(header, batch)? {
            count += 1;
            let superseded =
                record.key.as_ref().is_some_and(|key| plan.latest.get(key) > Some(&offset));
            let forgotten = record.key.is_some() && record.value.is_none() && is_old;
            if !superseded && !forgotten {
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return Ok(None);
        }
        if header.is_transactional() {
            plan.with_records.insert(producer);
        }
        if kept.len() == count {
            return Ok(Some(Bytes::copy_from_slice(batch)));
        }
        let shorter = || {
            let (view, _) = BatchView::parse(batch)?;
            let mut builder = BatchBuilder::rewriting(&view)?;
            kept.iter().for_each(|record| builder.keep(record));
            builder.finish()
        };
        let shorter = shorter().map_err(|error| self.unreadable(header, &error))?;
        Ok(Some(shorter))
    }

    fn records_of(
        &self,
        header: &BatchHeader,
        batch: &[u8],
    ) -> Result<Vec<(Offset, Record)>, StorageError> {
        let read = || -> Result<Vec<(Offset, Record)>, BatchError> {
            let (view, _) = BatchView::parse(batch)?;
            let records = view.records(self.config.decompressed_bytes_max)?;
            let with_offset = |record: Record| (view.offset_of(&record), record);
            records.map(|record| record.map(with_offset)).collect()
        };
        read().map_err(|error| self.unreadable(header, &error))
    }

    /// Visits the batches of a segment, bytes included.
    fn visit(
        &self,
        place: usize,
        mut visit: impl FnMut(&Self, &BatchHeader, &[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let segment = &self.segments[place];
        let mut buffer = vec![0; 16 << 10];
        let mut batch = Vec::new();
        let mut scan = HeaderScan::new(&*segment.file, 0, segment.size, &mut buffer);
        while let Some((position, header)) =
            scan.step().map_err(|error| self.broken(error, segment.base))?
        {
            read_batch(&*segment.file, position, header.size, &mut batch)
                .map_err(StorageError::disk("read", &self.dir))?;
            if !header.crc_matches(&batch) {
                return Err(self.unreadable(&header, &"checksum"));
            }
            visit(self, &header, &batch)?;
        }
        Ok(())
    }

    fn broken(&self, error: ScanError, base: Offset) -> StorageError {
        match error {
            ScanError::Disk(error) => StorageError::disk("read", &self.dir)(error),
            ScanError::Bad { reason, .. } => {
                StorageError::Corrupt { path: self.dir.clone(), offset: base, reason }
            }
        }
    }

    fn unreadable(&self, header: &BatchHeader, error: &dyn ToString) -> StorageError {
        let (path, offset) = (self.dir.clone(), header.base_offset);
        StorageError::Corrupt { path, offset, reason: error.to_string() }
    }
}

impl Plan {
    fn is_aborted(&self, header: &BatchHeader) -> bool {
        let within = |(producer, first, last): &(ProducerId, Offset, Offset)| {
            *producer == header.producer_id
                && *first <= header.base_offset
                && header.base_offset < *last
        };
        header.is_transactional() && self.aborted.iter().any(within)
    }
}
