//! Batches and markers into logs: who may append what, and what a refusal is called.
//!
//! Invariants:
//! - An item is answered once: at once when it is refused, when it is written if it wants only the
//!   leader's append and `flush.messages` is not reached, else when the high watermark has passed it.
//! - A client's batch is accepted here and written in `writing`; everything else is written at once,
//!   behind what was accepted before.
//! - A batch that is refused left nothing in the log.
//! - A transactional batch reaches the log only inside a transaction that its coordinator knows.

use super::verify::Checked;
use super::writing::Unwritten;
use super::{Partition, Then};
use crate::ask::{
    Acks, AppendAsk, AppendItem, AppendOutcome, Asker, MarkersAsk, PartitionKey, Told,
    TransactionEnd, TransactionalWrite,
};
use crate::node::ShardNode;
use bytes::Bytes;
use mainstem_platform::Now;
use mainstem_protocol::{ErrorCode, Offset};
use mainstem_storage::{AppendError, Appended, Marker, Origin, RecordError};

/// What the wire calls a refusal of the log. The one place where storage meets Kafka's codes.
pub(crate) fn error_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::CorruptMessage(_) => ErrorCode::CORRUPT_MESSAGE,
        AppendError::InvalidRecord(_) => ErrorCode::INVALID_RECORD,
        AppendError::RejectedRecords { by_timestamp: true, .. } => ErrorCode::INVALID_TIMESTAMP,
        AppendError::RejectedRecords { .. } => ErrorCode::INVALID_RECORD,
        AppendError::UnsupportedFormat(_) => ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT,
        AppendError::MessageTooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
        AppendError::BatchListTooLarge { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
        AppendError::InvalidTransactionState { .. } => ErrorCode::INVALID_TXN_STATE,
        AppendError::CoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
        AppendError::StaleLeaderEpoch { .. } => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        AppendError::DiskFull | AppendError::DiskFailed(_) => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

/// An outcome without an append.
pub(crate) fn refused(slot: usize, error: ErrorCode, message: Option<String>) -> AppendOutcome {
    AppendOutcome {
        slot,
        error,
        message,
        record_errors: Vec::new(),
        base_offset: Offset::NONE,
        log_append_time_ms: -1,
        log_start_offset: Offset::NONE,
    }
}

fn done(slot: usize, appended: &Appended) -> AppendOutcome {
    AppendOutcome {
        slot,
        error: ErrorCode::NONE,
        message: None,
        record_errors: Vec::new(),
        base_offset: appended.base_offset,
        log_append_time_ms: appended.log_append_time_ms,
        log_start_offset: appended.log_start_offset,
    }
}

impl ShardNode {
    pub(crate) fn handle_append(&mut self, now: Now, asker: Asker, ask: AppendAsk) {
        for item in ask.items {
            self.append_item(now, asker, ask.acks, ask.transaction.as_ref(), item);
        }
    }

    /// Appends one batch, or keeps it until its transaction is verified.
    pub(crate) fn append_item(
        &mut self,
        now: Now,
        asker: Asker,
        acks: Acks,
        transaction: Option<&TransactionalWrite>,
        item: AppendItem,
    ) {
        let slot = item.slot;
        match self.check_transaction(asker, acks, transaction, item) {
            Checked::Append(item) => self.append_now(now, asker, acks, item),
            Checked::Kept => {}
            Checked::Refused(error, message) => {
                self.tell(asker, Told::Appended(refused(slot, error, Some(message))));
            }
        }
    }

    pub(crate) fn append_now(&mut self, now: Now, asker: Asker, acks: Acks, item: AppendItem) {
        let AppendItem { slot, key, batches } = item;
        let partition = self.partitions.map.get(&key);
        if acks == Acks::All && partition.is_some_and(|partition| !partition.in_sync_enough) {
            let outcome = refused(slot, ErrorCode::NOT_ENOUGH_REPLICAS, None);
            self.tell(asker, Told::Appended(outcome));
            return;
        }
        let size_bytes = batches.len();
        match self.try_accept(now, &key, batches) {
            Ok(appended) => {
                let size_bytes = if appended.duplicate { 0 } else { size_bytes };
                let (end, outcome) = (appended.last_offset.next(), done(slot, &appended));
                let answer = Unwritten { acks, end, size_bytes, asker, outcome };
                self.answer_when_written(now, &key, answer);
            }
            Err(refusal) => self.tell(asker, Told::Appended(refusal.outcome(slot))),
        }
    }

    fn try_accept(
        &mut self,
        now: Now,
        key: &PartitionKey,
        batch: Bytes,
    ) -> Result<Appended, Refusal> {
        let Some(partition) = self.partitions.map.get_mut(key) else {
            return Err(self.absence(key).into());
        };
        let accepted = partition.log.accept(now, batch, partition.leader_epoch);
        self.account(key, accepted)
    }

    /// Appends a coordinator's batches to a log of this shard and remembers that it must be committed.
    pub(crate) fn append(
        &mut self,
        now: Now,
        key: &PartitionKey,
        batches: impl Into<Bytes>,
    ) -> Result<Appended, (ErrorCode, Option<String>)> {
        self.write_accepted(now, key);
        let Some(partition) = self.partitions.map.get_mut(key) else {
            return Err((self.absence(key), None));
        };
        let (epoch, origin) = (partition.leader_epoch, Origin::Coordinator);
        let appended = partition.log.append(now, batches, epoch, origin);
        self.account(key, appended).map_err(|refusal| (refusal.error, refusal.message))
    }

    /// Writes the end of a transaction into partitions of this shard.
    pub(crate) fn handle_markers(&mut self, now: Now, asker: Asker, ask: &MarkersAsk) {
        for key in &ask.items {
            self.write_accepted(now, key);
            let Some(partition) = self.partitions.map.get_mut(key) else {
                let error = self.absence(key);
                self.tell(asker, Told::Marked { key: *key, error });
                continue;
            };
            let end = ask.end;
            partition.invalidate_verification(
                end.producer_id,
                end.producer_epoch,
                end.transaction_version,
            );
            let appended = append_marker(now, partition, end);
            // The end that a later epoch stands for may not be durable yet, and whoever sent this
            // marker may take the refusal for it.
            let is_late = matches!(&appended, Err(AppendError::InvalidProducerEpoch { .. }));
            let log_end = partition.log.log_end_offset();
            let told = |error| Told::Marked { key: *key, error };
            match self.account(key, appended) {
                Ok(appended) => {
                    let then = Then::Tell(asker, told(ErrorCode::NONE));
                    self.when_committed(key, appended.last_offset.next(), then);
                }
                Err(refusal) if is_late => {
                    self.when_committed(key, log_end, Then::Tell(asker, told(refusal.error)));
                }
                Err(refusal) => self.tell(asker, told(refusal.error)),
            }
        }
    }

    /// What follows for the shard from something that was done to a log.
    pub(super) fn account<T>(
        &mut self,
        key: &PartitionKey,
        done: Result<T, AppendError>,
    ) -> Result<T, Refusal> {
        match done {
            Ok(done) => {
                self.partitions.dirty.insert(*key);
                Ok(done)
            }
            Err(error) => {
                let dir = self.partitions.get(key).map(|partition| partition.dir);
                // A full disk is none that failed: the log is as it was (see `offline`).
                if let AppendError::DiskFailed(_) = &error
                    && let Some(dir) = dir
                {
                    self.fail_dir(dir, &format!("append: {error}"));
                }
                Err(error.into())
            }
        }
    }
}

/// Why the log did not take a batch, in the words of the protocol.
pub(super) struct Refusal {
    error: ErrorCode,
    message: Option<String>,
    record_errors: Vec<RecordError>,
}

impl Refusal {
    /// As the answer to an append.
    pub(super) fn outcome(&self, slot: usize) -> AppendOutcome {
        let mut outcome = refused(slot, self.error, self.message.clone());
        outcome.record_errors.clone_from(&self.record_errors);
        outcome
    }
}

impl From<ErrorCode> for Refusal {
    fn from(error: ErrorCode) -> Refusal {
        Refusal { error, message: None, record_errors: Vec::new() }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Refusal {
        let (code, message) = (error_code(&error), Some(error.to_string()));
        let record_errors = match error {
            AppendError::RejectedRecords { errors, .. } => errors,
            _ => Vec::new(),
        };
        Refusal { error: code, message, record_errors }
    }
}

fn append_marker(
    now: Now,
    partition: &mut Partition,
    end: TransactionEnd,
) -> Result<Appended, AppendError> {
    let marker = Marker {
        producer_id: end.producer_id,
        producer_epoch: end.producer_epoch,
        commit: end.commit,
        coordinator_epoch: end.coordinator_epoch,
        transaction_version: end.transaction_version,
    };
    partition.log.append_marker(now, marker, partition.leader_epoch)
}
