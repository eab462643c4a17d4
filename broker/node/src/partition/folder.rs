//! Folders of partitions: `<topic>-<n>` in one of the log directories, one per partition.
//!
//! Each holds, beside the log, `partition.metadata`: the id of the topic it belongs to, in
//! Kafka's layout (`version: 0`, `topic_id: ...`), so that a folder of a deleted topic is never
//! taken for one of a new topic of the same name.
//!
//! Invariants:
//! - Data is removed only for a topic whose deletion is durable, and only after its folder was
//!   renamed to `*-delete`; a crash in between is finished at the next start.
//! - `*-future` is a copy on its way to another directory and counts for nothing until it is renamed.
//! - A folder that the metadata does not explain is renamed to `*-stray` and kept: absent
//!   metadata is no proof that data is unwanted.

use super::opening::Opening;
use super::{FlushRule, Partition, Partitions};
use crate::ask::PartitionKey;
use crate::cluster::ClusterView;
use crate::config::NodeConfig;
use crate::effect::Effect;
use crate::log_dirs::{LogDirIndex, LogDirs};
use crate::node::ShardNode;
use mainstem_metadata::config::{TimestampType as TopicTimestampType, TopicSettings};
use mainstem_metadata::{Image, TopicImage};
use mainstem_platform::{Disk, Now, OpenMode, Random};
use mainstem_protocol::compression::Level;
use mainstem_protocol::{ErrorCode, TopicId};
use mainstem_storage::{CleanupPolicy, LogConfig, Shutdown, TimestampType};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest file name of the file systems we know.
const NAME_BYTES_MAX: usize = 255;
const TOPIC_ID_FILE: &str = "partition.metadata";

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

