//! `BatchView`: one batch, borrowed, its header read field by field.

use super::records::{Record, Records};
use super::{BatchError, sequence_plus};
use crate::compression::{Compression, decompress};
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use bytes::Bytes;

/// The size of everything before the records.
pub const BATCH_OVERHEAD: usize = 61;

/// Base offset and length: what must be there to know the size of a batch.
pub const LENGTH_AT_LEAST: usize = 12;

pub(super) const AT_LENGTH: usize = 8;
pub(super) const AT_LEADER_EPOCH: usize = 12;
pub(super) const AT_MAGIC: usize = 16;
pub(super) const AT_CHECKSUM: usize = 17;
pub(super) const AT_ATTRIBUTES: usize = 21;
pub(super) const AT_LAST_OFFSET_DELTA: usize = 23;
pub(super) const AT_BASE_TIMESTAMP: usize = 27;
pub(super) const AT_MAX_TIMESTAMP: usize = 35;
pub(super) const AT_PRODUCER_ID: usize = 43;
pub(super) const AT_PRODUCER_EPOCH: usize = 51;
pub(super) const AT_BASE_SEQUENCE: usize = 53;
pub(super) const AT_RECORD_COUNT: usize = 57;

pub(super) const COMPRESSION_MASK: i16 = 0b111;
pub(super) const LOG_APPEND_TIME: i16 = 1 << 3;
pub(super) const TRANSACTIONAL: i16 = 1 << 4;
pub(super) const CONTROL: i16 = 1 << 5;
pub(super) const DELETE_HORIZON: i16 = 1 << 6;

/// Who set the timestamps of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer, record by record.
    CreateTime,
    /// The broker, one for the whole batch: its max timestamp.
    LogAppendTime,
}

/// One batch of format v2. The slice is exactly the batch, and never shorter than the overhead.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    bytes: &'a [u8],
}

impl<'a> BatchView<'a> {
    /// The batch at the beginning of `bytes`, and its size. Checks length and magic only.
    pub fn parse(bytes: &'a [u8]) -> Result<(BatchView<'a>, usize), BatchError> {
        let present = bytes.len();
        let Some(length) = bytes.get(AT_LENGTH..).and_then(|rest| rest.first_chunk()) else {
            return Err(BatchError::Truncated { needed: BATCH_OVERHEAD, present });
        };
        let length = i32::from_be_bytes(*length);
        if length < (BATCH_OVERHEAD - LENGTH_AT_LEAST) as i32 {
            // An old format may be shorter; say so rather than call it broken.
            let magic = bytes.get(AT_MAGIC).map_or(2, |magic| *magic as i8);
            return Err(match magic {
                0 | 1 => BatchError::UnsupportedMagic { magic },
                _ => BatchError::BadLength { length },
            });
        }
        let needed = LENGTH_AT_LEAST + length as usize;
        if needed > present {
            return Err(BatchError::Truncated { needed, present });
        }
        let view = BatchView { bytes: &bytes[..needed] };
        match view.magic() {
            2 => Ok((view, needed)),
            magic => Err(BatchError::UnsupportedMagic { magic }),
        }
    }

