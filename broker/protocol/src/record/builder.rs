//! `BatchBuilder`: records in, one batch out.
//!
//! Records are encoded as they come, so that a producer knows the size of its batch, and are
//! compressed once at the end. `rewriting` makes a batch of the records that compaction keeps:
//! everything that identifies the old batch stays, even when no record does, since producers are
//! recognised by it. `recompressing` makes a batch of all records of another one.

use super::batch::{
    BATCH_OVERHEAD, COMPRESSION_MASK, CONTROL, DELETE_HORIZON, LENGTH_AT_LEAST, LOG_APPEND_TIME,
    TRANSACTIONAL,
};
use super::records::{Header, Record};
use super::{BatchError, BatchView, NO_SEQUENCE, NO_TIMESTAMP, patch, varint};
use crate::compression::{Compression, Level, compress_at};
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use bytes::{BufMut, Bytes, BytesMut};

/// Gathers the records of one batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    /// All attributes except the compression.
    attributes: i16,
    compression: Compression,
    level: Level,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: i32,
    /// What the deltas of kept records change by, when the base timestamp was replaced.
    rebase_ms: i64,
    /// Set by the first record; the deltas of the others count from it.
    base_timestamp_ms: Option<i64>,
    max_timestamp_ms: i64,
    /// The delta of the last record, or of the batch that is rewritten.
    last_offset_delta: i32,
    count: i32,
    body: BytesMut,
}

impl Default for BatchBuilder {
    fn default() -> BatchBuilder {
        BatchBuilder::new()
    }
}

impl BatchBuilder {
    /// An empty batch without compression, producer or transaction.
    pub fn new() -> BatchBuilder {
        BatchBuilder {
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::NONE,
            attributes: 0,
            compression: Compression::None,
            level: Level::DEFAULT,
            rebase_ms: 0,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: NO_SEQUENCE,
            base_timestamp_ms: None,
            max_timestamp_ms: NO_TIMESTAMP,
            last_offset_delta: -1,
            count: 0,
            body: BytesMut::new(),
        }
    }

    /// A batch that takes the place of `batch` with fewer records: see [`BatchBuilder::keep`]. Its
    /// max timestamp is that of the kept records, and that of `batch` when none is kept.
    pub fn rewriting(batch: &BatchView<'_>) -> Result<BatchBuilder, BatchError> {
        Ok(BatchBuilder {
            base_offset: batch.base_offset(),
            leader_epoch: batch.leader_epoch(),
            attributes: batch.attributes() & !COMPRESSION_MASK,
            compression: batch.compression()?,
            level: Level::DEFAULT,
            producer_id: batch.producer_id(),
            producer_epoch: batch.producer_epoch(),
            base_sequence: batch.base_sequence(),
            rebase_ms: 0,
            base_timestamp_ms: Some(batch.base_timestamp_ms()),
            max_timestamp_ms: batch.max_timestamp_ms(),
            last_offset_delta: batch.last_offset_delta(),
            count: 0,
            body: BytesMut::new(),
        })
    }

    /// The batch with its records packed by another codec. All else stays, the bytes of the records
    /// too, so `body` must be the whole decompressed body of `batch`.
    pub fn recompressing(
        batch: &BatchView<'_>,
        body: &[u8],
        codec: Compression,
        level: Level,
    ) -> Result<BytesMut, BatchError> {
        let mut builder = BatchBuilder::rewriting(batch)?;
        builder.compression = codec;
        builder.level = level;
        builder.count = batch.record_count();
        builder.body = BytesMut::from(body);
        builder.finish_mut()
    }

    /// Says until when compaction keeps the tombstones or the marker of this batch (KIP-534): the
    /// base timestamp tells it from now on, and the deltas of kept records count from there.
    #[must_use]
    pub fn delete_horizon(mut self, horizon_ms: i64) -> BatchBuilder {
        let base_ms = self.base_timestamp_ms.unwrap_or(NO_TIMESTAMP);
        self.rebase_ms = base_ms.wrapping_sub(horizon_ms);
        self.base_timestamp_ms = Some(horizon_ms);
        self.attributes |= DELETE_HORIZON;
        self
    }

    #[must_use]
    pub fn compression(mut self, compression: Compression) -> BatchBuilder {
        self.compression = compression;
        self
    }

    /// How hard the codec tries.
    #[must_use]
    pub fn level(mut self, level: Level) -> BatchBuilder {
        self.level = level;
        self
    }

    #[must_use]
    pub fn base_offset(mut self, base_offset: Offset) -> BatchBuilder {
        self.base_offset = base_offset;
        self
    }

    #[must_use]
    pub fn leader_epoch(mut self, leader_epoch: LeaderEpoch) -> BatchBuilder {
        self.leader_epoch = leader_epoch;
        self
    }

