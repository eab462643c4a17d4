//! Compaction, the log's part: what may be compacted, is it worth it, and taking over what a
//! [`CompactionTask`] has written.
//!
//! What may be compacted: closed segments from the front, below the last stable offset (every
//! transaction in them has ended) and older than `min.compaction.lag.ms`. Also below the recovery point
//! that a crash would find: a gap in the offsets past it would pass for a torn tail.
//!
//! When it is worth it: when the share of bytes that were never compacted is above
//! `min.cleanable.dirty.ratio`, or one of them is older than `max.compaction.lag.ms`. From where on the
//! log is dirty stands in `cleaner-checkpoint`.

use super::Log;
use crate::checkpoint::{format_first_dirty, parse_first_dirty, read_text};
use crate::compaction::{
    CompactionTask, Group, LastOfProducer, Plan, Source, Work, remove_cleaned,
};
use crate::error::StorageError;
use crate::names::{CLEANER_CHECKPOINT, Kind, SegmentFile, Stage};
use crate::segment::Segment;
use crate::slice::{Compaction, CompactionNeed};
use mainstem_platform::{Disk, Now, OpenMode};
use mainstem_protocol::ids::Offset;
use std::path::{Path, PathBuf};

/// How a log stands towards compaction.
#[derive(Debug)]
pub(super) struct CompactionState {
    /// What lies before was compacted.
    first_dirty: Offset,
    /// A task is under way: no segment may go but by it.
    pub(super) is_under_way: bool,
    /// A task met damage. The log is not tried again before it is opened anew.
    gave_up: bool,
}

impl CompactionState {
    pub(super) fn open(disk: &dyn Disk, dir: &Path) -> Result<Self, StorageError> {
        let text = read_text(disk, &dir.join(CLEANER_CHECKPOINT))?;
        let first_dirty = text.as_deref().and_then(parse_first_dirty).unwrap_or(Offset(0));
        Ok(Self { first_dirty, is_under_way: false, gave_up: false })
    }
}

/// Segments that may be compacted: `..end`, of which `dirty..end` never were.
struct Stretch {
    dirty: usize,
    end: usize,
}

impl Log {
    /// How much the log needs compaction; `None` when it does not, or cannot be compacted now.
    pub fn compaction_need(&mut self, now: Now) -> Result<Option<CompactionNeed>, StorageError> {
        let state = &self.compaction;
        let off = !self.config.cleanup_policy.compact
            || state.is_under_way
            || state.gave_up
            || self.failed.is_some();
        if off {
            return Ok(None);
        }
        let stretch = self.cleanable(now);
        let size = |from: usize, to: usize| -> u64 {
            self.segments[from..to].iter().map(|segment| segment.size).sum()
        };
        let (clean, dirty) = (size(0, stretch.dirty), size(stretch.dirty, stretch.end));
        if dirty == 0 {
            return Ok(None);
        }
        let ratio = dirty as f64 / (clean + dirty) as f64;
        let is_overdue = self.is_overdue(&stretch, now)?;
        if !is_overdue && ratio <= self.config.min_cleanable_dirty_ratio {
            return Ok(None);
        }
        Ok(Some(CompactionNeed { dirty_ratio: ratio, is_overdue }))
    }

    fn cleanable(&self, now: Now) -> Stretch {
        let active = self.segments.len() - 1;
        let first_dirty = self.first_dirty();
        let dirty = self.segment_of(first_dirty).min(active);
        let mut end = self.segment_of(self.last_stable_offset()).min(active);
        let lag_ms = self.config.min_compaction_lag_ms;
        if 0 < lag_ms {
            let too_young =
                |segment: &Segment| now.wall_ms.saturating_sub(lag_ms) < segment.newest_ms();
            let young = self.segments[dirty..active].iter().position(too_young);
            end = end.min(young.map_or(active, |young| dirty + young));
        }
        Stretch { dirty: dirty.min(end), end }
    }

    /// The first offset that was never compacted, as far as is known.
    pub fn first_dirty(&self) -> Offset {
        let known = self.compaction.first_dirty;
        if self.next_offset < known { self.log_start } else { known.max(self.log_start) }
    }

