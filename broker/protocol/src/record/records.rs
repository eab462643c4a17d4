//! Records read one by one: as slices of shared bytes, or borrowed from them.

use super::BatchError;
use super::raw::{RawRecord, read_headers, read_nullable, read_record};
use bytes::Bytes;
use std::borrow::Cow;

/// One record. Offset and timestamp are relative to the batch: see `BatchView::offset_of`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub offset_delta: i32,
    pub timestamp_delta_ms: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    /// In the order of the record. Keys may repeat.
    pub headers: Vec<Header>,
}

/// A header of a record. The key is text by agreement, but nobody checks it on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

impl Header {
    /// The key as text; what is not UTF-8 in it is replaced.
    pub fn key_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.key)
    }
}

/// One record whose parts borrow those of its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    raw: RawRecord<'a>,
}

impl<'a> RecordRef<'a> {
    pub fn offset_delta(&self) -> i32 {
        self.raw.offset_delta
    }

    pub fn timestamp_delta_ms(&self) -> i64 {
        self.raw.timestamp_delta_ms
    }

    pub fn key(&self) -> Option<&'a [u8]> {
        self.raw.key
    }

    pub fn value(&self) -> Option<&'a [u8]> {
        self.raw.value
    }

    /// Keys and values, in the order of the record.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        // They were looked through when the record was read.
        Headers { rest: self.raw.headers, left: self.raw.header_count }
    }
}

struct Headers<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (key, after) = read_nullable(self.rest)?;
        let (value, after) = read_nullable(after)?;
        self.rest = after;
        Some((key?, value))
    }
}

/// The records of a batch, borrowed. After an error there are no more.
#[derive(Clone, Debug)]
pub struct RecordRefs<'a> {
    rest: &'a [u8],
    count: i32,
    read: i32,
}

impl<'a> RecordRefs<'a> {
    fn read_next(&mut self) -> Result<RecordRef<'a>, &'static str> {
        let (raw, after) = read_record(self.rest)?;
        read_headers(&raw, |_, _| {})?;
        self.rest = after;
        Ok(RecordRef { raw })
    }
}

impl<'a> Iterator for RecordRefs<'a> {
    type Item = Result<RecordRef<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.read;
        if self.count <= index {
            return None;
        }
        self.read += 1;
        let next = self.read_next();
        if next.is_err() {
            self.read = self.count;
        }
        Some(next.map_err(|reason| BatchError::BadRecord { index, reason }))
    }
}

/// The records of a batch. After an error there are no more.
#[derive(Clone, Debug)]
pub struct Records {
    body: Bytes,
    /// Where in the body the next one begins.
    at: usize,
    count: i32,
    /// The number of records read so far.
    read: i32,
}

impl Records {
    pub(super) fn new(body: Bytes, count: i32) -> Records {
        Records { body, at: 0, count: count.max(0), read: 0 }
    }

    /// Those that were not read yet, without copies or counts of references.
    pub fn borrowed(&self) -> RecordRefs<'_> {
        RecordRefs { rest: &self.body[self.at..], count: self.count, read: self.read }
    }

    /// The number of records that the batch announces and that were not read yet.
    pub fn remaining(&self) -> i32 {
        self.count - self.read
    }

    fn read_next(&mut self) -> Result<Record, &'static str> {
        let (raw, after) = read_record(&self.body[self.at..])?;
        let record = share(&self.body, &raw)?;
        self.at = self.body.len() - after.len();
        Ok(record)
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Result<Record, BatchError>> {
        if self.read >= self.count {
            return None;
        }
        let index = self.read;
        self.read += 1;
        match self.read_next() {
            Ok(record) => Some(Ok(record)),
            Err(reason) => {
                self.read = self.count;
                Some(Err(BatchError::BadRecord { index, reason }))
            }
        }
    }
}

/// Turns borrowed parts of `body` into shared ones.
fn share(body: &Bytes, raw: &RawRecord<'_>) -> Result<Record, &'static str> {
    let mut headers = Vec::with_capacity(raw.header_count);
    read_headers(raw, |key, value| {
        headers.push(Header {
            key: body.slice_ref(key),
            value: value.map(|value| body.slice_ref(value)),
        });
    })?;
    Ok(Record {
        offset_delta: raw.offset_delta,
        timestamp_delta_ms: raw.timestamp_delta_ms,
        key: raw.key.map(|key| body.slice_ref(key)),
        value: raw.value.map(|value| body.slice_ref(value)),
        headers,
    })
}
