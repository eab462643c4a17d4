//! What the fuzz targets share: a memory limit that bites, and how bytes choose among cases.
//!
//! Every target is a few lines of glue in `src/bin`. A target fails by a panic, by an allocation beyond
//! [`MEMORY_MAX`] (the allocator then gives nothing, and the process aborts), or by taking longer than
//! the fuzzer allows.

use std::alloc;

use bytes::Bytes;
use cap::Cap;
use mainstem_protocol::compression::{Compression, compress, decompress};
use mainstem_protocol::{Message, Reader, Writer};

/// The most memory that all live allocations of a target may have, its own corpus included.
pub const MEMORY_MAX: usize = 512 << 20;

#[global_allocator]
static ALLOCATOR: Cap<alloc::System> = Cap::new(alloc::System, MEMORY_MAX);

/// Takes one byte off the front, as a choice.
pub fn choose(data: &mut &[u8]) -> Option<u8> {
    let (first, rest) = data.split_first()?;
    *data = rest;
    Some(*first)
}

/// Takes a piece off the front: two bytes of length, as many bytes as there are.
pub fn piece(data: &mut &[u8]) -> Option<Bytes> {
    let (length, rest) = data.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
    let (piece, rest) = rest.split_at(length);
    *data = rest;
    Some(Bytes::copy_from_slice(piece))
}

/// What decodes must encode again, to bytes that decode to the same.
pub fn round_trip<M: Message + PartialEq + std::fmt::Debug>(data: &[u8], version: i16) {
    let mut reader = Reader::with_budget(Bytes::copy_from_slice(data), 16 << 20);
    let Ok(message) = M::decode(&mut reader, version) else { return };
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("what was decoded has its version's fields");
    let bytes = writer.into_bytes().expect("no file ranges");
    let again = M::decode(&mut Reader::new(bytes), version).expect("what was encoded");
    assert_eq!(message, again);
}

/// Gives every whole batch the checksum of its bytes, which no fuzzer guesses, so that what lies
/// behind the check is reached too.
pub fn seal_batches(batches: &mut [u8]) {
    let mut at = 0;
    while let Some(head) = batches.get(at..at + 12) {
        let length = i32::from_be_bytes(head[8..].try_into().expect("4 bytes"));
        let end = usize::try_from(length).ok().map(|length| at + 12 + length);
        let Some(batch) = end.and_then(|end| batches.get_mut(at..end)) else { return };
        if batch.len() < 22 {
            return;
        }
        let checksum = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&checksum.to_be_bytes());
        at += batch.len();
    }
}

/// The same for a snapshot of producers.
pub fn seal_snapshot(snapshot: &mut [u8]) {
    if snapshot.len() >= 6 {
        let checksum = crc32c::crc32c(&snapshot[6..]);
        snapshot[2..6].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// What a codec unpacks stays below the cap, whatever it promises, and survives being packed again.
pub fn decompress_capped(codec: Compression, data: &[u8]) {
    const CAP: usize = 1 << 20;
    if let Ok(contents) = decompress(codec, data, CAP) {
        assert!(contents.len() <= CAP);
        let packed = compress(codec, &contents).expect("compress what was decompressed");
        assert_eq!(decompress(codec, &packed, CAP).expect("decompress it again"), contents);
    }
}