pub(super) fn read_topic_id(disk: &dyn Disk, dir: &Path) -> io::Result<Option<TopicId>> {
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

pub(super) fn write_topic_id(disk: &dyn Disk, dir: &Path, id: TopicId) -> io::Result<()> {
    // Not synced on its own: a folder whose file was lost to a crash is adopted again by name.
    let file = disk.open(&dir.join(TOPIC_ID_FILE), OpenMode::CreateOrTruncate)?;
    file.write_at(format!("version: 0\ntopic_id: {id}\n").as_bytes(), 0)
}

/// A name for a folder that is put away; as much of the old name as fits.
pub(super) fn put_away_name(folder: &str, id: &str, why: &str) -> String {
    let rest = NAME_BYTES_MAX - id.len() - why.len() - 2;
    let kept: String = folder.chars().take(rest).collect();
    format!("{kept}.{id}-{why}")
}

/// Topic and partition of a folder's name.
fn parse_folder(name: &str) -> Option<(&str, usize)> {
    let (topic, partition) = name.rsplit_once('-')?;
    Some((topic, partition.parse().ok()?))
}

/// What was found in the log directories at a start.
pub(crate) struct Sorted {
    /// Folders of partitions, and in which directory they are.
    pub(crate) folders: BTreeMap<String, LogDirIndex>,
    /// Folders whose removal was not finished, and copies that were not.
    pub(crate) removals: Vec<PathBuf>,
}

/// At start: finds the folders of partitions, renames those that the metadata does not explain,
/// and finds the ones whose removal was not finished.
pub(crate) fn sort_folders(
    disk: &dyn Disk,
    dirs: &LogDirs,
    image: &Image,
    tag: &str,
) -> io::Result<Sorted> {
    let mut sorted = Sorted { folders: BTreeMap::new(), removals: Vec::new() };
    for dir in dirs.online() {
        let log_dir = dirs.path(dir);
        for entry in disk.list(log_dir)?.into_iter().filter(|entry| entry.is_dir) {
            let path = log_dir.join(&entry.name);
            // A copy that had not taken its partition's place is worth nothing: the original is.
            if entry.name.ends_with("-delete") || entry.name.ends_with("-future") {
                sorted.removals.push(path);
                continue;
            }
            let Some((topic, partition)) = parse_folder(&entry.name) else { continue };
            if topic == crate::cluster::METADATA_TOPIC {
                continue;
            }
            let known = image.topic(topic).is_some_and(|topic| partition < topic.partitions.len());
            if !known {
                tracing::error!(folder = entry.name, "no topic explains this folder: put aside");
                let aside = log_dir.join(put_away_name(&entry.name, tag, "stray"));
                disk.rename(&path, &aside)?;
                continue;
            }
            match sorted.folders.get(&entry.name).copied() {
                None => drop(sorted.folders.insert(entry.name, dir)),
                Some(other) => {
                    let keep = settle_double(disk, dirs, &entry.name, [other, dir], tag)?;
                    sorted.folders.insert(entry.name, keep);
                }
            }
        }
    }
    Ok(sorted)
}

/// A partition with folders in two directories: a move was cut short between the two renames that
/// end it, or the disk failed there. At that point both held the same, and only one can have grown
/// since: the one that ends later. The other one is put aside, not removed: nobody shall have to
/// trust this comment.
fn settle_double(
    disk: &dyn Disk,
    dirs: &LogDirs,
    folder: &str,
    [first, second]: [LogDirIndex; 2],
    tag: &str,
) -> io::Result<LogDirIndex> {
    // The name of the last segment is its first offset, with all digits. Sizes of all segments
    // would not do: retention and compaction may have been at work in the one that counts.
    let end = |dir: LogDirIndex| -> io::Result<Option<(String, u64)>> {
        let entries = disk.list(&dirs.path(dir).join(folder))?;
        let segments = entries.into_iter().filter(|entry| entry.name.ends_with(".log"));
        Ok(segments.map(|entry| (entry.name, entry.len)).max())
    };
    let (keep, aside) = match end(first)? < end(second)? {
        true => (second, first),
        false => (first, second),
    };
    let path = dirs.path(aside).join(folder);
    let path_kept = dirs.path(keep);
    tracing::error!(path = %path.display(), kept = %path_kept.display(), "a folder stands twice");
    disk.rename(&path, &dirs.path(aside).join(put_away_name(folder, tag, "stray")))?;
    disk.sync_dir(dirs.path(aside))?;
    Ok(keep)
}

impl ShardNode {
    /// Opens what the view has on this shard and closes what it has no more. Returns what was
    /// opened.
    pub(crate) fn follow_view(
        &mut self,
        now: Now,
        old: Option<&Image>,
        view: &ClusterView,
    ) -> Vec<PartitionKey> {
        let mut openings = Vec::new();
        for topic in view.image.topics() {
            let before = old.and_then(|old| old.topic_by_id(topic.id));
            if before.is_some_and(|before| Arc::ptr_eq(before, topic)) {
                continue;
            }
            self.follow_topic(view, topic, &mut openings);
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
        self.remove_offline(view);
        if openings.is_empty() { Vec::new() } else { self.open_partitions(now, openings) }
    }

    pub(super) fn follow_topic(
        &mut self,
        view: &ClusterView,
        topic: &TopicImage,
        openings: &mut Vec<Opening>,
    ) {
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
            if self.partitions.offline.contains_key(&key) {
                continue;
            }
            let dir = view.placement.get(&key).unwrap_or(LogDirIndex::FIRST);
            if !self.dirs.is_online(dir) {
                self.never_opened(Arc::clone(&topic.name), key, dir, false);
                continue;
            }
            let folder = format!("{}-{}", topic.name, partition.index);
            let clean = view.closed_cleanly[dir.place()].contains(&folder);
            openings.push(Opening {
                topic: Arc::clone(&topic.name),
                key,
                dir,
                log_dir: self.dirs.path(dir).to_owned(),
                folder,
                config: log_config(&settings, &self.config),
                jitter_seed: self.random.next_u64(),
                shutdown: if clean { Shutdown::Clean } else { Shutdown::Unclean },
                leader_epoch: partition.leader_epoch,
                flush: FlushRule::from(&settings),
                in_sync_enough,
            });
        }
    }

    /// The partition's topic was deleted, durably: all who wait are told, its folder goes.
    fn remove_partition(&mut self, key: &PartitionKey) {
        let Some(partition) = self.partitions.map.remove(key) else { return };
        let (topic, dir) = (Arc::clone(&partition.topic), partition.dir);
        self.forget_removals(partition.log.dir());
        self.drop_future(&partition);
        self.dismiss(partition, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        self.remove_folder(&topic, key, dir);
    }

    /// Offline partitions may be deleted as well; their folders go where the directory works.
    fn remove_offline(&mut self, view: &ClusterView) {
        self.partitions.offline_elsewhere.retain(|key| view.has_partition(key));
        let offline = std::mem::take(&mut self.partitions.offline);
        for (key, offline) in offline {
            if view.has_partition(&key) {
                self.partitions.offline.insert(key, offline);
            } else if self.dirs.is_online(offline.dir) {
                self.remove_folder(&offline.topic, &key, offline.dir);
            }
        }
    }

    fn remove_folder(&mut self, topic: &str, key: &PartitionKey, dir: LogDirIndex) {
        let folder = format!("{topic}-{}", key.partition);
        let log_dir = self.dirs.path(dir);
        let away = log_dir.join(put_away_name(&folder, &key.topic.to_string(), "delete"));
        match self.disk.rename(&log_dir.join(&folder), &away) {
            Ok(()) => self.effects.push_back(Effect::Remove { paths: vec![away] }),
            // The folder is found again at the next start, as a stray.
            Err(error) => tracing::error!(folder, %error, "rename a deleted partition's folder"),
        }
    }

    /// Closes all logs; names the folders of each directory that were closed well.
    pub(crate) fn close_logs(&mut self) -> Vec<Vec<String>> {
        let mut closed = vec![Vec::new(); self.dirs.len()];
        for partition in self.partitions.map.values_mut() {
            match partition.log.close() {
                Ok(()) => {
                    let folder = format!("{}-{}", partition.topic, partition.key.partition);
                    closed[partition.dir.place()].push(folder);
                }
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
