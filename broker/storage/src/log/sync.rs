//! The book of what is durable.
//!
//! Every file or name that was changed and not synced stands here with the number of the task that
//! was next when it was entered; a finished task strikes out what was entered up to its number. So a
//! change made while a sync runs is never taken for synced.
//!
//! The recovery point is written to its file when a sync that covers it has ended, at the latest
//! [`CHECKPOINT_EVERY_BYTES`] of appends after the last time or when a segment was closed in between.
//! It is the line between "torn tail" and "damage" at the next unclean start.

use super::Log;
use crate::checkpoint::RecoveryPoint;
use crate::error::StorageError;
use crate::names::{Kind, LEADER_EPOCHS, SegmentFile};
use crate::producer::encode_snapshot;
use crate::slice::{SyncReceipt, SyncTask};
use mainstem_platform::{File, OpenMode};
use mainstem_protocol::ids::Offset;
use std::io;
use std::sync::Arc;

/// Small enough that little synced data lies past the recovery point, where damage would pass for a
/// torn tail; large enough that the write does not show.
const CHECKPOINT_EVERY_BYTES: u64 = 16 << 20;

/// See the module's words.
#[derive(Debug)]
pub(super) struct SyncBook {
    /// Everything before is durable.
    synced: Offset,
    /// Closed segments' files, snapshots, small files.
    files: Vec<(u64, Arc<dyn File>)>,
    /// The directory's names changed.
    names: Option<u64>,
    /// The directory itself is new in its parent.
    parent: Option<u64>,
    checkpoint: Option<u64>,
    /// The number of the next task; counts from 1.
    next_ticket: u64,
    appended_since_checkpoint: u64,
    closed_since_checkpoint: bool,
}

impl SyncBook {
    pub(super) fn new(synced: Offset) -> Self {
        Self {
            synced,
            files: Vec::new(),
            names: None,
            parent: None,
            checkpoint: None,
            next_ticket: 1,
            appended_since_checkpoint: 0,
            closed_since_checkpoint: false,
        }
    }

    pub(super) fn note_file(&mut self, file: Arc<dyn File>) {
        self.files.push((self.next_ticket, file));
    }

    pub(super) fn note_names(&mut self) {
        self.names = Some(self.next_ticket);
    }

    pub(super) fn note_parent(&mut self) {
        self.parent = Some(self.next_ticket);
    }

    pub(super) fn note_appended(&mut self, bytes: u64) {
        self.appended_since_checkpoint += bytes;
    }

    pub(super) fn note_closed(&mut self) {
        self.closed_since_checkpoint = true;
    }

    fn strike_out(&mut self, ticket: u64) {
        let open = |entered: &Option<u64>| entered.is_some_and(|entered| ticket < entered);
        self.files.retain(|(entered, _)| ticket < *entered);
        self.names = self.names.filter(|_| open(&self.names));
        self.parent = self.parent.filter(|_| open(&self.parent));
    }
}

impl Log {
    /// Everything that is not durable yet, as a task for another thread; `None` when all is. To be
    /// asked after the appends of a pass when acknowledgements wait for the disk.
    pub fn unsynced(&mut self) -> Option<SyncTask> {
        let up_to = self.next_offset;
        let active = (self.sync.synced < up_to).then(|| self.active().file.clone());
        self.sync_task(active, up_to)
    }

    /// Like [`Self::unsynced`] without the active segment's bytes: for logs whose appends are
    /// acknowledged from the page cache, so that closed segments become durable all the same.
    pub fn unsynced_closed(&mut self) -> Option<SyncTask> {
        let up_to = self.active().base.max(self.sync.synced);
        self.sync_task(None, up_to)
    }

    fn sync_task(&mut self, active: Option<Arc<dyn File>>, up_to: Offset) -> Option<SyncTask> {
        let mut files: Vec<_> = active.into_iter().collect();
        files.extend(self.sync.files.iter().map(|(_, file)| file.clone()));
        files.extend(self.checkpoint.unsynced_file());
        let mut dirs = Vec::new();
        if self.sync.names.is_some() {
            dirs.push(self.dir.clone());
        }
        if self.sync.parent.is_some() {
            dirs.extend(self.dir.parent().map(ToOwned::to_owned));
        }
        if files.is_empty() && dirs.is_empty() {
            return None;
        }
        let ticket = self.sync.next_ticket;
        self.sync.next_ticket += 1;
        Some(SyncTask { files, dirs, receipt: SyncReceipt { up_to, ticket } })
    }

