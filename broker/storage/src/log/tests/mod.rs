//! The log on a simulated disk. This file holds the bench that the tests share.

mod appending;
mod chaos;
mod compacting;
mod damage;
mod deleting;
mod durability;
mod interleavings;
mod lives;
mod reading;
mod rolling;
mod validating;

use super::Log;
use crate::compaction::CompactionTask;
use crate::config::LogConfig;
use crate::error::AppendError;
use crate::slice::*;
use bytes::{Bytes, BytesMut};
use mainstem_platform::simulated::SimulatedDisk;
use mainstem_platform::{Disk as _, Instant, Now};
use mainstem_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use mainstem_protocol::record::{BatchBuilder, batches};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DIR: &str = "/data/topic-0";

/// A log, its disk and a clock.
pub(super) struct Bench {
    pub(super) disk: SimulatedDisk,
    pub(super) log: Log,
    pub(super) config: LogConfig,
    pub(super) now: Now,
}

pub(super) fn at(wall_ms: i64) -> Now {
    Now { instant: Instant::from_millis(wall_ms as u64), wall_ms }
}

/// Segments of a few batches and an index entry for nearly every one.
pub(super) fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        segment_index_bytes: 240,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

impl Bench {
    pub(super) fn new(config: LogConfig) -> Self {
        let disk = SimulatedDisk::new();
        // The owner's part: the directory that holds all partitions is there for good.
        disk.create_dir_all(Path::new("/data")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let now = at(1_000_000);
        let log = open(&disk, &config, Shutdown::Unclean, now).unwrap();
        Self { disk, log, config, now }
    }

    /// Appends a batch of a client without an id.
    pub(super) fn put(&mut self, values: &[&str]) -> Appended {
        let records: Vec<_> = values.iter().map(|value| (None, Some(*value))).collect();
        self.append(Batch::default().build(self.now.wall_ms, &records)).unwrap()
    }

    /// Appends a record with a key.
    pub(super) fn put_key(&mut self, key: &str, value: Option<&str>) -> Appended {
        let batch = Batch::default().build(self.now.wall_ms, &[(Some(key), value)]);
        self.append(batch).unwrap()
    }

    pub(super) fn append(&mut self, batch: BytesMut) -> Result<Appended, AppendError> {
        self.log.append(self.now, batch, LeaderEpoch(0), Origin::Client)
    }

    pub(super) fn mark(&mut self, producer: i64, commit: bool) -> Appended {
        let epoch = self.log.producer_state(ProducerId(producer)).unwrap().epoch;
        let marker = Marker {
            producer_id: ProducerId(producer),
            producer_epoch: epoch,
            commit,
            coordinator_epoch: 0,
            transaction_version: 1,
        };
        self.log.append_marker(self.now, marker, LeaderEpoch(0)).unwrap()
    }

    /// What an owner with `flush=commit` does after a pass.
    pub(super) fn commit(&mut self) {
        if let Some(task) = self.log.unsynced() {
            task.run(&self.disk).unwrap();
            self.log.synced(task.receipt).unwrap();
            self.log.set_high_watermark(task.receipt.up_to);
        }
    }

    /// Acknowledges everything without a sync.
    pub(super) fn acknowledge(&mut self) {
        self.log.set_high_watermark(self.log.log_end_offset());
    }

    pub(super) fn reopen(&mut self, shutdown: Shutdown) -> Recovery {
        self.log = open(&self.disk, &self.config, shutdown, self.now).unwrap();
        self.log.recovery()
    }

    /// Compacts what is to be compacted, as an owner does it; false when there is nothing.
    pub(super) fn compact(&mut self) -> Result<bool, crate::StorageError> {
        if self.log.compaction_need(self.now)?.is_none() {
            return Ok(false);
        }
        let mut begun = self.begin_compaction()?;
        if begun.is_none() {
            // It asked for its recovery point.
            let task = self.log.unsynced().expect("the checkpoint is to be synced");
            self.finish_sync(&task)?;
            begun = self.begin_compaction()?;
        }
        let mut task = begun.expect("the recovery point is durable");
        loop {
            let went_on = task.step(&self.disk).and_then(|()| self.log.continue_compaction(task));
            match went_on {
                Ok(Compaction { task: going_on, removed }) => {
                    removed.iter().for_each(|path| self.disk.remove_file(path).unwrap());
                    let Some(going_on) = going_on else { return Ok(true) };
                    task = going_on;
                }
                Err(error) => {
                    self.log.give_up_compaction(&error);
                    return Err(error);
                }
            }
        }
    }

    pub(super) fn begin_compaction(
        &mut self,
    ) -> Result<Option<CompactionTask>, crate::StorageError> {
        self.log.begin_compaction(self.now, 1 << 20, 1)
    }

    fn finish_sync(&mut self, task: &SyncTask) -> Result<(), crate::StorageError> {
        task.run(&self.disk).map_err(crate::StorageError::disk("sync", DIR))?;
        self.log.synced(task.receipt)
    }

    /// All records that a bound lets see, as `offset=value`.
    pub(super) fn records(&self, bound: Bound) -> String {
        let mut from = self.log.log_start_offset();
        let mut all = Vec::new();
        while from < self.log.end_of(bound) {
            let read = self.log.read_bytes(from, 1 << 20, bound, true).unwrap();
            for batch in batches(&read.bytes) {
                let batch = batch.unwrap();
                for record in batch.records(1 << 20).unwrap() {
                    let record = record.unwrap();
                    let value = record.value.as_deref().map(String::from_utf8_lossy);
                    let shown = match value {
                        _ if batch.view().is_control() => "marker".into(),
                        Some(value) => value,
                        None => "null".into(),
                    };
                    all.push(format!("{}={shown}", batch.view().offset_of(&record)));
                }
            }
            from = read.next_offset;
        }
        all.join(" ")
    }
}

pub(super) fn open(
    disk: &SimulatedDisk,
    config: &LogConfig,
    shutdown: Shutdown,
    now: Now,
) -> Result<Log, crate::StorageError> {
    Log::open(Arc::new(disk.clone()), PathBuf::from(DIR), config.clone(), shutdown, now)
}

/// Who sends a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch {
    pub(super) producer: i64,
    pub(super) epoch: i16,
    pub(super) sequence: i32,
    pub(super) transactional: bool,
}

impl Default for Batch {
    fn default() -> Self {
        Self { producer: -1, epoch: -1, sequence: -1, transactional: false }
    }
}

impl Batch {
    pub(super) fn of(producer: i64, sequence: i32) -> Self {
        Self { producer, epoch: 0, sequence, transactional: false }
    }

    pub(super) fn transactional(producer: i64, sequence: i32) -> Self {
        Self { transactional: true, ..Self::of(producer, sequence) }
    }

    pub(super) fn builder(self) -> BatchBuilder {
        let id = ProducerId(self.producer);
        let builder = BatchBuilder::new().producer(id, ProducerEpoch(self.epoch), self.sequence);
        if self.transactional { builder.transactional() } else { builder }
    }

    pub(super) fn build(self, time_ms: i64, records: &[(Option<&str>, Option<&str>)]) -> BytesMut {
        let mut builder = self.builder();
        for (key, value) in records {
            builder.push(time_ms, key.map(str::as_bytes), value.map(str::as_bytes), &[]);
        }
        builder.finish_mut().unwrap()
    }
}

/// A record offset as the tests write it.
pub(super) fn offset(offset: i64) -> Offset {
    Offset(offset)
}
