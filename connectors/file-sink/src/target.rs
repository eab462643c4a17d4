//! The data file and the file of positions beside it.
//!
//! The positions file is one JSON object:
//! `{"bytes": n, "columns": [...], "positions": [{"topic": t, "partition": p, "offset": o}, ...]}`.
//!
//! Invariants:
//! - `bytes` never exceeds what was synced of the data file;
//! - positions and `bytes` change together, by replacing the whole file;
//! - a data file without positions is not ours and is not touched.

use std::collections::BTreeMap;

use mainstem_connect_sdk::files::{self, Writer};
use mainstem_connect_sdk::{Error, Position, TopicPartition};
use serde_json::{Value, json};

/// Enough for the positions of many thousand partitions.
const POSITIONS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Pending rows are written out at this size.
const PENDING_BYTES: usize = 256 * 1024;

pub struct Target {
    path: String,
    data: Writer,
    /// Bytes of the data file including what was not synced yet.
    size: u64,
    pending: Vec<u8>,
    columns: Vec<String>,
    reached: BTreeMap<(String, i32), i64>,
    committed: BTreeMap<(String, i32), i64>,
}

impl Target {
    /// Opens or creates both files, and cuts the data file to the bytes that count.
    pub fn open(path: &str) -> Result<Target, Error> {
        let data = Writer::open(path)?;
        let found = data.size()?;
        let mut target = Target {
            path: path.to_string(),
            data,
            size: found,
            pending: Vec::new(),
            columns: Vec::new(),
            reached: BTreeMap::new(),
            committed: BTreeMap::new(),
        };
        match files::read_small(&positions_path(path), POSITIONS_BYTES_MAX)? {
            Some(text) => target.recover(&text, found)?,
            // Positions are written before the first row, so rows without positions come from
            // elsewhere.
            None if 0 < found => {
                return Err(Error::config(format!(
                    "path: {path} exists and was not written by this connector; remove it or choose another"
                )));
            }
            None => target.store(0)?,
        }
        Ok(target)
    }

    fn recover(&mut self, text: &[u8], found: u64) -> Result<(), Error> {
        let path = positions_path(&self.path);
        let broken = |what: &str| Error::data(format!("{path}: {what}"));
        let stored: Value =
            serde_json::from_slice(text).map_err(|error| broken(&error.to_string()))?;
        let bytes = stored["bytes"].as_u64().ok_or_else(|| broken("bytes is missing"))?;
        if found < bytes {
            return Err(Error::data(format!(
                "{} has {found} bytes, but {bytes} were written; was it changed?",
                self.path
            )));
        }
        for entry in stored["positions"].as_array().into_iter().flatten() {
            let topic = entry["topic"].as_str();
            let partition = entry["partition"].as_i64().and_then(|index| i32::try_from(index).ok());
            let (Some(topic), Some(partition), Some(offset)) =
                (topic, partition, entry["offset"].as_i64())
            else {
                return Err(broken("a position lacks topic, partition or offset"));
            };
            self.committed.insert((topic.to_string(), partition), offset);
        }
        let columns = stored["columns"].as_array().into_iter().flatten();
        self.columns = columns.filter_map(|name| name.as_str().map(str::to_string)).collect();
        if bytes < found {
            self.data.truncate(bytes)?;
        }
        self.size = bytes;
        self.reached.clone_from(&self.committed);
        Ok(())
    }

    /// The columns that the file was begun with.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Where the next row goes.
    pub fn pending(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Everything of this partition before `next` is in the file or pending.
    pub fn reached(&mut self, topic: &str, partition: i32, next: i64) {
        self.reached.insert((topic.to_string(), partition), next);
    }

    /// Writes pending rows once they are worth it.
    pub fn write_out(&mut self) -> Result<(), Error> {
        if PENDING_BYTES <= self.pending.len() { self.append() } else { Ok(()) }
    }

    /// Brings everything into force.
    pub fn commit(&mut self, columns: &[String]) -> Result<(), Error> {
        if self.reached == self.committed && self.pending.is_empty() {
            return Ok(());
        }
        self.append()?;
        self.data.sync()?;
        self.columns = columns.to_vec();
        self.committed.clone_from(&self.reached);
        self.store(self.size)
    }

    /// The committed positions of these partitions, where there are any.
    pub fn positions(&self, partitions: &[TopicPartition]) -> Vec<Position> {
        let mut positions = Vec::new();
        for wanted in partitions {
            let key = (wanted.topic.clone(), wanted.partition);
            if let Some(offset) = self.committed.get(&key) {
                positions.push(Position { topic: key.0, partition: key.1, offset: *offset });
            }
        }
        positions
    }

    fn append(&mut self) -> Result<(), Error> {
        if !self.pending.is_empty() {
            self.data.append(&self.pending)?;
            self.size += self.pending.len() as u64;
            self.pending.clear();
        }
        Ok(())
    }

    fn store(&self, bytes: u64) -> Result<(), Error> {
        let positions: Vec<Value> = self
            .committed
            .iter()
            .map(|((topic, partition), offset)| {
                json!({ "topic": topic, "partition": partition, "offset": offset })
            })
            .collect();
        let content = json!({ "bytes": bytes, "columns": self.columns, "positions": positions });
        files::replace(&positions_path(&self.path), content.to_string().as_bytes())
    }
}

fn positions_path(path: &str) -> String {
    format!("{path}.positions")
}
