//! Folders of partitions: `<topic>-<n>` in the log directory, one per partition.
//!
//! Each holds, beside the log, `partition.metadata`: the id of the topic it belongs to, in
//! Kafka's layout (`version: 0`, `topic_id: ...`), so that a folder of a deleted topic is never
//! taken for one of a new topic of the same name.
//!
//! Invariants:
//! - Data is removed only for a topic whose deletion is durable, and only after its folder was
//!   renamed to `*-delete`; a crash in between is finished at the next start.
//! - A folder that the metadata does not explain is renamed to `*-stray` and kept: absent
//!   metadata is no proof that data is unwanted.

use super::{FlushRule, Partition, Partitions, Then};
use crate::ask::{PartitionKey, Told};
use crate::cluster::ClusterView;
use crate::config::NodeConfig;
use crate::effect::Effect;
use crate::node::{NodeError, ShardNode};
use mainstem_metadata::config::{TimestampType as TopicTimestampType, TopicSettings};
use mainstem_metadata::{Image, TopicImage};
use mainstem_platform::{Disk, Now, OpenMode, Random};
use mainstem_protocol::compression::Level;
use mainstem_protocol::{ErrorCode, LeaderEpoch, Offset, TopicId};
use mainstem_storage::{CleanupPolicy, Log, LogConfig, Shutdown, TimestampType};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest file name of the file systems we know.
const NAME_BYTES_MAX: usize = 255;
const TOPIC_ID_FILE: &str = "partition.metadata";

/// A folder could not be opened. The partition stays away; nothing was removed.
#[derive(Debug, thiserror::Error)]
#[error("open {}: {problem}", path.display())]
pub(crate) struct FolderError {
    path: PathBuf,
    problem: String,
}

impl From<FolderError> for NodeError {
    fn from(error: FolderError) -> NodeError {
        let path = error.path.display().to_string();
        NodeError::Log { path, problem: error.problem }
    }
}

