//! What a shard asks of its shell. Effects are carried out in the order in which they are polled.
//!
//! Invariants:
//! - `Respond` leaves in the order of the connection's requests; a request that wants no answer
//!   (acks=0) has no `Respond`.
//! - *Durable before visible*: with `flush=commit` everything that a client may rely upon is
//!   polled only after the `Sync` covering it came back as `Event::Synced`.
//! - At most one `Sync` of a shard and a log directory is under way, and at most one `Compact` of a
//!   shard.
//!
//! Absent on purpose: timers. One `deadline()` leaves the machine.

use crate::command::LocalReply;
use crate::copy_job::CopyJob;
use crate::event::{CommandToken, CompactionToken, ConnectionId, CopyToken, ShardIndex, SyncToken};
use crate::shard_message::ShardMessage;
use bytes::Bytes;
use mainstem_platform::{Disk, File};
use mainstem_storage::{CompactionTask, SyncTask};
use std::path::PathBuf;
use std::sync::Arc;

/// A piece of a response.
#[derive(Clone)]
pub enum ResponseSegment {
    /// Bytes to write as they are. The first segment of a response begins with the length prefix.
    Bytes(Bytes),
    /// A range of a log segment: sendfile on a plain socket, a copy elsewhere.
    File { file: Arc<dyn File>, position: u64, len: u32 },
}

impl ResponseSegment {
    /// Bytes on the wire.
    pub fn size_bytes(&self) -> usize {
        match self {
            ResponseSegment::Bytes(bytes) => bytes.len(),
            ResponseSegment::File { len, .. } => *len as usize,
        }
    }
}

impl std::fmt::Debug for ResponseSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ResponseSegment::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            ResponseSegment::File { position, len, .. } => write!(f, "File({position}+{len})"),
        }
    }
}

/// All that one group commit must make durable in one log directory: every partition of it that
/// was touched since the last one.
#[derive(Debug)]
pub struct SyncJob {
    /// One task per partition.
    pub tasks: Vec<SyncTask>,
}

impl SyncJob {
    /// Carries the job out; the caller hands the result back as `Event::Synced`. Blocks: this is
    /// for a simulator, or for a shell that lets one thread do it all.
    pub fn run(&self, disk: &dyn Disk) -> Result<(), String> {
        self.tasks.iter().try_for_each(|task| Self::run_task(task, disk))
    }

    /// Carries one of the tasks out. They may be done in any order and at the same time; the job has
    /// failed when one of them has.
    pub fn run_task(task: &SyncTask, disk: &dyn Disk) -> Result<(), String> {
        task.run(disk).map_err(|error| format!("sync: {error}"))
    }
}

/// Something to be done.
#[derive(Debug)]
pub enum Effect {
    /// Write one response to a client.
    Respond { connection: ConnectionId, segments: Vec<ResponseSegment> },
    /// Close a connection after what was already responded; `Event::Disconnected` follows.
    Close { connection: ConnectionId },
    /// Back-pressure: stop or resume reading from a connection.
    Reading { connection: ConnectionId, on: bool },
    /// Hand a message to another shard, in order.
    ToShard { shard: ShardIndex, message: ShardMessage },
    /// Make files durable on the pool, then say `Event::Synced`.
    Sync { token: SyncToken, job: SyncJob },
    /// Do one step of a compaction (`task.step`) where it may block for a while, then say
    /// `Event::Compacted`. Nobody waits for it. A task that is dropped does no harm.
    Compact { token: CompactionToken, task: Box<CompactionTask> },
    /// Copy files on the pool, then say `Event::Copied`.
    Copy { token: CopyToken, job: CopyJob },
    /// Delete files and directories (recursively) at leisure. They are already out of the way:
    /// nothing waits for this and a crash before it is harmless.
    Remove { paths: Vec<PathBuf> },
    /// The answer to `Event::Command`.
    CommandReply { token: CommandToken, reply: LocalReply },
    /// The metadata log is no longer to be trusted: stop the process without a clean close.
    Halt { reason: String },
    /// After `Event::Shutdown`: all logs are closed, the shard is done.
    Stopped,
}
