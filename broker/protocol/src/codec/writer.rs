//! Writes the primitives of the protocol into a list of segments.
//!
//! Small values gather in one buffer. Large byte values that are already shared (record batches)
//! become segments of their own, and so do ranges of files: neither is copied.

use super::{EncodeError, RecordsRef, Segment};
use crate::TopicId;
use bytes::{BufMut, Bytes, BytesMut};

/// Shared bytes below this size are copied: a segment costs an entry in a vectored write and a
/// reference count, which a few cache lines of copying undercut.
const SHARED_SIZE_MIN: usize = 4096;

/// Gathers an encoded message.
#[derive(Debug, Default)]
pub struct Writer {
    /// What was written since the last segment was closed.
    buffer: BytesMut,
    /// The first segment of a frame: it stays writable until the length in front is known.
    head: Option<BytesMut>,
    /// The segments after `head`.
    segments: Vec<Segment>,
    /// The number of bytes in `head` and `segments`.
    closed: usize,
    framed: bool,
}

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    /// A writer with room for `size_bytes` before it has to grow.
    pub fn with_capacity(size_bytes: usize) -> Writer {
        Writer { buffer: BytesMut::with_capacity(size_bytes), ..Writer::default() }
    }

    /// A writer of a frame: room for its length is kept in front.
    pub fn framed() -> Writer {
        let mut writer = Writer { framed: true, ..Writer::with_capacity(256) };
        writer.i32(0);
        writer
    }

    /// The number of bytes written so far, those of external segments included.
    pub fn len(&self) -> usize {
        self.closed + self.buffer.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message as a list of segments; a frame begins with its length.
    pub fn into_segments(mut self) -> Result<Vec<Segment>, EncodeError> {
        self.close_buffer();
        let Some(mut head) = self.head else { return Ok(self.segments) };
        set_length(&mut head, self.closed)?;
        self.segments.insert(0, Segment::Bytes(head.freeze()));
        Ok(self.segments)
    }

    /// The message in one piece. Fails when a part of it lies in a file.
    pub fn into_bytes(mut self) -> Result<Bytes, EncodeError> {
        if self.closed == 0 {
            if self.framed {
                let length = self.buffer.len();
                set_length(&mut self.buffer, length)?;
            }
            return Ok(self.buffer.freeze());
        }
        let mut whole = BytesMut::with_capacity(self.len());
        for segment in self.into_segments()? {
            match segment {
                Segment::Bytes(bytes) => whole.extend_from_slice(&bytes),
                Segment::External { .. } => return Err(EncodeError::ExternalSegment),
            }
        }
        Ok(whole.freeze())
    }

    fn close_buffer(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let buffer = self.buffer.split();
        if self.framed && self.head.is_none() {
            self.closed += buffer.len();
            self.head = Some(buffer);
        } else {
            self.push(Segment::Bytes(buffer.freeze()));
        }
    }

    fn push(&mut self, segment: Segment) {
        self.closed += segment.len();
        self.segments.push(segment);
    }

    /// Writes bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.put_slice(bytes);
    }

    /// Writes shared bytes as they are, without copying when that is worth it.
    pub fn shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED_SIZE_MIN {
            self.raw(bytes);
        } else {
            self.close_buffer();
            self.push(Segment::Bytes(bytes.clone()));
        }
    }
}

/// Fills in the length of a frame, which does not count its own four bytes.
fn set_length(head: &mut BytesMut, total: usize) -> Result<(), EncodeError> {
    let length = total - 4;
    let limit = i32::MAX as usize;
    let wide = i32::try_from(length).map_err(|_| EncodeError::TooLong { length, limit })?;
    head[..4].copy_from_slice(&wide.to_be_bytes());
    Ok(())
}

/// Fixed-size values, all big-endian.
impl Writer {
    pub fn bool(&mut self, value: bool) {
        self.buffer.put_u8(u8::from(value));
    }

    pub fn i8(&mut self, value: i8) {
        self.buffer.put_i8(value);
    }

    pub fn i16(&mut self, value: i16) {
        self.buffer.put_i16(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.buffer.put_u16(value);
    }

    pub fn i32(&mut self, value: i32) {
        self.buffer.put_i32(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.buffer.put_u32(value);
    }

    pub fn i64(&mut self, value: i64) {
        self.buffer.put_i64(value);
    }

    pub fn f64(&mut self, value: f64) {
        self.buffer.put_f64(value);
    }

    pub fn uuid(&mut self, value: TopicId) {
        self.buffer.put_slice(&value.0);
    }

    /// Seven bits a byte, lowest first; the top bit says that more follow.
    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(value as u8);
    }
}

/// Values with a length in front: compact (length plus one as a varint) or fixed.
impl Writer {
    pub fn string(&mut self, flexible: bool, value: &str) -> Result<(), EncodeError> {
        let length = value.len();
        if flexible {
            self.compact_length(length)?;
        } else {
            let limit = i16::MAX as usize;
            let short = i16::try_from(length);
            self.i16(short.map_err(|_| EncodeError::TooLong { length, limit })?);
        }
        self.raw(value.as_bytes());
        Ok(())
    }

    pub fn null_string(&mut self, flexible: bool) {
        if flexible { self.unsigned_varint(0) } else { self.i16(-1) }
    }

    pub fn bytes(&mut self, flexible: bool, value: &Bytes) -> Result<(), EncodeError> {
        self.array_length(flexible, value.len())?;
        self.shared(value);
        Ok(())
    }

    pub fn null_bytes(&mut self, flexible: bool) {
        self.null_array(flexible);
    }

    pub fn records(&mut self, flexible: bool, value: &RecordsRef) -> Result<(), EncodeError> {
        match *value {
            RecordsRef::Bytes(ref bytes) => self.bytes(flexible, bytes),
            RecordsRef::External { id, len } => {
                self.array_length(flexible, len as usize)?;
                self.close_buffer();
                self.push(Segment::External { id, len });
                Ok(())
            }
        }
    }

    pub fn array_length(&mut self, flexible: bool, length: usize) -> Result<(), EncodeError> {
        if flexible {
            return self.compact_length(length);
        }
        let limit = i32::MAX as usize;
        let wide = i32::try_from(length);
        self.i32(wide.map_err(|_| EncodeError::TooLong { length, limit })?);
        Ok(())
    }

    pub fn null_array(&mut self, flexible: bool) {
        if flexible { self.unsigned_varint(0) } else { self.i32(-1) }
    }

    fn compact_length(&mut self, length: usize) -> Result<(), EncodeError> {
        let limit = i32::MAX as usize;
        if length >= limit {
            return Err(EncodeError::TooLong { length, limit });
        }
        self.unsigned_varint(length as u32 + 1);
        Ok(())
    }

    /// Writes a tagged field: its tag, its length and its value.
    pub fn tagged(
        &mut self,
        tag: u32,
        value: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut inner = Writer::new();
        value(&mut inner)?;
        let bytes = inner.into_bytes()?;
        self.unsigned_varint(tag);
        self.unsigned_varint(bytes.len() as u32);
        self.raw(&bytes);
        Ok(())
    }
}
