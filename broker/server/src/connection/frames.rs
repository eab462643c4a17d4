//! Cuts a byte stream into frames: four bytes of length, big endian, then as many bytes.
//!
//! Invariants:
//! * A length below zero or above the limit ends the stream before anything is allocated for it.
//! * Room is made for bytes that have arrived and a bounded number more, whatever was announced: as
//!   much again, or as much as the last whole frame had, since clients send many frames of a size.

use bytes::{Buf, Bytes, BytesMut};

/// Room made at least for each read of a frame that is larger.
const READ_BYTES_MIN: usize = 4 * 1024;
/// Room made at most beyond what has arrived.
const READ_BYTES_MAX: usize = 256 * 1024;
const PREFIX_BYTES: usize = 4;

/// Why a stream of frames cannot go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {announced} bytes was announced, {limit} are allowed")]
pub(super) struct ImpossibleFrame {
    announced: i32,
    limit: usize,
}

/// The bytes of a stream that are not yet part of a whole frame.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: BytesMut,
    frame_bytes_max: usize,
    /// Size of the last whole frame with its prefix.
    last_frame_bytes: usize,
}

impl Frames {
    pub(super) fn new(frame_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), frame_bytes_max, last_frame_bytes: 0 }
    }

    /// The next whole frame without its prefix, if it has arrived.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, ImpossibleFrame> {
        let Some(size) = self.announced()? else { return Ok(None) };
        if self.buffer.len() < PREFIX_BYTES + size {
            return Ok(None);
        }
        self.last_frame_bytes = PREFIX_BYTES + size;
        self.buffer.advance(PREFIX_BYTES);
        Ok(Some(self.buffer.split_to(size).freeze()))
    }

    /// Where to read to, with room for some bytes of the frame that is missing.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        self.buffer.reserve(self.next_read_bytes());
        &mut self.buffer
    }

    /// Bytes that the buffer holds and will have room for at the next read.
    pub(super) fn room_bytes(&self) -> usize {
        self.buffer.len() + self.next_read_bytes()
    }

    fn next_read_bytes(&self) -> usize {
        let arrived = self.buffer.len();
        let missing = match self.announced() {
            Ok(Some(size)) => (PREFIX_BYTES + size).saturating_sub(arrived),
            Ok(None) | Err(_) => self.last_frame_bytes.saturating_sub(arrived),
        };
        // Large frames shall come with few reads and be moved a few times only.
        let most = arrived.max(self.last_frame_bytes).clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        missing.clamp(READ_BYTES_MIN, most)
    }

    /// Bytes of the unfinished frame.
    pub(super) fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Gives the memory back while nothing is pending: idle clients are many.
    pub(super) fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    fn announced(&self) -> Result<Option<usize>, ImpossibleFrame> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let announced = i32::from_be_bytes(*prefix);
        match usize::try_from(announced) {
            Ok(size) if size <= self.frame_bytes_max => Ok(Some(size)),
            _ => Err(ImpossibleFrame { announced, limit: self.frame_bytes_max }),
        }
    }
}

#[cfg(test)]
mod tests;
