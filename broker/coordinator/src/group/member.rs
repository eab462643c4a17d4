//! One member of a group, and what it waits for.

use crate::log::ReplyTo;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// A member id. The empty string of the protocol is never one.
pub(super) type MemberId = Arc<str>;

/// A request that is answered later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) to: ReplyTo,
    pub(super) api_version: i16,
}

/// A way to assign that a member knows: its name, and what the member tells the leader about
/// itself for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Protocol {
    pub(super) name: String,
    pub(super) metadata: Bytes,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: MemberId,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout: Duration,
    pub(super) session_timeout: Duration,
    /// In the member's order of preference.
    pub(super) protocols: Vec<Protocol>,
    /// What the leader assigned for the present generation; empty before.
    pub(super) assignment: Bytes,
    /// The place in the order of joining; the lowest one follows a leader that leaves.
    pub(super) order: u64,
    /// True until its first join is answered. Such a member does not know its id and cannot send
    /// heartbeats.
    pub(super) is_new: bool,
    pub(super) awaiting_join: Option<Waiting>,
    pub(super) awaiting_sync: Option<Waiting>,
}

impl Member {
    /// What the member says about itself for a protocol; empty when it does not know it.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|known| known.name == protocol);
        found.map(|known| known.metadata.clone()).unwrap_or_default()
    }

    /// Whether the session may run out now. Who waits for us cannot send heartbeats.
    pub(super) fn may_expire(&self) -> bool {
        self.is_new || (self.awaiting_join.is_none() && self.awaiting_sync.is_none())
    }
}
