//! Names of the files in a partition's directory, as Kafka gives them.
//!
//! A file of a segment is `<base offset, 20 digits>.<kind>`, with a further suffix while it is not (or
//! no more) part of the log:
//! - `.cleaned`: being written by compaction; worth nothing after a crash.
//! - `.swap`: complete, about to replace its segment; a crash finishes the replacement.
//! - `.deleted`: renamed away, about to be removed; a crash finishes the removal.

use mainstem_protocol::ids::Offset;
use std::path::{Path, PathBuf};

/// The text file with the history of leader epochs.
pub(crate) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
/// The text file with the topic's id.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";
/// Our own file that says from where on the log has never been compacted; see `checkpoint`.
pub(crate) const CLEANER_CHECKPOINT: &str = "cleaner-checkpoint";
/// Our own file with the recovery point and the log's start; see `checkpoint`.
pub(crate) const RECOVERY_CHECKPOINT: &str = "recovery-checkpoint";

/// What a file of a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Log,
    OffsetIndex,
    TimeIndex,
    TransactionIndex,
    Snapshot,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TransactionIndex, Self::Snapshot];

    const fn suffix(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::OffsetIndex => "index",
            Self::TimeIndex => "timeindex",
            Self::TransactionIndex => "txnindex",
            Self::Snapshot => "snapshot",
        }
    }
}

/// Where a file stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Live,
    Cleaned,
    Swap,
    Deleted,
}

impl Stage {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Cleaned => ".cleaned",
            Self::Swap => ".swap",
            Self::Deleted => ".deleted",
        }
    }
}

/// A file's name, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    pub(crate) base: Offset,
    pub(crate) kind: Kind,
    pub(crate) stage: Stage,
}

impl SegmentFile {
    pub(crate) fn live(base: Offset, kind: Kind) -> Self {
        Self { base, kind, stage: Stage::Live }
    }

    /// The same file at another stage of its life.
    pub(crate) fn at(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }

    pub(crate) fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{:020}.{}{}", self.base.0, self.kind.suffix(), self.stage.suffix()))
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (digits, mut rest) = name.split_at_checked(20)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut stage = Stage::Live;
        for other in [Stage::Cleaned, Stage::Swap, Stage::Deleted] {
            if let Some(shorter) = rest.strip_suffix(other.suffix()) {
                rest = shorter;
                stage = other;
                break;
            }
        }
        let suffix = rest.strip_prefix('.')?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        Some(Self { base: Offset(digits.parse().ok()?), kind, stage })
    }
}
