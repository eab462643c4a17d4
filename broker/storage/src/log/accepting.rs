//! Batches of clients that are accepted and not written yet: those of one pass reach the file in one
//! write, instead of one for each.
//!
//! An accepted batch has its offsets and stands in the producer table, so the next one is judged as if
//! it were written. For all who read, the log ends before it.
//!
//! Invariants:
//! - Nobody is told of an accepted batch before it is written.
//! - What cannot be written is taken back out of the producer table, the newest first: a duplicate of a
//!   batch that is in no file must not pass for one.
//! - Nothing else writes to the log, nor saves its producer table, while there are accepted batches.

use super::Log;
use super::stamping::{Stamp, Stamped};
use crate::error::AppendError;
use crate::header::BatchHeader;
use crate::producer::{Before, ProducerStates};
use crate::segment::{NextAppend, Run};
use crate::slice::Appended;
use bytes::Bytes;
use mainstem_platform::Now;
use mainstem_protocol::ids::{LeaderEpoch, Offset};
use std::ops::Range;

/// With so many batches or bytes a write gains nothing by more of them.
const ACCEPTED_BATCHES_MAX: usize = 256;
const ACCEPTED_BYTES_MAX: u64 = 1 << 20;

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    stamped: Stamped,
    /// What the producer table held before each batch.
    before: Vec<Option<Before>>,
    bytes: u64,
}

impl Accepted {
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty()
    }

    pub(super) fn last(&self) -> Option<&BatchHeader> {
        self.stamped.headers.last()
    }

    fn len(&self) -> usize {
        self.before.len()
    }

    fn add(
        &mut self,
        batch: Bytes,
        headers: &mut [BatchHeader],
        stamp: Stamp,
        (producers, now): (&mut ProducerStates, Now),
    ) {
        self.bytes += batch.len() as u64;
        self.stamped.add(batch, headers, stamp);
        self.note(self.len(), producers, now);
    }

    /// Tells the producer table of the batches from this place on.
    fn note(&mut self, from: usize, producers: &mut ProducerStates, now: Now) {
        for header in &self.stamped.headers[from..] {
            let has_producer = header.has_producer();
            self.before.push(has_producer.then(|| producers.before(header.producer_id)));
            if has_producer {
                producers.apply_batch(header, now.wall_ms);
            }
        }
    }

    /// Lets the producer table forget them.
    fn take_back(&mut self, from: usize, producers: &mut ProducerStates) {
        for before in self.before.drain(from..).rev().flatten() {
            producers.restore(before);
        }
    }
}

impl Log {
    /// Accepts one batch of a client, to be written by [`Log::write_accepted`]. A batch that was here
    /// already is answered with its first offsets; those too may not be written yet.
    pub fn accept(
        &mut self,
        now: Now,
        batch: impl Into<Bytes>,
        leader_epoch: LeaderEpoch,
    ) -> Result<Appended, AppendError> {
        self.with_headers(|log, headers| log.accept_with(now, batch.into(), leader_epoch, headers))
    }

    fn accept_with(
        &mut self,
        now: Now,
        batch: Bytes,
        leader_epoch: LeaderEpoch,
        headers: &mut Vec<BatchHeader>,
    ) -> Result<Appended, AppendError> {
        let batch = match self.judge_client(now, batch, leader_epoch, headers)? {
            Ok(batch) => batch,
            Err(duplicate) => return Ok(duplicate),
        };
        let base_offset = self.accepted_end();
        let stamp = self.stamp(now, base_offset, leader_epoch);
        self.accepted.add(batch, headers, stamp, (&mut self.producers, now));
        Ok(self.appended(base_offset, self.accepted_end(), stamp))
    }

    /// The offset that the next batch gets.
    fn accepted_end(&self) -> Offset {
        self.accepted.last().map_or(self.next_offset, BatchHeader::next_offset)
    }

    /// Whether [`Log::write_accepted`] should not wait for more.
    pub fn is_accepted_full(&self) -> bool {
        ACCEPTED_BATCHES_MAX <= self.accepted.len() || ACCEPTED_BYTES_MAX <= self.accepted.bytes
    }

    /// Writes all accepted batches. After an error, those from the log's end on are forgotten: whoever
    /// waits for one of them is to be refused, and nothing speaks against sending it once more.
    pub fn write_accepted(&mut self, now: Now) -> Result<(), AppendError> {
        let mut accepted = std::mem::take(&mut self.accepted);
        let mut from = 0;
        while from < accepted.len() {
            match self.write_some(now, &mut accepted, from) {
                Ok(to) => from = to,
                Err(error) => {
                    accepted.take_back(from, &mut self.producers);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Rolls, or writes as many batches as belong into the active segment. The answer is the place of
    /// the next one to write.
    fn write_some(
        &mut self,
        now: Now,
        accepted: &mut Accepted,
        from: usize,
    ) -> Result<usize, AppendError> {
        let run = self.run_from(now, &accepted.stamped.headers, from)?;
        if run.is_empty() {
            // The table is saved as of the new segment's base.
            accepted.take_back(from, &mut self.producers);
            let rolled = self.roll(now.wall_ms);
            accepted.note(from, &mut self.producers, now);
            rolled.map_err(|error| self.fail(&error))?;
            return Ok(from);
        }
        self.write(now, &accepted.stamped, run.clone())?;
        Ok(run.end)
    }

    /// The batches from this place on that the active segment takes without a roll.
    fn run_from(
        &mut self,
        now: Now,
        headers: &[BatchHeader],
        from: usize,
    ) -> Result<Range<usize>, AppendError> {
        let jitter_ms = self.jitter_ms();
        let segment = self.segments.last_mut().expect("a log has an active segment");
        let mut run = Run::default();
        for (place, header) in headers.iter().enumerate().skip(from) {
            let next = NextAppend::of(std::slice::from_ref(header), now);
            let same_epoch = header.leader_epoch == headers[from].leader_epoch;
            match segment.must_roll(&self.config, jitter_ms, &run, &next) {
                Ok(false) if same_epoch => run.add(&next),
                Ok(_) => return Ok(from..place),
                Err(error) => return Err(self.fail(&error)),
            }
        }
        Ok(from..headers.len())
    }
}
