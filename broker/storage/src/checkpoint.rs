//! The small files beside the segments.
//!
//! `cleaner-checkpoint` is one line of text, `v0 first-dirty=<offset>`: what lies before has been
//! compacted. It may be lost or old, which costs a second look at clean segments. Kafka keeps these
//! offsets of a whole directory in one file too.
//!
//! `leader-epoch-checkpoint` and `partition.metadata` are Kafka's text files. `recovery-checkpoint` is
//! ours: Kafka keeps recovery points and log starts of a whole directory in one file; a file per
//! partition lets partitions be moved and forgotten alone.
//!
//! Layout of `recovery-checkpoint`: two slots of 128 bytes, each one line of text,
//! `v0 recovery-point=<20 digits> log-start=<20 digits> turn=<20 digits> crc32c=<8 hex digits>`, the
//! checksum being over what stands before ` crc32c`. The slot with the larger turn counts. Slots are
//! written in place by turns, and the other one is not touched before this one is synced, so that one
//! of them is always whole. A slot is written only after the data it speaks of was synced. What one
//! life of the process has made durable no later one may lose: compaction has left gaps before it.

use crate::error::StorageError;
use crate::names::{PARTITION_METADATA, RECOVERY_CHECKPOINT};
use crate::slice::Shutdown;
use mainstem_platform::{Disk, File, OpenMode, replace_file};
use mainstem_protocol::ids::{LeaderEpoch, Offset, TopicId};
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

const SLOT_BYTES: usize = 128;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecoveryPoint {
    /// Everything before is synced.
    pub(crate) recovery_point: Offset,
    /// Records before are deleted.
    pub(crate) log_start: Offset,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct RecoveryCheckpoint {
    file: Arc<dyn File>,
    value: RecoveryPoint,
    /// The last value that is known to have reached the disk.
    durable: RecoveryPoint,
    turn: u64,
    /// The slot of `turn` waits for a sync.
    unsynced: bool,
    /// The slot of `turn` is known to be durable, so the other one may be overwritten.
    settled: bool,
}

impl RecoveryCheckpoint {
    /// Opens or creates the file. Without a readable slot the answer is zero for both: there was
    /// none that a sync has covered.
    ///
    /// After an unclean end the newer slot may be in the page cache only, and the process before may
    /// have seen its sync fail: it is written once more, as it is, and synced. Neither slot alone
    /// could be overwritten before: the newer one may be the one that compaction has relied upon,
    /// and the other the only one on the disk.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        shutdown: Shutdown,
    ) -> Result<Self, StorageError> {
        let path = dir.join(RECOVERY_CHECKPOINT);
        let failed = || StorageError::disk("open", &path);
        let file = disk.open(&path, OpenMode::OpenOrCreate).map_err(failed())?;
        let mut bytes = [0; 2 * SLOT_BYTES];
        let len = file.read_at(&mut bytes, 0).map_err(failed())?;
        let zero = RecoveryPoint { recovery_point: Offset(0), log_start: Offset(0) };
        let newest = bytes
            .chunks_exact(SLOT_BYTES)
            .filter(|_| len > 0)
            .filter_map(|slot| Some((slot, parse_slot(slot)?)))
            .max_by_key(|(_, (turn, _))| *turn);
        let Some((slot, (turn, value))) = newest else {
            let (value, durable) = (zero, zero);
            return Ok(Self { file, value, durable, turn: 0, unsynced: false, settled: false });
        };
        if shutdown == Shutdown::Unclean {
            file.write_at(slot, position(turn)).map_err(failed())?;
            file.sync_data().map_err(failed())?;
        }
        Ok(Self { file, value, durable: value, turn, unsynced: false, settled: true })
    }

    pub(crate) fn value(&self) -> RecoveryPoint {
        self.value
    }

    /// Everything before is synced, and a crash at any moment will know it.
    pub(crate) fn durable_recovery_point(&self) -> Offset {
        self.durable.recovery_point
    }

    /// Lets the present value join the next sync, written or not.
    pub(crate) fn demand_sync(&mut self) {
        self.unsynced = true;
    }

    /// Writes a new value; durable once `file` is synced and [`Self::synced`] was told.
    pub(crate) fn write(&mut self, value: RecoveryPoint) -> io::Result<()> {
        if value == self.value {
            return Ok(());
        }
        if self.settled {
            self.turn += 1;
        }
        let mut line = format!(
            "v0 recovery-point={:020} log-start={:020} turn={:020}",
            value.recovery_point.0, value.log_start.0, self.turn
        );
        let crc = crc32c::crc32c(line.as_bytes());
        // Writing into a String cannot fail.
        let _ = write!(line, " crc32c={crc:08x}");
        let mut slot = [b' '; SLOT_BYTES];
        slot[..line.len()].copy_from_slice(line.as_bytes());
        slot[SLOT_BYTES - 1] = b'\n';
        self.file.write_at(&slot, position(self.turn))?;
        self.value = value;
        self.unsynced = true;
        self.settled = false;
        Ok(())
    }

    pub(crate) fn unsynced_file(&self) -> Option<Arc<dyn File>> {
        self.unsynced.then(|| self.file.clone())
    }

    pub(crate) fn synced(&mut self) {
        self.unsynced = false;
        self.settled = true;
        self.durable = self.value;
    }
}

fn position(turn: u64) -> u64 {
    turn % 2 * SLOT_BYTES as u64
}

