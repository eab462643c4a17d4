//! What the group coordinator writes: changes of offsets and of groups, before they are bytes.
//!
//! A change is applied when its record is past the high watermark, and at load from the record
//! read. Both ways end in the same `OffsetTable` and the same durable snapshots. Only the changes of
//! consumer groups are applied when they are decided; `consumer` says why.

use super::consumer::ConsumerChange;
use super::offsets::OffsetEntry;
use crate::log::TopicPartition;
use bytes::Bytes;
use std::sync::Arc;

/// One record's meaning.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Offset { group: Arc<str>, partition: TopicPartition, entry: OffsetEntry },
    OffsetRemoved { group: Arc<str>, partition: TopicPartition },
    Group { group: Arc<str>, snapshot: GroupSnapshot },
    GroupRemoved { group: Arc<str> },
    Consumer { group: Arc<str>, change: ConsumerChange },
}

/// A group as it is in the log: stable with these assignments, or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupSnapshot {
    pub(super) protocol_type: String,
    pub(super) generation: i32,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) state_since_ms: i64,
    pub(super) members: Vec<MemberSnapshot>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberSnapshot {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// The member's metadata for the chosen protocol.
    pub(super) subscription: Bytes,
    pub(super) assignment: Bytes,
}
