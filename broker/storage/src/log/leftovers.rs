//! What a crash left half done in the directory, brought to an end before the log is opened.
//!
//! - `.cleaned` and `.tmp` files were being written: removed.
//! - `.deleted` files were being removed: removed.
//! - A `.log.swap` is complete and synced (compaction renames only then): it takes the place of the
//!   segments whose offsets it covers, with its indexes. Those that a crash has lost are rebuilt.
//! - Indexes and transaction indexes without a log file: removed.

use crate::error::StorageError;
use crate::header::BatchHeader;
use crate::names::{Kind, SegmentFile, Stage};
use crate::scan::{HeaderScan, ScanError};
use crate::segment::Segment;
use mainstem_platform::{Disk, Entry, OpenMode};
use mainstem_protocol::ids::Offset;
use std::collections::BTreeSet;
use std::path::Path;

/// What is in the directory once order is made.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Bases of segments.
    pub(super) bases: BTreeSet<Offset>,
    /// Offsets of producer snapshots.
    pub(super) snapshots: BTreeSet<Offset>,
    /// Segments without an offset index or time index of their own.
    pub(super) unindexed: BTreeSet<Offset>,
}

/// Makes order and tells what is there.
pub(super) fn settle(disk: &dyn Disk, dir: &Path) -> Result<Listing, StorageError> {
    let mut changed = false;
    let names = list(disk, dir)?;
    let swaps: BTreeSet<Offset> = names
        .iter()
        .filter_map(|entry| SegmentFile::parse(&entry.name))
        .filter(|file| file.kind == Kind::Log && file.stage == Stage::Swap)
        .map(|file| file.base)
        .collect();
    for Entry { name, is_dir, .. } in names {
        let goes = match SegmentFile::parse(&name) {
            Some(SegmentFile { stage: Stage::Live, .. }) => false,
            Some(SegmentFile { stage: Stage::Swap, base, .. }) => !swaps.contains(&base),
            Some(_) => true,
            None => name.ends_with(".tmp"),
        };
        if goes && !is_dir {
            remove(disk, &dir.join(name))?;
            changed = true;
        }
    }
    for base in swaps {
        finish_swap(disk, dir, base)?;
        changed = true;
    }
    let mut listing = Listing::default();
    let mut indexed = [BTreeSet::new(), BTreeSet::new()];
    let mut orphans = Vec::new();
    for Entry { name, .. } in list(disk, dir)? {
        let Some(SegmentFile { base, kind, .. }) = SegmentFile::parse(&name) else { continue };
        match kind {
            Kind::Log => drop(listing.bases.insert(base)),
            Kind::Snapshot => drop(listing.snapshots.insert(base)),
            Kind::OffsetIndex => drop(indexed[0].insert(base)),
            Kind::TimeIndex => drop(indexed[1].insert(base)),
            Kind::TransactionIndex => {}
        }
        if !matches!(kind, Kind::Log | Kind::Snapshot) {
            orphans.push((base, name));
        }
    }
    for (base, name) in orphans {
        if !listing.bases.contains(&base) {
            remove(disk, &dir.join(name))?;
            changed = true;
        }
    }
    if changed {
        disk.sync_dir(dir).map_err(StorageError::disk("sync", dir))?;
    }
    let whole = |base: &Offset| indexed.iter().all(|kind| kind.contains(base));
    listing.unindexed = listing.bases.iter().copied().filter(|base| !whole(base)).collect();
    Ok(listing)
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<Entry>, StorageError> {
    disk.list(dir).map_err(StorageError::disk("list", dir))
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    disk.remove_file(path).map_err(StorageError::disk("remove", path))
}

/// Puts a compacted segment in the place of those it was made from.
///
/// Those are the ones with a base from the swap's own up to its last offset: compaction keeps the head
/// of the last batch in any case.
fn finish_swap(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<(), StorageError> {
    let swap = SegmentFile { base, kind: Kind::Log, stage: Stage::Swap }.path(dir);
    let end = end_of_batches(disk, &swap, base)?;
    for Entry { name, .. } in list(disk, dir)? {
        let Some(file) = SegmentFile::parse(&name) else { continue };
        let covered = base == file.base || (base < file.base && file.base < end);
        let replaced = file.stage == Stage::Live && !matches!(file.kind, Kind::Snapshot);
        // The log at the base itself is replaced by the rename below.
        if covered && replaced && !(file.kind == Kind::Log && file.base == base) {
            remove(disk, &dir.join(name))?;
        }
    }
    // The log comes last: as long as its name is the old one, all this may be done again. Then the
    // indexes that were renamed before are taken for old ones and rebuilt.
    for kind in [Kind::OffsetIndex, Kind::TimeIndex, Kind::TransactionIndex, Kind::Log] {
        let from = SegmentFile { base, kind, stage: Stage::Swap }.path(dir);
        if disk.exists(&from).map_err(StorageError::disk("look for", &from))? {
            let live = SegmentFile::live(base, kind).path(dir);
            disk.rename(&from, &live).map_err(StorageError::disk("rename", &from))?;
        }
    }
    Ok(())
}

fn end_of_batches(disk: &dyn Disk, path: &Path, base: Offset) -> Result<Offset, StorageError> {
    let failed = || StorageError::disk("read", path);
    let file = disk.open(path, OpenMode::Read).map_err(failed())?;
    let size = file.len().map_err(failed())?;
    let mut buffer = vec![0; 16 << 10];
    let mut scan = HeaderScan::new(&*file, 0, size, &mut buffer);
    let mut end = base;
    loop {
        match scan.step() {
            Ok(None) => return Ok(end),
            Ok(Some((_, header))) => end = BatchHeader::next_offset(&header),
            Err(ScanError::Disk(error)) => return Err(failed()(error)),
            Err(ScanError::Bad { reason, .. }) => {
                return Err(StorageError::Corrupt { path: path.to_owned(), offset: end, reason });
            }
        }
    }
}

/// Removes all files of a segment, for good; its snapshot stays.
pub(super) fn remove_segment(
    disk: &dyn Disk,
    dir: &Path,
    base: Offset,
) -> Result<(), StorageError> {
    for (kind, path) in Segment::paths(base, dir) {
        let exists = disk.exists(&path).map_err(StorageError::disk("look for", &path))?;
        if exists && kind != Kind::Snapshot {
            remove(disk, &path)?;
        }
    }
    Ok(())
}