    /// The whole batch.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The size of the whole batch.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records as they are in the batch, compressed or not.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[BATCH_OVERHEAD..]
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[at..at + N]);
        field
    }

    pub fn base_offset(&self) -> Offset {
        Offset(i64::from_be_bytes(self.field(0)))
    }

    /// The offset of the last record. Saturates: a hostile base offset must not overflow.
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset().0.saturating_add(i64::from(self.last_offset_delta())))
    }

    /// The offset after the batch.
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// The length field: the size of the batch without its first twelve bytes.
    pub fn length(&self) -> i32 {
        i32::from_be_bytes(self.field(AT_LENGTH))
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(i32::from_be_bytes(self.field(AT_LEADER_EPOCH)))
    }

    pub fn magic(&self) -> i8 {
        i8::from_be_bytes(self.field(AT_MAGIC))
    }

    /// The checksum as it stands in the batch.
    pub fn checksum(&self) -> u32 {
        u32::from_be_bytes(self.field(AT_CHECKSUM))
    }

    /// The checksum that the bytes yield.
    pub fn computed_checksum(&self) -> u32 {
        crc32c::crc32c(&self.bytes[AT_ATTRIBUTES..])
    }

    /// Whether the checksum is that of the bytes.
    pub fn is_checksum_ok(&self) -> bool {
        self.checksum() == self.computed_checksum()
    }

    /// Fails unless the checksum is that of the bytes.
    pub fn check_checksum(&self) -> Result<(), BatchError> {
        let (found, computed) = (self.checksum(), self.computed_checksum());
        if found == computed { Ok(()) } else { Err(BatchError::BadChecksum { found, computed }) }
    }

    pub fn attributes(&self) -> i16 {
        i16::from_be_bytes(self.field(AT_ATTRIBUTES))
    }

    pub fn compression(&self) -> Result<Compression, BatchError> {
        Ok(Compression::from_id((self.attributes() & COMPRESSION_MASK) as u8)?)
    }

    pub fn timestamp_type(&self) -> TimestampType {
        match self.attributes() & LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes() & TRANSACTIONAL != 0
    }

    /// Whether the batch is a marker, which consumers never see.
    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL != 0
    }

    /// Whether the base timestamp is the time after which compaction may drop tombstones.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes() & DELETE_HORIZON != 0
    }

    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(self.field(AT_LAST_OFFSET_DELTA))
    }

    pub fn base_timestamp_ms(&self) -> i64 {
        i64::from_be_bytes(self.field(AT_BASE_TIMESTAMP))
    }

    pub fn max_timestamp_ms(&self) -> i64 {
        i64::from_be_bytes(self.field(AT_MAX_TIMESTAMP))
    }

    pub fn producer_id(&self) -> ProducerId {
        ProducerId(i64::from_be_bytes(self.field(AT_PRODUCER_ID)))
    }

    pub fn producer_epoch(&self) -> ProducerEpoch {
        ProducerEpoch(i16::from_be_bytes(self.field(AT_PRODUCER_EPOCH)))
    }

    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(self.field(AT_BASE_SEQUENCE))
    }

    /// The sequence number of the last record, or -1 when the batch has none.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence() {
            base if base < 0 => base,
            base => sequence_plus(base, self.last_offset_delta()),
        }
    }

    pub fn record_count(&self) -> i32 {
        i32::from_be_bytes(self.field(AT_RECORD_COUNT))
    }

    /// The offset of a record of this batch.
    pub fn offset_of(&self, record: &Record) -> Offset {
        Offset(self.base_offset().0.saturating_add(i64::from(record.offset_delta)))
    }

    /// The timestamp of a record of this batch, whoever set it.
    pub fn timestamp_of_ms(&self, record: &Record) -> i64 {
        match self.timestamp_type() {
            TimestampType::LogAppendTime => self.max_timestamp_ms(),
            TimestampType::CreateTime => {
                self.base_timestamp_ms().saturating_add(record.timestamp_delta_ms)
            }
        }
    }

    /// The records, from a copy of an uncompressed batch. [`super::Batch::records`] needs none.
    pub fn records(&self, size_max: usize) -> Result<Records, BatchError> {
        self.records_in(size_max, Bytes::copy_from_slice)
    }

    /// The records; `share` turns the uncompressed body into shared bytes.
    pub(super) fn records_in(
        &self,
        size_max: usize,
        share: impl FnOnce(&'a [u8]) -> Bytes,
    ) -> Result<Records, BatchError> {
        let body = match self.compression()? {
            Compression::None => share(self.body()),
            codec => decompress(codec, self.body(), size_max)?,
        };
        Ok(Records::new(body, self.record_count()))
    }
}
