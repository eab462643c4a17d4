//! Records as slices of shared bytes, read one by one.

use super::BatchError;
use super::raw::{RawRecord, read_headers, read_record};
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

/// The records of a batch. After an error there are no more.
#[derive(Clone, Debug)]
pub struct Records {
    body: Bytes,
    count: i32,
    /// The number of records read so far.
    read: i32,
}

impl Records {
    pub(super) fn new(body: Bytes, count: i32) -> Records {
        Records { body, count: count.max(0), read: 0 }
    }

    /// The number of records that the batch announces and that were not read yet.
    pub fn remaining(&self) -> i32 {
        self.count - self.read
    }

    fn read_next(&mut self) -> Result<Record, &'static str> {
        let (raw, after) = read_record(&self.body)?;
        let record = share(&self.body, &raw)?;
        let rest = self.body.len() - after.len();
        self.body = self.body.slice(rest..);
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
