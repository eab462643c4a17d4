//! Snappy in the frame of the xerial library, which Kafka's clients use.
//!
//! 1. magic (8): `0x82 S N A P P Y 0x00`
//! 2. version (i32), 1
//! 3. lowest version that can read it (i32), 1
//! 4. any number of blocks: length (u32), a raw snappy block of that length
//!
//! Some clients write one raw block without a frame; it is told by the missing magic.

use super::{Compression, CompressionError, corrupt, too_large};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const HEADER_SIZE: usize = 16;

/// The library cuts its input into blocks of this size.
const BLOCK_SIZE: usize = 32 * 1024;

pub(super) fn compress(data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::with_capacity(HEADER_SIZE + data.len() / 2);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in data.chunks(BLOCK_SIZE) {
        let packed = encoder.compress_vec(block).map_err(|e| corrupt(Compression::Snappy, &e))?;
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    Ok(out)
}

pub(super) fn decompress(data: &[u8], cap: usize) -> Result<Vec<u8>, CompressionError> {
    let mut out = Vec::new();
    let mut decoder = snap::raw::Decoder::new();
    if !data.starts_with(&MAGIC) {
        append_block(&mut decoder, data, &mut out, cap)?;
        return Ok(out);
    }
    let mut rest = data.get(HEADER_SIZE..).ok_or_else(|| broken("the header is cut off"))?;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let block = after.get(..length).ok_or_else(|| broken("a block is cut off"))?;
        append_block(&mut decoder, block, &mut out, cap)?;
        rest = &after[length..];
    }
    if rest.is_empty() { Ok(out) } else { Err(broken("a block length is cut off")) }
}

fn append_block(
    decoder: &mut snap::raw::Decoder,
    block: &[u8],
    out: &mut Vec<u8>,
    cap: usize,
) -> Result<(), CompressionError> {
    let failed = |error: snap::Error| corrupt(Compression::Snappy, &error);
    let size = snap::raw::decompress_len(block).map_err(failed)?;
    let start = out.len();
    if size > cap - start {
        return Err(too_large(Compression::Snappy, cap));
    }
    out.resize(start + size, 0);
    let written = decoder.decompress(block, &mut out[start..]).map_err(failed)?;
    out.truncate(start + written);
    Ok(())
}

fn broken(reason: &str) -> CompressionError {
    CompressionError::Corrupt { codec: Compression::Snappy.name(), reason: reason.to_string() }
}
