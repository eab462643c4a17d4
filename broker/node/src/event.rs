//! What may happen to a shard. Everything a [`crate::ShardNode`] learns of the world comes in as
//! one of these, together with the moment at which it happened.
//!
//! Invariants:
//! - `Frame` bytes come without the four byte length prefix; the shell has checked the length
//!   against [`crate::Limits::frame_bytes_max`].
//! - Messages of one shard to another arrive in the order in which they were sent.
//! - After `Disconnected` no event names that connection again.
//!
//! Absent on purpose: the clock (an argument of every call) and timers (see `deadline`).

use crate::command::LocalCommand;
use crate::copy_job::CopyFailure;
use crate::shard_message::ShardMessage;
use bytes::Bytes;
use mainstem_storage::{CompactionTask, StorageError};

/// One client connection, unique within the shard that accepted it, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Position of a shard in its broker, from zero. Shard zero also holds the controller, the
/// coordinators and the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardIndex(pub u16);

impl ShardIndex {
    /// The shard of the controller, the coordinators and the registry.
    pub const FIRST: ShardIndex = ShardIndex(0);
}

/// Names one `Effect::Sync` until its `Event::Synced` comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncToken(pub u64);

/// Names one compaction from its first `Effect::Compact` to its last `Event::Compacted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompactionToken(pub u64);

/// Names one `Effect::Copy` until its `Event::Copied` comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CopyToken(pub u64);

/// Names one command of the shell until its `Effect::CommandReply` leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandToken(pub u64);

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A client connected. `peer` is its address, shown by DescribeGroups and in the log.
    Connected { connection: ConnectionId, peer: String },
    /// One whole request of a client, without its length prefix.
    Frame { connection: ConnectionId, frame: Bytes },
    /// The client has gone; what waits for it is dropped.
    Disconnected { connection: ConnectionId },
    /// Another shard of this broker says something.
    FromShard { from: ShardIndex, message: ShardMessage },
    /// A sync is over. An error takes its log directory offline: a failed sync is never tried
    /// again, because the kernel may have dropped the dirty pages.
    Synced { token: SyncToken, result: Result<(), String> },
    /// A step of a compaction is over; the task comes back.
    Compacted {
        token: CompactionToken,
        task: Box<CompactionTask>,
        result: Result<(), StorageError>,
    },
    /// A copy is over.
    Copied { token: CopyToken, result: Result<(), CopyFailure> },
    /// The HTTP shell asks (registry: shard zero only; metrics: every shard).
    Command { token: CommandToken, command: LocalCommand },
    /// Answer what is under way, then close all logs cleanly; `Effect::Stopped` follows. Every
    /// shard must be told, since each waits for the others.
    Shutdown,
}
