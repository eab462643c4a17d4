//! Who wrote what last: the table behind idempotence and transactions.
//!
//! A pure machine: `check_*` reads and judges a batch that is about to be written, `apply_*` is the
//! only writer and is the same for a live append, for replay after a restart and for markers. Thus
//! replaying the log gives the table that was live.
//!
//! Words: a transaction is *open* from its first record to its marker. It is *unsettled* from its
//! marker until the high watermark passes the marker. The *first unstable offset* is where the oldest
//! open or unsettled transaction began; read-committed readers stop there.
//!
//! Invariants:
//! - A batch is a duplicate when it equals one of the last five of the same producer and epoch.
//! - A sequence follows the last one, or is 0 after 2^31-1, or begins a new epoch with 0, or the
//!   producer is unknown here: then any sequence is taken, for its past may have been deleted.
//! - An epoch never goes back. Equal or newer markers end a transaction; see [`Marker`] for version 2.
//! - A producer with an open transaction never expires. Others expire by the time of their last append
//!   on this broker's clock: a producer that writes old timestamps does not lose its state for it.
//!
//! Absent: verification of transactions with their coordinator (the node's), replication's leniency.

mod entry;
mod snapshot;
#[cfg(test)]
mod tests;

pub(crate) use entry::{BATCHES_REMEMBERED, BatchMemory, ProducerEntry};
pub(crate) use snapshot::{decode_snapshot, encode_snapshot};

use crate::error::AppendError;
use crate::header::BatchHeader;
use crate::slice::{Marker, Origin};
use mainstem_protocol::ids::{Offset, ProducerId};
use std::collections::BTreeMap;

/// What to do with a batch that broke no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    Duplicate(BatchMemory),
}

/// What the table held of a producer before a batch was noted.
#[derive(Debug)]
pub(crate) struct Before {
    producer_id: ProducerId,
    entry: Option<ProducerEntry>,
}

/// A transaction that a marker has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndedTransaction {
    pub(crate) producer_id: ProducerId,
    pub(crate) first_offset: Offset,
    /// Where the marker is.
    pub(crate) last_offset: Offset,
    /// What a reader could see next, judged right after the marker was written.
    pub(crate) last_stable_offset: Offset,
}

/// The table of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProducerStates {
    producers: BTreeMap<ProducerId, ProducerEntry>,
    /// Open transactions by where they began.
    open: BTreeMap<Offset, ProducerId>,
    /// Unsettled transactions by where they began, with the place of the marker.
    unsettled: BTreeMap<Offset, Offset>,
}

