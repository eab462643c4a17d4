//! The back half of a shard: the partitions that live here, their logs, and who waits for them.
//!
//! Words: a *wait* stands behind an append until the high watermark passes it; a *watch* stands
//! for a fetch that wants to know when a partition grows.
//!
//! Invariants:
//! - Waits of a partition are answered in the order of their appends.
//! - The high watermark of a partition with `flush=commit` never passes what is synced.
//! - A partition is named by its topic's id, so requests to a deleted topic never reach a topic
//!   that was made again under its name.
//!
//! The rooms: `append` takes batches in, `verify` holds transactional ones back until their
//! coordinator agrees, `writing` joins the writes of a pass, `read` serves fetches and watches,
//! `offsets` answers what is where,
//! `commit` moves the high watermark, `flush` bounds what is unsynced, `folder` finds and removes logs,
//! `opening` opens them, `moving` brings them to another directory, `offline` lets them go when their
//! disk fails, `housekeeping` and `compaction` keep them small.

mod append;
mod commit;
mod compaction;
mod flush;
mod folder;
mod housekeeping;
mod moving;
mod offline;
mod offsets;
mod opening;
mod read;
mod verify;
mod writing;

pub(crate) use flush::FlushRule;
pub(crate) use folder::{Sorted, sort_folders};
pub(crate) use opening::open_log;

use crate::ask::{Ask, Asker, Isolation, PartitionKey, Ticket, Told};
use crate::config::NodeConfig;
use crate::event::{CompactionToken, CopyToken, ShardIndex, SyncToken};
use crate::log_dirs::LogDirIndex;
use crate::metrics::MetricsSnapshot;
use crate::node::ShardNode;
use crate::seat::SeatThen;
use commit::Syncing;
use compaction::Compacting;
use flush::Unsynced;
use mainstem_platform::Now;
use mainstem_protocol::{ErrorCode, LeaderEpoch, Offset, ProducerId};
use mainstem_storage::Log;
use moving::Move;
use read::Watch;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use verify::Verifying;
use writing::Unwritten;

/// What happens when the high watermark passes an append.
#[derive(Debug)]
pub(crate) enum Then {
    /// An answer leaves.
    Tell(Asker, Told),
    /// A machine of shard zero goes on.
    Seat(Box<SeatThen>),
}

/// One partition and all that waits for it.
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) key: PartitionKey,
    /// The log directory that it is in.
    pub(crate) dir: LogDirIndex,
    pub(crate) log: Log,
    pub(crate) leader_epoch: LeaderEpoch,
    flush: FlushRule,
    unsynced: Unsynced,
    /// Whether `min.insync.replicas` are there, so that acks=all can be promised.
    pub(crate) in_sync_enough: bool,
    /// Answers that wait for the write of what the log has accepted.
    unwritten: Vec<Unwritten>,
    /// Offset that the high watermark must reach, and what happens then.
    waits: VecDeque<(Offset, Then)>,
    /// Fetches that want to know of growth: how far they may see, and how far they saw.
    watchers: BTreeMap<Asker, (Isolation, Offset)>,
    /// Transactional writers whose coordinator was asked.
    verifying: BTreeMap<ProducerId, Verifying>,
    /// Its copy in another directory, while it is moved there.
    moving: Option<Move>,
}

/// A partition that cannot be used: until the broker starts again, or until there is room.
struct Offline {
    topic: Arc<str>,
    dir: LogDirIndex,
    /// Nothing is wrong with it, but the disk was full (or files too many) when it was opened.
    wants_room: bool,
}

impl Partition {
    pub(crate) fn new(
        topic: Arc<str>,
        key: PartitionKey,
        dir: LogDirIndex,
        log: Log,
        leader_epoch: LeaderEpoch,
        flush: FlushRule,
    ) -> Partition {
        Partition {
            unsynced: Unsynced::after(log.log_end_offset()),
            topic,
            key,
            dir,
            log,
            leader_epoch,
            flush,
            in_sync_enough: true,
            moving: None,
            unwritten: Vec::new(),
            waits: VecDeque::new(),
            watchers: BTreeMap::new(),
            verifying: BTreeMap::new(),
        }
    }

    /// First offset that a reader of this isolation does not see.
    pub(crate) fn bound(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.log.high_watermark(),
            Isolation::ReadCommitted => self.log.last_stable_offset(),
        }
    }

    /// Whether what the client believes of the leader is so. -1 believes nothing.
    fn check_leader_epoch(&self, believed: LeaderEpoch) -> Result<(), ErrorCode> {
        match believed.cmp(&self.leader_epoch) {
            _ if believed.is_none() => Ok(()),
            std::cmp::Ordering::Less => Err(ErrorCode::FENCED_LEADER_EPOCH),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        }
    }
}

