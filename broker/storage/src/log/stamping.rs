//! What a leader writes into batches: base offset, leader epoch, and times when the topic says so.
//!
//! Offset and epoch are stamped into a copy of the batch's first bytes, which is written before the
//! rest: records go from the request to the file without being copied.

use crate::header::BatchHeader;
use bytes::{Bytes, BytesMut};
use mainstem_protocol::ids::{LeaderEpoch, Offset};
use mainstem_protocol::record::{self, patch};
use std::io::IoSlice;
use std::ops::Range;

/// The bytes of a batch that hold everything a leader stamps: base offset, length, leader epoch.
const STAMP_BYTES: usize = 16;

/// What is stamped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    /// Of the first batch.
    pub(super) base_offset: Offset,
    pub(super) leader_epoch: LeaderEpoch,
    /// -1 leaves the times of the batches.
    pub(super) log_append_time_ms: i64,
}

/// Batches as they will lie in the file, one after the other.
#[derive(Debug, Default)]
pub(super) struct Stamped {
    pub(super) headers: Vec<BatchHeader>,
    /// The first bytes of each batch; those in `batches` are stale.
    stamps: Vec<[u8; STAMP_BYTES]>,
    pub(super) batches: Vec<Bytes>,
}

impl Stamped {
    /// Gives batches their offsets, epoch and time, in their heads too, and adds them.
    pub(super) fn add(&mut self, batches: Bytes, headers: &mut [BatchHeader], stamp: Stamp) {
        let mut rest = set_times(batches, headers, stamp.log_append_time_ms);
        let mut next_offset = stamp.base_offset;
        for header in headers {
            header.base_offset = next_offset;
            header.leader_epoch = stamp.leader_epoch;
            let batch = rest.split_to(header.size);
            let mut first = [0; STAMP_BYTES];
            first.copy_from_slice(&batch[..STAMP_BYTES]);
            patch::set_base_offset(&mut first, next_offset);
            patch::set_leader_epoch(&mut first, stamp.leader_epoch);
            self.stamps.push(first);
            self.batches.push(batch);
            self.headers.push(*header);
            next_offset = header.next_offset();
        }
    }

    /// What is written of some batches, in order: the stamp and the rest of each.
    pub(super) fn slices(&self, range: Range<usize>) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * range.len());
        for (stamp, batch) in self.stamps[range.clone()].iter().zip(&self.batches[range]) {
            slices.push(IoSlice::new(stamp));
            slices.push(IoSlice::new(&batch[STAMP_BYTES..]));
        }
        slices
    }
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