fn parse_slot(slot: &[u8]) -> Option<(u64, RecoveryPoint)> {
    let text = std::str::from_utf8(slot).ok()?.trim_end();
    let (said, crc) = text.split_once(" crc32c=")?;
    if u32::from_str_radix(crc, 16).ok()? != crc32c::crc32c(said.as_bytes()) {
        return None;
    }
    let mut words = said.strip_prefix("v0 ")?.split(' ');
    let mut number = |key: &str| -> Option<i64> {
        words.next()?.strip_prefix(key)?.strip_prefix('=')?.parse().ok()
    };
    let recovery_point = Offset(number("recovery-point")?);
    let log_start = Offset(number("log-start")?);
    let turn = u64::try_from(number("turn")?).ok()?;
    Some((turn, RecoveryPoint { recovery_point, log_start }))
}

/// The line of `cleaner-checkpoint`.
pub(crate) fn format_first_dirty(offset: Offset) -> String {
    format!("v0 first-dirty={offset}\n")
}

/// `None` when it is not a whole line of ours.
pub(crate) fn parse_first_dirty(text: &str) -> Option<Offset> {
    let offset = text.strip_prefix("v0 first-dirty=")?.strip_suffix('\n')?;
    offset.parse().ok().map(Offset)
}

/// The lines of `leader-epoch-checkpoint`: version 0, the count, then `<epoch> <start offset>`.
pub(crate) fn format_epochs(entries: &[(LeaderEpoch, Offset)]) -> String {
    let mut text = format!("0\n{}\n", entries.len());
    for (epoch, start) in entries {
        let _ = writeln!(text, "{epoch} {start}");
    }
    text
}

/// `None` when the text is not whole and in order: the caller rebuilds the history from the log.
pub(crate) fn parse_epochs(text: &str) -> Option<Vec<(LeaderEpoch, Offset)>> {
    let mut lines = text.lines();
    // Without its last newline the last number may be cut.
    if !text.ends_with('\n') || lines.next()? != "0" {
        return None;
    }
    let count: usize = lines.next()?.parse().ok()?;
    let mut entries: Vec<(LeaderEpoch, Offset)> = Vec::new();
    for line in lines {
        let (epoch, start) = line.split_once(' ')?;
        let entry = (LeaderEpoch(epoch.parse().ok()?), Offset(start.parse().ok()?));
        if entries.last().is_some_and(|last| entry.0 <= last.0 || entry.1 < last.1) {
            return None;
        }
        entries.push(entry);
    }
    (entries.len() == count).then_some(entries)
}

/// Writes `partition.metadata`, durably: it tells a directory of a deleted topic from one of a new
/// topic with the same name.
pub fn write_partition_metadata(
    disk: &dyn Disk,
    dir: &Path,
    topic_id: TopicId,
) -> Result<(), StorageError> {
    let path = dir.join(PARTITION_METADATA);
    disk.create_dir_all(dir).map_err(StorageError::disk("create", dir))?;
    let text = format!("version: 0\ntopic_id: {topic_id}\n");
    replace_file(disk, &path, text.as_bytes()).map_err(StorageError::disk("write", path))
}

/// Reads `partition.metadata`; `None` when there is none or it cannot be understood.
pub fn read_partition_metadata(
    disk: &dyn Disk,
    dir: &Path,
) -> Result<Option<TopicId>, StorageError> {
    let path = dir.join(PARTITION_METADATA);
    let Some(text) = read_text(disk, &path)? else { return Ok(None) };
    let id = text.lines().find_map(|line| line.strip_prefix("topic_id: "));
    Ok(id.and_then(|id| TopicId::from_str(id.trim()).ok()))
}

/// The content of a small text file; `None` when it is missing or not text.
pub(crate) fn read_text(disk: &dyn Disk, path: &Path) -> Result<Option<String>, StorageError> {
    /// No text file of ours comes near this size.
    const TEXT_BYTES_MAX: u64 = 16 << 20;
    let failed = || StorageError::disk("read", path);
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed()(error)),
    };
    let len = file.len().map_err(failed())?;
    if len > TEXT_BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0).map_err(failed())?;
    Ok(String::from_utf8(bytes).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstem_platform::simulated::SimulatedDisk;

    fn value(recovery_point: i64) -> RecoveryPoint {
        RecoveryPoint { recovery_point: Offset(recovery_point), log_start: Offset(0) }
    }

    fn open(disk: &SimulatedDisk) -> RecoveryCheckpoint {
        RecoveryCheckpoint::open(disk, Path::new("/t-0"), Shutdown::Unclean).expect("opens")
    }

    /// Lives that write and sync as they like, and end by a loss of power that tears what was not
    /// synced: what one of them knew to be durable, the next one finds.
    #[test]
    fn what_was_durable_is_found_after_any_crash() {
        for seed in 0..2_000_u64 {
            let disk = SimulatedDisk::new();
            disk.create_dir_all(Path::new("/t-0")).expect("a directory");
            let mut durable = 0;
            let mut dice = seed;
            for life in 0..6 {
                let mut checkpoint = open(&disk);
                disk.sync_dir(Path::new("/t-0")).expect("the name is synced");
                disk.sync_dir(Path::new("/")).expect("and that of the directory");
                let found = checkpoint.value().recovery_point.0;
                assert!(durable <= found, "seed {seed}: {found} in life {life}, {durable} before");
                for step in 0..3 {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    match dice >> 62 {
                        0 => break,
                        1 => {
                            if let Some(file) = checkpoint.unsynced_file() {
                                file.sync_data().expect("synced");
                                checkpoint.synced();
                            }
                        }
                        _ => checkpoint.write(value(found + step + 1)).expect("written"),
                    }
                }
                durable = durable.max(checkpoint.durable_recovery_point().0);
                match dice >> 40 & 1 {
                    0 => disk.crash(dice),
                    _ => disk.kill_process(),
                }
            }
        }
    }
}