    #[must_use]
    pub fn producer(
        mut self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        base_sequence: i32,
    ) -> BatchBuilder {
        self.producer_id = producer_id;
        self.producer_epoch = epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Makes the batch part of the open transaction of its producer.
    #[must_use]
    pub fn transactional(mut self) -> BatchBuilder {
        self.attributes |= TRANSACTIONAL;
        self
    }

    /// Makes the batch a marker.
    #[must_use]
    pub fn control(mut self) -> BatchBuilder {
        self.attributes |= CONTROL;
        self
    }

    /// The number of records.
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The size of the batch if it were not compressed.
    pub fn size_bytes(&self) -> usize {
        BATCH_OVERHEAD + self.body.len()
    }

    /// The most bytes that a record adds to a batch.
    pub fn record_size_max(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> usize {
        let header_bytes: usize = headers
            .iter()
            .map(|header| 10 + header.key.len() + header.value.as_ref().map_or(0, Bytes::len))
            .sum();
        // Length, attributes, timestamp, offset, three more lengths.
        let overhead = 5 + 1 + 10 + 5 + 3 * 5;
        overhead + header_bytes + key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)
    }

    /// Appends a record at the next offset.
    pub fn push(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) {
        let base_ms = *self.base_timestamp_ms.get_or_insert(timestamp_ms);
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        self.last_offset_delta += 1;
        let fixed = Fixed {
            timestamp_delta_ms: timestamp_ms.wrapping_sub(base_ms),
            offset_delta: self.last_offset_delta,
        };
        self.put_record(&fixed, key, value, headers);
    }

    /// Keeps a record of the batch that is rewritten, at its own offset and with its own time.
    pub fn keep(&mut self, record: &Record) {
        let timestamp_delta_ms = record.timestamp_delta_ms.wrapping_add(self.rebase_ms);
        if self.attributes & LOG_APPEND_TIME == 0 {
            let base_ms = self.base_timestamp_ms.unwrap_or(NO_TIMESTAMP);
            let timestamp_ms = base_ms.wrapping_add(timestamp_delta_ms);
            let so_far = if self.count == 0 { NO_TIMESTAMP } else { self.max_timestamp_ms };
            self.max_timestamp_ms = so_far.max(timestamp_ms);
        }
        let fixed = Fixed { timestamp_delta_ms, offset_delta: record.offset_delta };
        self.put_record(&fixed, record.key.as_deref(), record.value.as_deref(), &record.headers);
    }

    fn put_record(
        &mut self,
        fixed: &Fixed,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) {
        let length = 1
            + varint::size(fixed.timestamp_delta_ms)
            + varint::size(i64::from(fixed.offset_delta))
            + size_nullable(key)
            + size_nullable(value)
            + varint::size(headers.len() as i64)
            + headers
                .iter()
                .map(|h| size_nullable(Some(&h.key)) + size_nullable(h.value.as_deref()))
                .sum::<usize>();
        let out = &mut self.body;
        varint::put_i64(out, length as i64);
        out.put_i8(0);
        varint::put_i64(out, fixed.timestamp_delta_ms);
        varint::put_i32(out, fixed.offset_delta);
        put_nullable(out, key);
        put_nullable(out, value);
        varint::put_i64(out, headers.len() as i64);
        for header in headers {
            put_nullable(out, Some(&header.key));
            put_nullable(out, header.value.as_deref());
        }
        self.count += 1;
    }

    /// Ends the batch.
    pub fn finish(self) -> Result<Bytes, BatchError> {
        self.finish_mut().map(BytesMut::freeze)
    }

    /// Ends a batch of which no record is kept: a head that tells who wrote what there, up to which
    /// sequence. It has no base timestamp, and no horizon for what is gone.
    pub fn finish_empty(mut self) -> Result<Bytes, BatchError> {
        self.body.clear();
        self.count = 0;
        self.attributes &= !DELETE_HORIZON;
        self.base_timestamp_ms = None;
        self.finish()
    }

    /// Ends the batch, leaving it open to the functions of [`patch`].
    pub fn finish_mut(self) -> Result<BytesMut, BatchError> {
        // An empty body is not compressed: some codecs would make it longer than nothing.
        let codec = if self.body.is_empty() { Compression::None } else { self.compression };
        let body = match codec {
            Compression::None => self.body.freeze(),
            codec => compress_at(codec, self.level, &self.body)?,
        };
        let length = i32::try_from(BATCH_OVERHEAD - LENGTH_AT_LEAST + body.len())
            .map_err(|_| BatchError::Invalid("the batch is larger than its length can say"))?;
        let mut out = BytesMut::with_capacity(BATCH_OVERHEAD + body.len());
        out.put_i64(self.base_offset.0);
        out.put_i32(length);
        out.put_i32(self.leader_epoch.0);
        out.put_i8(2);
        out.put_u32(0);
        out.put_i16(self.attributes | codec as i16);
        out.put_i32(self.last_offset_delta);
        out.put_i64(self.base_timestamp_ms.unwrap_or(NO_TIMESTAMP));
        out.put_i64(self.max_timestamp_ms);
        out.put_i64(self.producer_id.0);
        out.put_i16(self.producer_epoch.0);
        out.put_i32(self.base_sequence);
        out.put_i32(self.count);
        out.put_slice(&body);
        patch::set_checksum(&mut out);
        Ok(out)
    }

    /// Ends the batch with the time of its append in place of that of its records.
    pub fn finish_at_append_time(mut self, append_time_ms: i64) -> Result<Bytes, BatchError> {
        self.attributes |= LOG_APPEND_TIME;
        self.max_timestamp_ms = append_time_ms;
        self.finish()
    }
}

/// What a record says relative to its batch.
struct Fixed {
    timestamp_delta_ms: i64,
    offset_delta: i32,
}

fn size_nullable(bytes: Option<&[u8]>) -> usize {
    match bytes {
        Some(bytes) => varint::size(bytes.len() as i64) + bytes.len(),
        None => 1,
    }
}

fn put_nullable(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            varint::put_i64(out, bytes.len() as i64);
            out.put_slice(bytes);
        }
        None => varint::put_i64(out, -1),
    }
}
