//! Bytes that stand for themselves, and bytes that stand in a file.
//!
//! A Fetch response is mostly record batches that lie in log files in the very form in which they
//! are sent. The codec therefore never asks for these bytes: it leaves a gap of known length, and
//! the shell that owns the socket fills it from the file.

use bytes::Bytes;

/// A piece of an encoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Bytes to send.
    Bytes(Bytes),
    /// `len` bytes that the caller knows under `id`, such as a range of a file.
    External { id: u32, len: u32 },
}

impl Segment {
    /// The number of bytes that the segment stands for.
    #[expect(clippy::len_without_is_empty, reason = "a segment is never asked for emptiness")]
    pub fn len(&self) -> usize {
        match self {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::External { len, .. } => *len as usize,
        }
    }
}

/// The records of a partition in a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordsRef {
    /// Record batches in memory. Decoding always yields this form.
    Bytes(Bytes),
    /// Record batches elsewhere: `len` bytes that the caller knows under `id`.
    External { id: u32, len: u32 },
}

impl RecordsRef {
    /// The number of bytes of records.
    pub fn len(&self) -> usize {
        match self {
            RecordsRef::Bytes(bytes) => bytes.len(),
            RecordsRef::External { len, .. } => *len as usize,
        }
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, when they are in memory.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            RecordsRef::Bytes(bytes) => Some(bytes),
            RecordsRef::External { .. } => None,
        }
    }
}
