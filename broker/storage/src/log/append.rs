//! Writing: judge, stamp, write once, then note.
//!
//! Order matters. Everything that can be refused is refused before the first byte is written; the
//! tables learn of a batch only after its bytes are in the file. A batch is stored as it came, except
//! for the base offset and the leader epoch, which its checksum leaves out, and the timestamp when the
//! topic says so; a topic with a compression of its own has it packed anew. Offset and epoch are stamped
//! into a copy of the batch's first bytes, which is written before the rest: records go from the
//! request to the file without being copied.
//!
//! A full disk refuses the append and leaves the log usable: what was half written lies past the
//! segment's size and is overwritten. Any other failed write fails the log for good.

use super::Log;
use super::leftovers::remove_segment;
use super::replay::note_batch;
use crate::config::TimestampType;
use crate::error::AppendError;
use crate::header::BatchHeader;
use crate::producer::Verdict;
use crate::segment::{NextAppend, Segment};
use crate::slice::{Appended, Marker, Origin};
use crate::validate::{check_batches, check_size, repack};
use bytes::{Bytes, BytesMut};
use mainstem_platform::{Now, Random, SeededRandom};
use mainstem_protocol::ids::{LeaderEpoch, Offset};
use mainstem_protocol::record::{self, ControlRecord, marker_batch, patch};
use std::io::{self, IoSlice};

/// The bytes of a batch that hold everything a leader stamps: base offset, length, leader epoch.
const STAMP_BYTES: usize = 16;

/// Batches as they will lie in the file.
struct Stamped {
    /// The first bytes of each batch; those in `batches` are stale.
    stamps: Vec<[u8; STAMP_BYTES]>,
    batches: Bytes,
    next_offset: Offset,
}

impl Log {
    /// Appends batches as one write. A client's batch that was here already is answered with its
    /// first offsets and written no second time.
    pub fn append(
        &mut self,
        now: Now,
        batches: impl Into<Bytes>,
        leader_epoch: LeaderEpoch,
        origin: Origin,
    ) -> Result<Appended, AppendError> {
        self.check_usable(leader_epoch)?;
        let mut headers = std::mem::take(&mut self.headers);
        let answer = self.append_checked(now, batches.into(), leader_epoch, origin, &mut headers);
        self.headers = headers;
        answer
    }

    fn append_checked(
        &mut self,
        now: Now,
        mut batches: Bytes,
        leader_epoch: LeaderEpoch,
        origin: Origin,
        headers: &mut Vec<BatchHeader>,
    ) -> Result<Appended, AppendError> {
        check_batches(&batches, &self.config, origin, now, headers)?;
        for header in headers.iter().filter(|header| header.has_producer()) {
            // A client's append is one batch, so a duplicate is all of it.
            if let Verdict::Duplicate(memory) = self.producers.check_batch(header, origin)? {
                let stamped = self.config.timestamp_type == TimestampType::LogAppendTime;
                return Ok(Appended {
                    base_offset: memory.first_offset(),
                    last_offset: memory.last_offset,
                    log_append_time_ms: if stamped { memory.timestamp_ms } else { -1 },
                    log_start_offset: self.log_start,
                    duplicate: true,
                });
            }
        }
        if origin == Origin::Client
            && let Some(repacked) = repack(&batches, &self.config, &mut headers[0])?
        {
            batches = repacked.freeze();
        }
        check_size(batches.len(), &self.config)?;
        self.write(now, batches, leader_epoch, headers)
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
        self.write(now, batch, leader_epoch, &mut [header])
    }

    fn check_usable(&self, leader_epoch: LeaderEpoch) -> Result<(), AppendError> {
        if let Some(reason) = &self.failed {
            return Err(AppendError::DiskFailed(reason.clone()));
        }
        match self.epochs.latest() {
            Some(current) if leader_epoch < current => {
                Err(AppendError::StaleLeaderEpoch { epoch: leader_epoch, current })
            }
            _ => Ok(()),
        }
    }

    /// Stamps and writes batches that nothing speaks against.
    fn write(
        &mut self,
        now: Now,
        batches: Bytes,
        leader_epoch: LeaderEpoch,
        headers: &mut [BatchHeader],
    ) -> Result<Appended, AppendError> {
        let base_offset = self.next_offset;
        let log_append_time_ms = match self.config.timestamp_type {
            TimestampType::CreateTime => -1,
            TimestampType::LogAppendTime => now.wall_ms,
        };
        let stamped = stamp(batches, headers, base_offset, leader_epoch, log_append_time_ms);
        let last_offset = stamped.next_offset.plus(-1);

        let size = stamped.batches.len() as u64;
        let next = NextAppend {
            size_bytes: size,
            last_offset,
            max_timestamp_ms: headers.iter().map(|head| head.max_timestamp).max().unwrap_or(-1),
            now_ms: now.wall_ms,
        };
        let jitter_ms = self.jitter_ms();
        let segment = self.segments.last_mut().expect("a log has an active segment");
        let must_roll = segment.must_roll(&self.config, jitter_ms, &next);
        if must_roll.map_err(|error| self.fail(&error))? {
            self.roll(now.wall_ms).map_err(|error| self.fail(&error))?;
        }
        if self.epochs.note(leader_epoch, base_offset)
            && let Err(error) = self.write_epochs()
        {
            self.epochs.cut_at(base_offset);
            return Err(self.fail(&error));
        }
        let segment = self.active();
        if let Err(error) = segment.file.write_vectored_at(&stamped.slices(headers), segment.size) {
            // What is past the size is not read in this life, but the next one would find it.
            let cut = segment.file.set_len(segment.size);
            return Err(self.fail(&cut.err().unwrap_or(error)));
        }
        self.note_written(&stamped.batches, headers, now)?;
        self.next_offset = stamped.next_offset;
        self.sync.note_appended(size);
        Ok(Appended {
            base_offset,
            last_offset,
            log_append_time_ms,
            log_start_offset: self.log_start,
            duplicate: false,
        })
    }

