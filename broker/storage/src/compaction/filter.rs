//! What compaction does to one batch: pure, so that a table of cases can tell it.
//!
//! Of records, these go:
//! - a record whose key has a later record in the stretch that was mapped;
//! - every record of an aborted transaction (they count for no key either);
//! - a record without a key: nothing can supersede it, and a compacted topic takes none;
//! - a tombstone that is the last of its key, once its batch's delete horizon is over.
//!
//! The *delete horizon* (KIP-534) is written into a batch by the first pass that sees a tombstone in it
//! as the last of its key, `delete.retention.ms` ahead: every reader that began before has that long to
//! come by. A marker gets one by the first pass that meets no batch of its transaction, and goes when
//! it is over. So a marker never goes before its records, nor in the same pass.
//!
//! Of batches, one without records goes, but for two kinds, of which the head stays:
//! - the last batch of a producer that is remembered: it tells its sequence. Of a producer that has
//!   written nothing but markers since its epoch changed, the marker stays, which tells the epoch;
//! - the last batch of a rewritten file: it tells up to where the file stands for the log.
//!
//! Offsets, sequences, epochs and timestamps of what stays are those it had. A batch that loses nothing
//! is copied byte for byte.

use super::keys::KeyMap;
use super::transactions::Transactions;
use crate::header::BatchHeader;
use crate::transaction_index::Aborted;
use bytes::Bytes;
use mainstem_protocol::ids::{Offset, ProducerEpoch, ProducerId};
use mainstem_protocol::record::{BatchBuilder, BatchError, BatchView, ControlRecord, Record};
use std::collections::BTreeMap;

/// A control record is a few bytes; this only stops a damaged one.
const CONTROL_BYTES_MAX: usize = 64 << 10;

/// Where what is remembered of a producer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastOfProducer {
    /// Its last batch of records ends at this offset.
    Batch(Offset),
    /// Nothing but markers in this epoch.
    Marker(ProducerEpoch),
}

/// What becomes of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Dropped,
    AsItIs,
    Rewritten(Bytes),
}

/// What the pass knows while it walks.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) keys: KeyMap,
    pub(super) transactions: Transactions,
    pub(super) producers: BTreeMap<ProducerId, LastOfProducer>,
    pub(super) now_ms: i64,
    pub(super) delete_retention_ms: i64,
    pub(super) decompressed_bytes_max: usize,
}

/// Puts the keys of a batch into the map, unless its transaction was aborted. False when the map is
/// full: then it covers what went in.
pub(super) fn map_batch(
    keys: &mut KeyMap,
    transactions: &mut Transactions,
    header: &BatchHeader,
    batch: &[u8],
    decompressed_bytes_max: usize,
) -> Result<bool, BatchError> {
    if header.is_control() {
        if let Some(commit) = marker(header, batch)? {
            transactions.meet_marker(header, commit);
        }
    } else if !transactions.meet_batch(header) {
        let (view, _) = BatchView::parse(batch)?;
        for record in view.records(decompressed_bytes_max)? {
            let record = record?;
            let offset = view.offset_of(&record);
            if let Some(key) = &record.key
                && !keys.put(key, offset)
            {
                return Ok(false);
            }
        }
    }
    keys.cover(header.last_offset());
    Ok(true)
}

impl Filter {
    /// Judges the next batch of the pass. `ends_file` says that the rewritten file ends with it. The
    /// second answer is an entry that the file's transaction index must have.
    pub(super) fn judge(
        &mut self,
        header: &BatchHeader,
        batch: &[u8],
        ends_file: bool,
    ) -> Result<(Fate, Option<Aborted>), BatchError> {
        let (view, _) = BatchView::parse(batch)?;
        if header.is_control() {
            self.judge_marker(header, &view, ends_file)
        } else {
            Ok((self.judge_records(header, &view, ends_file)?, None))
        }
    }