    /// Notes that a task has been done without error. The owner moves the high watermark.
    pub fn synced(&mut self, receipt: SyncReceipt) -> Result<(), StorageError> {
        self.sync.strike_out(receipt.ticket);
        if self.sync.checkpoint.is_some_and(|entered| entered <= receipt.ticket) {
            self.sync.checkpoint = None;
            self.checkpoint.synced();
        }
        self.sync.synced = self.sync.synced.max(receipt.up_to);
        let due = self.sync.closed_since_checkpoint
            || CHECKPOINT_EVERY_BYTES <= self.sync.appended_since_checkpoint;
        if due {
            self.sync.closed_since_checkpoint = false;
            self.sync.appended_since_checkpoint = 0;
            self.write_checkpoint()?;
        }
        Ok(())
    }

    /// Everything before is durable.
    pub fn synced_offset(&self) -> Offset {
        self.sync.synced
    }

    pub(super) fn write_checkpoint(&mut self) -> Result<(), StorageError> {
        let value = RecoveryPoint { recovery_point: self.sync.synced, log_start: self.log_start };
        if value == self.checkpoint.value() {
            return Ok(());
        }
        let failed = StorageError::disk("write the recovery checkpoint of", &self.dir);
        self.checkpoint.write(value).map_err(failed)?;
        self.sync.checkpoint = Some(self.sync.next_ticket);
        Ok(())
    }

    /// Brings the recovery point up to what is synced, and lets it join the next sync in any case.
    pub(super) fn demand_checkpoint(&mut self) -> Result<(), StorageError> {
        self.write_checkpoint()?;
        self.checkpoint.demand_sync();
        self.sync.checkpoint = Some(self.sync.next_ticket);
        Ok(())
    }

    /// Writes the producer table as of the log's end; joins the next sync.
    pub(super) fn write_snapshot(&mut self) -> io::Result<()> {
        let path = SegmentFile::live(self.next_offset, Kind::Snapshot).path(&self.dir);
        let file = self.disk.open(&path, OpenMode::CreateOrTruncate)?;
        file.write_at(&encode_snapshot(&self.producers), 0)?;
        self.sync.note_file(file);
        self.sync.note_names();
        Ok(())
    }

    /// Replaces the history of leader epochs; joins the next sync.
    pub(super) fn write_epochs(&mut self) -> io::Result<()> {
        let path = self.dir.join(LEADER_EPOCHS);
        let beside = self.dir.join(format!("{LEADER_EPOCHS}.tmp"));
        let file = self.disk.open(&beside, OpenMode::CreateOrTruncate)?;
        file.write_at(self.epochs.format().as_bytes(), 0)?;
        self.disk.rename(&beside, &path)?;
        self.sync.note_file(file);
        self.sync.note_names();
        Ok(())
    }

    /// Makes everything durable and leaves the files as a clean start expects them. The log takes no
    /// more appends.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.assert_all_written();
        if let Some(reason) = &self.failed {
            let source = io::Error::other(reason.clone());
            return Err(StorageError::Disk { action: "close", path: self.dir.clone(), source });
        }
        let closed = self.active().make_closed();
        closed.map_err(StorageError::disk("close", &self.dir))?;
        let written = self.write_snapshot();
        written.map_err(StorageError::disk("write a snapshot in", &self.dir))?;
        let files: Vec<_> = self.segments.last().into_iter().flat_map(|s| s.files()).collect();
        files.into_iter().for_each(|file| self.sync.note_file(file));
        // Twice: the checkpoint speaks of what the first round made durable.
        for _ in 0..2 {
            if let Some(task) = self.unsynced() {
                task.run(&*self.disk).map_err(StorageError::disk("sync", &self.dir))?;
                self.synced(task.receipt)?;
            }
            self.write_checkpoint()?;
        }
        self.failed = Some("the log is closed".to_owned());
        Ok(())
    }
}
