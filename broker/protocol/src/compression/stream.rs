//! Decompression piece by piece: what looks at every record of a batch and keeps none needs no more
//! memory than a codec's window.
//!
//! Invariant: no more than the cap is handed out; what comes after it is an error and not the end.

use super::{Compression, CompressionError, corrupt, lz4, snappy, too_large};
use std::io::{self, BufRead, BufReader, Read};

/// Pieces of this size are handed out.
const PIECE_BYTES: usize = 16 << 10;

/// The contents of compressed bytes, read from front to back.
pub struct Decompressor<'a> {
    codec: Compression,
    cap: usize,
    input: Box<dyn BufRead + 'a>,
}

/// Ends the reading of a bomb. The error of [`Decompressor::error`] tells it from a damaged input.
struct Capped<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !buffer.is_empty() {
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::ErrorKind::FileTooLarge.into()),
            };
        }
        let wanted = buffer.len().min(self.left);
        let read = self.inner.read(&mut buffer[..wanted])?;
        self.left -= read;
        Ok(read)
    }
}

impl<'a> Decompressor<'a> {
    /// Begins to decompress `data` into at most `cap` bytes.
    pub fn new(codec: Compression, data: &'a [u8], cap: usize) -> Result<Self, CompressionError> {
        let capped = |inner: Box<dyn Read + 'a>| -> Box<dyn BufRead + 'a> {
            Box::new(BufReader::with_capacity(PIECE_BYTES, Capped { inner, left: cap }))
        };
        let input = match codec {
            Compression::None if data.len() > cap => return Err(too_large(codec, cap)),
            Compression::None => Box::new(data),
            Compression::Gzip => capped(Box::new(flate2::bufread::MultiGzDecoder::new(data))),
            Compression::Snappy => capped(Box::new(snappy::Blocks::new(data, cap)?)),
            Compression::Lz4 => match lz4::Blocks::new(data, cap) {
                Some(blocks) => Box::new(blocks),
                None => capped(Box::new(lz4::Frame::new(data)?)),
            },
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(data);
                capped(Box::new(decoder.map_err(|error| corrupt(codec, &error))?))
            }
        };
        Ok(Self { codec, cap, input })
    }

    /// What an error of reading says about the compressed bytes.
    pub fn error(&self, error: &io::Error) -> CompressionError {
        match error.kind() {
            io::ErrorKind::FileTooLarge => too_large(self.codec, self.cap),
            _ => corrupt(self.codec, error),
        }
    }
}

impl Read for Decompressor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl BufRead for Decompressor<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.input.consume(amount);
    }
}
