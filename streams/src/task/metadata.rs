//! What is committed beside an offset, in the form that Kafka's Java library writes:
//! base64 of
//! 1. version, u8: 2
//! 2. partition time, i64 big-endian: the greatest timestamp processed, -1 if there is none
//! 3. if there are entries: their number, i32 big-endian, and each as
//!    key length (i32 big-endian), key (UTF-8), value (i64 big-endian)
//!
//! The end of a partition is the greatest time there is.

use std::collections::BTreeMap;

use super::times::ENDED;
use crate::record::NO_TIME;

const VERSION: u8 = 2;
const UNKNOWN_TIME: i64 = -1;

/// Entries that are believed when read: far more than are ever written.
const ENTRIES_MAX: usize = 4096;

/// Times saved with an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    pub(crate) time: i64,
    pub(crate) entries: BTreeMap<String, i64>,
}

impl PartitionMetadata {
    /// True if the task that committed it had seen the end of all its inputs.
    pub(crate) fn has_ended(&self) -> bool {
        self.entries.contains_key(ENDED)
    }

    pub(crate) fn encode(&self) -> String {
        let time = if self.time == NO_TIME { UNKNOWN_TIME } else { self.time };
        let mut bytes = vec![VERSION];
        bytes.extend(time.to_be_bytes());
        if !self.entries.is_empty() {
            bytes.extend((self.entries.len() as u32).to_be_bytes());
        }
        for (key, value) in &self.entries {
            bytes.extend((key.len() as u32).to_be_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend(value.to_be_bytes());
        }
        base64_encode(&bytes)
    }

    /// `None` for anything that is not of this form.
    pub(crate) fn decode(text: &str) -> Option<PartitionMetadata> {
        let bytes = base64_decode(text)?;
        let (version, mut rest) = bytes.split_first()?;
        let time = match take_i64(&mut rest)? {
            UNKNOWN_TIME => NO_TIME,
            time => time,
        };
        let mut entries = BTreeMap::new();
        if *version != VERSION {
            return None;
        }
        if !rest.is_empty() {
            let count = take_len(&mut rest)?;
            if count > ENTRIES_MAX {
                return None;
            }
            for _ in 0..count {
                let len = take_len(&mut rest)?;
                let (key, behind) = rest.split_at_checked(len)?;
                rest = behind;
                let key = std::str::from_utf8(key).ok()?.to_owned();
                entries.insert(key, take_i64(&mut rest)?);
            }
        }
        Some(PartitionMetadata { time, entries })
    }
}

fn take_i64(rest: &mut &[u8]) -> Option<i64> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(i64::from_be_bytes(*bytes))
}

fn take_len(rest: &mut &[u8]) -> Option<usize> {
    let (bytes, behind) = rest.split_first_chunk()?;
    *rest = behind;
    usize::try_from(i32::from_be_bytes(*bytes)).ok()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for at in 0..4 {
            let is_padding = at > chunk.len();
            let digit = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if is_padding { '=' } else { char::from(digit) });
        }
    }
    text
}

fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        bits = (bits << 6) | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}
