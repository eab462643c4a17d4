//! Writing: judge, stamp, write once, then note.
//!
//! Order matters. Everything that can be refused is refused before the first byte is written; indexes
//! and the log's end follow when the bytes are in the file. A batch is stored as it came, except for what
//! `stamping` writes; a topic with a compression of its own has it packed anew.
//!
//! Batches of clients go by way of `accepting`, which joins the writes of many; those of coordinators
//! and markers are written at once.
//!
//! A full disk refuses the append and leaves the log usable: what was half written lies past the
//! segment's size and is overwritten. Any other failed write fails the log for good.

use super::Log;
use super::replay::note_batch;
use super::stamping::{Stamp, Stamped};
use crate::config::TimestampType;
use crate::error::AppendError;
use crate::header::BatchHeader;
use crate::producer::Verdict;
use crate::segment::{NextAppend, Run};
use crate::slice::{Appended, Marker, Origin};
use crate::validate::{check_batches, check_size, repack};
use bytes::Bytes;
use mainstem_platform::Now;
use mainstem_protocol::ids::{LeaderEpoch, Offset};
use mainstem_protocol::record::{ControlRecord, marker_batch};
use std::io;
use std::ops::Range;

impl Log {
    /// Appends batches as one write. A client's append is one batch; one that was here already is
    /// answered with its first offsets and written no second time.
    pub fn append(
        &mut self,
        now: Now,
        batches: impl Into<Bytes>,
        leader_epoch: LeaderEpoch,
        origin: Origin,
    ) -> Result<Appended, AppendError> {
        match origin {
            Origin::Client => {
                let appended = self.accept(now, batches, leader_epoch)?;
                self.write_accepted(now)?;
                Ok(appended)
            }
            Origin::Coordinator => self.with_headers(|log, headers| {
                log.append_unsequenced(now, batches.into(), leader_epoch, headers)
            }),
        }
    }

    fn append_unsequenced(
        &mut self,
        now: Now,
        batches: Bytes,
        leader_epoch: LeaderEpoch,
        headers: &mut Vec<BatchHeader>,
    ) -> Result<Appended, AppendError> {
        self.check_usable(leader_epoch)?;
        check_batches(&batches, &self.config, Origin::Coordinator, now, headers)?;
        for header in headers.iter().filter(|header| header.has_producer()) {
            self.producers.check_batch(header, Origin::Coordinator)?;
        }
        check_size(batches.len(), &self.config)?;
        self.append_judged(now, batches, leader_epoch, headers)
    }

