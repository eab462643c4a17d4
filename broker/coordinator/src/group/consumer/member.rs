//! One member of a consumer group: what it says of itself, and what it has.

use super::partitions::{PartitionEpochs, Partitions, without_epochs};
use crate::group::member::Protocol;
use std::collections::BTreeSet;

/// The member epoch with which a member asks to join.
pub(super) const JOIN_EPOCH: i32 = 0;
/// The member epoch of a farewell.
pub(super) const LEAVE_EPOCH: i32 = -1;
/// The member epoch of a static member that goes and will be back within its session.
pub(super) const LEAVE_STATIC_EPOCH: i32 = -2;

/// What a member says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MemberMetadata {
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    /// Names of topics, whether they exist or not.
    pub(crate) topics: BTreeSet<String>,
    /// A pattern that whole names of topics must match.
    pub(crate) regex: Option<String>,
    /// How long the member may take to give up partitions.
    pub(crate) rebalance_timeout_ms: i32,
    /// The assignor that the member wishes for.
    pub(crate) server_assignor: Option<String>,
    /// Set for a classic member.
    pub(crate) classic: Option<ClassicPart>,
}

impl MemberMetadata {
    /// Whether the member wants the same topics as `other`.
    pub(super) fn subscribes_as(&self, other: &MemberMetadata) -> bool {
        self.topics == other.topics && self.regex == other.regex
    }
}

/// What only classic members have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClassicPart {
    pub(crate) session_timeout_ms: i32,
    /// In the member's order of preference.
    pub(crate) protocols: Vec<Protocol>,
}

/// How far a member has come on its way to the target; the numbers are those of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum MemberState {
    /// It has what the assignment of its epoch says.
    #[default]
    Stable = 0,
    /// It must give up partitions and has not said that it did.
    UnrevokedPartitions = 1,
    /// It waits for partitions that others still have.
    UnreleasedPartitions = 2,
}

/// What a member has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Current {
    /// The epoch that the member must show; -2 for a static member that is away.
    pub(crate) epoch: i32,
    /// The epoch before: accepted too, since the answer that told the new one may be lost.
    pub(crate) previous_epoch: i32,
    pub(crate) state: MemberState,
    /// What it may use.
    pub(crate) assigned: PartitionEpochs,
    /// What it must give up, and has until it says so.
    pub(crate) revoking: PartitionEpochs,
}

impl Default for Current {
    fn default() -> Self {
        Self {
            epoch: JOIN_EPOCH,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: PartitionEpochs::new(),
            revoking: PartitionEpochs::new(),
        }
    }
}

impl Current {
    /// All that nobody else may have: what it may use, and what it has not given up yet.
    pub(super) fn owned(&self) -> Partitions {
        let mut owned = without_epochs(&self.assigned);
        for (topic, partitions) in without_epochs(&self.revoking) {
            owned.entry(topic).or_default().extend(partitions);
        }
        owned
    }

    /// Whether the member has all that the target of this epoch gives it.
    pub(super) fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }
}
