//! What a broker checks before it stores a batch that someone sent.
//!
//! A stored batch is read by every consumer for as long as it is kept, so nothing may be wrong
//! with it: the checksum, the counts, the offsets (which are assigned by position and must be
//! dense), the sequence, and every length in every record, inside the compression.

use super::heads::{RecordHead, RecordHeads};
use super::raw::{read_headers, read_record};
use super::{BatchError, BatchView, NO_TIMESTAMP};
use crate::compression::{Compression, Decompressor};

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

/// What a check of single records may ask of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFacts {
    /// Its place in the batch.
    pub index: i32,
    pub timestamp_ms: i64,
    pub has_key: bool,
}

/// Checks a batch and all records in it, decompressing at most `size_max` bytes.
pub fn validate_deep(batch: &BatchView<'_>, size_max: usize) -> Result<Contents, BatchError> {
    validate_each(batch, size_max, |_| {})
}

/// Like [`validate_deep`]; `visit` sees every record that is well formed. The records are read from
/// front to back and none is kept, so that this takes little memory however large they are.
pub fn validate_each(
    batch: &BatchView<'_>,
    size_max: usize,
    mut visit: impl FnMut(RecordFacts),
) -> Result<Contents, BatchError> {
    validate_header(batch)?;
    let mut contents = Contents {
        record_count: batch.record_count(),
        max_timestamp_ms: NO_TIMESTAMP,
        min_timestamp_ms: i64::MAX,
        first_without_key: None,
        size_bytes: 0,
    };
    let mut note = |index: i32, head: RecordHead| {
        let timestamp_ms = contents.note(batch, index, head)?;
        visit(RecordFacts { index, timestamp_ms, has_key: head.has_key });
        Ok(())
    };
    let (size_bytes, is_at_end) = match batch.compression()? {
        Compression::None => walk_plain(batch, &mut note)?,
        codec => walk_packed(batch, codec, size_max, &mut note)?,
    };
    if !is_at_end {
        return Err(BatchError::Invalid("bytes are left over after the records"));
    }
    contents.size_bytes = size_bytes;
    Ok(contents)
}

/// What is noted of a record; the error says what is wrong with it.
type Note<'a> = dyn FnMut(i32, RecordHead) -> Result<(), &'static str> + 'a;

/// Walks over records as they lie in the batch. Tells their size and whether nothing follows them.
fn walk_plain(batch: &BatchView<'_>, note: &mut Note<'_>) -> Result<(usize, bool), BatchError> {
    let mut rest = batch.body();
    for index in 0..batch.record_count() {
        let bad = |reason| BatchError::BadRecord { index, reason };
        let (record, after) = read_record(rest).map_err(bad)?;
        read_headers(&record, |_, _| {}).map_err(bad)?;
        let head = RecordHead {
            timestamp_delta_ms: record.timestamp_delta_ms,
            offset_delta: record.offset_delta,
            has_key: record.key.is_some(),
        };
        note(index, head).map_err(bad)?;
        rest = after;
    }
    Ok((batch.body().len() - rest.len(), rest.is_empty()))
}

/// The same for compressed records.
fn walk_packed(
    batch: &BatchView<'_>,
    codec: Compression,
    size_max: usize,
    note: &mut Note<'_>,
) -> Result<(usize, bool), BatchError> {
    let mut heads = RecordHeads::new(Decompressor::new(codec, batch.body(), size_max)?);
    for index in 0..batch.record_count() {
        let head = heads.next(index)?;
        note(index, head).map_err(|reason| BatchError::BadRecord { index, reason })?;
    }
    let is_at_end = heads.is_at_end()?;
    Ok((heads.size_bytes(), is_at_end))
}

impl Contents {
    /// Takes one record in; the answer is its timestamp.
    fn note(
        &mut self,
        batch: &BatchView<'_>,
        index: i32,
        head: RecordHead,
    ) -> Result<i64, &'static str> {
        if head.offset_delta != index {
            return Err("its offset is out of order");
        }
        let timestamp_ms = batch
            .base_timestamp_ms()
            .checked_add(head.timestamp_delta_ms)
            .ok_or("its timestamp is out of range")?;
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        self.min_timestamp_ms = self.min_timestamp_ms.min(timestamp_ms);
        if !head.has_key && self.first_without_key.is_none() {
            self.first_without_key = Some(index);
        }
        Ok(timestamp_ms)
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
