//! What the shards of one broker say to each other.
//!
//! A partition lives on one shard and a connection on another, so requests travel: produce, fetch
//! and list-offsets as questions about partitions ([`crate::ask`]), gathered on the connection's
//! shard; requests for the controller or a coordinator as whole frames to shard zero, which
//! answers with the bytes of the response.
//!
//! Invariants:
//! - Messages between two shards keep their order; the guards of transactions rest upon it.
//! - A shard talks to itself with the same messages, so one shard and many run the same code.
//!
//! Absent on purpose: anything the shell could want to look into. It carries messages only.

use crate::ask::{Ask, PartitionKey, Ticket, Told};
use crate::cluster::ClusterView;
use crate::effect::ResponseSegment;
use crate::log_dirs::LogDirIndex;
use bytes::Bytes;
use mainstem_coordinator::transaction::PartitionsInTransaction;
use mainstem_protocol::{ErrorCode, Offset};
use std::sync::Arc;

/// One message.
#[derive(Debug)]
pub enum ShardMessage {
    /// From shard zero: the durable metadata of the cluster, whenever it changes.
    Cluster(ClusterView),
    /// A question about partitions of the receiving shard. Placed with the metadata up to
    /// `view_offset`; a shard that has not come so far yet keeps it until it has.
    Ask { ticket: Ticket, view_offset: Offset, ask: Ask },
    /// An answer to it.
    Told { ticket: Ticket, told: Told },
    /// To shard zero: carry out this request of my client.
    Forward {
        ticket: Ticket,
        /// Address of the client.
        peer: Arc<str>,
        frame: Bytes,
    },
    /// Its response; `None` when the connection is to be closed.
    Forwarded { ticket: Ticket, segments: Option<Vec<ResponseSegment>> },
    /// To shard zero: is this partition part of the producer's open transaction?
    VerifyTransaction(VerifyTransaction),
    /// Its answer.
    TransactionVerified { ticket: Ticket, error: ErrorCode },
    /// To all: a log directory has failed.
    DirFailed { dir: LogDirIndex },
    /// To all: these partitions of mine cannot be used any more.
    WentOffline(Vec<PartitionKey>),
    /// To all: these of them can be used again.
    CameOnline(Vec<PartitionKey>),
    /// To shard zero: a partition of mine is in another log directory now.
    Moved { key: PartitionKey, dir: LogDirIndex },
    /// To all: the broker stops, and my clients have their answers.
    Drained,
}

/// See [`ShardMessage::VerifyTransaction`].
#[derive(Debug, Clone)]
pub struct VerifyTransaction {
    pub ticket: Ticket,
    pub write: PartitionsInTransaction,
}
