//! Deleting from the front: by time, by size, on request.
//!
//! Only whole segments go, and only those below the high watermark. Files get the suffix `.deleted`
//! here and now; the owner removes them later, where a slow disk hurts nobody. The log's start is made
//! durable with the next sync: a crash before it brings deleted records back, never the other way.

use super::Log;
use crate::error::StorageError;
use crate::names::{Kind, SegmentFile, Stage};
use crate::segment::Segment;
use mainstem_platform::Now;
use mainstem_protocol::ids::Offset;
use std::path::PathBuf;

impl Log {
    /// Drops segments that lie before the log's start, are too much or too old, in this order. The
    /// answer names the files to remove. Does nothing while a compaction is under way.
    pub fn apply_retention(&mut self, now: Now) -> Result<Vec<PathBuf>, StorageError> {
        if self.compaction.is_under_way {
            return Ok(Vec::new());
        }
        let log_start = self.log_start;
        let mut count = self.segments[1..].partition_point(|next| next.base <= log_start);
        if self.config.cleanup_policy.delete {
            if let Some(limit) = self.config.retention_bytes {
                let size: u64 = self.segments[count..].iter().map(|segment| segment.size).sum();
                let mut excess = size.saturating_sub(limit);
                count += self.deletable(count, |segment| {
                    let goes = segment.size <= excess && 0 < excess;
                    excess = excess.saturating_sub(segment.size);
                    goes
                });
            }
            if let Some(limit_ms) = self.config.retention_ms {
                count += self.deletable(count, |segment| {
                    limit_ms < now.wall_ms.saturating_sub(segment.newest_ms())
                });
            }
        }
        self.drop_segments(count, now)
    }

    /// How many segments from `place` on are acknowledged as a whole and fulfil `goes`. The active one
    /// may be among them unless it is empty: then it is rolled first.
    fn deletable(&self, place: usize, mut goes: impl FnMut(&Segment) -> bool) -> usize {
        let segments = self.segments[place..].iter().enumerate();
        let deletable = segments.take_while(|(after, segment)| {
            let is_active = place + after + 1 == self.segments.len();
            let is_acknowledged = self.segment_end(place + after) <= self.high_watermark;
            is_acknowledged && goes(segment) && !(is_active && segment.size == 0)
        });
        deletable.count()
    }

    fn drop_segments(&mut self, count: usize, now: Now) -> Result<Vec<PathBuf>, StorageError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        if count == self.segments.len() {
            self.roll(now.wall_ms).map_err(StorageError::disk("roll", &self.dir))?;
        }
        let dropped: Vec<Segment> = self.segments.drain(..count).collect();
        self.log_start = self.log_start.max(self.segments[0].base);
        self.write_checkpoint()?;
        self.forget_epochs()?;
        let mut paths = Vec::new();
        for segment in dropped {
            paths.extend(self.mark_deleted(segment.base, true)?);
        }
        Ok(paths)
    }

    /// Renames a segment's files out of the log, and the snapshot at its base if that is to go too.
    pub(super) fn mark_deleted(
        &mut self,
        base: Offset,
        with_snapshot: bool,
    ) -> Result<Vec<PathBuf>, StorageError> {
        let mut paths = Vec::new();
        for (kind, path) in Segment::paths(base, &self.dir) {
            if kind == Kind::Snapshot && !with_snapshot {
                continue;
            }
            let failed = || StorageError::disk("rename", &path);
            if self.disk.exists(&path).map_err(failed())? {
                let to = SegmentFile { base, kind, stage: Stage::Deleted }.path(&self.dir);
                self.disk.rename(&path, &to).map_err(failed())?;
                paths.push(to);
            }
        }
        self.sync.note_names();
        Ok(paths)
    }

    /// DeleteRecords: records before `offset` can be read no more. The start never goes back, nor past
    /// the high watermark; the answer is where it is now. Space comes back with
    /// [`Self::apply_retention`].
    pub fn delete_records_before(&mut self, offset: Offset) -> Result<Offset, StorageError> {
        let start = offset.min(self.high_watermark);
        if self.log_start < start {
            self.log_start = start;
            self.write_checkpoint()?;
            self.forget_epochs()?;
        }
        Ok(self.log_start)
    }

    fn forget_epochs(&mut self) -> Result<(), StorageError> {
        if self.epochs.forget_before(self.log_start) {
            let written = self.write_epochs();
            written.map_err(StorageError::disk("write the epochs of", &self.dir))?;
        }
        Ok(())
    }
}
