//! Reads of partitions, and telling fetches when there is more.
//!
//! Invariants:
//! - No reader sees past the bound of its isolation, and a read-committed answer always carries
//!   the aborted transactions of its range, however it came about.
//! - A watch speaks once. It is set together with the read whose result it is about, so no growth
//!   falls between the two.

use super::{Partition, Partitions};
use crate::ask::{Asker, Isolation, PartitionKey, ReadAsk, ReadItem, ReadOutcome, Told};
use crate::node::ShardNode;
use mainstem_protocol::{ErrorCode, Offset};
use mainstem_storage::{Bound, ReadError};

/// One fetch that wants to know of growth.
pub(super) struct Watch {
    round: u32,
    keys: Vec<PartitionKey>,
}

impl Partitions {
    /// A fetch does not want to know any more.
    pub(super) fn unwatch(&mut self, asker: Asker) {
        let Some(watch) = self.watches.remove(&asker) else { return };
        for key in watch.keys {
            if let Some(partition) = self.map.get_mut(&key) {
                partition.watchers.remove(&asker);
            }
        }
    }
}

impl ShardNode {
    pub(super) fn handle_read(&mut self, asker: Asker, ask: &ReadAsk) {
        self.partitions.unwatch(asker);
        let mut outcomes = Vec::with_capacity(ask.items.len());
        let mut left = ask.bytes_max;
        let mut keys = Vec::new();
        for item in &ask.items {
            let Some(partition) = self.partitions.map.get_mut(&item.key) else {
                outcomes.push(failed(item, self.absence(&item.key)));
                continue;
            };
            let nothing_yet = left == ask.bytes_max;
            let outcome = read(partition, item, ask.isolation, left, nothing_yet);
            left = left.saturating_sub(i32::try_from(outcome.size_bytes).unwrap_or(i32::MAX));
            if ask.watch {
                let seen = partition.bound(ask.isolation);
                partition.watchers.insert(asker, (ask.isolation, seen));
                keys.push(item.key);
            }
            outcomes.push(outcome);
        }
        if ask.watch {
            self.partitions.watches.insert(asker, Watch { round: ask.round, keys });
        }
        self.tell(asker, Told::Read { round: ask.round, outcomes });
    }

    /// Tells the fetches that can see further now.
    pub(super) fn wake_watchers(&mut self, key: &PartitionKey) {
        let Some(partition) = self.partitions.map.get(key) else { return };
        let woken: Vec<Asker> = partition
            .watchers
            .iter()
            .filter(|(_, (isolation, seen))| *seen < partition.bound(*isolation))
            .map(|(asker, _)| *asker)
            .collect();
        self.wake(&woken);
    }

    /// Tells all fetches of a partition that goes away.
    pub(super) fn wake_all_watchers(&mut self, partition: &Partition) {
        let woken: Vec<Asker> = partition.watchers.keys().copied().collect();
        self.wake(&woken);
    }

    fn wake(&mut self, askers: &[Asker]) {
        for asker in askers {
            let round = self.partitions.watches.get(asker).map(|watch| watch.round);
            self.partitions.unwatch(*asker);
            if let Some(round) = round {
                self.tell(*asker, Told::Changed { round });
            }
        }
    }
}

fn failed(item: &ReadItem, error: ErrorCode) -> ReadOutcome {
    ReadOutcome {
        slot: item.slot,
        error,
        high_watermark: Offset::NONE,
        last_stable_offset: Offset::NONE,
        log_start_offset: Offset::NONE,
        aborted: None,
        diverging: None,
        ranges: Vec::new(),
        size_bytes: 0,
    }
}

fn read(
    partition: &Partition,
    item: &ReadItem,
    isolation: Isolation,
    bytes_left: i32,
    min_one: bool,
) -> ReadOutcome {
    if let Err(error) = partition.check_leader_epoch(item.current_leader_epoch) {
        return failed(item, error);
    }
    let log = &partition.log;
    let mut outcome = ReadOutcome {
        high_watermark: log.high_watermark(),
        last_stable_offset: log.last_stable_offset(),
        log_start_offset: log.log_start_offset(),
        aborted: (isolation == Isolation::ReadCommitted).then(Vec::new),
        ..failed(item, ErrorCode::NONE)
    };
    if item.last_fetched_epoch.is_some() {
        let ours = log.offset_for_leader_epoch(item.last_fetched_epoch);
        outcome.diverging =
            ours.filter(|(epoch, end)| *epoch < item.last_fetched_epoch || *end < item.from);
        if outcome.diverging.is_some() {
            return outcome;
        }
    }
    if item.from < log.log_start_offset() || log.log_end_offset() < item.from {
        return failed(item, ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    // Between the bound and the end there is nothing to see yet.
    if partition.bound(isolation) <= item.from {
        return outcome;
    }
    let bound = match isolation {
        Isolation::ReadUncommitted => Bound::HighWatermark,
        Isolation::ReadCommitted => Bound::LastStable,
    };
    let bytes_max = item.bytes_max.min(bytes_left).max(0).unsigned_abs();
    if bytes_max == 0 && !min_one {
        return outcome;
    }
    match log.read(item.from, bytes_max, bound, min_one) {
        Ok(slice) => {
            outcome.size_bytes = slice.ranges.iter().map(|range| range.len).sum();
            outcome.aborted = outcome.aborted.map(|_| slice.aborted);
            outcome.ranges = slice.ranges;
            outcome
        }
        Err(error) => {
            tracing::error!(
                topic = &*partition.topic,
                partition = partition.key.partition.0,
                %error,
                "a read failed"
            );
            failed(item, read_error_code(&error))
        }
    }
}

/// What the wire calls a failed read.
pub(super) fn read_error_code(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        ReadError::Corrupt { .. } => ErrorCode::CORRUPT_MESSAGE,
        ReadError::Disk(_) => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}
