//! Moving a partition to another log directory (AlterReplicaLogDirs), and telling what lies where.
//!
//! A move copies the files into a folder `<topic>-<n>.<id>-future` of the other directory, on a
//! thread of the shell and in rounds: each copies what was appended since the last one. When little
//! is left, the shard closes the log, copies the rest itself, renames the copy into place, renames
//! the original away and opens the log again where it is now. No append falls in between, since a
//! shard does one thing at a time.
//!
//! Invariants:
//! - The copy is complete and durable before it is renamed; the original is renamed after that is
//!   durable. So at every moment there is a whole folder under the partition's name, or two equal
//!   ones (see `folder`).
//! - While a partition moves, nothing is deleted from it and nothing is compacted. A move that comes
//!   in the middle of a compaction begins when that has ended.
//! - No move ends while a sync of the partition is under way: that it fails must not be overlooked,
//!   and the next sync of the same file may be told nothing of it.
//! - A move that fails leaves the partition where it was, unless that is what failed. A directory
//!   without room for the copy has not failed.
//!
//! Absent on purpose: moves that outlive a restart. The copy is removed then; who wants the move
//! asks again.

use super::folder::put_away_name;
use super::{Partition, open_log};
use crate::ask::{Asker, Item, LogPlace, Outcome, PartitionKey, Told};
use crate::cluster::METADATA_TOPIC;
use crate::copy_job::{CopyFailure, CopyFault, CopyJob, Piece};
use crate::effect::Effect;
use crate::event::{CopyToken, ShardIndex};
use crate::log_dirs::LogDirIndex;
use crate::node::ShardNode;
use crate::shard_message::ShardMessage;
use mainstem_platform::{Disk, Now, Random};
use mainstem_protocol::{ErrorCode, Offset};
use mainstem_storage::Shutdown;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// With less than this left to copy, the shard does the rest at once.
const CUTOVER_BYTES: u64 = 1 << 20;
/// Digits of an offset in a file's name.
const OFFSET_DIGITS: usize = 20;

/// A move under way.
pub(super) struct Move {
    to: LogDirIndex,
    /// Name of the copy's folder, and of the partition's own one when it is no longer needed. Both
    /// are new with every move.
    future: String,
    away: String,
    /// The round under way; `None` before the first one.
    token: Option<CopyToken>,
    /// The copy is nearly complete and waits for a sync.
    waits_for_sync: bool,
    /// A copy under way ends when this is dropped.
    wanted: Arc<()>,
    /// How much of each file is in the copy when the round under way has ended.
    copied: BTreeMap<String, u64>,
    /// Where the copy ends: known, and when the round under way has ended.
    end: Offset,
    round_end: Offset,
}

/// Why the end of a move came to nothing.
enum SwapFailure {
    /// This directory does not work.
    Dir(LogDirIndex, String),
    /// Something stands in the way; nobody's disk is to blame.
    Refused(String),
}

impl ShardNode {
    /// What this shard has in the log directories.
    pub(super) fn handle_log_dirs(&mut self, asker: Asker) {
        let mut places = Vec::new();
        let topics = self.partitions.map.values().filter(|p| &*p.topic != METADATA_TOPIC);
        for partition in topics {
            let place = LogPlace {
                dir: partition.dir,
                topic: partition.topic.clone(),
                partition: partition.key.partition,
                size_bytes: partition.log.size_bytes(),
                offset_lag: 0,
                is_future: false,
            };
            if let Some(moving) = &partition.moving {
                let logs = moving.copied.iter().filter(|(name, _)| name.ends_with(".log"));
                places.push(LogPlace {
                    dir: moving.to,
                    size_bytes: logs.map(|(_, len)| *len).sum(),
                    offset_lag: partition.log.log_end_offset().0 - moving.end.0,
                    is_future: true,
                    ..place.clone()
                });
            }
            places.push(place);
        }
        self.tell(asker, Told::LogDirs(places));
    }

