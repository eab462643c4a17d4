//! One record of a decompressed body, taken apart into slices. Nothing is allocated here: the
//! validation of a batch and the iterator over shared bytes both stand on it.

use super::varint;

/// A record whose parts borrow the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawRecord<'a> {
    pub(super) timestamp_delta_ms: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) header_count: usize,
    /// The encoded headers.
    pub(super) headers: &'a [u8],
}

/// Reads the record at the beginning of `body` and returns it with the bytes after it. Its headers
/// are not looked into.
pub(super) fn read_record(body: &[u8]) -> Result<(RawRecord<'_>, &[u8]), &'static str> {
    let (length, rest) = varint::read_i32(body).ok_or("its length is cut off")?;
    let length = usize::try_from(length).map_err(|_| "its length is negative")?;
    if length > rest.len() {
        return Err("it reaches beyond the batch");
    }
    let (record, after) = rest.split_at(length);
    // Record attributes carry no meaning yet.
    let (_, rest) = record.split_first().ok_or("it has no attributes")?;
    let (timestamp_delta_ms, rest) = varint::read_i64(rest).ok_or("its timestamp is cut off")?;
    let (offset_delta, rest) = varint::read_i32(rest).ok_or("its offset is cut off")?;
    let (key, rest) = read_nullable(rest).ok_or("its key is cut off")?;
    let (value, rest) = read_nullable(rest).ok_or("its value is cut off")?;
    let (header_count, headers) = varint::read_i32(rest).ok_or("its headers are cut off")?;
    let header_count = usize::try_from(header_count).map_err(|_| "its header count is negative")?;
    // A header takes two bytes at least; this bounds what a reader of headers reserves.
    if header_count > headers.len() / 2 {
        return Err("it announces more headers than it has room for");
    }
    let record = RawRecord { timestamp_delta_ms, offset_delta, key, value, header_count, headers };
    Ok((record, after))
}

/// Visits every header, and fails unless they fill the record exactly.
pub(super) fn read_headers<'a>(
    record: &RawRecord<'a>,
    mut visit: impl FnMut(&'a [u8], Option<&'a [u8]>),
) -> Result<(), &'static str> {
    let mut rest = record.headers;
    for _ in 0..record.header_count {
        let (key, after) = read_nullable(rest).ok_or("a header key is cut off")?;
        let key = key.ok_or("a header key is null")?;
        let (value, after) = read_nullable(after).ok_or("a header value is cut off")?;
        visit(key, value);
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err("bytes are left over in it") }
}

/// Bytes after their length; a length of -1 is null and a lower one is an error.
pub(super) fn read_nullable(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = varint::read_i32(bytes)?;
    if length == -1 {
        return Some((None, rest));
    }
    let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Some(value), rest))
}
