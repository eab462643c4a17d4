//! Changes to the header of a batch in place.
//!
//! Every function takes bytes that begin with a batch which was parsed before, and panics on
//! fewer bytes than it changes. Base offset and leader epoch lie outside of the checksum, so stamping
//! them costs nothing and needs no more than the first 16 bytes; everything else computes the
//! checksum anew.

use super::TimestampType;
use super::batch::{
    AT_ATTRIBUTES, AT_BASE_SEQUENCE, AT_CHECKSUM, AT_LEADER_EPOCH, AT_LENGTH, AT_MAX_TIMESTAMP,
    AT_PRODUCER_EPOCH, AT_PRODUCER_ID, LENGTH_AT_LEAST, LOG_APPEND_TIME, TRANSACTIONAL,
};
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// Moves the batch to another offset: its records move with it.
pub fn set_base_offset(batch: &mut [u8], offset: Offset) {
    batch[..AT_LENGTH].copy_from_slice(&offset.0.to_be_bytes());
}

/// Says which leader wrote the batch to its log.
pub fn set_leader_epoch(batch: &mut [u8], epoch: LeaderEpoch) {
    put(batch, AT_LEADER_EPOCH, &epoch.0.to_be_bytes());
}

/// Replaces the time of all records by that of the append.
pub fn set_max_timestamp_log_append(batch: &mut [u8], append_time_ms: i64) {
    set_max_timestamp(batch, TimestampType::LogAppendTime, append_time_ms);
}

/// Sets the max timestamp and who set the timestamps.
pub fn set_max_timestamp(batch: &mut [u8], kind: TimestampType, max_timestamp_ms: i64) {
    let attributes = attributes(batch);
    let attributes = match kind {
        TimestampType::CreateTime => attributes & !LOG_APPEND_TIME,
        TimestampType::LogAppendTime => attributes | LOG_APPEND_TIME,
    };
    put(batch, AT_ATTRIBUTES, &attributes.to_be_bytes());
    put(batch, AT_MAX_TIMESTAMP, &max_timestamp_ms.to_be_bytes());
    set_checksum(batch);
}

/// Sets what identifies the batch of an idempotent producer. A producer does this as it sends,
/// and again when its epoch has changed.
pub fn set_producer(
    batch: &mut [u8],
    producer_id: ProducerId,
    epoch: ProducerEpoch,
    base_sequence: i32,
) {
    put(batch, AT_PRODUCER_ID, &producer_id.0.to_be_bytes());
    put(batch, AT_PRODUCER_EPOCH, &epoch.0.to_be_bytes());
    put(batch, AT_BASE_SEQUENCE, &base_sequence.to_be_bytes());
    set_checksum(batch);
}

/// Makes the batch part of a transaction.
pub fn set_transactional(batch: &mut [u8]) {
    let attributes = attributes(batch) | TRANSACTIONAL;
    put(batch, AT_ATTRIBUTES, &attributes.to_be_bytes());
    set_checksum(batch);
}

/// Computes the checksum anew.
pub(super) fn set_checksum(batch: &mut [u8]) {
    let size = size(batch);
    let checksum = crc32c::crc32c(&batch[AT_ATTRIBUTES..size]);
    put(batch, AT_CHECKSUM, &checksum.to_be_bytes());
}

/// The size that the length field tells: more batches may follow this one.
fn size(batch: &[u8]) -> usize {
    let mut length = [0; 4];
    length.copy_from_slice(&batch[AT_LENGTH..LENGTH_AT_LEAST]);
    LENGTH_AT_LEAST + u32::from_be_bytes(length) as usize
}

fn attributes(batch: &[u8]) -> i16 {
    i16::from_be_bytes([batch[AT_ATTRIBUTES], batch[AT_ATTRIBUTES + 1]])
}

fn put(batch: &mut [u8], at: usize, bytes: &[u8]) {
    batch[at..at + bytes.len()].copy_from_slice(bytes);
}