    pub(super) fn handle_moves(&mut self, asker: Asker, items: &[Item<LogDirIndex>]) {
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            let answer = self.begin_move(&item.key, item.question);
            outcomes.push(Outcome { slot: item.slot, answer });
        }
        self.tell(asker, Told::Moves(outcomes));
    }

    fn begin_move(&mut self, key: &PartitionKey, to: LogDirIndex) -> Result<(), ErrorCode> {
        let Some(partition) = self.partitions.map.get(key) else {
            return Err(match self.absence(key) {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => ErrorCode::REPLICA_NOT_AVAILABLE,
                error => error,
            });
        };
        if !self.dirs.is_online(to) {
            return Err(ErrorCode::KAFKA_STORAGE_ERROR);
        }
        if partition.moving.as_ref().is_some_and(|moving| moving.to == to) {
            return Ok(());
        }
        let is_there = partition.dir == to;
        let folder = format!("{}-{}", partition.topic, key.partition);
        self.cancel_move(key);
        if is_there {
            return Ok(());
        }
        let id = format!("{:016x}{:016x}", self.random.next_u64(), self.random.next_u64());
        let moving = Move {
            to,
            future: put_away_name(&folder, &id, "future"),
            away: put_away_name(&folder, &id, "delete"),
            token: None,
            waits_for_sync: false,
            wanted: Arc::new(()),
            copied: BTreeMap::new(),
            end: Offset::ZERO,
            round_end: Offset::ZERO,
        };
        if let Some(partition) = self.partitions.map.get_mut(key) {
            partition.moving = Some(moving);
        }
        if !self.partitions.is_compacting(key) {
            self.begin_round(key);
        }
        Ok(())
    }

    /// A compaction is over: a move that was asked for meanwhile may begin.
    pub(super) fn begin_waiting_move(&mut self, key: &PartitionKey) {
        let moving = self.partitions.map.get(key).and_then(|partition| partition.moving.as_ref());
        if moving.is_some_and(|moving| moving.token.is_none()) {
            self.begin_round(key);
        }
    }

    /// Copies what was written since the last round.
    fn begin_round(&mut self, key: &PartitionKey) {
        let token = CopyToken(self.partitions.last_copy.0 + 1);
        self.partitions.last_copy = token;
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        let Some(moving) = partition.moving.as_mut() else { return };
        let from = partition.log.dir().to_owned();
        let pieces = match pieces(&*self.disk, &from, &moving.copied, false) {
            Ok(pieces) => pieces,
            Err(error) => {
                tracing::error!(dir = %from.display(), %error, "list a partition that moves");
                self.cancel_move(key);
                return;
            }
        };
        moving.token = Some(token);
        moving.round_end = partition.log.log_end_offset();
        for piece in &pieces {
            moving.copied.insert(piece.name.clone(), piece.position + piece.len);
        }
        let wanted = Arc::downgrade(&moving.wanted);
        let to = self.dirs.path(moving.to).join(&moving.future);
        self.effects.push_back(Effect::Copy { token, job: CopyJob { from, to, pieces, wanted } });
    }

    /// A round is over.
    pub(crate) fn handle_copied(
        &mut self,
        now: Now,
        token: CopyToken,
        result: Result<(), CopyFailure>,
    ) {
        let of_token = |partition: &&mut Partition| {
            partition.moving.as_ref().is_some_and(|moving| moving.token == Some(token))
        };
        let Some(partition) = self.partitions.map.values_mut().find(of_token) else { return };
        let key = partition.key;
        let Some(moving) = partition.moving.as_mut() else { return };
        moving.end = moving.round_end;
        let to = moving.to;
        if let Err(CopyFailure { fault, reason }) = result {
            // A failed read says nothing about the rest of the directory; a failed write does.
            tracing::error!(reason, "a partition is not moved");
            self.cancel_move(&key);
            if fault == CopyFault::Target {
                self.fail_dir(to, &reason);
            }
            return;
        }
        self.go_on_moving(now, &key);
    }

    /// Another round, or the end when little is left.
    fn go_on_moving(&mut self, now: Now, key: &PartitionKey) {
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        let Some(moving) = partition.moving.as_mut() else { return };
        let left = pieces(&*self.disk, partition.log.dir(), &moving.copied, false);
        let left_bytes: u64 = left.iter().flatten().map(|piece| piece.len).sum();
        if left.is_err() || CUTOVER_BYTES < left_bytes {
            self.begin_round(key);
            return;
        }
        let from = partition.dir;
        moving.waits_for_sync =
            self.partitions.syncing.get(&from).is_some_and(|syncing| syncing.holds(key));
        if !moving.waits_for_sync {
            self.end_move(now, key, from);
        }
    }

    /// A sync of a directory is over.
    pub(super) fn end_waiting_moves(&mut self, now: Now, dir: LogDirIndex) {
        let waits = |partition: &&Partition| {
            let moving = partition.moving.as_ref();
            partition.dir == dir && moving.is_some_and(|moving| moving.waits_for_sync)
        };
        let waiting: Vec<PartitionKey> =
            self.partitions.map.values().filter(waits).map(|partition| partition.key).collect();
        for key in waiting {
            self.go_on_moving(now, &key);
        }
    }

    /// Lets the copy take the partition's place.
    fn end_move(&mut self, now: Now, key: &PartitionKey, from: LogDirIndex) {
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        let shutdown = match partition.log.close() {
            Ok(()) => Shutdown::Clean,
            // No room for what a clean end writes. What was appended is in the files all the same.
            Err(error) if error.is_disk_full() => Shutdown::Unclean,
            Err(error) => return self.fail_dir(from, &error.to_string()),
        };
        let Some(moving) = partition.moving.take() else { return };
        let source = partition.log.dir().to_owned();
        self.forget_removals(&source);
        match self.swap(from, &source, &moving) {
            Ok(path) => {
                self.moved(key, from, &moving);
                self.reopen(now, key, &path, shutdown);
            }
            // Which of the two folders counts is settled at the next start.
            Err(SwapFailure::Dir(failed, reason)) if failed == from => {
                self.fail_dir(from, &reason);
            }
            Err(SwapFailure::Dir(failed, reason)) => {
                self.reopen(now, key, &source, shutdown);
                self.fail_dir(failed, &reason);
            }
            Err(SwapFailure::Refused(reason)) => {
                tracing::error!(reason, "a partition is not moved");
                self.reopen(now, key, &source, shutdown);
                self.remove_future(&moving);
            }
        }
    }

    /// Opens a partition's log again, where it was or where it is now. Nothing is lost by closing it,
    /// so all that was appended is committed then.
    fn reopen(&mut self, now: Now, key: &PartitionKey, path: &Path, shutdown: Shutdown) {
        self.partitions.dirty.remove(key);
        for syncing in self.partitions.syncing.values_mut() {
            syncing.forget(key);
        }
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        let config = partition.log.config().clone();
        match open_log(&self.disk, path, config, shutdown, now) {
            Ok(mut log) => {
                log.seed_jitter(self.random.next_u64());
                let end = log.log_end_offset();
                partition.log = log;
                partition.unsynced.asked(end);
                self.commit(now, key, end);
            }
            Err(error) => self.take_offline(key, &error.to_string()),
        }
    }

    /// Completes the copy of a closed log and renames both folders. Returns the new path.
    fn swap(
        &self,
        from: LogDirIndex,
        source: &Path,
        moving: &Move,
    ) -> Result<PathBuf, SwapFailure> {
        let disk = &*self.disk;
        let to_dir = self.dirs.path(moving.to);
        let future = to_dir.join(&moving.future);
        let from_dir = self.dirs.path(from);
        let target = to_dir.join(source.file_name().unwrap_or_default());
        let refused = |error: io::Error| SwapFailure::Refused(error.to_string());
        if disk.exists(&target).map_err(refused)? {
            let why = format!("{} is there already", target.display());
            return Err(SwapFailure::Refused(why));
        }
        let pieces = pieces(disk, source, &moving.copied, true).map_err(refused)?;
        let wanted = Arc::downgrade(&moving.wanted);
        let job = CopyJob { from: source.to_owned(), to: future.clone(), pieces, wanted };
        job.run(disk).map_err(|CopyFailure { fault, reason }| match fault {
            CopyFault::Target => SwapFailure::Dir(moving.to, reason),
            CopyFault::Source | CopyFault::NoRoom => SwapFailure::Refused(reason),
        })?;
        let failed = |dir: LogDirIndex, action: &'static str| {
            move |error: io::Error| SwapFailure::Dir(dir, format!("{action}: {error}"))
        };
        disk.rename(&future, &target).map_err(failed(moving.to, "rename a copy into place"))?;
        disk.sync_dir(to_dir).map_err(failed(moving.to, "sync the names of a copy"))?;
        disk.rename(source, &from_dir.join(&moving.away))
            .map_err(failed(from, "rename a moved partition away"))?;
        disk.sync_dir(from_dir).map_err(failed(from, "sync the names of a moved partition"))?;
        Ok(target)
    }

    fn moved(&mut self, key: &PartitionKey, from: LogDirIndex, moving: &Move) {
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        partition.dir = moving.to;
        let (topic, dir) = (&*partition.topic, self.dirs.path(moving.to).display().to_string());
        tracing::info!(topic, partition = key.partition.0, dir, "a partition has moved");
        let paths = vec![self.dirs.path(from).join(&moving.away)];
        self.effects.push_back(Effect::Remove { paths });
        self.send(ShardIndex::FIRST, ShardMessage::Moved { key: *key, dir: moving.to });
    }

    /// The partition stays where it is.
    pub(super) fn cancel_move(&mut self, key: &PartitionKey) {
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        if let Some(moving) = partition.moving.take() {
            self.remove_future(&moving);
        }
    }

    /// The partition goes away, and its copy with it.
    pub(super) fn drop_future(&mut self, partition: &Partition) {
        if let Some(moving) = &partition.moving {
            self.remove_future(moving);
        }
    }

    fn remove_future(&mut self, moving: &Move) {
        if self.dirs.is_online(moving.to) {
            // A copy under way may make it again; then the next start removes it.
            let paths = vec![self.dirs.path(moving.to).join(&moving.future)];
            self.effects.push_back(Effect::Remove { paths });
        }
    }

    /// A directory has failed: nothing moves there any more.
    pub(super) fn forget_moves_to(&mut self, dir: LogDirIndex) {
        for partition in self.partitions.map.values_mut() {
            partition.moving.take_if(|moving| moving.to == dir);
        }
    }
}

