//! What is asked of batches before anything is written.
//!
//! Of everybody: whole frames, format v2, sizes within bounds. Of clients also what Kafka asks: one
//! batch per append that begins at offset 0, a right checksum, no control records, dense offsets, keys
//! on compacted topics, timestamps within the topic's range. The records are looked at one by one as
//! they come out of the decompression, and none is kept.
//!
//! What is wrong with the layout ends the look; what is wrong with single records is gathered, so that
//! a producer learns of all of them at once ([`AppendError::RejectedRecords`]).
//!
//! A topic with a `compression.type` of its own has batches packed anew here ([`repack`]), after the
//! look and before anything is written. Others are stored as they came.
//!
//! Stricter than Kafka, which numbers such records anew for clients of before batch v2: records whose
//! offsets are not dense are refused.

use crate::config::{LogConfig, TimestampType};
use crate::error::{AppendError, RecordError};
use crate::header::{BatchHeader, NotABatch};
use crate::slice::Origin;
use bytes::BytesMut;
use mainstem_platform::Now;
use mainstem_protocol::compression::{Compression, decompress};
use mainstem_protocol::ids::ProducerId;
use mainstem_protocol::record::{
    BatchBuilder, BatchError, BatchView, NO_TIMESTAMP, RecordFacts, validate_each,
};

/// Refused records that are told of one by one. Beyond it their number is told.
const RECORD_ERRORS_MAX: usize = 1_000;

/// Checks the batches of one append and leaves their heads in `headers`.
pub(crate) fn check_batches(
    bytes: &[u8],
    config: &LogConfig,
    origin: Origin,
    now: Now,
    headers: &mut Vec<BatchHeader>,
) -> Result<(), AppendError> {
    headers.clear();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut header = BatchHeader::read(rest).map_err(refuse_frame)?;
        if header.size > rest.len() {
            return Err(AppendError::CorruptMessage("a batch is cut off".to_owned()));
        }
        let (batch, after) = rest.split_at(header.size);
        let max_bytes = config.max_message_bytes as usize;
        if max_bytes < batch.len() {
            return Err(AppendError::MessageTooLarge { size_bytes: batch.len(), max_bytes });
        }
        match origin {
            Origin::Client => check_client_batch(&mut header, batch, config, now)?,
            Origin::Coordinator => check_own_batch(&header)?,
        }
        headers.push(header);
        rest = after;
    }
    if headers.is_empty() {
        return Err(AppendError::InvalidRecord("there is no batch".to_owned()));
    }
    if origin == Origin::Client && headers.len() > 1 {
        let reason = "a request carries one batch per partition";
        return Err(AppendError::InvalidRecord(reason.to_owned()));
    }
    Ok(())
}

/// An append is written as a whole, so it must fit into a segment.
pub(crate) fn check_size(size_bytes: usize, config: &LogConfig) -> Result<(), AppendError> {
    let max_bytes = config.segment_bytes as usize;
    if max_bytes < size_bytes {
        return Err(AppendError::BatchListTooLarge { size_bytes, max_bytes });
    }
    Ok(())
}

fn refuse_frame(not: NotABatch) -> AppendError {
    match not {
        NotABatch::Short => AppendError::CorruptMessage("a batch is cut off".to_owned()),
        NotABatch::Length(length) => AppendError::CorruptMessage(format!("length {length}")),
        NotABatch::Magic(magic) => AppendError::UnsupportedFormat(magic),
        NotABatch::Number => AppendError::InvalidRecord("negative offset".to_owned()),
    }
}

/// Our own coordinators build their batches with our own code, so only what would break the log's
/// invariants is looked at.
fn check_own_batch(header: &BatchHeader) -> Result<(), AppendError> {
    let refuse = |reason: &str| Err(AppendError::InvalidRecord(reason.to_owned()));
    if header.is_control() && header.has_producer() {
        return refuse("markers are written with append_marker");
    }
    if header.last_offset_delta.checked_add(1) != Some(header.record_count) {
        return refuse("offsets are not dense");
    }
    Ok(())
}

/// Also corrects the head's largest timestamp, which some clients do not fill in: everything that
/// looks for times relies on it.
fn check_client_batch(
    header: &mut BatchHeader,
    batch: &[u8],
    config: &LogConfig,
    now: Now,
) -> Result<(), AppendError> {
    let (view, _) = BatchView::parse(batch).map_err(|error| refuse_batch(&error))?;
    if header.is_control() {
        return Err(AppendError::InvalidRecord("clients write no control batches".to_owned()));
    }
    if header.base_offset.0 != 0 {
        let reason = format!("the batch begins at offset {} and not at 0", header.base_offset);
        return Err(AppendError::InvalidRecord(reason));
    }
    if header.has_producer() && header.producer_epoch.is_none() {
        return Err(AppendError::InvalidRecord("a producer id without an epoch".to_owned()));
    }
    if view.has_delete_horizon() {
        let reason = "a producer cannot set a delete horizon";
        return Err(AppendError::InvalidRecord(reason.to_owned()));
    }
    if !config.validate_records && !config.cleanup_policy.compact {
        return check_shallow(header, &view);
    }
    let mut rejected = Rejected::default();
    let contents = validate_each(&view, config.decompressed_bytes_max, |record| {
        check_record(header, config, now, record, &mut rejected);
    });
    let contents = contents.map_err(|error| refuse_batch(&error))?;
    if 0 < rejected.count {
        return Err(rejected.into());
    }
    if config.timestamp_type == TimestampType::CreateTime {
        header.max_timestamp = contents.max_timestamp_ms;
    }
    Ok(())
}

