//! The fixed head of a batch, read without touching the records.
//!
//! Layout of format v2, numbers big-endian:
//! 1. base offset, 8 bytes at 0
//! 2. length of all that follows this field, 4 at 8
//! 3. partition leader epoch, 4 at 12
//! 4. magic (2), 1 at 16
//! 5. CRC32C over all that follows, 4 at 17
//! 6. attributes, 2 at 21: compression in bits 0-2, 3 log append time, 4 transactional, 5 control
//! 7. last offset delta, 4 at 23
//! 8. base timestamp, 8 at 27
//! 9. maximum timestamp, 8 at 35
//! 10. producer id, 8 at 43; epoch, 2 at 51; base sequence, 4 at 53
//! 11. record count, 4 at 57; records from 61 on
//!
//! The offset and the epoch lie before the checksum's range on purpose: a leader stamps them without
//! computing it again. Walking a log needs nothing but this; whoever looks at records uses the
//! protocol's view.

use mainstem_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// Bytes before the first record.
pub(crate) const HEADER_BYTES: usize = 61;
/// Bytes before what the length field counts.
pub(crate) const LENGTH_OVERHEAD: usize = 12;
/// Where the checksum's range begins.
pub(crate) const CRC_FROM: usize = 21;

const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// One batch as its head tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: Offset,
    pub(crate) last_offset_delta: i32,
    /// Bytes of the whole batch, head included.
    pub(crate) size: usize,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) magic: i8,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: ProducerId,
    pub(crate) producer_epoch: ProducerEpoch,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

/// Why bytes are not the head of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotABatch {
    /// Fewer bytes than a head takes.
    Short,
    /// A length no batch can have.
    Length(i32),
    /// Another format.
    Magic(i8),
    /// A number that cannot be: a negative offset or delta.
    Number,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

impl BatchHeader {
    /// Reads the head at the start of `bytes`; the rest of the batch need not be there.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, NotABatch> {
        if bytes.len() < HEADER_BYTES {
            return Err(NotABatch::Short);
        }
        let length = i32::from_be_bytes(array(bytes, 8));
        // The magic stands at the same place in every format, so it is judged first.
        let magic = i8::from_be_bytes(array(bytes, 16));
        if magic != 2 {
            return Err(NotABatch::Magic(magic));
        }
        let size =
            usize::try_from(length).map_err(|_| NotABatch::Length(length))? + LENGTH_OVERHEAD;
        if size < HEADER_BYTES {
            return Err(NotABatch::Length(length));
        }
        let header = Self {
            base_offset: Offset(i64::from_be_bytes(array(bytes, 0))),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)),
            size,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(array(bytes, 12))),
            magic,
            crc: u32::from_be_bytes(array(bytes, 17)),
            attributes: i16::from_be_bytes(array(bytes, 21)),
            base_timestamp: i64::from_be_bytes(array(bytes, 27)),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)),
            producer_id: ProducerId(i64::from_be_bytes(array(bytes, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(array(bytes, 51))),
            base_sequence: i32::from_be_bytes(array(bytes, 53)),
            record_count: i32::from_be_bytes(array(bytes, 57)),
        };
        let last = header.base_offset.0.checked_add(i64::from(header.last_offset_delta));
        if header.base_offset.0 < 0 || header.last_offset_delta < 0 || last.is_none() {
            return Err(NotABatch::Number);
        }
        Ok(header)
    }

    pub(crate) fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    pub(crate) fn next_offset(&self) -> Offset {
        self.last_offset().next()
    }

    pub(crate) fn has_producer(&self) -> bool {
        self.producer_id.is_some()
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub(crate) fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// The sequence of the last record: sequences wrap to 0 after 2^31-1, within a batch too.
    pub(crate) fn last_sequence(&self) -> i32 {
        match self.base_sequence {
            none if none < 0 => none,
            base => sequence_plus(base, self.last_offset_delta),
        }
    }

    /// Whether the bytes of the whole batch are those the checksum was made of.
    pub(crate) fn crc_matches(&self, batch: &[u8]) -> bool {
        crc32c::crc32c(&batch[CRC_FROM..self.size]) == self.crc
    }
}

/// The sequence `count` after `sequence`.
pub(crate) fn sequence_plus(sequence: i32, count: i32) -> i32 {
    // Both are not negative, so the sum fits 32 bits without a sign; the mask wraps it.
    (sequence as u32).wrapping_add(count as u32) as i32 & i32::MAX
}
