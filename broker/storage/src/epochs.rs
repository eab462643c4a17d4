//! Which leader wrote from where: the history of leader epochs (KIP-101).
//!
//! Invariant: epochs grow strictly, start offsets never shrink. The file is replaced without a sync of
//! its own and joins the next one; if a crash leaves it unreadable, the history is read from the
//! batches, which all carry their epoch.

use crate::checkpoint;
use mainstem_protocol::ids::{LeaderEpoch, Offset};

/// The history, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeaderEpochs {
    entries: Vec<(LeaderEpoch, Offset)>,
}

impl LeaderEpochs {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        checkpoint::parse_epochs(text).map(|entries| Self { entries })
    }

    pub(crate) fn format(&self) -> String {
        checkpoint::format_epochs(&self.entries)
    }

    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// Notes that `epoch` wrote at `start`; true when that is news.
    pub(crate) fn note(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch.is_none() || self.latest().is_some_and(|latest| epoch <= latest) {
            return false;
        }
        self.entries.push((epoch, start));
        true
    }

    /// The largest epoch not above `asked`, and where it ended.
    pub(crate) fn end_of(
        &self,
        asked: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        let after = self.entries.partition_point(|(epoch, _)| *epoch <= asked);
        let (epoch, _) = *self.entries.get(after.checked_sub(1)?)?;
        let end = self.entries.get(after).map_or(log_end, |(_, start)| *start);
        Some((epoch, end))
    }

    /// The epoch under which the record at `offset` was or would have been written.
    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|(_, start)| *start <= offset);
        self.entries.get(after.checked_sub(1)?).map(|(epoch, _)| *epoch)
    }

    /// Forgets epochs that began at or after `end`, when the log was cut there.
    pub(crate) fn cut_at(&mut self, end: Offset) {
        self.entries.retain(|(_, start)| *start < end);
    }

    /// Forgets epochs that ended before `start`; the one that reaches past it begins there now.
    pub(crate) fn forget_before(&mut self, start: Offset) -> bool {
        let before = self.entries.partition_point(|(_, begins)| *begins <= start);
        let Some(keep) = before.checked_sub(1) else { return false };
        let changed = keep > 0 || self.entries[keep].1 < start;
        self.entries.drain(..keep);
        self.entries[0].1 = start;
        changed
    }
}