    fn is_overdue(&mut self, stretch: &Stretch, now: Now) -> Result<bool, StorageError> {
        let lag_ms = self.config.max_compaction_lag_ms;
        if lag_ms == i64::MAX {
            return Ok(false);
        }
        let limit_ms = now.wall_ms.saturating_sub(lag_ms);
        for segment in &mut self.segments[stretch.dirty..stretch.end] {
            let first_ms = segment.first_timestamp_ms();
            let first_ms = first_ms.map_err(StorageError::disk("read", &self.dir))?;
            if first_ms.is_some_and(|first_ms| 0 < first_ms && first_ms < limit_ms) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Plans the compaction of what can be compacted. `memory_bytes` bounds the map of keys; `salt` is
    /// a random number. `None` when there is nothing, or when the recovery point is not on the disk yet:
    /// it joins the next sync then.
    pub fn begin_compaction(
        &mut self,
        now: Now,
        memory_bytes: usize,
        salt: u64,
    ) -> Result<Option<CompactionTask>, StorageError> {
        let Stretch { dirty, end } = self.cleanable(now);
        if self.compaction.is_under_way || dirty == end {
            return Ok(None);
        }
        let durable = self.checkpoint.durable_recovery_point();
        if durable < self.segments[end].base {
            self.demand_checkpoint()?;
            return Ok(None);
        }
        let sources = (0..end).map(|place| {
            let segment = &self.segments[place];
            Source {
                base: segment.base,
                end: self.segment_end(place),
                file: segment.file.clone(),
                size: segment.size,
                index_bytes: segment.index_bytes(),
                modified_ms: segment.modified_ms,
            }
        });
        let producers = self.producers.iter().map(|(id, entry)| match entry.last() {
            Some(batch) => (id, LastOfProducer::Batch(batch.last_offset)),
            None => (id, LastOfProducer::Marker(entry.epoch)),
        });
        let aborted = self.segments.iter().flat_map(|segment| segment.aborted.entries());
        let plan = Plan {
            dir: self.dir.clone(),
            config: self.config.clone(),
            now_ms: now.wall_ms,
            sources: sources.collect(),
            first_dirty: self.first_dirty(),
            aborted: aborted.copied().collect(),
            producers: producers.collect(),
            memory_bytes,
            salt,
        };
        self.compaction.is_under_way = true;
        Ok(Some(CompactionTask::new(plan)))
    }

    /// Takes a task back after a step that went well. After an error here the task is to be given up.
    pub fn continue_compaction(
        &mut self,
        mut task: CompactionTask,
    ) -> Result<Compaction, StorageError> {
        let mut removed = Vec::new();
        task.work = match std::mem::replace(&mut task.work, Work::Finished) {
            Work::Written(group) => {
                // The log file comes last: with it the replacement is decided.
                let order = [Kind::TransactionIndex, Kind::OffsetIndex, Kind::TimeIndex, Kind::Log];
                self.rename_segment(&group.segment, [Stage::Cleaned, Stage::Swap], order)?;
                Work::Named(group)
            }
            Work::Ready(group) => {
                let replaced = task.replaced(&group);
                removed = self.take_over(*group, &replaced)?;
                Work::Next
            }
            Work::Finished => {
                self.compaction.is_under_way = false;
                self.compaction.first_dirty = task.first_dirty_after();
                self.write_first_dirty()?;
                return Ok(Compaction { task: None, removed });
            }
            work => work,
        };
        Ok(Compaction { task: Some(task), removed })
    }

    /// The task came to nothing. When it met damage the log is not compacted again until it is opened
    /// anew; the data stay as they are.
    pub fn give_up_compaction(&mut self, error: &StorageError) {
        self.compaction.is_under_way = false;
        self.compaction.gave_up = !error.is_disk_full();
        // What was being written lies at the base of a segment. What cannot be removed now is removed
        // at the next start.
        for place in 0..self.segments.len() {
            let _ = remove_cleaned(&*self.disk, &self.dir, self.segments[place].base);
        }
    }

    /// Renames the files of a compacted segment in this order. Only the transaction index may be
    /// missing.
    fn rename_segment(
        &mut self,
        segment: &Segment,
        [from, to]: [Stage; 2],
        order: [Kind; 4],
    ) -> Result<(), StorageError> {
        for kind in order {
            if kind == Kind::TransactionIndex && segment.aborted.file().is_none() {
                continue;
            }
            let file = SegmentFile { base: segment.base, kind, stage: from };
            let (from, to) = (file.path(&self.dir), file.at(to).path(&self.dir));
            self.disk.rename(&from, &to).map_err(StorageError::disk("rename", &from))?;
        }
        self.sync.note_names();
        Ok(())
    }

    /// Puts a compacted segment in the place of those it was made from. The answer names files to
    /// remove.
    fn take_over(
        &mut self,
        group: Group,
        replaced: &[Offset],
    ) -> Result<Vec<PathBuf>, StorageError> {
        let mut segment = group.segment;
        let base = segment.base;
        let place = self.segment_of(base);
        let there = self.segments[place..].iter().map(|segment| segment.base);
        assert!(
            there.take(replaced.len()).eq(replaced.iter().copied()),
            "segments under compaction stay where they are"
        );
        let mut removed = Vec::new();
        for old in replaced {
            removed.extend(self.mark_deleted(*old, *old != base)?);
        }
        // The transaction index after another one: if a crash parts them, all are built anew.
        let order = [Kind::OffsetIndex, Kind::TimeIndex, Kind::TransactionIndex, Kind::Log];
        self.rename_segment(&segment, [Stage::Swap, Stage::Live], order)?;
        let index = SegmentFile::live(base, Kind::TransactionIndex).path(&self.dir);
        segment.aborted.renamed(index);
        self.segments.splice(place..place + replaced.len(), [segment]);
        Ok(removed)
    }

    /// Replaces the file; joins the next sync.
    fn write_first_dirty(&mut self) -> Result<(), StorageError> {
        let path = self.dir.join(CLEANER_CHECKPOINT);
        let beside = self.dir.join(format!("{CLEANER_CHECKPOINT}.tmp"));
        let failed = || StorageError::disk("write", &path);
        let file = self.disk.open(&beside, OpenMode::CreateOrTruncate).map_err(failed())?;
        let text = format_first_dirty(self.compaction.first_dirty);
        file.write_at(text.as_bytes(), 0).map_err(failed())?;
        self.disk.rename(&beside, &path).map_err(failed())?;
        self.sync.note_file(file);
        self.sync.note_names();
        Ok(())
    }
}
