//! State stores: decoded on top, bytes below, a changelog beside.
//!
//! ```text
//! operator --- KeyValueStore<K, V> / WindowStore<K, V>     typed, one per task and store
//!                      |
//!                  Cached<V>        decoded values; what was written since the last commit is dirty
//!                      |
//!                   Backend         committed bytes: memory, or RocksDB shared by the process
//! ```
//!
//! Invariants:
//! - A backend holds committed state only. Writes stay in the cache until the transaction that
//!   covers them has committed; then they and the changelog offset they reach go down in one
//!   atomic [`StateBatch`]. So a process that is killed at any point finds a state that is exactly
//!   the changelog up to the stored offset, and replays only what lies behind it. Nothing is wiped.
//! - The changelog gets one record per dirty key per commit, not one per write: within one
//!   transaction only the last value of a key matters for recovery. Every update is still
//!   forwarded downstream.
//! - Values are stored with their timestamp in front (i64 big-endian) as Kafka's timestamped
//!   stores have it; the changelog carries the value alone, under its timestamp.
//! - A window leaves its store when it closes, with a tombstone in the changelog. So a window that
//!   is in the store has not been given out as final yet, also after a crash.
//!
//! Absent on purpose: session and versioned stores, standby copies, remote queries.

mod cache;
mod keyvalue;
mod memory;
mod rocks;
mod window;

use std::any::Any;

use bytes::Bytes;
use mainstem_protocol::ids::Offset;

use crate::error::StreamsError;

pub use keyvalue::KeyValueStore;
pub use memory::MemoryBackend;
pub use rocks::RocksBackend;
pub use window::WindowStore;

/// Where the bytes of a store live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// RocksDB under the state directory: survives the process.
    Disk,
    /// Memory: rebuilt from the changelog at every start.
    Memory,
}

/// One partition of one store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    pub store: String,
    pub partition: i32,
}

/// The writes of one slot; a value of `None` deletes.
#[derive(Clone, Debug)]
pub struct SlotWrites {
    pub slot: Slot,
    pub storage: Storage,
    pub writes: Vec<(Bytes, Option<Bytes>)>,
    /// The changelog is contained up to here (exclusive); `None` leaves the offset alone.
    pub changelog_offset: Option<Offset>,
}

/// Writes that become durable together or not at all.
pub type StateBatch = Vec<SlotWrites>;

/// Key and value bytes as a backend returns them.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Committed bytes of all slots of a process. The conformance suite in `tests.rs` is its contract.
pub trait Backend: Send + Sync {
    /// Makes room for a store; doing it again changes nothing.
    fn open_store(&self, store: &str) -> Result<(), StreamsError>;

    /// The value of `key`.
    fn get(&self, slot: &Slot, key: &[u8]) -> Result<Option<Vec<u8>>, StreamsError>;

    /// At most `limit` pairs with `from <= key < to` in key order; `to = None` is the end.
    fn scan(
        &self,
        slot: &Slot,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StreamsError>;

    /// Applies all writes atomically, each slot's offset with its data.
    fn apply(&self, batch: &[SlotWrites]) -> Result<(), StreamsError>;

    /// Up to where (exclusive) the slot contains its changelog; `None` if nothing was ever stored.
    fn changelog_offset(&self, slot: &Slot) -> Result<Option<Offset>, StreamsError>;

    /// Forgets the slot and its offset: the changelog no longer reaches back to it.
    fn clear(&self, slot: &Slot) -> Result<(), StreamsError>;
}

/// A record for a store's changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangelogRecord {
    pub key: Bytes,
    pub value: Option<Bytes>,
    pub timestamp: i64,
}

/// A typed store as its task sees it, whatever the types.
pub(crate) trait AnyStore: Send {
    fn as_any_mut(&mut self) -> &mut dyn Any;

    /// What was written since the last commit, for the changelog and for the backend.
    fn collect(&mut self) -> Result<Collected, StreamsError>;

    /// The transaction covering what was collected has committed and the backend has it.
    fn committed(&mut self);

    /// Number of keys written since the last commit.
    fn dirty_len(&self) -> usize;

    /// How the record of the changelog stands in the backend.
    fn restored(&self, record: &ChangelogRecord) -> Result<(Bytes, Option<Bytes>), StreamsError>;
}

/// The dirty keys of a store, in both forms.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) changelog: Vec<ChangelogRecord>,
    pub(crate) writes: Vec<(Bytes, Option<Bytes>)>,
}

#[cfg(test)]
mod tests;
