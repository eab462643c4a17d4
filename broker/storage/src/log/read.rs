//! Reading: from an offset to file ranges, without touching the records.
//!
//! A slice holds whole batches only. Its end is found by the index and a walk over at most one index
//! interval of heads, so it costs the same as finding its start; in return the reader knows where to
//! read on, and no client receives half a batch that it would have to throw away.
//!
//! When nothing but the log's end bounds a slice, which is the case of a consumer that keeps up, the
//! whole rest of the segment is taken without any look.

use super::Log;
use crate::error::ReadError;
use crate::header::BatchHeader;
use crate::scan::{HeaderScan, LOOKUP_BUFFER_BYTES, ScanError};
use crate::segment::Segment;
use crate::slice::{AbortedTransaction, Bound, FetchSlice, FileRange, ReadBytes};
use bytes::{Bytes, BytesMut};
use mainstem_protocol::ids::Offset;

/// Where a slice of one segment ends.
struct Cut {
    position: u64,
    next_offset: Offset,
}

impl Log {
    /// Whole batches from `from` on, at most `max_bytes` of them; with `min_one` the first batch comes
    /// even if it is larger.
    pub fn read(
        &self,
        from: Offset,
        max_bytes: u32,
        bound: Bound,
        min_one: bool,
    ) -> Result<FetchSlice, ReadError> {
        let end = self.end_of(bound);
        if from < self.log_start || self.next_offset < from {
            let (start, end) = (self.log_start, self.next_offset);
            return Err(ReadError::OffsetOutOfRange { offset: from, start, end });
        }
        let mut slice =
            FetchSlice { ranges: Vec::new(), bytes: 0, next_offset: from, aborted: Vec::new() };
        if end <= from {
            return Ok(slice);
        }
        let first_place = self.segment_of(from);
        for place in first_place..self.segments.len() {
            let left = u64::from(max_bytes).saturating_sub(slice.bytes);
            let whole_first = min_one && slice.bytes == 0;
            if end <= self.segments[place].base || (left == 0 && !whole_first) {
                break;
            }
            if !self.read_segment(place, end, left, whole_first, &mut slice)? {
                break;
            }
        }
        if bound == Bound::LastStable && slice.bytes > 0 {
            self.collect_aborted(first_place, from, &mut slice);
        }
        Ok(slice)
    }

    /// Adds what one segment gives; false when the slice ends within it.
    fn read_segment(
        &self,
        place: usize,
        end: Offset,
        left: u64,
        whole_first: bool,
        slice: &mut FetchSlice,
    ) -> Result<bool, ReadError> {
        let segment = &self.segments[place];
        let from = slice.next_offset;
        let broken = |error| scan_failed(error, from);
        let start = if from <= segment.base {
            0
        } else {
            match segment.find(from).map_err(broken)? {
                Some((position, _)) => position,
                // Compaction took the end of this segment.
                None => {
                    slice.next_offset = self.segment_end(place).min(end);
                    return Ok(true);
                }
            }
        };
        let segment_end = self.segment_end(place);
        let limit = if segment_end <= end {
            Cut { position: segment.size, next_offset: segment_end }
        } else {
            let found = segment.find(end).map_err(broken)?;
            let position = found.map_or(segment.size, |(position, _)| position);
            Cut { position, next_offset: end }
        };
        let fits = limit.position.saturating_sub(start) <= left;
        let cut = if fits {
            limit
        } else {
            cut_before(segment, start, left, limit, whole_first).map_err(broken)?
        };
        if cut.position <= start {
            return Ok(fits);
        }
        let len = cut.position - start;
        slice.ranges.push(FileRange {
            file: segment.file.clone(),
            position: start,
            len: len as u32,
        });
        slice.bytes += len;
        slice.next_offset = cut.next_offset;
        Ok(fits)
    }

    fn collect_aborted(&self, first_place: usize, from: Offset, slice: &mut FetchSlice) {
        let mut found: Vec<AbortedTransaction> = Vec::new();
        for segment in &self.segments[first_place..] {
            if !segment.aborted.collect(from, slice.next_offset, &mut found) {
                break;
            }
        }
        slice.aborted = found;
    }

    /// Like [`Self::read`], with the bytes copied out.
    pub fn read_bytes(
        &self,
        from: Offset,
        max_bytes: u32,
        bound: Bound,
        min_one: bool,
    ) -> Result<ReadBytes, ReadError> {
        let slice = self.read(from, max_bytes, bound, min_one)?;
        let mut bytes = BytesMut::zeroed(slice.bytes as usize);
        let mut rest = &mut bytes[..];
        for range in &slice.ranges {
            let (part, after) = rest.split_at_mut(range.len as usize);
            range.file.read_exact_at(part, range.position)?;
            rest = after;
        }
        Ok(ReadBytes { bytes: Bytes::from(bytes), next_offset: slice.next_offset })
    }
}

/// The last batch boundary at most `left` bytes after `start`. With `whole_first` the first batch is
/// taken in any case.
fn cut_before(
    segment: &Segment,
    start: u64,
    left: u64,
    limit: Cut,
    whole_first: bool,
) -> Result<Cut, ScanError> {
    let indexed = u64::from(segment.offset_index.batch_start_before(start + left)).max(start);
    let mut buffer = [0; LOOKUP_BUFFER_BYTES];
    let mut scan = HeaderScan::new(&*segment.file, indexed, limit.position, &mut buffer);
    let mut cut = Cut { position: start, next_offset: Offset::NONE };
    while let Some((position, header)) = scan.step()? {
        // This batch begins where the slice may end.
        cut = Cut { position, next_offset: header.base_offset };
        let after = position + header.size as u64;
        let too_far = start + left < after;
        if too_far && position == start && whole_first {
            return Ok(after_batch(after, &header, limit));
        }
        if too_far {
            return Ok(cut);
        }
    }
    // Nothing stopped the walk, so everything up to the limit fits.
    cut.position = limit.position;
    cut.next_offset = limit.next_offset;
    Ok(cut)
}

fn after_batch(position: u64, header: &BatchHeader, limit: Cut) -> Cut {
    if position == limit.position {
        return limit;
    }
    Cut { position, next_offset: header.next_offset() }
}

pub(super) fn scan_failed(error: ScanError, offset: Offset) -> ReadError {
    match error {
        ScanError::Disk(error) => ReadError::Disk(error),
        ScanError::Bad { position, reason } => {
            ReadError::Corrupt { offset, reason: format!("{reason} at byte {position}") }
        }
    }
}
