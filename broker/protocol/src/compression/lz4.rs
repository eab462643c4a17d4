//! LZ4 frames of independent 64 KiB blocks without checksums, as Kafka's clients write them; any frame
//! can be read.
//!
//! Only the first frame is looked at. What may follow it is not read, as in Kafka's own clients.
//!
//! A broker looks into every batch, so frames in the form above are unpacked here, block by block into
//! memory that a thread uses again and again. The library's own reader of frames wants three buffers
//! for each of them, one of them zeroed, and copies twice; it is left to frames in other forms.

use super::{Compression, CompressionError, corrupt};
use lz4::liblz4::BlockChecksum;
use lz4::{BlockMode, BlockSize, ContentChecksum, Decoder, EncoderBuilder};
use std::cell::Cell;
use std::io::{self, BufRead, Read, Write};

/// Magic, version 1 with independent blocks, blocks of 64 KiB, and the checksum of the two.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK_BYTES: usize = 64 << 10;
/// In a block's length: the bytes are as they were.
const NOT_PACKED: u32 = 1 << 31;

thread_local! {
    /// Room for one block, lent to one reader at a time.
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

pub(super) fn compress(data: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut builder = EncoderBuilder::new();
    builder
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent)
        .checksum(ContentChecksum::NoChecksum)
        .block_checksum(BlockChecksum::NoBlockChecksum);
    let packed = builder.build(Vec::with_capacity(data.len() / 2)).and_then(|mut encoder| {
        encoder.write_all(data)?;
        let (packed, finished) = encoder.finish();
        finished.map(|()| packed)
    });
    packed.map_err(|error| corrupt(Compression::Lz4, &error))
}

/// The contents of a frame. The library's decoder ends at the end of its input as if the frame did;
/// here it is an error when it does not.
pub(super) struct Frame<'a> {
    /// `None` after the frame's end.
    decoder: Option<Decoder<&'a [u8]>>,
}

impl<'a> Frame<'a> {
    pub(super) fn new(data: &'a [u8]) -> Result<Self, CompressionError> {
        let decoder = Decoder::new(data).map_err(|error| corrupt(Compression::Lz4, &error))?;
        Ok(Self { decoder: Some(decoder) })
    }
}

impl Read for Frame<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        let read = decoder.read(buffer)?;
        if read == 0
            && !buffer.is_empty()
            && let Some(decoder) = self.decoder.take()
            && decoder.finish().1.is_err()
        {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the frame is cut off"));
        }
        Ok(read)
    }
}

/// The contents of a frame in the usual form.
pub(super) struct Blocks<'a> {
    /// What follows the last block that was unpacked; nothing after the end mark.
    rest: &'a [u8],
    is_over: bool,
    room: Vec<u8>,
    /// What is in the room, and how much of it was taken.
    filled: usize,
    taken: usize,
    /// Bytes that may still be unpacked.
    left: usize,
}

impl<'a> Blocks<'a> {
    /// `None` when the frame has another form.
    pub(super) fn new(data: &'a [u8], cap: usize) -> Option<Self> {
        let rest = data.strip_prefix(&HEADER)?;
        let mut room = ROOM.take();
        room.resize(BLOCK_BYTES, 0);
        Some(Self { rest, is_over: false, room, filled: 0, taken: 0, left: cap })
    }

    /// Unpacks the next block, which may be empty, or notes the end.
    fn next(&mut self) -> io::Result<()> {
        let cut_off = || io::Error::new(io::ErrorKind::UnexpectedEof, "the frame is cut off");
        let (head, rest) = self.rest.split_first_chunk().ok_or_else(cut_off)?;
        let head = u32::from_le_bytes(*head);
        (self.filled, self.taken) = (0, 0);
        if head == 0 {
            self.is_over = true;
            return Ok(());
        }
        let (block, rest) =
            rest.split_at_checked((head & !NOT_PACKED) as usize).ok_or_else(cut_off)?;
        self.rest = rest;
        self.filled = if head & NOT_PACKED == 0 {
            lz4::block::decompress_to_buffer(block, Some(BLOCK_BYTES as i32), &mut self.room)?
        } else {
            let room = self.room.get_mut(..block.len());
            room.ok_or(io::ErrorKind::InvalidData)?.copy_from_slice(block);
            block.len()
        };
        self.left = self.left.checked_sub(self.filled).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(())
    }
}

impl Read for Blocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Blocks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.taken == self.filled && !self.is_over {
            self.next()?;
        }
        Ok(&self.room[self.taken..self.filled])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
    }
}

impl Drop for Blocks<'_> {
    fn drop(&mut self) {
        ROOM.set(std::mem::take(&mut self.room));
    }
}
