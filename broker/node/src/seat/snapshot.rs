//! Snapshots of the metadata log: the image in a file, so that the log before it can go.
//!
//! A snapshot is Kafka's `<offset>-<epoch>.checkpoint` beside the log's segments: record batches,
//! the first with a header and the last with a footer as control records, and the records of the
//! image between them. It holds what the log says before `offset`. Start-up reads the newest whole
//! snapshot and the log from there on.
//!
//! Invariants:
//! - The log is cut only behind a snapshot that is durable under its name.
//! - A snapshot without its footer, or with a wrong checksum, is none.
//!
//! Absent on purpose: sending snapshots to other controllers.

use super::load::{RECORDS_BYTES_MAX, for_each_batch};
use crate::effect::Effect;
use crate::log_dirs::LogDirIndex;
use crate::node::ShardNode;
use crate::seat::controller::METADATA_KEY;
use bytes::Bytes;
use mainstem_metadata::{Image, MetadataRecord};
use mainstem_platform::{Disk, OpenMode, replace_file};
use mainstem_protocol::record::{Batch, BatchBuilder, batches};
use mainstem_protocol::{LeaderEpoch, Offset};
use mainstem_storage::Log;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

const SUFFIX: &str = ".checkpoint";
/// Records of one batch are about as many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// An image has at most `partitions_max` partitions of some hundred bytes; this stops a damaged
/// directory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Keys of control records: version 0, then the type. Values: version 0, fields, no tagged fields.
const HEADER_KEY: [u8; 4] = [0, 0, 0, 3];
const FOOTER_KEY: [u8; 4] = [0, 0, 0, 4];
const FOOTER_VALUE: [u8; 3] = [0; 3];

fn header_value(last_timestamp_ms: i64) -> [u8; 11] {
    let mut value = [0; 11];
    value[2..10].copy_from_slice(&last_timestamp_ms.to_be_bytes());
    value
}

fn name(offset: Offset, epoch: LeaderEpoch) -> String {
    format!("{:020}-{:010}{SUFFIX}", offset.0, epoch.0)
}

fn parse(name: &str) -> Option<Offset> {
    let (offset, epoch) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let _: i32 = epoch.parse().ok()?;
    (offset.len() == 20).then(|| offset.parse().ok().map(Offset))?
}

/// The snapshots in a folder, by their offset.
fn list(disk: &dyn Disk, dir: &Path) -> io::Result<BTreeMap<Offset, PathBuf>> {
    let entries = disk.list(dir)?;
    let found = entries.iter().filter(|entry| !entry.is_dir);
    Ok(found.filter_map(|e| Some((parse(&e.name)?, dir.join(&e.name)))).collect())
}

/// The image of the metadata log, and how many bytes of the log lie behind its snapshot.
pub(super) fn load(disk: &dyn Disk, log: &Log) -> Result<(Image, u64), String> {
    let snapshots = list(disk, log.dir()).map_err(|error| error.to_string())?;
    let mut begun = None;
    for (offset, path) in snapshots.iter().rev() {
        match read(disk, path) {
            Ok(image) => {
                begun = Some((*offset, image));
                break;
            }
            Err(problem) => tracing::error!(path = %path.display(), problem, "a bad snapshot"),
        }
    }
    let (from, mut image) = begun.unwrap_or((Offset::ZERO, Image::new()));
    if from < log.log_start_offset() || log.log_end_offset() < from {
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        return Err(format!("the newest whole snapshot ends at {from}, the log is {start}..{end}"));
    }
    let mut tail_bytes = 0;
    for_each_batch(log, from, |batch| {
        tail_bytes += batch.bytes().len() as u64;
        apply(&mut image, batch, from)
    })?;
    Ok((image, tail_bytes))
}

