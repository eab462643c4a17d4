//! Snappy in the frame of the xerial library, which Kafka's clients use.
//!
//! 1. magic (8): `0x82 S N A P P Y 0x00`
//! 2. version (i32), 1
//! 3. lowest version that can read it (i32), 1
//! 4. any number of blocks: length (u32), a raw snappy block of that length
//!
//! Some clients write one raw block without a frame; it is told by the missing magic.

use super::{Compression, CompressionError, corrupt, too_large};
use std::io::{self, Read};

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

/// The contents of a frame, block by block. One block at a time is in memory.
pub(super) struct Blocks<'a> {
    rest: &'a [u8],
    is_framed: bool,
    decoder: snap::raw::Decoder,
    cap: usize,
    block: Vec<u8>,
    /// Bytes of the block that were handed out.
    read: usize,
}

impl<'a> Blocks<'a> {
    /// No block may be larger than `cap`.
    pub(super) fn new(data: &'a [u8], cap: usize) -> Result<Self, CompressionError> {
        let is_framed = data.starts_with(&MAGIC);
        let from = if is_framed { HEADER_SIZE } else { 0 };
        let rest = data.get(from..).ok_or_else(|| broken("the header is cut off"))?;
        let decoder = snap::raw::Decoder::new();
        Ok(Self { rest, is_framed, decoder, cap, block: Vec::new(), read: 0 })
    }

    /// Unpacks the next block, of at most `room` bytes; false when there is none.
    fn next(&mut self, room: usize) -> Result<bool, CompressionError> {
        let rest = self.rest;
        let block = if !self.is_framed {
            std::mem::take(&mut self.rest)
        } else if let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let block = after.get(..length).ok_or_else(|| broken("a block is cut off"))?;
            self.rest = &after[length..];
            block
        } else if rest.is_empty() {
            return Ok(false);
        } else {
            return Err(broken("a block length is cut off"));
        };
        if block.is_empty() {
            // Not even a length: the end of a bare block, or a frame that makes no sense.
            return if self.is_framed { Err(broken("a block is empty")) } else { Ok(false) };
        }
        let failed = |error: snap::Error| corrupt(Compression::Snappy, &error);
        let size = snap::raw::decompress_len(block).map_err(failed)?;
        if size > room {
            return Err(too_large(Compression::Snappy, self.cap));
        }
        self.block.resize(size, 0);
        let written = self.decoder.decompress(block, &mut self.block).map_err(failed)?;
        self.block.truncate(written);
        self.read = 0;
        Ok(true)
    }
}

impl Read for Blocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() {
            match self.next(self.cap) {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(CompressionError::TooLarge { .. }) => {
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        let wanted = buffer.len().min(self.block.len() - self.read);
        buffer[..wanted].copy_from_slice(&self.block[self.read..self.read + wanted]);
        self.read += wanted;
        Ok(wanted)
    }
}

fn broken(reason: &str) -> CompressionError {
    CompressionError::Corrupt { codec: Compression::Snappy.name(), reason: reason.to_string() }
}
