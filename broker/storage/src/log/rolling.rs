//! The end of the active segment and the beginning of the next one.

use super::Log;
use super::leftovers::remove_segment;
use crate::segment::Segment;
use mainstem_platform::{Random, SeededRandom};
use std::io;

impl Log {
    /// Closes the active segment and begins the next one. Every step may be done again after a
    /// failure, so a full disk leaves the log as it was.
    pub(super) fn roll(&mut self, now_ms: i64) -> io::Result<()> {
        self.assert_all_written();
        let rolled = self.try_roll(now_ms);
        if rolled.is_err() {
            // The next try may have another base. If this fails too, opening the log will know a
            // segment that was never begun.
            let _ = remove_segment(&*self.disk, &self.dir, self.next_offset);
        }
        rolled
    }

    /// How much earlier than `segment.ms` the active segment rolls: the same for its whole life.
    pub(super) fn jitter_ms(&mut self) -> i64 {
        let jitter_ms = self.config.segment_jitter_ms.min(self.config.segment_ms);
        if jitter_ms <= 0 {
            return 0;
        }
        let base = self.active().base.0.unsigned_abs();
        let mut random = SeededRandom::new(self.jitter_seed ^ base);
        random.below(jitter_ms.unsigned_abs()) as i64
    }

    fn try_roll(&mut self, now_ms: i64) -> io::Result<()> {
        let base = self.next_offset;
        debug_assert!(self.active().base < base, "an empty segment is not rolled");
        let (mut next, _) = Segment::open(&*self.disk, &self.dir, base, now_ms).map_err(into_io)?;
        next.make_active(&self.config)?;
        self.write_snapshot()?;
        let closed = self.active();
        closed.make_closed()?;
        let files: Vec<_> = closed.files().collect();
        files.into_iter().for_each(|file| self.sync.note_file(file));
        self.sync.note_names();
        self.sync.note_closed();
        self.segments.push(next);
        Ok(())
    }
}

fn into_io(error: crate::error::StorageError) -> io::Error {
    match error {
        crate::error::StorageError::Disk { source, .. } => source,
        corrupt => io::Error::other(corrupt),
    }
}
