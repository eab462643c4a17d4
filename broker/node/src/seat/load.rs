//! Reading logs back into machines: coordinators when their partitions open. The metadata log is
//! read through `snapshot`.
//!
//! Loading is synchronous, before the partition answers anybody, so no request ever meets a
//! machine that knows only a part of its log. Records at the end that are not yet past the high
//! watermark are loaded as well: they are in the log, and nothing can take them out again.

use bytes::Bytes;
use mainstem_coordinator::group::GroupCoordinator;
use mainstem_coordinator::transaction::TransactionCoordinator;
use mainstem_platform::Now;
use mainstem_protocol::record::{Batch, ControlRecord, batches};
use mainstem_protocol::{LeaderEpoch, Offset, PartitionIndex, ProducerId};
use mainstem_registry::Registry;
use mainstem_storage::{Bound, Log};

/// Bytes read at a time; one larger batch is read whole.
const READ_BYTES: u32 = 1 << 20;
/// Largest size of one batch's records, unpacked. The broker wrote them itself, unpacked.
pub(super) const RECORDS_BYTES_MAX: usize = 256 << 20;

pub(super) fn for_each_batch(
    log: &Log,
    mut from: Offset,
    mut take: impl FnMut(&Batch) -> Result<(), String>,
) -> Result<(), String> {
    while from < log.log_end_offset() {
        let read = log.read_bytes(from, READ_BYTES, Bound::LogEnd, true);
        let read = read.map_err(|error| error.to_string())?;
        if read.bytes.is_empty() {
            break;
        }
        for batch in batches(&read.bytes) {
            take(&batch.map_err(|error| error.to_string())?)?;
        }
        from = read.next_offset;
    }
    Ok(())
}

/// One partition of `__consumer_offsets`.
pub(super) fn load_groups(
    groups: &mut GroupCoordinator,
    log: &Log,
    partition: PartitionIndex,
    epoch: LeaderEpoch,
    now: Now,
) -> Result<(), String> {
    groups.begin_load(partition, epoch);
    for_each_batch(log, log.log_start_offset(), |batch| {
        let view = batch.view();
        let records = batch.records(RECORDS_BYTES_MAX).map_err(|error| error.to_string())?;
        let producer_id: ProducerId = view.producer_id();
        let transaction = view.is_transactional().then_some(producer_id);
        for record in records {
            let record = record.map_err(|error| error.to_string())?;
            let Some(key) = &record.key else { continue };
            if view.is_control() {
                if let Some(commit) = ends_transaction(key, record.value.as_ref()) {
                    groups.load_marker(partition, producer_id, commit);
                }
                continue;
            }
            let offset = view.offset_of(&record);
            groups.load_record(partition, offset, transaction, key, record.value.as_ref());
        }
        Ok(())
    })?;
    groups.finish_load(now, partition);
    Ok(())
}

/// One partition of `__transaction_state`.
pub(super) fn load_transactions(
    transactions: &mut TransactionCoordinator,
    log: &Log,
    partition: PartitionIndex,
    epoch: LeaderEpoch,
    now: Now,
) -> Result<(), String> {
    transactions.begin_load(partition, epoch);
    for_each_batch(log, log.log_start_offset(), |batch| {
        let view = batch.view();
        if view.is_control() {
            return Ok(());
        }
        for record in batch.records(RECORDS_BYTES_MAX).map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            let Some(key) = &record.key else { continue };
            let offset = view.offset_of(&record);
            transactions.load_record(partition, offset, key, record.value.as_ref());
        }
        Ok(())
    })?;
    transactions.finish_load(now, partition);
    Ok(())
}

/// The partition of `_schemas`.
pub(super) fn load_registry(registry: &mut Registry, log: &Log) -> Result<(), String> {
    for_each_batch(log, log.log_start_offset(), |batch| {
        if batch.view().is_control() {
            return Ok(());
        }
        for record in batch.records(RECORDS_BYTES_MAX).map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            let Some(key) = &record.key else { continue };
            if let Err(error) = registry.apply(key, record.value.as_deref()) {
                tracing::warn!(%error, "a record of the schemas cannot be read: passed over");
            }
        }
        Ok(())
    })
}

/// Whether a control record ends a transaction, and how.
fn ends_transaction(key: &Bytes, value: Option<&Bytes>) -> Option<bool> {
    match ControlRecord::decode(Some(key), value) {
        Ok(ControlRecord::Commit { .. }) => Some(true),
        Ok(ControlRecord::Abort { .. }) => Some(false),
        _ => None,
    }
}