    /// Indexes what was written and tells the tables.
    fn note_written(
        &mut self,
        batches: &[u8],
        headers: &[BatchHeader],
        now: Now,
    ) -> Result<(), AppendError> {
        let mut from = 0;
        for header in headers {
            let batch = &batches[from..from + header.size];
            from += header.size;
            let aborted = note_batch(&mut self.producers, header, batch, now.wall_ms);
            let segment = self.segments.last_mut().expect("a log has an active segment");
            segment.modified_ms = now.wall_ms;
            let mut noted = match segment.note_batch(header, &self.config) {
                // An index is sparse: an entry that finds no room only makes lookups longer.
                Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
                noted => noted,
            };
            if let Some(aborted) = aborted {
                // This entry must not be missing: readers would see aborted records.
                noted = noted.and_then(|()| segment.aborted.push(&*self.disk, aborted));
            }
            if let Err(error) = noted {
                // The batch is in the file and its tables are not whole: the log must be reopened.
                self.failed = Some(error.to_string());
                return Err(AppendError::DiskFailed(error.to_string()));
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: &io::Error) -> AppendError {
        if error.kind() == io::ErrorKind::StorageFull {
            return AppendError::DiskFull;
        }
        self.failed = Some(error.to_string());
        AppendError::DiskFailed(error.to_string())
    }

    /// Closes the active segment and begins the next one. Every step may be done again after a
    /// failure, so a full disk leaves the log as it was.
    pub(super) fn roll(&mut self, now_ms: i64) -> io::Result<()> {
        let rolled = self.try_roll(now_ms);
        if rolled.is_err() {
            // The next try may have another base. If this fails too, opening the log will know a
            // segment that was never begun.
            let _ = remove_segment(&*self.disk, &self.dir, self.next_offset);
        }
        rolled
    }

    /// How much earlier than `segment.ms` the active segment rolls: the same for its whole life.
    fn jitter_ms(&mut self) -> i64 {
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

impl Stamped {
    /// What is written, in order: the stamp and the rest of each batch.
    fn slices(&self, headers: &[BatchHeader]) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * headers.len());
        let mut from = 0;
        for (stamp, header) in self.stamps.iter().zip(headers) {
            slices.push(IoSlice::new(stamp));
            slices.push(IoSlice::new(&self.batches[from + STAMP_BYTES..from + header.size]));
            from += header.size;
        }
        slices
    }
}

/// Gives batches their offsets, epoch and time, in their heads too.
fn stamp(
    batches: Bytes,
    headers: &mut [BatchHeader],
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    log_append_time_ms: i64,
) -> Stamped {
    let batches = set_times(batches, headers, log_append_time_ms);
    let mut stamps = Vec::with_capacity(headers.len());
    let mut next_offset = base_offset;
    let mut from = 0;
    for header in headers {
        header.base_offset = next_offset;
        header.leader_epoch = leader_epoch;
        let mut stamp = [0; STAMP_BYTES];
        stamp.copy_from_slice(&batches[from..from + STAMP_BYTES]);
        patch::set_base_offset(&mut stamp, next_offset);
        patch::set_leader_epoch(&mut stamp, leader_epoch);
        stamps.push(stamp);
        from += header.size;
        next_offset = header.next_offset();
    }
    Stamped { stamps, batches, next_offset }
}

/// Writes other times into batches, where there are any: those of the append, or the largest one of the
/// records, when a check has found that a batch's head has another. Only then are batches copied.
fn set_times(batches: Bytes, headers: &mut [BatchHeader], log_append_time_ms: i64) -> Bytes {
    let mut from = 0;
    let corrected = headers.iter().any(|header| {
        let batch = &batches[from..];
        from += header.size;
        BatchHeader::read(batch).is_ok_and(|sent| sent.max_timestamp != header.max_timestamp)
    });
    if log_append_time_ms < 0 && !corrected {
        return batches;
    }
    let mut batches = BytesMut::from(batches);
    let mut rest = &mut batches[..];
    for header in headers {
        let (batch, after) = rest.split_at_mut(header.size);
        rest = after;
        if 0 <= log_append_time_ms {
            patch::set_max_timestamp_log_append(batch, log_append_time_ms);
            header.max_timestamp = log_append_time_ms;
        } else {
            let kind = record::TimestampType::CreateTime;
            patch::set_max_timestamp(batch, kind, header.max_timestamp);
        }
    }
    batches.freeze()
}

fn into_io(error: crate::error::StorageError) -> io::Error {
    match error {
        crate::error::StorageError::Disk { source, .. } => source,
        corrupt => io::Error::other(corrupt),
    }
}
