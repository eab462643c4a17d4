//! The backend in memory: for tests, for the test driver, and for stores that ask for it.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use mainstem_protocol::ids::Offset;
use parking_lot::Mutex;

use super::{Backend, Pair, Slot, SlotWrites};
use crate::error::StreamsError;

#[derive(Default)]
struct Kept {
    rows: BTreeMap<Bytes, Bytes>,
    changelog_offset: Option<Offset>,
}

/// Committed state in memory.
#[derive(Default)]
pub struct MemoryBackend {
    slots: Mutex<BTreeMap<Slot, Kept>>,
}

impl Backend for MemoryBackend {
    fn open_store(&self, _store: &str) -> Result<(), StreamsError> {
        Ok(())
    }

    fn get(&self, slot: &Slot, key: &[u8]) -> Result<Option<Vec<u8>>, StreamsError> {
        let slots = self.slots.lock();
        Ok(slots.get(slot).and_then(|kept| kept.rows.get(key)).map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        slot: &Slot,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StreamsError> {
        let slots = self.slots.lock();
        let Some(kept) = slots.get(slot) else {
            return Ok(Vec::new());
        };
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = kept.rows.range::<[u8], _>((Bound::Included(from), end));
        Ok(rows.take(limit).map(|(key, value)| (key.to_vec(), value.to_vec())).collect())
    }

    fn apply(&self, batch: &[SlotWrites]) -> Result<(), StreamsError> {
        let mut slots = self.slots.lock();
        for written in batch {
            let kept = slots.entry(written.slot.clone()).or_default();
            for (key, value) in &written.writes {
                match value {
                    Some(value) => kept.rows.insert(key.clone(), value.clone()),
                    None => kept.rows.remove(key),
                };
            }
            if written.changelog_offset.is_some() {
                kept.changelog_offset = written.changelog_offset;
            }
        }
        Ok(())
    }

    fn changelog_offset(&self, slot: &Slot) -> Result<Option<Offset>, StreamsError> {
        Ok(self.slots.lock().get(slot).and_then(|kept| kept.changelog_offset))
    }

    fn clear(&self, slot: &Slot) -> Result<(), StreamsError> {
        self.slots.lock().remove(slot);
        Ok(())
    }
}
