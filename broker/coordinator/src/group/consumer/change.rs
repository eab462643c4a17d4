//! What consumer groups write. Every change sets one thing or takes it away (`None`), so that its
//! inverse is a change too: the same thing with the value from before.

use super::member::{Current, MemberMetadata};
use super::partitions::Partitions;
use crate::group::member::MemberId;
use std::collections::BTreeSet;

/// One record's meaning. A value of `None` is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConsumerChange {
    Epoch(Option<GroupEpoch>),
    /// The list of topics that brokers before 4.1 kept: only ever taken away.
    PartitionMetadata {
        present: bool,
    },
    Member(MemberId, Option<MemberMetadata>),
    TargetEpoch(Option<TargetEpoch>),
    Target(MemberId, Option<Partitions>),
    Current(MemberId, Option<Current>),
    Regex(String, Option<ResolvedRegex>),
}

/// Why there may have to be a new assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupEpoch {
    pub(crate) epoch: i32,
    /// Of the subscribed topics as they were then; 0 when they were not looked at.
    pub(crate) metadata_hash: i64,
}

/// For which group epoch the target was computed, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TargetEpoch {
    pub(crate) epoch: i32,
    /// Wall time; 0 when it was never computed.
    pub(crate) computed_ms: i64,
}

/// The topics that a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvedRegex {
    pub(crate) topics: BTreeSet<String>,
    /// The version of the metadata that was asked.
    pub(crate) version: i64,
    /// Wall time of the question.
    pub(crate) resolved_ms: i64,
}