/// Single records that were found wanting.
#[derive(Default)]
struct Rejected {
    count: usize,
    by_timestamp: bool,
    errors: Vec<RecordError>,
}

impl Rejected {
    fn add(&mut self, record: RecordFacts, message: String) {
        self.count += 1;
        if self.errors.len() < RECORD_ERRORS_MAX {
            self.errors.push(RecordError { batch_index: record.index, message });
        }
    }
}

impl From<Rejected> for AppendError {
    fn from(rejected: Rejected) -> Self {
        let Rejected { count, by_timestamp, errors } = rejected;
        Self::RejectedRecords { count, by_timestamp, errors }
    }
}

/// The rules for single records: keys first, then timestamps, as in Kafka.
fn check_record(
    header: &BatchHeader,
    config: &LogConfig,
    now: Now,
    record: RecordFacts,
    rejected: &mut Rejected,
) {
    if config.cleanup_policy.compact && !record.has_key {
        rejected.add(record, "a compacted topic takes no record without a key".to_owned());
        return;
    }
    if header.is_log_append_time() {
        rejected.by_timestamp = true;
        let message = "a producer must not set the timestamp type to LogAppendTime";
        rejected.add(record, message.to_owned());
        return;
    }
    if config.timestamp_type == TimestampType::LogAppendTime || record.timestamp_ms == NO_TIMESTAMP
    {
        return;
    }
    let (before_ms, after_ms) = (config.timestamp_before_max_ms, config.timestamp_after_max_ms);
    let age_ms = now.wall_ms.saturating_sub(record.timestamp_ms);
    if before_ms < age_ms || after_ms < age_ms.saturating_neg() {
        rejected.by_timestamp = true;
        let earliest = now.wall_ms.saturating_sub(before_ms);
        let latest = now.wall_ms.saturating_add(after_ms);
        let time = record.timestamp_ms;
        rejected.add(record, format!("timestamp {time} is not within [{earliest}, {latest}]"));
    }
}

/// Packs a client's batch as the topic wants it. `None` when it is packed so already.
pub(crate) fn repack(
    bytes: &[u8],
    config: &LogConfig,
    header: &mut BatchHeader,
) -> Result<Option<BytesMut>, AppendError> {
    let Some(wanted) = config.compression else { return Ok(None) };
    let repacked = || -> Result<Option<BytesMut>, BatchError> {
        let (view, _) = BatchView::parse(bytes)?;
        let codec = view.compression()?;
        if codec == wanted {
            return Ok(None);
        }
        let level = config.compression_level;
        if codec == Compression::None {
            return BatchBuilder::recompressing(&view, view.body(), wanted, level).map(Some);
        }
        let body = decompress(codec, view.body(), config.decompressed_bytes_max)?;
        BatchBuilder::recompressing(&view, &body, wanted, level).map(Some)
    };
    let Some(repacked) = repacked().map_err(|error| refuse_batch(&error))? else {
        return Ok(None);
    };
    let max_bytes = config.max_message_bytes as usize;
    if max_bytes < repacked.len() {
        return Err(AppendError::MessageTooLarge { size_bytes: repacked.len(), max_bytes });
    }
    // What the look inside has corrected stays so.
    let max_timestamp = header.max_timestamp;
    *header = BatchHeader::read(&repacked).map_err(refuse_frame)?;
    header.max_timestamp = max_timestamp;
    Ok(Some(repacked))
}

/// The checks on the head alone, for topics that trade the look inside for speed.
fn check_shallow(header: &BatchHeader, view: &BatchView<'_>) -> Result<(), AppendError> {
    view.check_checksum().map_err(|error| refuse_batch(&error))?;
    let refuse = |reason: &str| Err(AppendError::InvalidRecord(reason.to_owned()));
    if header.record_count <= 0
        || header.last_offset_delta.checked_add(1) != Some(header.record_count)
    {
        return refuse("offsets are not dense");
    }
    if header.producer_id == ProducerId::NONE && header.is_transactional() {
        return refuse("a transaction without a producer");
    }
    if header.has_producer() && header.base_sequence < 0 {
        return refuse("a producer without a sequence");
    }
    Ok(())
}

fn refuse_batch(error: &BatchError) -> AppendError {
    match error {
        BatchError::Truncated { .. }
        | BatchError::BadLength { .. }
        | BatchError::BadChecksum { .. } => AppendError::CorruptMessage(error.to_string()),
        BatchError::UnsupportedMagic { magic } => AppendError::UnsupportedFormat(*magic),
        _ => AppendError::InvalidRecord(error.to_string()),
    }
}
