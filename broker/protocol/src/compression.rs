//! The four compressions of record batches, as Kafka's clients frame them.
//!
//! | codec  | framing |
//! |--------|---------|
//! | gzip   | plain; several members may follow one another |
//! | snappy | blocks in the frame of the xerial library; a bare block is read too |
//! | lz4    | LZ4 frame of independent 64 KiB blocks without checksums |
//! | zstd   | plain frame, without the size of the contents |
//!
//! Invariant: no decompressor writes more than the cap it was given, whatever the input says
//! about itself.

mod lz4;
mod snappy;
mod stream;

pub use stream::Decompressor;

use bytes::Bytes;
use std::io::{self, Read, Write};
use std::str::FromStr;

/// How the records of a batch are compressed; the number is that in the batch attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Compression {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

/// Why bytes could not be compressed or decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// The bytes are not what the codec writes. Refuse them.
    #[error("{codec} data are corrupt: {reason}")]
    Corrupt { codec: &'static str, reason: String },

    /// The contents are larger than allowed. Refuse them: this is how a bomb looks.
    #[error("{codec} data hold more than {cap} bytes")]
    TooLarge { codec: &'static str, cap: usize },

    /// No codec has this number. Refuse the bytes.
    #[error("compression type {id} is unknown")]
    UnknownCodec { id: u8 },
}

impl Compression {
    /// Every codec, in the order of the numbers.
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The codec of a number.
    pub fn from_id(id: u8) -> Result<Compression, CompressionError> {
        let known = Compression::ALL.get(usize::from(id));
        known.copied().ok_or(CompressionError::UnknownCodec { id })
    }

    /// The name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

/// The text names no codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a compression: expected none, gzip, snappy, lz4 or zstd")]
pub struct ParseCompressionError;

impl FromStr for Compression {
    type Err = ParseCompressionError;

    fn from_str(text: &str) -> Result<Compression, ParseCompressionError> {
        let known = Compression::ALL.into_iter().find(|codec| codec.name() == text);
        known.ok_or(ParseCompressionError)
    }
}

/// How hard a codec tries. gzip knows 1 to 9 and zstd -131072 to 22; snappy and lz4 have one level
/// here and take any. A number that the codec does not know counts as the nearest that it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level(Option<i32>);

impl Level {
    /// What the codec itself thinks best.
    pub const DEFAULT: Level = Level(None);

    /// A level by its number.
    pub const fn of(number: i32) -> Level {
        Level(Some(number))
    }

    fn gzip(self) -> flate2::Compression {
        match self.0 {
            Some(level) => flate2::Compression::new(level.clamp(1, 9).unsigned_abs()),
            None => flate2::Compression::default(),
        }
    }

    /// Zero means the library's default.
    fn zstd(self) -> i32 {
        self.0.map_or(0, |level| level.clamp(-131_072, 22))
    }
}

/// Compresses `data` at the codec's default level.
pub fn compress(codec: Compression, data: &[u8]) -> Result<Bytes, CompressionError> {
    compress_at(codec, Level::DEFAULT, data)
}

/// Compresses `data`.
pub fn compress_at(
    codec: Compression,
    level: Level,
    data: &[u8],
) -> Result<Bytes, CompressionError> {
    let failed = |error: io::Error| corrupt(codec, &error);
    let out = match codec {
        Compression::None => data.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level.gzip());
            encoder.write_all(data).and_then(|()| encoder.finish()).map_err(failed)?
        }
        Compression::Snappy => snappy::compress(data)?,
        Compression::Lz4 => lz4::compress(data)?,
        Compression::Zstd => {
            let encoder = zstd::stream::write::Encoder::new(Vec::new(), level.zstd());
            let mut encoder = encoder.map_err(failed)?;
            encoder.write_all(data).and_then(|()| encoder.finish()).map_err(failed)?
        }
    };
    Ok(Bytes::from(out))
}

/// Decompresses `data` into at most `cap` bytes.
pub fn decompress(codec: Compression, data: &[u8], cap: usize) -> Result<Bytes, CompressionError> {
    let mut input = Decompressor::new(codec, data, cap)?;
    // Records shrink to about a third; a wrong guess costs only a reallocation.
    let expected = if codec == Compression::None { 1 } else { 3 };
    let mut out = Vec::with_capacity(data.len().saturating_mul(expected).min(cap));
    input.read_to_end(&mut out).map_err(|error| input.error(&error))?;
    Ok(Bytes::from(out))
}

fn corrupt(codec: Compression, error: &dyn std::error::Error) -> CompressionError {
    CompressionError::Corrupt { codec: codec.name(), reason: error.to_string() }
}

fn too_large(codec: Compression, cap: usize) -> CompressionError {
    CompressionError::TooLarge { codec: codec.name(), cap }
}
