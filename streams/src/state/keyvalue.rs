//! The key-value store: one row per key, kept until it is deleted.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use super::cache::{Cached, Stamped, stamped_bytes};
use super::{AnyStore, Backend, ChangelogRecord, Collected, Slot};
use crate::codec::CodecOf;
use crate::error::StreamsError;
use crate::record::Item;

/// A typed key-value store of one task.
pub struct KeyValueStore<K, V> {
    keys: CodecOf<K>,
    cache: Cached<V>,
}

impl<K: Item, V: Item> KeyValueStore<K, V> {
    pub(crate) fn new(
        slot: Slot,
        keys: CodecOf<K>,
        values: CodecOf<V>,
        backend: Arc<dyn Backend>,
    ) -> KeyValueStore<K, V> {
        KeyValueStore { keys, cache: Cached::new(slot, values, backend) }
    }

    /// The value of `key`.
    pub fn get(&mut self, key: &K) -> Result<Option<&V>, StreamsError> {
        let key = self.key_bytes(key)?;
        Ok(self.cache.get(&key)?.map(|row| &row.value))
    }

    /// The value of `key` and the time of its last change.
    pub fn get_with_timestamp(&mut self, key: &K) -> Result<Option<(&V, i64)>, StreamsError> {
        let key = self.key_bytes(key)?;
        Ok(self.cache.get(&key)?.map(|row| (&row.value, row.timestamp)))
    }

    /// Sets or deletes the value of `key`.
    pub fn put(&mut self, key: &K, value: Option<V>, timestamp: i64) -> Result<(), StreamsError> {
        let key = self.key_bytes(key)?;
        self.cache.put(&key, value.map(|value| Stamped { value, timestamp }));
        Ok(())
    }

    /// Changes the value of `key` in place, or makes it where there is none; its time is the
    /// latest it was changed at.
    pub fn update(
        &mut self,
        key: &K,
        timestamp: i64,
        first: impl FnOnce() -> V,
        change: impl FnOnce(&mut V),
    ) -> Result<(&V, i64), StreamsError> {
        let key = self.key_bytes(key)?;
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

    /// All rows in the order of their key bytes.
    pub fn rows(&self) -> Result<Vec<(K, V)>, StreamsError> {
        let mut rows = Vec::new();
        for (key, row) in self.cache.rows(None)? {
            let key = self.keys.decode(Some(&key)).map_err(|source| {
                StreamsError::codec(format!("read a key of store {}", self.cache.store()), source)
            })?;
            rows.push((key, row.value));
        }
        Ok(rows)
    }

    fn key_bytes(&self, key: &K) -> Result<Bytes, StreamsError> {
        let encoded = self.keys.encode(key).map_err(|source| {
            StreamsError::codec(format!("write a key of store {}", self.cache.store()), source)
        })?;
        Ok(encoded.unwrap_or_default())
    }
}

impl<K: Item, V: Item> AnyStore for KeyValueStore<K, V> {
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn collect(&mut self) -> Result<Collected, StreamsError> {
        let mut collected = Collected::default();
        for row in self.cache.dirty()? {
            let key = row.key.clone();
            let stored = row.value.as_ref().map(|value| stamped_bytes(row.timestamp, value));
            collected.writes.push((key.clone(), stored));
            let (value, timestamp) = (row.value, row.timestamp);
            collected.changelog.push(ChangelogRecord { key, value, timestamp });
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
        let stored = record.value.as_ref().map(|value| stamped_bytes(record.timestamp, value));
        Ok((record.key.clone(), stored))
    }
}
