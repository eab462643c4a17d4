//! What a broker checks before it stores a batch that someone sent.
//!
//! A stored batch is read by every consumer for as long as it is kept, so nothing may be wrong
//! with it: the checksum, the counts, the offsets (which are assigned by position and must be
//! dense), the sequence, and every length in every record, inside the compression.

use super::raw::{read_headers, read_record};
use super::{BatchError, BatchView, NO_TIMESTAMP};
use crate::compression::{Compression, decompress};
use bytes::Bytes;

/// What was found in a valid batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    pub record_count: i32,
    /// The highest timestamp of the records; the header may claim another one.
    pub max_timestamp_ms: i64,
    /// The lowest timestamp of the records.
    pub min_timestamp_ms: i64,
    /// The index of the first record without a key, which compacted topics refuse.
    pub first_without_key: Option<i32>,
    /// The size of the records once they are decompressed.
    pub size_bytes: usize,
}

/// Checks a batch and all records in it, decompressing at most `size_max` bytes.
pub fn validate_deep(batch: &BatchView<'_>, size_max: usize) -> Result<Contents, BatchError> {
    validate_header(batch)?;
    let unpacked: Bytes;
    let body = match batch.compression()? {
        Compression::None => batch.body(),
        codec => {
            unpacked = decompress(codec, batch.body(), size_max)?;
            &unpacked
        }
    };
    let mut contents = Contents {
        record_count: batch.record_count(),
        max_timestamp_ms: NO_TIMESTAMP,
        min_timestamp_ms: i64::MAX,
        first_without_key: None,
        size_bytes: body.len(),
    };
    let mut rest = body;
    for index in 0..contents.record_count {
        rest = validate_record(batch, index, rest, &mut contents)
            .map_err(|reason| BatchError::BadRecord { index, reason })?;
    }
    if rest.is_empty() {
        Ok(contents)
    } else {
        Err(BatchError::Invalid("bytes are left over after the records"))
    }
}

fn validate_header(batch: &BatchView<'_>) -> Result<(), BatchError> {
    batch.check_checksum()?;
    let count = batch.record_count();
    if count <= 0 {
        return Err(BatchError::Invalid("the batch has no records"));
    }
    if i64::from(batch.last_offset_delta()) + 1 != i64::from(count) {
        return Err(BatchError::Invalid("the offsets do not match the number of records"));
    }
    if batch.base_offset().0 < 0 {
        return Err(BatchError::Invalid("the base offset is negative"));
    }
    if batch.producer_id().is_some() && !batch.is_control() && batch.base_sequence() < 0 {
        return Err(BatchError::Invalid("the producer sent no sequence number"));
    }
    if batch.is_transactional() && batch.producer_id().is_none() {
        return Err(BatchError::Invalid("a transactional batch needs a producer"));
    }
    Ok(())
}

/// Checks one record and returns the bytes after it.
fn validate_record<'a>(
    batch: &BatchView<'_>,
    index: i32,
    body: &'a [u8],
    contents: &mut Contents,
) -> Result<&'a [u8], &'static str> {
    let (record, rest) = read_record(body)?;
    read_headers(&record, |_, _| {})?;
    if record.offset_delta != index {
        return Err("its offset is out of order");
    }
    let timestamp_ms = batch
        .base_timestamp_ms()
        .checked_add(record.timestamp_delta_ms)
        .ok_or("its timestamp is out of range")?;
    contents.max_timestamp_ms = contents.max_timestamp_ms.max(timestamp_ms);
    contents.min_timestamp_ms = contents.min_timestamp_ms.min(timestamp_ms);
    if record.key.is_none() && contents.first_without_key.is_none() {
        contents.first_without_key = Some(index);
    }
    Ok(rest)
}
