//! Decoded values over a backend: read through, write at commit.
//!
//! An entry is dirty from its first write until the commit that covers it, and a dirty entry is
//! never evicted: the backend may not see it earlier. The task asks for a commit when too many
//! entries are dirty, which bounds the memory. Clean entries are kept as long as they fit; which of
//! them goes first does not matter for the result.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Backend, Slot};
use crate::codec::CodecOf;
use crate::error::StreamsError;
use crate::record::Item;

use std::sync::Arc;

/// Clean values kept per store and task. Beyond it clean entries are dropped at the next commit.
const CLEAN_ENTRIES_MAX: usize = 32 * 1024;

/// Backend rows read at once while scanning.
const SCAN_ROWS: usize = 1024;

const TIMESTAMP_BYTES: usize = 8;

/// A decoded value and its timestamp.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stamped<V> {
    pub(crate) value: V,
    pub(crate) timestamp: i64,
}

struct Entry<V> {
    /// `None`: the key is known to be absent.
    row: Option<Stamped<V>>,
    dirty: bool,
}

/// A key that was written since the last commit.
pub(crate) struct DirtyRow<'a> {
    pub(crate) key: &'a Bytes,
    pub(crate) value: Option<Bytes>,
    pub(crate) timestamp: i64,
}

/// The decoded cache of one slot.
pub(crate) struct Cached<V> {
    slot: Slot,
    values: CodecOf<V>,
    backend: Arc<dyn Backend>,
    entries: BTreeMap<Bytes, Entry<V>>,
    dirty_len: usize,
}

impl<V: Item> Cached<V> {
    pub(crate) fn new(slot: Slot, values: CodecOf<V>, backend: Arc<dyn Backend>) -> Cached<V> {
        Cached { slot, values, backend, entries: BTreeMap::new(), dirty_len: 0 }
    }

    pub(crate) fn store(&self) -> &str {
        &self.slot.store
    }

    pub(crate) fn dirty_len(&self) -> usize {
        self.dirty_len
    }

    /// The row of `key`.
    pub(crate) fn get(&mut self, key: &Bytes) -> Result<Option<&Stamped<V>>, StreamsError> {
        self.load(key)?;
        Ok(self.entries.get(key).and_then(|entry| entry.row.as_ref()))
    }

    /// Replaces the row of `key`; `None` deletes it.
    pub(crate) fn put(&mut self, key: &Bytes, row: Option<Stamped<V>>) {
        let entry = self.entries.entry(key.clone()).or_insert(Entry { row: None, dirty: false });
        entry.row = row;
        if !entry.dirty {
            entry.dirty = true;
            self.dirty_len += 1;
        }
    }

    /// Changes the row of `key` in place, or makes it where there is none.
    pub(crate) fn update(
        &mut self,
        key: &Bytes,
        first: impl FnOnce() -> Stamped<V>,
        change: impl FnOnce(&mut Stamped<V>),
    ) -> Result<&Stamped<V>, StreamsError> {
        self.load(key)?;
        let entry = self.entries.entry(key.clone()).or_insert(Entry { row: None, dirty: false });
        if !entry.dirty {
            entry.dirty = true;
            self.dirty_len += 1;
        }
        if let Some(row) = &mut entry.row {
            change(row);
        }
        Ok(entry.row.get_or_insert_with(first))
    }

    /// All rows with `key < to` in key order; `to = None` is the end.
    pub(crate) fn rows(
        &self,
        to: Option<&Bytes>,
    ) -> Result<Vec<(Bytes, Stamped<V>)>, StreamsError> {
        let mut rows = BTreeMap::new();
        let mut from: Vec<u8> = Vec::new();
        loop {
            let end = to.map(|to| to.as_ref());
            let found = self.backend.scan(&self.slot, &from, end, SCAN_ROWS)?;
            let is_last = found.len() < SCAN_ROWS;
            if let Some((key, _)) = found.last() {
                from.clone_from(key);
                from.push(0);
            }
            for (key, value) in found {
                rows.insert(Bytes::from(key), self.decode(value)?);
            }
            if is_last {
                break;
            }
        }
        let end = to.map_or(Bound::Unbounded, |to| Bound::Excluded(to.clone()));
        for (key, entry) in self.entries.range((Bound::Unbounded, end)) {
            match &entry.row {
                Some(row) => rows.insert(key.clone(), row.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows.into_iter().collect())
    }

    /// The dirty rows, encoded, in key order.
    pub(crate) fn dirty(&self) -> Result<Vec<DirtyRow<'_>>, StreamsError> {
        let mut rows = Vec::with_capacity(self.dirty_len);
        for (key, entry) in self.entries.iter().filter(|(_, entry)| entry.dirty) {
            let (value, timestamp) = match &entry.row {
                Some(row) => (self.encode(&row.value)?, row.timestamp),
                // A deletion has no time of its own; Kafka's stores stamp it like any record, but
                // nothing reads it back.
                None => (None, 0),
            };
            rows.push(DirtyRow { key, value, timestamp });
        }
        Ok(rows)
    }

    /// What was dirty is in the backend now.
    pub(crate) fn committed(&mut self) {
        if self.entries.len() > CLEAN_ENTRIES_MAX {
            self.entries.retain(|_, entry| entry.dirty);
        }
        for entry in self.entries.values_mut() {
            entry.dirty = false;
        }
        self.entries.retain(|_, entry| entry.row.is_some());
        self.dirty_len = 0;
    }

    fn load(&mut self, key: &Bytes) -> Result<(), StreamsError> {
        if self.entries.contains_key(key) {
            return Ok(());
        }
        if let Some(value) = self.backend.get(&self.slot, key)? {
            let row = Some(self.decode(value)?);
            self.entries.insert(key.clone(), Entry { row, dirty: false });
        }
        Ok(())
    }

    fn encode(&self, value: &V) -> Result<Option<Bytes>, StreamsError> {
        self.values
            .encode(value)
            .map_err(|source| StreamsError::codec(format!("write store {}", self.store()), source))
    }

    fn decode(&self, stored: Vec<u8>) -> Result<Stamped<V>, StreamsError> {
        let Some((timestamp, value)) = split_stamped(&Bytes::from(stored)) else {
            return Err(StreamsError::state(self.store(), "a value lacks its timestamp"));
        };
        let value = self.values.decode(Some(&value)).map_err(|source| {
            StreamsError::codec(format!("read store {}", self.store()), source)
        })?;
        Ok(Stamped { value, timestamp })
    }
}

/// The stored form of a value: its timestamp, then its own bytes.
pub(crate) fn stamped_bytes(timestamp: i64, value: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(TIMESTAMP_BYTES + value.len());
    bytes.put_i64(timestamp);
    bytes.put_slice(value);
    bytes.freeze()
}

fn split_stamped(stored: &Bytes) -> Option<(i64, Bytes)> {
    let exact = stored.get(..TIMESTAMP_BYTES)?.try_into().ok()?;
    Some((i64::from_be_bytes(exact), stored.slice(TIMESTAMP_BYTES..)))
}