/// All partitions of one shard.
pub(crate) struct Partitions {
    map: BTreeMap<PartitionKey, Partition>,
    /// Whose log has accepted batches to write.
    unwritten: BTreeSet<PartitionKey>,
    /// Appended to since the last commit of the pass.
    dirty: BTreeSet<PartitionKey>,
    /// Partitions of this shard that are not open.
    offline: BTreeMap<PartitionKey, Offline>,
    /// Those of other shards.
    offline_elsewhere: BTreeSet<PartitionKey>,
    /// The syncs under way, at most one of each directory.
    syncing: BTreeMap<LogDirIndex, Syncing>,
    last_sync: SyncToken,
    /// The compaction under way, at most one.
    compacting: Option<Compacting>,
    last_compaction: CompactionToken,
    /// Files that wait for their removal, by the number that their timer bears.
    removals: BTreeMap<u64, Vec<PathBuf>>,
    next_removal: u64,
    last_copy: CopyToken,
    watches: BTreeMap<Asker, Watch>,
    /// Which writer of which partition a question to the coordinator is about.
    verifications: BTreeMap<Ticket, (PartitionKey, ProducerId)>,
    /// Questions placed with newer metadata than this shard has, in order.
    parked: Vec<(Offset, Asker, Ask)>,
    verifications_max: usize,
}

impl Partitions {
    pub(crate) fn new(_: ShardIndex, config: &NodeConfig) -> Partitions {
        Partitions {
            map: BTreeMap::new(),
            unwritten: BTreeSet::new(),
            dirty: BTreeSet::new(),
            offline: BTreeMap::new(),
            offline_elsewhere: BTreeSet::new(),
            syncing: BTreeMap::new(),
            last_sync: SyncToken(0),
            compacting: None,
            last_compaction: CompactionToken(0),
            removals: BTreeMap::new(),
            next_removal: 0,
            last_copy: CopyToken(0),
            watches: BTreeMap::new(),
            verifications: BTreeMap::new(),
            parked: Vec::new(),
            verifications_max: config.limits.verifications_waiting_max,
        }
    }

    pub(crate) fn get(&self, key: &PartitionKey) -> Option<&Partition> {
        self.map.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &PartitionKey) -> Option<&mut Partition> {
        self.map.get_mut(key)
    }

    /// The next commit looks at this partition.
    pub(crate) fn touch(&mut self, key: PartitionKey) {
        self.dirty.insert(key);
    }

    /// `late_before_ms`: when an open transaction that was last written to is late.
    pub(crate) fn fill_gauges(&self, snapshot: &mut MetricsSnapshot, late_before_ms: i64) {
        snapshot.partitions = self.map.len() as u64;
        snapshot.partitions_offline = self.offline.len() as u64;
        for partition in self.map.values() {
            snapshot.log_bytes += partition.log.size_bytes();
            let recovery = partition.log.recovery();
            snapshot.recovery_scanned_bytes += recovery.scanned_bytes;
            let segments = u64::from(recovery.segments_rebuilt);
            snapshot.recovery_segments_max = snapshot.recovery_segments_max.max(segments);
            let producers = partition.log.producers();
            let open = producers.iter().filter(|producer| producer.transaction_start.is_some());
            snapshot.open_transactions += open.clone().count() as u64;
            let late =
                open.map(|producer| producer.last_timestamp_ms).any(|at| at < late_before_ms);
            snapshot.partitions_with_late_transactions += u64::from(late);
        }
    }
}

impl ShardNode {
    /// A question about partitions of this shard.
    pub(crate) fn handle_ask(&mut self, now: Now, asker: Asker, view_offset: Offset, ask: Ask) {
        let ours = self.cluster.as_ref().map_or(Offset::NONE, |view| view.offset);
        if ours < view_offset {
            self.partitions.parked.push((view_offset, asker, ask));
            return;
        }
        if !matches!(ask, Ask::Append(_) | Ask::Read(_) | Ask::Unwatch) {
            self.write_all_accepted(now);
        }
        match ask {
            Ask::Append(ask) => self.handle_append(now, asker, ask),
            Ask::Read(ask) => self.handle_read(asker, &ask),
            Ask::Unwatch => self.partitions.unwatch(asker),
            Ask::Offsets(items) => self.handle_offsets(asker, &items),
            Ask::DeleteRecords(items) => self.handle_delete_records(asker, &items),
            Ask::LogDirs => self.handle_log_dirs(asker),
            Ask::Move(items) => self.handle_moves(asker, &items),
            Ask::EpochEnd(items) => self.handle_epoch_end(asker, &items),
            Ask::Producers(items) => self.handle_producers(asker, &items),
            Ask::Markers(ask) => self.handle_markers(now, asker, &ask),
        }
    }

    /// The metadata has come further: questions that waited for it are answered.
    pub(crate) fn unpark(&mut self, now: Now) {
        for (view_offset, asker, ask) in std::mem::take(&mut self.partitions.parked) {
            self.handle_ask(now, asker, view_offset, ask);
        }
    }

    pub(crate) fn tell(&mut self, asker: Asker, told: Told) {
        let message = crate::shard_message::ShardMessage::Told { ticket: asker.ticket, told };
        self.send(asker.shard, message);
    }

    /// Does `then` when the high watermark of a partition is at or past `offset`.
    pub(crate) fn when_committed(&mut self, key: &PartitionKey, offset: Offset, then: Then) {
        match self.partitions.map.get_mut(key) {
            Some(partition) if partition.log.high_watermark() < offset => {
                partition.waits.push_back((offset, then));
            }
            None if self.partitions.offline.contains_key(key) => {
                self.refuse_then(then, ErrorCode::KAFKA_STORAGE_ERROR);
            }
            _ => self.then(then),
        }
    }

    pub(crate) fn then(&mut self, then: Then) {
        match then {
            Then::Tell(asker, told) => self.tell(asker, told),
            Then::Seat(then) => self.resume_seat(*then),
        }
    }
}
