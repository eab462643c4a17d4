//! What a written batch means to the producer table: the same at append and after a restart.

use crate::header::BatchHeader;
use crate::producer::{BATCHES_REMEMBERED, BatchMemory, ProducerStates};
use crate::slice::Marker;
use crate::transaction_index::Aborted;
use mainstem_protocol::ids::{ProducerEpoch, ProducerId};
use mainstem_protocol::record::{BatchView, ControlRecord};
use std::collections::BTreeMap;

/// A control record is a few bytes; this only stops a damaged one.
const CONTROL_BYTES_MAX: usize = 64 << 10;

/// Notes a batch that is in the file. `batch` is looked at for control batches only and may be empty
/// for others. The answer is an entry for the transaction index, when the batch is an abort.
pub(crate) fn note_batch(
    producers: &mut ProducerStates,
    header: &BatchHeader,
    batch: &[u8],
    now_ms: i64,
) -> Option<Aborted> {
    if !header.has_producer() {
        return None;
    }
    if !header.is_control() {
        producers.apply_batch(header, now_ms);
        return None;
    }
    let marker = marker_in(header, batch)?;
    let ended = producers.apply_marker(&marker, header.base_offset, now_ms)?;
    (!marker.commit).then_some(Aborted {
        producer_id: ended.producer_id,
        first_offset: ended.first_offset,
        last_offset: ended.last_offset,
        last_stable_offset: ended.last_stable_offset,
    })
}

/// The marker in a control batch; `None` when compaction emptied it or it is of another kind.
pub(crate) fn marker_in(header: &BatchHeader, batch: &[u8]) -> Option<Marker> {
    let (view, _) = BatchView::parse(batch).ok()?;
    let record = view.records(CONTROL_BYTES_MAX).ok()?.next()?.ok()?;
    let control = ControlRecord::decode(record.key.as_ref(), record.value.as_ref()).ok()?;
    let (commit, coordinator_epoch) = match control {
        ControlRecord::Commit { coordinator_epoch } => (true, coordinator_epoch),
        ControlRecord::Abort { coordinator_epoch } => (false, coordinator_epoch),
        ControlRecord::Other { .. } => return None,
    };
    Some(Marker {
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        commit,
        coordinator_epoch,
        // The rule of version 2 was kept when the marker was written; the log does not name it.
        transaction_version: 0,
    })
}

/// The last batches of each producer in a stretch of log, to give snapshots their depth back.
#[derive(Debug, Default)]
pub(super) struct Tail {
    batches: BTreeMap<ProducerId, (ProducerEpoch, Vec<BatchMemory>)>,
}

impl Tail {
    pub(super) fn note(&mut self, header: &BatchHeader) {
        if !header.has_producer() || header.is_control() {
            return;
        }
        let fresh = || (header.producer_epoch, Vec::new());
        let (epoch, batches) = self.batches.entry(header.producer_id).or_insert_with(fresh);
        if *epoch != header.producer_epoch {
            *epoch = header.producer_epoch;
            batches.clear();
        }
        if batches.len() == BATCHES_REMEMBERED {
            batches.remove(0);
        }
        batches.push(BatchMemory::of(header));
    }

    pub(super) fn deepen(self, producers: &mut ProducerStates) {
        for (producer_id, (_, batches)) in self.batches {
            producers.deepen(producer_id, &batches);
        }
    }
}
