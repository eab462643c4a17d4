//! Records walked over without being kept: every length is checked, keys, values and headers are
//! skipped.
//!
//! The same rules as in `raw`, for bytes that come piece by piece out of a decompressor.

use super::BatchError;
use crate::compression::Decompressor;
use std::io::{self, BufRead};

/// What is known of a record without its contents.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordHead {
    pub(super) timestamp_delta_ms: i64,
    pub(super) offset_delta: i32,
    pub(super) has_key: bool,
}

/// The walk.
pub(super) struct RecordHeads<'a> {
    input: Decompressor<'a>,
    /// Bytes taken so far.
    taken: usize,
    /// Bytes of the present record that were not taken.
    left: usize,
}

/// Why a record cannot be read.
enum Stop {
    Input(io::Error),
    Malformed(&'static str),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Input(error)
    }
}

impl<'a> RecordHeads<'a> {
    pub(super) fn new(input: Decompressor<'a>) -> RecordHeads<'a> {
        RecordHeads { input, taken: 0, left: 0 }
    }

    /// Bytes of the records so far.
    pub(super) fn size_bytes(&self) -> usize {
        self.taken
    }

    /// Whether all bytes were taken.
    pub(super) fn is_at_end(&mut self) -> Result<bool, BatchError> {
        let rest = self.input.fill_buf().map(<[u8]>::is_empty);
        rest.map_err(|error| BatchError::Compression(self.input.error(&error)))
    }

    /// Walks over the next record, which is the one at `index`.
    pub(super) fn next(&mut self, index: i32) -> Result<RecordHead, BatchError> {
        self.record().map_err(|stop| match stop {
            Stop::Input(error) => BatchError::Compression(self.input.error(&error)),
            Stop::Malformed(reason) => BatchError::BadRecord { index, reason },
        })
    }

    fn record(&mut self) -> Result<RecordHead, Stop> {
        // The length itself lies outside of what it counts.
        self.left = usize::MAX;
        let length = self.varint_i32("its length is cut off")?;
        self.left =
            usize::try_from(length).map_err(|_| Stop::Malformed("its length is negative"))?;
        // Record attributes carry no meaning yet.
        self.skip(1, "it has no attributes")?;
        let timestamp_delta_ms = self.varint("its timestamp is cut off", 10)?;
        let offset_delta = self.varint_i32("its offset is cut off")?;
        let has_key = self.skip_nullable("its key is cut off")?;
        self.skip_nullable("its value is cut off")?;
        let headers = self.varint_i32("its headers are cut off")?;
        if headers < 0 {
            return Err(Stop::Malformed("its header count is negative"));
        }
        for _ in 0..headers {
            if !self.skip_nullable("a header key is cut off")? {
                return Err(Stop::Malformed("a header key is null"));
            }
            self.skip_nullable("a header value is cut off")?;
        }
        match self.left {
            0 => Ok(RecordHead { timestamp_delta_ms, offset_delta, has_key }),
            _ => Err(Stop::Malformed("bytes are left over in it")),
        }
    }

    /// Skips bytes after their length; false when they are null.
    fn skip_nullable(&mut self, cut_off: &'static str) -> Result<bool, Stop> {
        let length = self.varint_i32(cut_off)?;
        if length == -1 {
            return Ok(false);
        }
        let length = usize::try_from(length).map_err(|_| Stop::Malformed(cut_off))?;
        self.skip(length, cut_off)?;
        Ok(true)
    }

    fn skip(&mut self, mut count: usize, cut_off: &'static str) -> Result<(), Stop> {
        if self.left < count {
            return Err(Stop::Malformed(cut_off));
        }
        self.left -= count;
        self.taken += count;
        while 0 < count {
            let there = self.input.fill_buf()?.len().min(count);
            if there == 0 {
                return Err(Stop::Malformed("it reaches beyond the batch"));
            }
            self.input.consume(there);
            count -= there;
        }
        Ok(())
    }

    fn varint_i32(&mut self, cut_off: &'static str) -> Result<i32, Stop> {
        let value = self.varint(cut_off, 5)?;
        i32::try_from(value).map_err(|_| Stop::Malformed(cut_off))
    }

    fn varint(&mut self, cut_off: &'static str, size_max: usize) -> Result<i64, Stop> {
        let mut bits = 0_u64;
        let mut index = 0;
        // Nearly always all of it lies in one piece of the input.
        while index < size_max && 0 < self.left {
            let piece = self.input.fill_buf()?;
            if piece.is_empty() {
                break;
            }
            let most = piece.len().min(size_max - index).min(self.left);
            let mut taken = 0;
            let mut is_whole = false;
            for byte in &piece[..most] {
                // The tenth byte has room for the highest bit only.
                if index == 9 && *byte > 1 {
                    return Err(Stop::Malformed(cut_off));
                }
                bits |= u64::from(byte & 0x7f) << (7 * index);
                index += 1;
                taken += 1;
                if *byte < 0x80 {
                    is_whole = true;
                    break;
                }
            }
            self.input.consume(taken);
            self.taken += taken;
            self.left -= taken;
            if is_whole {
                return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
            }
        }
        Err(Stop::Malformed(cut_off))
    }
}
