//! The table in a file: `<offset>.snapshot`, Kafka's layout, version 1.
//!
//! The name says up to which offset (exclusive) the log is summed up. Numbers are big-endian:
//! 1. version (1), 2 bytes
//! 2. CRC32C over all that follows, 4
//! 3. number of entries, 4
//! 4. per entry: producer id 8, epoch 2, last sequence 4, last offset 8, offset delta of the last
//!    batch 4, time of the last append 8, coordinator epoch 4, first offset of the open transaction 8
//!    (-1 for none)
//!
//! Only the last batch of a producer is in it. The batches before it are looked up in the tail of the
//! log when it is opened, so that a retry that straddles a restart is still known.
//!
//! A file that does not add up is passed over for an older one, or for a replay of the whole log.

use super::{BatchMemory, ProducerEntry, ProducerStates};
use mainstem_protocol::ids::{Offset, ProducerEpoch, ProducerId};

const VERSION: i16 = 1;
const HEAD_BYTES: usize = 10;
const ENTRY_BYTES: usize = 46;

pub(crate) fn encode_snapshot(states: &ProducerStates) -> Vec<u8> {
    let count = states.producers.len();
    let mut bytes = Vec::with_capacity(HEAD_BYTES + count * ENTRY_BYTES);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend([0; 4]);
    // A partition has far fewer producers than 2^31: each takes hundreds of bytes of memory.
    bytes.extend((count as i32).to_be_bytes());
    for (producer_id, entry) in states.iter() {
        let last = entry.last();
        bytes.extend(producer_id.0.to_be_bytes());
        bytes.extend(entry.epoch.0.to_be_bytes());
        bytes.extend(last.map_or(-1, |batch| batch.last_sequence).to_be_bytes());
        bytes.extend(last.map_or(-1, |batch| batch.last_offset.0).to_be_bytes());
        bytes.extend(last.map_or(0, |batch| batch.offset_delta).to_be_bytes());
        bytes.extend(entry.last_append_ms.to_be_bytes());
        bytes.extend(entry.coordinator_epoch.to_be_bytes());
        let start = entry.transaction_start.unwrap_or(Offset::NONE);
        bytes.extend(start.0.to_be_bytes());
    }
    let crc = crc32c::crc32c(&bytes[6..]);
    bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// `None` when the bytes are not a whole snapshot.
pub(crate) fn decode_snapshot(bytes: &[u8]) -> Option<ProducerStates> {
    let mut fields = Fields { rest: bytes };
    let version = i16::from_be_bytes(fields.take()?);
    let crc = u32::from_be_bytes(fields.take()?);
    if version != VERSION || crc32c::crc32c(fields.rest) != crc {
        return None;
    }
    let count = usize::try_from(i32::from_be_bytes(fields.take()?)).ok()?;
    if fields.rest.len() != count.checked_mul(ENTRY_BYTES)? {
        return None;
    }
    let mut states = ProducerStates::default();
    for _ in 0..count {
        let producer_id = ProducerId(i64::from_be_bytes(fields.take()?));
        // A batch of such a producer would be one without a producer: no marker could end it.
        if !producer_id.is_some() {
            return None;
        }
        let mut entry = ProducerEntry::default();
        entry.epoch = ProducerEpoch(i16::from_be_bytes(fields.take()?));
        let last_sequence = i32::from_be_bytes(fields.take()?);
        let last_offset = Offset(i64::from_be_bytes(fields.take()?));
        let offset_delta = i32::from_be_bytes(fields.take()?);
        entry.last_append_ms = i64::from_be_bytes(fields.take()?);
        entry.coordinator_epoch = i32::from_be_bytes(fields.take()?);
        let start = Offset(i64::from_be_bytes(fields.take()?));
        entry.transaction_start = start.is_some().then_some(start);
        if last_offset.is_some() {
            let timestamp_ms = entry.last_append_ms;
            let batch = BatchMemory { last_sequence, last_offset, offset_delta, timestamp_ms };
            entry.remember(batch);
        }
        states.insert(producer_id, entry);
    }
    Some(states)
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*head)
    }
}