/// How a topic's settings and those of the broker shape its logs.
fn log_config(settings: &TopicSettings, broker: &NodeConfig) -> LogConfig {
    let unlimited = |value: i64| (0 <= value).then_some(value);
    let policy = settings.cleanup_policy;
    LogConfig {
        segment_bytes: settings.segment_bytes.unsigned_abs(),
        segment_ms: settings.segment_ms,
        segment_jitter_ms: settings.segment_jitter_ms,
        file_delete_delay_ms: settings.file_delete_delay_ms,
        segment_index_bytes: settings.segment_index_bytes.unsigned_abs(),
        index_interval_bytes: settings.index_interval_bytes.unsigned_abs(),
        max_message_bytes: settings.max_message_bytes.unsigned_abs().max(61),
        retention_ms: unlimited(settings.retention_ms),
        retention_bytes: unlimited(settings.retention_bytes).map(i64::unsigned_abs),
        cleanup_policy: CleanupPolicy { delete: policy.delete, compact: policy.compact },
        delete_retention_ms: settings.delete_retention_ms,
        min_compaction_lag_ms: settings.min_compaction_lag_ms,
        max_compaction_lag_ms: settings.max_compaction_lag_ms,
        min_cleanable_dirty_ratio: settings.min_cleanable_dirty_ratio,
        compression: settings.compression,
        compression_level: settings.compression_level.map_or(Level::DEFAULT, Level::of),
        timestamp_type: match settings.message_timestamp_type {
            TopicTimestampType::CreateTime => TimestampType::CreateTime,
            TopicTimestampType::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: settings.message_timestamp_before_max_ms,
        timestamp_after_max_ms: settings.message_timestamp_after_max_ms,
        producer_id_expiration_ms: broker.producer_id_expiration.as_millis() as i64,
        ..LogConfig::default()
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
    let failed = |problem: String| FolderError { path: dir.to_owned(), problem };
    let mut log = Log::open(Arc::clone(disk), dir.to_owned(), config, shutdown, now)
        .map_err(|error| failed(error.to_string()))?;
    let truncated_bytes = log.recovery().truncated_bytes;
    if 0 < truncated_bytes {
        let dir = dir.display();
        tracing::warn!(%dir, bytes = truncated_bytes, "cut a torn tail off");
    }
    if Offset::ZERO < log.log_end_offset()
        && let Some(task) = log.unsynced()
    {
        task.run(&**disk).map_err(|error| failed(format!("sync: {error}")))?;
        log.synced(task.receipt).map_err(|error| failed(error.to_string()))?;
    }
    log.set_high_watermark(log.log_end_offset());
    Ok(log)
}

fn read_topic_id(disk: &dyn Disk, dir: &Path) -> io::Result<Option<TopicId>> {
    let path = dir.join(TOPIC_ID_FILE);
    if !disk.exists(&path)? {
        return Ok(None);
    }
    let mut text = vec![0_u8; 256];
    let len = disk.open(&path, OpenMode::Read)?.read_at(&mut text, 0)?;
    let text = String::from_utf8_lossy(&text[..len]).into_owned();
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id: "));
    Ok(id.and_then(|id| id.trim().parse().ok()))
}

fn write_topic_id(disk: &dyn Disk, dir: &Path, id: TopicId) -> io::Result<()> {
    // Not synced on its own: a folder whose file was lost to a crash is adopted again by name.
    let file = disk.open(&dir.join(TOPIC_ID_FILE), OpenMode::CreateOrTruncate)?;
    file.write_at(format!("version: 0\ntopic_id: {id}\n").as_bytes(), 0)
}

/// A name for a folder that is put away; as much of the old name as fits.
fn put_away_name(folder: &str, id: &str, why: &str) -> String {
    let rest = NAME_BYTES_MAX - id.len() - why.len() - 2;
    let kept: String = folder.chars().take(rest).collect();
    format!("{kept}.{id}-{why}")
}

/// Topic and partition of a folder's name.
fn parse_folder(name: &str) -> Option<(&str, usize)> {
    let (topic, partition) = name.rsplit_once('-')?;
    Some((topic, partition.parse().ok()?))
}

/// At start: renames the folders that the metadata does not explain, and finds the ones whose
/// removal was not finished.
pub(crate) fn sort_folders(
    disk: &dyn Disk,
    log_dir: &Path,
    image: &Image,
    tag: &str,
) -> io::Result<Vec<PathBuf>> {
    let mut removals = Vec::new();
    for entry in disk.list(log_dir)? {
        if !entry.is_dir {
            continue;
        }
        if entry.name.ends_with("-delete") {
            removals.push(log_dir.join(&entry.name));
            continue;
        }
        let Some((topic, partition)) = parse_folder(&entry.name) else { continue };
        let known = image.topic(topic).is_some_and(|topic| partition < topic.partitions.len());
        if !known && topic != crate::cluster::METADATA_TOPIC {
            let aside = log_dir.join(put_away_name(&entry.name, tag, "stray"));
            tracing::error!(folder = entry.name, "no topic explains this folder: put aside");
            disk.rename(&log_dir.join(&entry.name), &aside)?;
        }
    }
    Ok(removals)
}

impl ShardNode {
    /// Opens what the view has on this shard and closes what it has no more.
    pub(crate) fn follow_view(
        &mut self,
        now: Now,
        old: Option<&Image>,
        view: &ClusterView,
    ) -> Result<Vec<PartitionKey>, FolderError> {
        let mut opened = Vec::new();
        for topic in view.image.topics() {
            let before = old.and_then(|old| old.topic_by_id(topic.id));
            if before.is_some_and(|before| Arc::ptr_eq(before, topic)) {
                continue;
            }
            self.follow_topic(now, view, topic, &mut opened)?;
        }
        let gone: Vec<PartitionKey> = self
            .partitions
            .map
            .values()
            .filter(|partition| &*partition.topic != crate::cluster::METADATA_TOPIC)
            .filter(|partition| !view.has_partition(&partition.key))
            .map(|partition| partition.key)
            .collect();
        for key in gone {
            self.remove_partition(&key);
        }
        Ok(opened)
    }

    fn follow_topic(
        &mut self,
        now: Now,
        view: &ClusterView,
        topic: &TopicImage,
        opened: &mut Vec<PartitionKey>,
    ) -> Result<(), FolderError> {
        let settings = TopicSettings::resolve(&topic.configs, &self.topic_defaults());
        for partition in &topic.partitions {
            let key = PartitionKey { topic: topic.id, partition: partition.index };
            let shard = crate::cluster::shard_of(&topic.name, &key, self.shard_count);
            if shard != self.shard || partition.leader != self.config.node_id {
                continue;
            }
            let least = usize::try_from(settings.min_insync_replicas).unwrap_or_default();
            let in_sync_enough = least <= partition.isr.len();
            if let Some(open) = self.partitions.map.get_mut(&key) {
                open.in_sync_enough = in_sync_enough;
                open.log.set_config(log_config(&settings, &self.config));
                open.leader_epoch = partition.leader_epoch;
                self.set_flush_rule(&key, FlushRule::from(&settings));
                continue;
            }
            let folder = format!("{}-{}", topic.name, partition.index);
            let config = log_config(&settings, &self.config);
            let mut log = self.open_folder(now, view, &folder, topic.id, config)?;
            log.seed_jitter(self.random.next_u64());
            let name = Arc::clone(&topic.name);
            let epoch: LeaderEpoch = partition.leader_epoch;
            let mut partition = Partition::new(name, key, log, epoch, FlushRule::from(&settings));
            partition.in_sync_enough = in_sync_enough;
            self.partitions.map.insert(key, partition);
            opened.push(key);
        }
        Ok(())
    }

    fn open_folder(
        &self,
        now: Now,
        view: &ClusterView,
        folder: &str,
        id: TopicId,
        config: LogConfig,
    ) -> Result<Log, FolderError> {
        let disk = &self.disk;
        let dir = self.config.log_dir.join(folder);
        let failed =
            |error: io::Error| FolderError { path: dir.clone(), problem: error.to_string() };
        if disk.exists(&dir).map_err(failed)? {
            match read_topic_id(&**disk, &dir).map_err(failed)? {
                Some(other) if other != id => {
                    let name = put_away_name(folder, &other.to_string(), "stray");
                    tracing::error!(folder, "belongs to another topic of this name: put aside");
                    disk.rename(&dir, &self.config.log_dir.join(name)).map_err(failed)?;
                }
                Some(_) => {}
                None => tracing::warn!(folder, "does not say its topic: taken by its name"),
            }
        }
        let clean = view.closed_cleanly.contains(folder);
        let shutdown = if clean { Shutdown::Clean } else { Shutdown::Unclean };
        let log = open_log(disk, &dir, config, shutdown, now)?;
        if read_topic_id(&**disk, &dir).map_err(failed)?.is_none() {
            write_topic_id(&**disk, &dir, id).map_err(failed)?;
        }
        Ok(log)
    }

    /// The partition's topic was deleted, durably: all who wait are told, its folder goes.
    fn remove_partition(&mut self, key: &PartitionKey) {
        let Some(mut partition) = self.partitions.map.remove(key) else { return };
        self.partitions.dirty.remove(key);
        self.drop_flush_timer(&mut partition);
        let error = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        for (asker, slot) in partition.take_unverified() {
            self.tell(asker, Told::Appended(super::append::refused(slot, error, None)));
        }
        for (_, then) in std::mem::take(&mut partition.waits) {
            match then {
                Then::Tell(asker, Told::Appended(outcome)) => {
                    let refused = super::append::refused(outcome.slot, error, None);
                    self.tell(asker, Told::Appended(refused));
                }
                Then::Tell(asker, Told::Marked { key, .. }) => {
                    self.tell(asker, Told::Marked { key, error });
                }
                then => self.then(then),
            }
        }
        self.wake_all_watchers(&partition);
        let folder = format!("{}-{}", partition.topic, key.partition);
        let dir = self.config.log_dir.join(&folder);
        drop(partition);
        let away =
            self.config.log_dir.join(put_away_name(&folder, &key.topic.to_string(), "delete"));
        match self.disk.rename(&dir, &away) {
            Ok(()) => self.effects.push_back(Effect::Remove { paths: vec![away] }),
            // The folder is found again at the next start, as a stray.
            Err(error) => tracing::error!(folder, %error, "rename a deleted partition's folder"),
        }
    }

    /// Closes all logs; names the folders that were closed well.
    pub(crate) fn close_logs(&mut self) -> Vec<String> {
        let mut closed = Vec::new();
        for partition in self.partitions.map.values_mut() {
            match partition.log.close() {
                Ok(()) => closed.push(format!("{}-{}", partition.topic, partition.key.partition)),
                Err(error) => {
                    tracing::error!(topic = &*partition.topic, %error, "close a log");
                }
            }
        }
        closed
    }
}

impl Partitions {
    /// Puts a log that is no topic of the image among the partitions: the metadata log.
    pub(crate) fn adopt(&mut self, partition: Partition) {
        self.map.insert(partition.key, partition);
    }
}
