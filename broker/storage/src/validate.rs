//! What is asked of batches before anything is written.
//!
//! Of everybody: whole frames, format v2, sizes within bounds. Of clients also what Kafka asks: one
//! batch per append, a right checksum, no control records, dense offsets, keys on compacted topics,
//! timestamps within the topic's range. Looking at records means decompressing; the size of the result
//! is bounded by the config.

use crate::config::{LogConfig, TimestampType};
use crate::error::AppendError;
use crate::header::{BatchHeader, NotABatch};
use crate::slice::Origin;
use mainstem_platform::Now;
use mainstem_protocol::ids::ProducerId;
use mainstem_protocol::record::{BatchError, BatchView, validate_deep};

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
    let max_bytes = config.segment_bytes as usize;
    if max_bytes < bytes.len() {
        return Err(AppendError::BatchListTooLarge { size_bytes: bytes.len(), max_bytes });
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
    if header.is_log_append_time() {
        let reason = "a producer cannot stamp the time of append";
        return Err(AppendError::InvalidRecord(reason.to_owned()));
    }
    if header.has_producer() && header.producer_epoch.is_none() {
        return Err(AppendError::InvalidRecord("a producer id without an epoch".to_owned()));
    }
    if !config.validate_records && !config.cleanup_policy.compact {
        return check_shallow(header, &view);
    }
    let contents = validate_deep(&view, config.decompressed_bytes_max)
        .map_err(|error| refuse_batch(&error))?;
    if config.cleanup_policy.compact && contents.first_without_key.is_some() {
        let reason = "a compacted topic takes no record without a key";
        return Err(AppendError::InvalidRecord(reason.to_owned()));
    }
    if config.timestamp_type == TimestampType::CreateTime {
        // A record without a timestamp (-1) breaks no range, as in Kafka.
        for timestamp_ms in [contents.min_timestamp_ms, contents.max_timestamp_ms] {
            let age_ms = now.wall_ms.saturating_sub(timestamp_ms);
            let too_old = config.timestamp_before_max_ms < age_ms;
            let too_new = config.timestamp_after_max_ms < age_ms.saturating_neg();
            if 0 <= timestamp_ms && (too_old || too_new) {
                return Err(AppendError::InvalidTimestamp { timestamp_ms });
            }
        }
        header.max_timestamp = contents.max_timestamp_ms;
    }
    Ok(())
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