    /// Lends the memory for heads that the log keeps.
    pub(super) fn with_headers<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Vec<BatchHeader>) -> T,
    ) -> T {
        let mut headers = std::mem::take(&mut self.headers);
        let answer = work(self, &mut headers);
        self.headers = headers;
        answer
    }

    /// Judges a client's batch, and packs it anew where the topic asks for it. `Err` within `Ok` is the
    /// answer to a duplicate.
    pub(super) fn judge_client(
        &self,
        now: Now,
        batch: Bytes,
        leader_epoch: LeaderEpoch,
        headers: &mut Vec<BatchHeader>,
    ) -> Result<Result<Bytes, Appended>, AppendError> {
        self.check_usable(leader_epoch)?;
        check_batches(&batch, &self.config, Origin::Client, now, headers)?;
        let header = &mut headers[0];
        if header.has_producer()
            && let Verdict::Duplicate(memory) =
                self.producers.check_batch(header, Origin::Client)?
        {
            let stamped = self.config.timestamp_type == TimestampType::LogAppendTime;
            return Ok(Err(Appended {
                base_offset: memory.first_offset(),
                last_offset: memory.last_offset,
                log_append_time_ms: if stamped { memory.timestamp_ms } else { -1 },
                log_start_offset: self.log_start,
                duplicate: true,
            }));
        }
        let batch = repack(&batch, &self.config, header)?.map_or(batch, |packed| packed.freeze());
        check_size(batch.len(), &self.config)?;
        Ok(Ok(batch))
    }

    /// Writes the marker that ends a producer's transaction in this partition.
    pub fn append_marker(
        &mut self,
        now: Now,
        marker: Marker,
        leader_epoch: LeaderEpoch,
    ) -> Result<Appended, AppendError> {
        self.check_usable(leader_epoch)?;
        self.producers.check_marker(&marker)?;
        let coordinator_epoch = marker.coordinator_epoch;
        let record = if marker.commit {
            ControlRecord::Commit { coordinator_epoch }
        } else {
            ControlRecord::Abort { coordinator_epoch }
        };
        let (id, epoch) = (marker.producer_id, marker.producer_epoch);
        let batch = marker_batch(now.wall_ms, id, epoch, leader_epoch, record)
            .map_err(|error| AppendError::InvalidRecord(error.to_string()))?;
        let header = BatchHeader::read(&batch)
            .map_err(|not| AppendError::InvalidRecord(format!("marker: {not:?}")))?;
        self.append_judged(now, batch, leader_epoch, &mut [header])
    }

    fn check_usable(&self, leader_epoch: LeaderEpoch) -> Result<(), AppendError> {
        if let Some(reason) = &self.failed {
            return Err(AppendError::DiskFailed(reason.clone()));
        }
        let accepted = self.accepted.last().map(|header| header.leader_epoch);
        match accepted.or_else(|| self.epochs.latest()) {
            Some(current) if leader_epoch < current => {
                Err(AppendError::StaleLeaderEpoch { epoch: leader_epoch, current })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn stamp(&self, now: Now, base_offset: Offset, leader_epoch: LeaderEpoch) -> Stamp {
        let log_append_time_ms = match self.config.timestamp_type {
            TimestampType::CreateTime => -1,
            TimestampType::LogAppendTime => now.wall_ms,
        };
        Stamp { base_offset, leader_epoch, log_append_time_ms }
    }

    pub(super) fn appended(&self, base_offset: Offset, end: Offset, stamp: Stamp) -> Appended {
        Appended {
            base_offset,
            last_offset: end.plus(-1),
            log_append_time_ms: stamp.log_append_time_ms,
            log_start_offset: self.log_start,
            duplicate: false,
        }
    }

    /// Stamps and writes batches that nothing speaks against, and tells the producer table.
    fn append_judged(
        &mut self,
        now: Now,
        batches: Bytes,
        leader_epoch: LeaderEpoch,
        headers: &mut [BatchHeader],
    ) -> Result<Appended, AppendError> {
        self.assert_all_written();
        let base_offset = self.next_offset;
        let stamp = self.stamp(now, base_offset, leader_epoch);
        let mut stamped = Stamped::default();
        stamped.add(batches, headers, stamp);
        let next = NextAppend::of(&stamped.headers, now);
        let jitter_ms = self.jitter_ms();
        let segment = self.segments.last_mut().expect("a log has an active segment");
        let must_roll = segment.must_roll(&self.config, jitter_ms, &Run::default(), &next);
        if must_roll.map_err(|error| self.fail(&error))? {
            self.roll(now.wall_ms).map_err(|error| self.fail(&error))?;
        }
        let all = 0..stamped.headers.len();
        self.write(now, &stamped, all)?;
        for (header, batch) in stamped.headers.iter().zip(&stamped.batches) {
            let aborted = note_batch(&mut self.producers, header, batch, now.wall_ms);
            let segment = self.segments.last_mut().expect("a log has an active segment");
            // This entry must not be missing: readers would see aborted records.
            if let Some(aborted) = aborted
                && let Err(error) = segment.aborted.push(&*self.disk, aborted)
            {
                return Err(self.fail_for_good(&error));
            }
        }
        Ok(self.appended(base_offset, self.next_offset, stamp))
    }

    /// Writes batches of one leader epoch at the active segment's end and moves the log's end behind
    /// them.
    pub(super) fn write(
        &mut self,
        now: Now,
        stamped: &Stamped,
        range: Range<usize>,
    ) -> Result<(), AppendError> {
        let headers = &stamped.headers[range.clone()];
        let (first, last) = (headers[0], headers[headers.len() - 1]);
        if self.epochs.note(first.leader_epoch, first.base_offset)
            && let Err(error) = self.write_epochs()
        {
            self.epochs.cut_at(first.base_offset);
            return Err(self.fail(&error));
        }
        let segment = self.segments.last_mut().expect("a log has an active segment");
        let (file, end) = (&segment.file, segment.size);
        if let Err(error) = file.write_vectored_at(&stamped.slices(range), end) {
            // What is past the size is not read in this life, but the next one would find it.
            let cut = file.set_len(end);
            return Err(self.fail(&cut.err().unwrap_or(error)));
        }
        segment.modified_ms = now.wall_ms;
        for header in headers {
            match segment.note_batch(header, &self.config) {
                Ok(()) => {}
                // An index is sparse: an entry that finds no room only makes lookups longer.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
                Err(error) => return Err(self.fail_for_good(&error)),
            }
        }
        let written = segment.size - end;
        self.next_offset = last.next_offset();
        self.sync.note_appended(written);
        Ok(())
    }

    /// Broken unless the owner wrote what it had accepted.
    pub(super) fn assert_all_written(&self) {
        assert!(self.accepted.is_empty(), "accepted batches are written before anything else");
    }

    pub(super) fn fail(&mut self, error: &io::Error) -> AppendError {
        if error.kind() == io::ErrorKind::StorageFull {
            return AppendError::DiskFull;
        }
        self.fail_for_good(error)
    }

    /// The batch is in the file and its tables are not whole, or the disk failed: the log must be
    /// reopened.
    fn fail_for_good(&mut self, error: &io::Error) -> AppendError {
        self.failed = Some(error.to_string());
        AppendError::DiskFailed(error.to_string())
    }
}
