//! Opening the logs of partitions, many at once.
//!
//! Opening reads: after an unclean end every segment past the recovery point. So the jobs of a view
//! go to the shell's [`Workers`](mainstem_platform::Workers), which may carry them out side by
//! side; the shard waits for the last one.
//!
//! Invariants:
//! - A partition that cannot be opened goes offline alone; nothing of it is removed.
//! - When it is the directory that does not work, the directory goes offline.
//! - When there was no room for it, it is tried again every [`REOPEN_AFTER`]: what makes room, or frees
//!   file descriptors, needs no restart.

use super::folder::{put_away_name, read_topic_id, write_topic_id};
use super::{FlushRule, Offline, Partition};
use crate::ask::PartitionKey;
use crate::log_dirs::LogDirIndex;
use crate::node::{NodeError, ShardNode, Timer};
use crate::shard_message::ShardMessage;
use mainstem_platform::{Disk, Job, Now, OpenMode};
use mainstem_protocol::{LeaderEpoch, Offset, TopicId};
use mainstem_storage::{Log, LogConfig, Shutdown, StorageError};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Opening on a full disk costs little, so it is tried soon.
const REOPEN_AFTER: Duration = Duration::from_secs(10);

/// Written, synced and removed to see whether a directory works.
const PROBE: &str = ".probe";

/// A folder could not be opened. The partition stays away; nothing was removed.
#[derive(Debug, thiserror::Error)]
#[error("open {}: {problem}", path.display())]
pub(crate) struct FolderError {
    path: PathBuf,
    problem: String,
    /// The disk refused something, which may or may not be the fault of all of the directory.
    is_disk: bool,
    is_full: bool,
}

impl From<FolderError> for NodeError {
    fn from(error: FolderError) -> NodeError {
        let path = error.path.display().to_string();
        NodeError::Log { path, problem: error.problem }
    }
}

/// Opens a log, makes what it recovered durable, and takes all of it for committed: with one
/// replica, what survived is what was written.
pub(crate) fn open_log(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    config: LogConfig,
    shutdown: Shutdown,
    now: Now,
) -> Result<Log, FolderError> {
    let failed = |error: StorageError| FolderError {
        path: dir.to_owned(),
        problem: error.to_string(),
        is_disk: matches!(error, StorageError::Disk { .. }),
        is_full: error.is_disk_full(),
    };
    let mut log =
        Log::open(Arc::clone(disk), dir.to_owned(), config, shutdown, now).map_err(failed)?;
    let truncated_bytes = log.recovery().truncated_bytes;
    if 0 < truncated_bytes {
        let dir = dir.display();
        tracing::warn!(%dir, bytes = truncated_bytes, "cut a torn tail off");
    }
    if Offset::ZERO < log.log_end_offset()
        && let Some(task) = log.unsynced()
    {
        task.run(&**disk).map_err(|error| disk_error(dir, "sync", &error))?;
        log.synced(task.receipt).map_err(failed)?;
    }
    log.set_high_watermark(log.log_end_offset());
    Ok(log)
}

fn disk_error(path: &Path, action: &str, error: &io::Error) -> FolderError {
    FolderError {
        path: path.to_owned(),
        problem: format!("{action}: {error}"),
        is_disk: true,
        is_full: error.kind() == io::ErrorKind::StorageFull,
    }
}

/// Whether a directory still takes what is written to it. One that is full is in order otherwise.
fn probe(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let path = dir.join(PROBE);
    let written = disk.open(&path, OpenMode::CreateOrTruncate).and_then(|file| {
        file.write_at(b"probe", 0)?;
        file.sync_data()
    });
    match written {
        Err(error) if error.kind() != io::ErrorKind::StorageFull => return Err(error),
        _ => {}
    }
    if disk.exists(&path)? {
        disk.remove_file(&path)?;
    }
    disk.sync_dir(dir)
}

/// One partition to be opened.
pub(super) struct Opening {
    pub(super) topic: Arc<str>,
    pub(super) key: PartitionKey,
    pub(super) dir: LogDirIndex,
    /// The path of that directory.
    pub(super) log_dir: PathBuf,
    pub(super) folder: String,
    pub(super) config: LogConfig,
    /// What `segment.jitter.ms` is drawn with.
    pub(super) jitter_seed: u64,
    pub(super) shutdown: Shutdown,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) flush: FlushRule,
    pub(super) in_sync_enough: bool,
}

