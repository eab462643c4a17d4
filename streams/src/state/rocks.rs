//! The backend on disk: one RocksDB for the whole process.
//!
//! One database, not one per task: a process with a hundred partitions and three stores would
//! otherwise hold three hundred of them, each with buffers, files and threads of its own, and a
//! commit would be three hundred writes instead of one atomic batch over all tasks of a thread.
//!
//! Layout:
//! - column family `store.<name>`: partition (u32 big-endian), then the store's local key
//! - column family `offsets`: store name, 0 byte, partition (u32 big-endian) -> changelog offset
//!   up to which the slot's data reaches (i64 big-endian)
//!
//! Data and offset of a slot are written in one batch, so they agree after any crash. The
//! write-ahead log is on but not synced: what a killed process wrote is in the page cache and
//! survives; after a power cut the database comes back at an earlier commit, which the changelog
//! brings up to date. The directory is locked by RocksDB against a second process.

use std::path::Path;

use mainstem_protocol::ids::Offset;
use parking_lot::RwLock;
use rocksdb::{
    BoundColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Direction, IteratorMode,
    MultiThreaded, Options, WriteBatch,
};

use super::{Backend, Pair, Slot, SlotWrites};
use crate::error::StreamsError;

type Database = rocksdb::DBWithThreadMode<MultiThreaded>;

const OFFSETS: &str = "offsets";
const STORE_PREFIX: &str = "store.";

/// Memory for one column family's write buffer. Small: the cache above absorbs repeated writes.
const WRITE_BUFFER_BYTES: usize = 8 << 20;

/// Committed state in RocksDB.
pub struct RocksBackend {
    database: Database,
    /// Held while a column family is made, so that two threads do not make it twice.
    making: RwLock<()>,
}

impl RocksBackend {
    /// Opens or makes the database in `path`.
    pub fn open(path: &Path) -> Result<RocksBackend, StreamsError> {
        let mut options = options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let mut names = DB::list_cf(&options, path).unwrap_or_default();
        if !names.iter().any(|name| name == OFFSETS) {
            names.push(OFFSETS.to_owned());
        }
        let families =
            names.into_iter().map(|name| ColumnFamilyDescriptor::new(name, self::options()));
        let database = Database::open_cf_descriptors(&options, path, families)
            .map_err(|error| StreamsError::state("all", error))?;
        Ok(RocksBackend { database, making: RwLock::new(()) })
    }

    /// All slots that anything was ever stored for.
    pub fn slots(&self) -> Result<Vec<Slot>, StreamsError> {
        let mut slots = Vec::new();
        for pair in self.database.iterator_cf(&self.offsets()?, IteratorMode::Start) {
            let (key, _) = pair.map_err(|error| StreamsError::state(OFFSETS, error))?;
            slots.extend(slot_of(&key));
        }
        Ok(slots)
    }

    fn family(&self, store: &str) -> Result<std::sync::Arc<BoundColumnFamily<'_>>, StreamsError> {
        self.database
            .cf_handle(&format!("{STORE_PREFIX}{store}"))
            .ok_or_else(|| StreamsError::state(store, "it was not opened"))
    }

    fn offsets(&self) -> Result<std::sync::Arc<BoundColumnFamily<'_>>, StreamsError> {
        self.database
            .cf_handle(OFFSETS)
            .ok_or_else(|| StreamsError::state(OFFSETS, "its column family is missing"))
    }
}

impl Backend for RocksBackend {
    fn open_store(&self, store: &str) -> Result<(), StreamsError> {
        let _making = self.making.write();
        let name = format!("{STORE_PREFIX}{store}");
        if self.database.cf_handle(&name).is_some() {
            return Ok(());
        }
        self.database
            .create_cf(&name, &options())
            .map_err(|error| StreamsError::state(store, error))
    }

    fn get(&self, slot: &Slot, key: &[u8]) -> Result<Option<Vec<u8>>, StreamsError> {
        let family = self.family(&slot.store)?;
        self.database
            .get_cf(&family, prefixed(slot, key))
            .map_err(|error| StreamsError::state(&slot.store, error))
    }

    fn scan(
        &self,
        slot: &Slot,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StreamsError> {
        let family = self.family(&slot.store)?;
        let start = prefixed(slot, from);
        let end = match to {
            Some(to) => prefixed(slot, to),
            None => after_slot(slot),
        };
        let mode = IteratorMode::From(&start, Direction::Forward);
        let mut pairs = Vec::new();
        for pair in self.database.iterator_cf(&family, mode).take(limit) {
            let (key, value) = pair.map_err(|error| StreamsError::state(&slot.store, error))?;
            if key.as_ref() >= end.as_slice() {
                break;
            }
            pairs.push((key[PARTITION_BYTES..].to_vec(), value.into_vec()));
        }
        Ok(pairs)
    }

    fn apply(&self, batch: &[SlotWrites]) -> Result<(), StreamsError> {
        let mut writes = WriteBatch::default();
        for written in batch {
            let family = self.family(&written.slot.store)?;
            for (key, value) in &written.writes {
                let key = prefixed(&written.slot, key);
                match value {
                    Some(value) => writes.put_cf(&family, key, value),
                    None => writes.delete_cf(&family, key),
                }
            }
            if let Some(offset) = written.changelog_offset {
                let key = offset_key(&written.slot);
                writes.put_cf(&self.offsets()?, key, offset.0.to_be_bytes());
            }
        }
        self.database.write(writes).map_err(|error| StreamsError::state("all", error))
    }

    fn changelog_offset(&self, slot: &Slot) -> Result<Option<Offset>, StreamsError> {
        let found = self
            .database
            .get_cf(&self.offsets()?, offset_key(slot))
            .map_err(|error| StreamsError::state(&slot.store, error))?;
        let Some(bytes) = found else {
            return Ok(None);
        };
        match <[u8; 8]>::try_from(bytes.as_slice()) {
            Ok(exact) => Ok(Some(Offset(i64::from_be_bytes(exact)))),
            Err(_) => Err(StreamsError::state(&slot.store, "its changelog offset is malformed")),
        }
    }

    fn clear(&self, slot: &Slot) -> Result<(), StreamsError> {
        let family = self.family(&slot.store)?;
        let mut writes = WriteBatch::default();
        writes.delete_range_cf(&family, prefixed(slot, &[]), after_slot(slot));
        writes.delete_cf(&self.offsets()?, offset_key(slot));
        self.database.write(writes).map_err(|error| StreamsError::state(&slot.store, error))
    }
}

const PARTITION_BYTES: usize = 4;

fn prefixed(slot: &Slot, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PARTITION_BYTES + key.len());
    bytes.extend_from_slice(&slot.partition.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// The first key behind the slot. Partitions are not negative, so this cannot overflow.
fn after_slot(slot: &Slot) -> Vec<u8> {
    (slot.partition.unsigned_abs() + 1).to_be_bytes().to_vec()
}

fn offset_key(slot: &Slot) -> Vec<u8> {
    let mut bytes = slot.store.clone().into_bytes();
    bytes.push(0);
    bytes.extend_from_slice(&slot.partition.to_be_bytes());
    bytes
}

fn slot_of(key: &[u8]) -> Option<Slot> {
    let (rest, partition) = key.split_last_chunk()?;
    let store = std::str::from_utf8(rest.strip_suffix(&[0])?).ok()?.to_owned();
    Some(Slot { store, partition: i32::from_be_bytes(*partition) })
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    // One log file is enough to look at; the default keeps a thousand.
    options.set_keep_log_file_num(1);
    options
}