    fn judge_marker(
        &mut self,
        header: &BatchHeader,
        view: &BatchView<'_>,
        ends_file: bool,
    ) -> Result<(Fate, Option<Aborted>), BatchError> {
        let Some(commit) = marker(header, view.bytes())? else {
            // A marker that was emptied before has been judged; other kinds of control records are
            // not ours to drop.
            let emptied = header.record_count == 0;
            let fate = if emptied { self.emptied(header, view, ends_file)? } else { Fate::AsItIs };
            return Ok((fate, None));
        };
        let (unneeded, entry) = self.transactions.meet_marker(header, commit);
        let horizon_ms = view.has_delete_horizon().then(|| view.base_timestamp_ms());
        let fate = match horizon_ms {
            _ if !unneeded => Fate::AsItIs,
            Some(horizon_ms) if horizon_ms <= self.now_ms => {
                self.emptied(header, view, ends_file)?
            }
            Some(_) => Fate::AsItIs,
            None => {
                let records = view.records(CONTROL_BYTES_MAX)?.collect::<Result<Vec<_>, _>>()?;
                self.rewritten(view, &records, true)?
            }
        };
        Ok((fate, entry))
    }

    fn judge_records(
        &mut self,
        header: &BatchHeader,
        view: &BatchView<'_>,
        ends_file: bool,
    ) -> Result<Fate, BatchError> {
        if self.transactions.meet_batch(header) || header.record_count == 0 {
            return self.emptied(header, view, ends_file);
        }
        let horizon_ms = view.has_delete_horizon().then(|| view.base_timestamp_ms());
        let mut kept = Vec::new();
        let mut tombstones = false;
        for record in view.records(self.decompressed_bytes_max)? {
            let record = record?;
            if self.keeps(&record, view.offset_of(&record), horizon_ms) {
                tombstones |= record.value.is_none();
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return self.emptied(header, view, ends_file);
        }
        let starts_horizon = tombstones && horizon_ms.is_none();
        if kept.len() as i64 == i64::from(header.record_count) && !starts_horizon {
            return Ok(Fate::AsItIs);
        }
        self.rewritten(view, &kept, starts_horizon)
    }

    fn keeps(&self, record: &Record, offset: Offset, horizon_ms: Option<i64>) -> bool {
        if self.keys.covered() < offset {
            return true;
        }
        let Some(key) = &record.key else { return false };
        let is_last = self.keys.get(key).is_none_or(|last| last <= offset);
        let is_over = horizon_ms.is_some_and(|horizon_ms| horizon_ms <= self.now_ms);
        is_last && (record.value.is_some() || !is_over)
    }

    fn rewritten(
        &self,
        view: &BatchView<'_>,
        kept: &[Record],
        starts_horizon: bool,
    ) -> Result<Fate, BatchError> {
        let mut builder = BatchBuilder::rewriting(view)?;
        if starts_horizon {
            let horizon_ms = self.now_ms.saturating_add(self.delete_retention_ms);
            builder = builder.delete_horizon(horizon_ms);
        }
        kept.iter().for_each(|record| builder.keep(record));
        Ok(Fate::Rewritten(builder.finish()?))
    }

    /// What is left of a batch without records.
    fn emptied(
        &self,
        header: &BatchHeader,
        view: &BatchView<'_>,
        ends_file: bool,
    ) -> Result<Fate, BatchError> {
        let tells_sequence = match self.producers.get(&header.producer_id) {
            Some(LastOfProducer::Batch(last)) => *last == header.last_offset(),
            // A head without its record would not tell the epoch to a replay.
            Some(LastOfProducer::Marker(epoch))
                if header.is_control() && header.producer_epoch == *epoch =>
            {
                return Ok(Fate::AsItIs);
            }
            _ => false,
        };
        match ends_file || tells_sequence {
            false => Ok(Fate::Dropped),
            true if header.record_count == 0 => Ok(Fate::AsItIs),
            true => Ok(Fate::Rewritten(BatchBuilder::rewriting(view)?.finish_empty()?)),
        }
    }
}

/// Whether a control batch commits; `None` when it is empty or of another kind.
fn marker(header: &BatchHeader, batch: &[u8]) -> Result<Option<bool>, BatchError> {
    if !header.has_producer() {
        return Ok(None);
    }
    let (view, _) = BatchView::parse(batch)?;
    let Some(record) = view.records(CONTROL_BYTES_MAX)?.next() else { return Ok(None) };
    let record = record?;
    Ok(match ControlRecord::decode(record.key.as_ref(), record.value.as_ref()) {
        Ok(ControlRecord::Commit { .. }) => Some(true),
        Ok(ControlRecord::Abort { .. }) => Some(false),
        _ => None,
    })
}
