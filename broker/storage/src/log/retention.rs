//! Deleting from the front: by time, by size, on request.
//!
//! Only whole segments go, and only those below the high watermark. Files get the suffix `.deleted`
//! here and now; the owner removes them later, where a slow disk hurts nobody. The log's start is made
//! durable with the next sync: a crash before it brings deleted records back, never the other way.

use super::Log;
use crate::error::StorageError;
use crate::names::{SegmentFile, Stage};
use crate::segment::Segment;
use mainstem_platform::Now;
use mainstem_protocol::ids::Offset;
use std::path::PathBuf;

impl Log {
    /// Drops segments that are too old, too much or before the log's start. The answer names the
    /// files to remove.
    pub fn apply_retention(&mut self, now: Now) -> Result<Vec<PathBuf>, StorageError> {
        let by_policy =
            if self.config.cleanup_policy.delete { self.expired_segments(now) } else { 0 };
        let by_start = self.segments[1..].partition_point(|next| next.base <= self.log_start);
        self.drop_segments(by_policy.max(by_start))
    }

    /// How many segments at the front the policy lets go.
    fn expired_segments(&self, now: Now) -> usize {
        let mut excess = match self.config.retention_bytes {
            Some(limit) => self.size_bytes().saturating_sub(limit),
            None => 0,
        };
        let mut count = 0;
        for (place, segment) in self.segments.iter().enumerate() {
            if segment.size == 0 || self.high_watermark < self.segment_end(place) {
                break;
            }
            let newest_ms = segment.largest.map_or(now.wall_ms, |(time, _)| time);
            let age_ms = now.wall_ms.saturating_sub(newest_ms);
            let too_old = self.config.retention_ms.is_some_and(|limit| limit < age_ms);
            // The last segment goes by age only: size is kept by dropping what is whole before it.
            let is_active = place + 1 == self.segments.len();
            let too_much = segment.size <= excess && !is_active;
            if !too_old && !too_much {
                break;
            }
            excess = excess.saturating_sub(segment.size);
            count += 1;
        }
        count
    }

    fn drop_segments(&mut self, count: usize) -> Result<Vec<PathBuf>, StorageError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        if count == self.segments.len() {
            self.roll().map_err(StorageError::disk("roll", &self.dir))?;
        }
        let dropped: Vec<Segment> = self.segments.drain(..count).collect();
        self.log_start = self.log_start.max(self.segments[0].base);
        self.write_checkpoint()?;
        self.forget_epochs()?;
        let mut paths = Vec::new();
        for segment in dropped {
            paths.extend(self.mark_deleted(segment.base)?);
        }
        Ok(paths)
    }

    /// Renames a segment's files out of the log.
    pub(super) fn mark_deleted(&mut self, base: Offset) -> Result<Vec<PathBuf>, StorageError> {
        let mut paths = Vec::new();
        for (kind, path) in Segment::paths(base, &self.dir) {
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