/// What is to be copied of a folder, beyond what is `copied`. While the log is open, only what does
/// not change any more: the files of closed segments, and the bytes of the active one.
fn pieces(
    disk: &dyn Disk,
    from: &Path,
    copied: &BTreeMap<String, u64>,
    is_closed: bool,
) -> io::Result<Vec<Piece>> {
    let entries = disk.list(from)?;
    let is_log = |name: &str| name.ends_with(".log");
    // Entries are sorted, and so are offsets with all their digits.
    let active = entries.iter().rev().find(|entry| is_log(&entry.name));
    let active = active.and_then(|entry| entry.name.get(..OFFSET_DIGITS)).unwrap_or_default();
    let mut pieces = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        let name = &entry.name;
        let passing = [".tmp", ".cleaned", ".swap", ".deleted"];
        if passing.iter().any(|suffix| name.ends_with(suffix)) {
            continue;
        }
        let base = name.get(..OFFSET_DIGITS).filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        let is_still = match base {
            None => false,
            Some(base) => base < active || is_log(name) || name.ends_with(".snapshot"),
        };
        let have = copied.get(name).copied();
        if (!is_closed && !is_still) || have == Some(entry.len) {
            continue;
        }
        let position = if is_log(name) { have.unwrap_or(0) } else { 0 };
        let len = entry.len.saturating_sub(position);
        pieces.push(Piece { name: name.clone(), position, len });
    }
    Ok(pieces)
}
