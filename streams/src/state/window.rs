//! The window store: one row per key and window, found by key and by time.
//!
//! Local key layout, so that windows lie in the order of time and closing needs one short scan:
//! 1. window start, i64 big-endian with the sign bit flipped (negative times sort first)
//! 2. the key's own bytes
//!
//! The changelog has Kafka's layout (see `codec::windowed`).

use std::any::Any;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::cache::{Cached, Stamped, stamped_bytes};
use super::{AnyStore, Backend, ChangelogRecord, Collected, Slot};
use crate::codec::{CodecOf, split_window_store_key, window_store_key};
use crate::error::StreamsError;
use crate::record::Item;

const START_BYTES: usize = 8;

/// A window that has left its store.
#[derive(Clone, Debug, PartialEq)]
pub struct ClosedWindow<K, V> {
    pub key: K,
    pub start: i64,
    pub value: V,
    pub timestamp: i64,
}

/// A typed window store of one task.
pub struct WindowStore<K, V> {
    keys: CodecOf<K>,
    cache: Cached<V>,
    /// No open window begins before this; saves a scan where nothing can close.
    earliest_start: i64,
}

impl<K: Item, V: Item> WindowStore<K, V> {
    pub(crate) fn new(
        slot: Slot,
        keys: CodecOf<K>,
        values: CodecOf<V>,
        backend: Arc<dyn Backend>,
    ) -> WindowStore<K, V> {
        let cache = Cached::new(slot, values, backend);
        WindowStore { keys, cache, earliest_start: i64::MIN }
    }

    /// The value of `key` in the window that begins at `start`.
    pub fn get(&mut self, key: &K, start: i64) -> Result<Option<&V>, StreamsError> {
        let key = self.local_key(key, start)?;
        Ok(self.cache.get(&key)?.map(|row| &row.value))
    }

    /// Changes the value in place, or makes it where there is none; its time is the latest it was
    /// changed at.
    pub fn update(
        &mut self,
        key: &K,
        start: i64,
        timestamp: i64,
        first: impl FnOnce() -> V,
        change: impl FnOnce(&mut V),
    ) -> Result<(&V, i64), StreamsError> {
        let key = self.local_key(key, start)?;
        self.earliest_start = self.earliest_start.min(start);
        let row = self.cache.update(
            &key,
            || Stamped { value: first(), timestamp },
            |row| {
                change(&mut row.value);
                row.timestamp = row.timestamp.max(timestamp);
            },
        )?;
        Ok((&row.value, row.timestamp))
    }

    /// Takes out all windows that begin at or before `last_start`, by start, then key bytes.
    pub fn close_until(
        &mut self,
        last_start: i64,
    ) -> Result<Vec<ClosedWindow<K, V>>, StreamsError> {
        if last_start < self.earliest_start {
            return Ok(Vec::new());
        }
        let next_start = last_start.checked_add(1);
        let to = next_start.map(|start| local_key_bytes(&[], start));
        let rows = self.cache.rows(to.as_ref())?;
        let mut closed = Vec::with_capacity(rows.len());
        for (local, row) in rows {
            let (key, start) = self.split(&local)?;
            self.cache.put(&local, None);
            let (value, timestamp) = (row.value, row.timestamp);
            closed.push(ClosedWindow { key, start, value, timestamp });
        }
        self.earliest_start = next_start.unwrap_or(i64::MAX);
        Ok(closed)
    }

    /// All open windows: key, start, value.
    pub fn rows(&self) -> Result<Vec<(K, i64, V)>, StreamsError> {
        let mut rows = Vec::new();
        for (local, row) in self.cache.rows(None)? {
            let (key, start) = self.split(&local)?;
            rows.push((key, start, row.value));
        }
        Ok(rows)
    }

    fn local_key(&self, key: &K, start: i64) -> Result<Bytes, StreamsError> {
        let encoded = self.keys.encode(key).map_err(|source| {
            StreamsError::codec(format!("write a key of store {}", self.cache.store()), source)
        })?;
        Ok(local_key_bytes(encoded.as_deref().unwrap_or_default(), start))
    }

    fn split(&self, local: &Bytes) -> Result<(K, i64), StreamsError> {
        let Some((start, key)) = split_local_key(local) else {
            return Err(StreamsError::state(self.cache.store(), "a key lacks its window"));
        };
        let key = self.keys.decode(Some(&key)).map_err(|source| {
            StreamsError::codec(format!("read a key of store {}", self.cache.store()), source)
        })?;
        Ok((key, start))
    }
}

impl<K: Item, V: Item> AnyStore for WindowStore<K, V> {
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn collect(&mut self) -> Result<Collected, StreamsError> {
        let mut collected = Collected::default();
        for row in self.cache.dirty()? {
            let Some((start, key)) = split_local_key(row.key) else {
                return Err(StreamsError::state(self.cache.store(), "a key lacks its window"));
            };
            let stored = row.value.as_ref().map(|value| stamped_bytes(row.timestamp, value));
            collected.writes.push((row.key.clone(), stored));
            collected.changelog.push(ChangelogRecord {
                key: window_store_key(&key, start),
                value: row.value,
                // A tombstone has no time of its own; the window's start is as good as any.
                timestamp: row.timestamp.max(start),
            });
        }
        Ok(collected)
    }

    fn committed(&mut self) {
        self.cache.committed();
    }

    fn dirty_len(&self) -> usize {
        self.cache.dirty_len()
    }

    fn restored(&self, record: &ChangelogRecord) -> Result<(Bytes, Option<Bytes>), StreamsError> {
        let Some((key, start)) = split_window_store_key(&record.key) else {
            let reason = "its changelog holds a key that is too short for a window";
            return Err(StreamsError::state(self.cache.store(), reason));
        };
        let stored = record.value.as_ref().map(|value| stamped_bytes(record.timestamp, value));
        Ok((local_key_bytes(key, start), stored))
    }
}

fn local_key_bytes(key: &[u8], start: i64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(START_BYTES + key.len());
    bytes.put_i64(start ^ i64::MIN);
    bytes.put_slice(key);
    bytes.freeze()
}

fn split_local_key(local: &Bytes) -> Option<(i64, Bytes)> {
    let exact = local.get(..START_BYTES)?.try_into().ok()?;
    Some((i64::from_be_bytes(exact) ^ i64::MIN, local.slice(START_BYTES..)))
}
