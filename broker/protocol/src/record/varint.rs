//! Zigzag varints, as records use them. (The messages use unsigned ones: see `codec`.)
//!
//! A broker reads seven of them in every record it checks, nearly all of one byte, so that case is
//! taken first and without a call.

use bytes::{BufMut, BytesMut};

/// Reads an i32 and returns it with the bytes after it.
#[inline]
pub(super) fn read_i32(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (value, rest) = read_u64(bytes, 5)?;
    let value = u32::try_from(value).ok()?;
    Some((((value >> 1) as i32) ^ -((value & 1) as i32), rest))
}

/// Reads an i64 and returns it with the bytes after it.
#[inline]
pub(super) fn read_i64(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (value, rest) = read_u64(bytes, 10)?;
    Some((((value >> 1) as i64) ^ -((value & 1) as i64), rest))
}

#[inline]
fn read_u64(bytes: &[u8], size_max: usize) -> Option<(u64, &[u8])> {
    match bytes.split_first() {
        Some((byte, rest)) if *byte < 0x80 => Some((u64::from(*byte), rest)),
        _ => read_long(bytes, size_max),
    }
}

fn read_long(bytes: &[u8], size_max: usize) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(size_max).enumerate() {
        // The tenth byte has room for the highest bit only.
        if index == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

pub(super) fn put_i32(out: &mut BytesMut, value: i32) {
    put_i64(out, i64::from(value));
}

pub(super) fn put_i64(out: &mut BytesMut, value: i64) {
    let mut bits = zigzag(value);
    while bits >= 0x80 {
        out.put_u8(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.put_u8(bits as u8);
}

/// The number of bytes that `value` takes.
pub(super) fn size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
