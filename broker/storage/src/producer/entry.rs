//! One producer in the table: its epoch, its last five batches, its open transaction.

use crate::header::{BatchHeader, sequence_plus};
use mainstem_protocol::ids::{Offset, ProducerEpoch};

/// Batches remembered per producer. Clients keep at most five requests in flight, so a retry can
/// reach no further back.
pub(crate) const BATCHES_REMEMBERED: usize = 5;

/// What is remembered of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchMemory {
    /// -1 for a coordinator's batch, which has none.
    pub(crate) last_sequence: i32,
    pub(crate) last_offset: Offset,
    /// Last offset minus first offset; sequences differ by the same.
    pub(crate) offset_delta: i32,
    /// Largest timestamp of the batch.
    pub(crate) timestamp_ms: i64,
}

impl BatchMemory {
    pub(crate) fn of(batch: &BatchHeader) -> Self {
        Self {
            last_sequence: batch.last_sequence(),
            last_offset: batch.last_offset(),
            offset_delta: batch.last_offset_delta,
            timestamp_ms: batch.max_timestamp,
        }
    }

    pub(crate) fn first_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }
}

/// The state of one producer in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    pub(crate) epoch: ProducerEpoch,
    /// Of the newest coordinator that wrote a marker; -1 before the first.
    pub(crate) coordinator_epoch: i32,
    pub(crate) transaction_start: Option<Offset>,
    /// When something was last appended, on the broker's clock.
    pub(crate) last_append_ms: i64,
    /// A ring: the batches of the present epoch, `count` of them, the newest before `next`.
    ring: [Option<BatchMemory>; BATCHES_REMEMBERED],
    next: usize,
}

impl Default for ProducerEntry {
    fn default() -> Self {
        Self {
            epoch: ProducerEpoch::NONE,
            coordinator_epoch: -1,
            transaction_start: None,
            last_append_ms: -1,
            ring: [None; BATCHES_REMEMBERED],
            next: 0,
        }
    }
}

impl ProducerEntry {
    /// The batches remembered, oldest first.
    pub(crate) fn batches(&self) -> impl Iterator<Item = BatchMemory> + '_ {
        let (newer, older) = self.ring.split_at(self.next);
        older.iter().chain(newer).flatten().copied()
    }

    pub(crate) fn last(&self) -> Option<BatchMemory> {
        self.ring[(self.next + BATCHES_REMEMBERED - 1) % BATCHES_REMEMBERED]
    }

    /// -1 when nothing was written in this epoch.
    pub(crate) fn last_sequence(&self) -> i32 {
        self.last().map_or(-1, |batch| batch.last_sequence)
    }

    /// A newer epoch starts a new row of sequences.
    pub(crate) fn note_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch < epoch {
            self.epoch = epoch;
            self.ring = [None; BATCHES_REMEMBERED];
            self.next = 0;
        }
    }

    pub(crate) fn remember(&mut self, batch: BatchMemory) {
        self.ring[self.next] = Some(batch);
        self.next = (self.next + 1) % BATCHES_REMEMBERED;
    }

    /// The remembered batch that `batch` repeats.
    pub(crate) fn find(&self, batch: &BatchHeader) -> Option<BatchMemory> {
        if batch.producer_epoch != self.epoch || batch.base_sequence < 0 {
            return None;
        }
        let wanted = BatchMemory::of(batch);
        self.batches().find(|known| {
            known.last_sequence == wanted.last_sequence && known.offset_delta == wanted.offset_delta
        })
    }

    /// Whether the batch's first sequence is the one that is due.
    pub(crate) fn continues_with(&self, batch: &BatchHeader) -> bool {
        if batch.producer_epoch != self.epoch {
            return batch.base_sequence == 0 || self.epoch.is_none();
        }
        match self.last_sequence() {
            none if none < 0 => batch.base_sequence == 0,
            last => batch.base_sequence == sequence_plus(last, 1),
        }
    }

    /// Takes over what the log tells of the last batches, when it ends where this memory ends.
    pub(crate) fn deepen(&mut self, batches: &[BatchMemory]) {
        let same_end = match (batches.last(), self.last()) {
            (Some(found), Some(known)) => found.last_offset == known.last_offset,
            _ => false,
        };
        if !same_end || batches.len() < self.batches().count() {
            return;
        }
        self.ring = [None; BATCHES_REMEMBERED];
        self.next = 0;
        let skipped = batches.len().saturating_sub(BATCHES_REMEMBERED);
        for batch in &batches[skipped..] {
            self.remember(*batch);
        }
    }
}

#[cfg(test)]
impl ProducerEntry {
    /// Equal when a client could tell no difference: the time of the last append only decides expiry
    /// and is not known to a replay.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.epoch == other.epoch
            && self.coordinator_epoch == other.coordinator_epoch
            && self.transaction_start == other.transaction_start
            && self.batches().eq(other.batches())
    }
}