impl Opening {
    /// Blocks; runs on any thread.
    fn run(&self, disk: &Arc<dyn Disk>, now: Now) -> Result<Log, FolderError> {
        let (id, folder) = (self.key.topic, &self.folder);
        let path = self.log_dir.join(folder);
        let failed = |action: &'static str| {
            let path = path.clone();
            move |error: io::Error| disk_error(&path, action, &error)
        };
        if disk.exists(&path).map_err(failed("look for it"))? {
            match read_topic_id(&**disk, &path).map_err(failed("read the topic id"))? {
                Some(other) if other != id => {
                    let name = put_away_name(folder, &other.to_string(), "stray");
                    tracing::error!(folder, "belongs to another topic of this name: put aside");
                    let aside = self.log_dir.join(name);
                    disk.rename(&path, &aside).map_err(failed("put it aside"))?;
                }
                Some(_) => {}
                None => tracing::warn!(folder, "does not say its topic: taken by its name"),
            }
        }
        let mut log = open_log(disk, &path, self.config.clone(), self.shutdown, now)?;
        log.seed_jitter(self.jitter_seed);
        if read_topic_id(&**disk, &path).map_err(failed("read the topic id"))?.is_none() {
            write_topic_id(&**disk, &path, id).map_err(failed("write the topic id"))?;
        }
        Ok(log)
    }
}

impl ShardNode {
    /// Opens partitions; returns those that are open now.
    pub(super) fn open_partitions(
        &mut self,
        now: Now,
        mut openings: Vec<Opening>,
    ) -> Vec<PartitionKey> {
        take_turns(&mut openings);
        let disk = &self.disk;
        let mut results: Vec<Option<Result<Log, FolderError>>> = Vec::new();
        results.resize_with(openings.len(), || None);
        let jobs = openings.iter().zip(&mut results).map(|(opening, result)| {
            Box::new(move || *result = Some(opening.run(disk, now))) as Job<'_>
        });
        let jobs: Vec<Job<'_>> = jobs.collect();
        self.workers.run_all(jobs);
        let mut opened = Vec::new();
        for (opening, result) in openings.into_iter().zip(results) {
            let Opening { topic, key, dir, leader_epoch, flush, in_sync_enough, .. } = opening;
            match result.expect("the workers have done all jobs") {
                Ok(log) if self.dirs.is_online(dir) => {
                    let mut partition = Partition::new(topic, key, dir, log, leader_epoch, flush);
                    partition.in_sync_enough = in_sync_enough;
                    self.partitions.map.insert(key, partition);
                    opened.push(key);
                }
                Ok(_) => self.never_opened(topic, key, dir, false),
                Err(error) => {
                    tracing::error!(%error, "a partition goes offline");
                    self.never_opened(topic, key, dir, error.is_full);
                    if error.is_full {
                        self.timers.insert((now.instant.plus(REOPEN_AFTER), Timer::Reopen));
                    }
                    if error.is_disk
                        && let Err(fault) = probe(&*self.disk, self.dirs.path(dir))
                    {
                        self.fail_dir(dir, &format!("{error}; then a probe: {fault}"));
                    }
                }
            }
        }
        // A directory may have failed after some of its partitions were opened.
        opened.retain(|key| self.partitions.map.contains_key(key));
        opened
    }

    /// A partition whose log cannot be opened, or shall not be tried.
    pub(super) fn never_opened(
        &mut self,
        topic: Arc<str>,
        key: PartitionKey,
        dir: LogDirIndex,
        wants_room: bool,
    ) {
        self.partitions.offline.insert(key, Offline { topic, dir, wants_room });
        self.tell_offline(&[key]);
    }

    /// Tries partitions again for which there was no room. Returns those that are open now.
    pub(crate) fn open_again(&mut self, now: Now) -> Vec<PartitionKey> {
        let Some(view) = self.cluster.clone() else { return Vec::new() };
        let offline = std::mem::take(&mut self.partitions.offline);
        let (again, still): (BTreeMap<_, _>, _) = offline
            .into_iter()
            .partition(|(_, offline)| offline.wants_room && self.dirs.is_online(offline.dir));
        self.partitions.offline = still;
        let mut openings = Vec::new();
        for topic in view.image.topics().filter(|topic| has_any(&again, topic.id)) {
            self.follow_topic(&view, topic, &mut openings);
        }
        // The first attempt may have left a log that was closed cleanly half changed.
        openings.iter_mut().for_each(|opening| opening.shutdown = Shutdown::Unclean);
        let opened = self.open_partitions(now, openings);
        if !opened.is_empty() {
            tracing::info!(
                partitions = opened.len(),
                "there is room again: partitions come online"
            );
            self.tell_shards(|| ShardMessage::CameOnline(opened.clone()));
        }
        opened
    }
}

fn has_any(partitions: &BTreeMap<PartitionKey, Offline>, topic: TopicId) -> bool {
    partitions.keys().any(|key| key.topic == topic)
}

/// Brings partitions of different directories one after the other, so that all disks have work.
fn take_turns(openings: &mut [Opening]) {
    let mut turns: BTreeMap<LogDirIndex, usize> = BTreeMap::new();
    let mut by_turn: BTreeMap<PartitionKey, usize> = BTreeMap::new();
    for opening in openings.iter() {
        let turn = turns.entry(opening.dir).or_default();
        by_turn.insert(opening.key, *turn);
        *turn += 1;
    }
    openings.sort_by_key(|opening| (by_turn[&opening.key], opening.dir, opening.key));
}