impl ProducerStates {
    pub(crate) fn get(&self, producer_id: ProducerId) -> Option<&ProducerEntry> {
        self.producers.get(&producer_id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.producers.iter().map(|(id, entry)| (*id, entry))
    }

    /// Judges a data batch before it is written.
    pub(crate) fn check_batch(
        &self,
        batch: &BatchHeader,
        origin: Origin,
    ) -> Result<Verdict, AppendError> {
        let producer_id = batch.producer_id;
        let Some(entry) = self.producers.get(&producer_id) else {
            return Ok(Verdict::Append);
        };
        if origin == Origin::Client
            && let Some(memory) = entry.find(batch)
        {
            return Ok(Verdict::Duplicate(memory));
        }
        if batch.producer_epoch < entry.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id,
                epoch: batch.producer_epoch,
                current: entry.epoch,
            });
        }
        if origin == Origin::Client && !entry.continues_with(batch) {
            return Err(AppendError::OutOfOrderSequence {
                producer_id,
                sequence: batch.base_sequence,
                last_sequence: entry.last_sequence(),
            });
        }
        if entry.transaction_start.is_some() && !batch.is_transactional() {
            let reason = "a batch outside of the transaction that is open";
            return Err(AppendError::InvalidTransactionState { producer_id, reason });
        }
        Ok(Verdict::Append)
    }

    /// Notes a data batch that was written.
    pub(crate) fn apply_batch(&mut self, batch: &BatchHeader, now_ms: i64) {
        let entry = self.producers.entry(batch.producer_id).or_default();
        entry.note_epoch(batch.producer_epoch);
        entry.remember(BatchMemory::of(batch));
        entry.last_append_ms = now_ms;
        if batch.is_transactional() && entry.transaction_start.is_none() {
            entry.transaction_start = Some(batch.base_offset);
            self.open.insert(batch.base_offset, batch.producer_id);
        }
    }

    /// What [`Self::restore`] wants, should a batch that is about to be noted not be written.
    pub(crate) fn before(&self, producer_id: ProducerId) -> Before {
        Before { producer_id, entry: self.producers.get(&producer_id).cloned() }
    }

    /// Forgets the last batch that was noted of a producer. Nothing else may have been noted of it
    /// since.
    pub(crate) fn restore(&mut self, before: Before) {
        let Before { producer_id, entry } = before;
        let start = |entry: Option<&ProducerEntry>| entry?.transaction_start;
        if let Some(opened) = start(self.producers.get(&producer_id))
            && start(entry.as_ref()) != Some(opened)
        {
            self.open.remove(&opened);
        }
        match entry {
            Some(entry) => self.producers.insert(producer_id, entry),
            None => self.producers.remove(&producer_id),
        };
    }

    /// Judges a marker before it is written.
    pub(crate) fn check_marker(&self, marker: &Marker) -> Result<(), AppendError> {
        let Some(entry) = self.producers.get(&marker.producer_id) else { return Ok(()) };
        // A marker of version 2 carries an epoch above that of its records. An equal one is a late
        // or repeated marker: harmless when nothing is open, and else it would end a transaction
        // that it was not written for.
        let repeated = marker.transaction_version >= 2
            && marker.producer_epoch == entry.epoch
            && entry.transaction_start.is_some();
        if marker.producer_epoch < entry.epoch || repeated {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id: marker.producer_id,
                epoch: marker.producer_epoch,
                current: entry.epoch,
            });
        }
        if marker.coordinator_epoch < entry.coordinator_epoch {
            return Err(AppendError::CoordinatorFenced {
                epoch: marker.coordinator_epoch,
                current: entry.coordinator_epoch,
            });
        }
        Ok(())
    }

    /// Notes a marker that was written at `offset`; the answer is the transaction it ended, if any.
    pub(crate) fn apply_marker(
        &mut self,
        marker: &Marker,
        offset: Offset,
        now_ms: i64,
    ) -> Option<EndedTransaction> {
        let producer_id = marker.producer_id;
        let entry = self.producers.entry(producer_id).or_default();
        entry.note_epoch(marker.producer_epoch);
        entry.coordinator_epoch = entry.coordinator_epoch.max(marker.coordinator_epoch);
        entry.last_append_ms = now_ms;
        let first_offset = entry.transaction_start.take()?;
        self.open.remove(&first_offset);
        self.unsettled.insert(first_offset, offset);
        let first_open = self.open.keys().next().copied();
        Some(EndedTransaction {
            producer_id,
            first_offset,
            last_offset: offset,
            last_stable_offset: first_open.unwrap_or_else(|| offset.next()),
        })
    }

    /// Where read-committed readers stop, if not at the high watermark.
    pub(crate) fn first_unstable_offset(&self) -> Option<Offset> {
        let open = self.open.keys().next();
        let unsettled = self.unsettled.keys().next();
        open.into_iter().chain(unsettled).min().copied()
    }

    /// Settles transactions whose markers lie below the high watermark.
    pub(crate) fn settle(&mut self, high_watermark: Offset) {
        if !self.unsettled.is_empty() {
            self.unsettled.retain(|_, marker| high_watermark <= *marker);
        }
    }

    /// Forgets producers that have been idle for `expiration_ms`.
    pub(crate) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.producers.retain(|_, entry| {
            let idle_ms = now_ms.saturating_sub(entry.last_append_ms);
            entry.transaction_start.is_some() || idle_ms < expiration_ms
        });
    }

    /// Takes over a producer from a snapshot.
    pub(crate) fn insert(&mut self, producer_id: ProducerId, entry: ProducerEntry) {
        if let Some(first_offset) = entry.transaction_start {
            self.open.insert(first_offset, producer_id);
        }
        self.producers.insert(producer_id, entry);
    }

    /// Gives a producer back the memory of older batches, which snapshots do not carry. `batches` are
    /// the last ones found in the log, oldest first; they are used only when they end where the
    /// table ends.
    pub(crate) fn deepen(&mut self, producer_id: ProducerId, batches: &[BatchMemory]) {
        if let Some(entry) = self.producers.get_mut(&producer_id) {
            entry.deepen(batches);
        }
    }
}