/// Applies the records of a batch, from an offset on.
fn apply(image: &mut Image, batch: &Batch, from: Offset) -> Result<(), String> {
    let view = batch.view();
    if view.is_control() {
        return Ok(());
    }
    for record in batch.records(RECORDS_BYTES_MAX).map_err(|error| error.to_string())? {
        let record = record.map_err(|error| error.to_string())?;
        if view.offset_of(&record) < from {
            continue;
        }
        let record = MetadataRecord::decode(record.value.unwrap_or_default());
        let record = record.map_err(|error| error.to_string())?;
        image.apply(&record).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Image, String> {
    let bytes = read_file(disk, path).map_err(|error| error.to_string())?;
    let mut image = Image::new();
    let mut is_whole = false;
    for batch in batches(&bytes) {
        let batch = batch.map_err(|error| error.to_string())?;
        batch.view().check_checksum().map_err(|error| error.to_string())?;
        is_whole = false;
        if batch.view().is_control() {
            let mut records =
                batch.records(RECORDS_BYTES_MAX).map_err(|error| error.to_string())?;
            let record = records.next().transpose().map_err(|error| error.to_string())?;
            let key = record.and_then(|record| record.key);
            is_whole = key.is_some_and(|key| key[..] == FOOTER_KEY);
        }
        apply(&mut image, &batch, Offset::ZERO)?;
    }
    if is_whole { Ok(image) } else { Err("has no footer".to_owned()) }
}

fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Bytes> {
    let file = disk.open(path, OpenMode::Read)?;
    let len = file.len()?;
    if FILE_BYTES_MAX < len {
        return Err(io::Error::other(format!("has {len} bytes")));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes.into())
}

/// The bytes of a snapshot.
fn encode(image: &Image, epoch: LeaderEpoch, timestamp_ms: i64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut offset = Offset::ZERO;
    let mut write = |builder: BatchBuilder| -> Result<(), String> {
        let count = i64::from(builder.record_count());
        let batch = builder.base_offset(offset).leader_epoch(epoch).finish();
        bytes.extend_from_slice(&batch.map_err(|error| error.to_string())?);
        offset = offset.plus(count);
        Ok(())
    };
    let control = |key: &[u8], value: &[u8]| {
        let mut builder = BatchBuilder::new().control();
        builder.push(timestamp_ms, Some(key), Some(value), &[]);
        builder
    };
    write(control(&HEADER_KEY, &header_value(timestamp_ms)))?;
    let mut builder = BatchBuilder::new();
    for record in image.records() {
        let value = record.encode().map_err(|error| error.to_string())?;
        builder.push(timestamp_ms, None, Some(&value[..]), &[]);
        if BATCH_BYTES <= builder.size_bytes() {
            write(std::mem::take(&mut builder))?;
        }
    }
    if !builder.is_empty() {
        write(builder)?;
    }
    write(control(&FOOTER_KEY, &FOOTER_VALUE))?;
    Ok(bytes)
}

impl ShardNode {
    /// Writes a snapshot and cuts the metadata log behind it, when enough was written since the
    /// last one. What stands in the way is said and tried again later; the log only gets longer.
    pub(crate) fn snapshot_metadata(&mut self, timestamp_ms: i64) {
        let due = self.config.metadata_snapshot_bytes;
        if self.seat.as_ref().is_none_or(|seat| seat.bytes_since_snapshot < due) {
            return;
        }
        let Some(view) = self.cluster.clone() else { return };
        // With flush=os the log may end earlier after a power cut than the snapshot says.
        if let Err(reason) = self.sync_metadata() {
            self.fail_dir(LogDirIndex::FIRST, &reason);
            return;
        }
        let dir = self.dirs.path(LogDirIndex::FIRST).join(super::controller::METADATA_FOLDER);
        let epoch = LeaderEpoch(view.run);
        let bytes = match encode(&view.image, epoch, timestamp_ms) {
            Ok(bytes) => bytes,
            Err(problem) => {
                tracing::error!(problem, "encode a snapshot of the metadata");
                return;
            }
        };
        let path = dir.join(name(view.offset, epoch));
        if let Err(error) = replace_file(&*self.disk, &path, &bytes) {
            let problem = format!("write {}: {error}", path.display());
            match error.kind() {
                // The log is whole, and there may be room at the next round.
                io::ErrorKind::StorageFull => tracing::error!(problem, "no snapshot is written"),
                _ => self.fail_dir(LogDirIndex::FIRST, &problem),
            }
            return;
        }
        if let Some(seat) = self.seat.as_mut() {
            seat.bytes_since_snapshot = 0;
        }
        let Some(partition) = self.partitions.get_mut(&METADATA_KEY) else { return };
        // Housekeeping takes the segments that lie before the start away.
        if let Err(error) = partition.log.delete_records_before(view.offset) {
            self.storage_failed(LogDirIndex::FIRST, "cut the metadata log", &error);
            return;
        }
        self.partitions.touch(METADATA_KEY);
        let old = list(&*self.disk, &dir).unwrap_or_default();
        let old: Vec<PathBuf> =
            old.into_iter().filter(|(at, _)| *at < view.offset).map(|(_, path)| path).collect();
        if !old.is_empty() {
            self.effects.push_back(Effect::Remove { paths: old });
        }
    }
}
