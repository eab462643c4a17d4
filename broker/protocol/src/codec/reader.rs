//! Reads the primitives of the protocol from bytes that may have been sent by anyone.
//!
//! Invariants:
//! - Nothing is allocated before the announced length was compared with the bytes that are left.
//! - All allocations of a message together stay below its budget.
//! - Byte fields and records are slices of the input: they are neither copied nor charged.

use super::DecodeError;
use crate::TopicId;
use bytes::Bytes;

/// The memory one message may ask for unless the caller says otherwise. The largest honest
/// requests name some ten thousand partitions in a few hundred bytes each; strings and vectors of
/// 64 MiB leave room for ten times that.
pub const ALLOCATION_BUDGET: usize = 64 << 20;

/// The most elements an array may announce, as in Kafka since 4.4.
pub const ELEMENTS_MAX: usize = 1_000_000;

/// The most tagged fields a struct may announce, as in Kafka since 4.4.
pub const TAGGED_FIELDS_MAX: usize = 10_000;

/// A cursor over received bytes.
#[derive(Debug)]
pub struct Reader {
    data: Bytes,
    at: usize,
    /// Where reading stops: the end of the data, or of the tagged field being read.
    end: usize,
    /// The bytes that may still be allocated.
    allowance: usize,
    budget: usize,
}

impl Reader {
    /// Reads `data` with the usual allocation budget.
    pub fn new(data: Bytes) -> Reader {
        Reader::with_budget(data, ALLOCATION_BUDGET)
    }

    /// Reads `data`, allocating at most `budget` bytes.
    pub fn with_budget(data: Bytes, budget: usize) -> Reader {
        let end = data.len();
        Reader { data, at: 0, end, allowance: budget, budget }
    }

    /// The number of bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Everything not read yet, as a slice of the input.
    pub fn rest(&mut self) -> Bytes {
        let rest = self.data.slice(self.at..self.end);
        self.at = self.end;
        rest
    }

    /// Fails unless everything was read.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], DecodeError> {
        if count > self.remaining() {
            return Err(self.truncated(count));
        }
        let start = self.at;
        self.at += count;
        Ok(&self.data[start..start + count])
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    #[cold]
    fn truncated(&self, needed: usize) -> DecodeError {
        DecodeError::Truncated { needed, remaining: self.remaining() }
    }

    /// Takes `bytes` from the budget.
    fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        match self.allowance.checked_sub(bytes) {
            Some(allowance) => {
                self.allowance = allowance;
                Ok(())
            }
            None => Err(DecodeError::OverBudget { budget: self.budget }),
        }
    }
}

/// Fixed-size values, all big-endian.
impl Reader {
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        Ok(i8::from_be_bytes(self.array_of()?))
    }

    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array_of()?))
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array_of()?))
    }

    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array_of()?))
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array_of()?))
    }

    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array_of()?))
    }

    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_be_bytes(self.array_of()?))
    }

    pub fn uuid(&mut self) -> Result<TopicId, DecodeError> {
        Ok(TopicId(self.array_of()?))
    }

    /// Seven bits a byte, lowest first; the top bit says that more follow.
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.i8()? as u8;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::BadVarint)
    }
}

/// Values with a length in front.
impl Reader {
    /// A length or none for null. Compact lengths are one more than they mean.
    fn length(&mut self, flexible: bool, wide: bool) -> Result<Option<usize>, DecodeError> {
        let length = match (flexible, wide) {
            (true, _) => i64::from(self.unsigned_varint()?) - 1,
            (false, true) => i64::from(self.i32()?),
            (false, false) => i64::from(self.i16()?),
        };
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(DecodeError::BadLength { length }),
        }
    }

    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<String>, DecodeError> {
        let Some(length) = self.length(flexible, false)? else { return Ok(None) };
        self.charge(length)?;
        let bytes = self.take(length)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(DecodeError::BadString),
        }
    }

    pub fn string(&mut self, flexible: bool) -> Result<String, DecodeError> {
        self.nullable_string(flexible)?.ok_or(DecodeError::UnexpectedNull)
    }

    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        let Some(length) = self.length(flexible, true)? else { return Ok(None) };
        if length > self.remaining() {
            return Err(self.truncated(length));
        }
        let start = self.at;
        self.at += length;
        Ok(Some(self.data.slice(start..start + length)))
    }

    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes, DecodeError> {
        self.nullable_bytes(flexible)?.ok_or(DecodeError::UnexpectedNull)
    }

    /// Reads an array whose elements take at least `size_min` bytes each.
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        size_min: usize,
        mut element: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.length(flexible, true)? else { return Ok(None) };
        if count > ELEMENTS_MAX {
            return Err(DecodeError::TooManyElements { count, limit: ELEMENTS_MAX });
        }
        // A struct without fields in some version still counts as a byte: it bounds the loop.
        let needed = count.saturating_mul(size_min.max(1));
        if needed > self.remaining() {
            return Err(self.truncated(needed));
        }
        self.charge(count * size_of::<T>())?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    pub fn array<T>(
        &mut self,
        flexible: bool,
        size_min: usize,
        element: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        self.nullable_array(flexible, size_min, element)?.ok_or(DecodeError::UnexpectedNull)
    }
}

/// Tagged fields: a count, then for each a tag, a length and a value.
impl Reader {
    /// Reads tagged fields. `field` reads the value and returns true, or returns false for a tag
    /// that it does not know, which is then skipped.
    pub fn tagged_fields(
        &mut self,
        mut field: impl FnMut(&mut Reader, u32) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.unsigned_varint()? as usize;
        if count > TAGGED_FIELDS_MAX {
            return Err(DecodeError::TooManyElements { count, limit: TAGGED_FIELDS_MAX });
        }
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            let length = self.unsigned_varint()? as usize;
            if length > self.remaining() {
                return Err(self.truncated(length));
            }
            let outer_end = self.end;
            self.end = self.at + length;
            let known = field(self, tag)?;
            if known && self.remaining() > 0 {
                return Err(DecodeError::TagLength { tag, left: self.remaining() });
            }
            self.at = self.end;
            self.end = outer_end;
        }
        Ok(())
    }

    /// Skips all tagged fields.
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(|_, _| Ok(false))
    }

    /// Moves past `count` bytes.
    pub fn skip(&mut self, count: usize) -> Result<(), DecodeError> {
        self.take(count).map(|_| ())
    }

    /// The next bytes, without moving; fewer than `count` when fewer are left.
    pub fn peek(&self, count: usize) -> &[u8] {
        let count = count.min(self.remaining());
        &self.data[self.at..self.at + count]
    }
}
