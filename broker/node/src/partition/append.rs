//! Batches and markers into logs.
//!
//! Invariants:
//! - An item is answered once: at once when it is refused or wants only the leader's append, else
//!   when the high watermark has passed it.
//! - A batch that is refused left nothing in the log.
//! - A transactional batch reaches the log only inside a transaction that its coordinator knows.

use super::verify::Checked;
use super::{Partition, Then};
use crate::ask::{
    Acks, AppendAsk, AppendItem, AppendOutcome, Asker, MarkersAsk, PartitionKey, Told,
    TransactionalWrite,
};
use crate::node::ShardNode;
use bytes::BytesMut;
use mainstem_platform::Now;
use mainstem_protocol::{ErrorCode, Offset};
use mainstem_storage::{AppendError, Appended, Marker, Origin};

/// What the wire calls a refusal of the log. The one place where storage meets Kafka's codes.
pub(crate) fn error_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::CorruptMessage(_) => ErrorCode::CORRUPT_MESSAGE,
        AppendError::InvalidRecord(_) => ErrorCode::INVALID_RECORD,
        AppendError::InvalidTimestamp { .. } => ErrorCode::INVALID_TIMESTAMP,
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
        let batches = batches.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        let size_bytes = batches.len();
        let appended = match self.append(now, &key, batches, Origin::Client) {
            Ok(appended) => appended,
            Err((error, message)) => {
                let outcome = refused(slot, error, message);
                self.tell(asker, Told::Appended(outcome));
                return;
            }
        };
        if !appended.duplicate {
            self.metrics.appended(1, size_bytes);
        }
        let told = Told::Appended(done(slot, &appended));
        match acks {
            Acks::None | Acks::Leader => self.tell(asker, told),
            Acks::All => {
                let end = appended.last_offset.next();
                self.when_committed(&key, end, Then::Tell(asker, told));
            }
        }
    }

    /// Appends to a log of this shard and remembers that it must be committed.
    pub(crate) fn append(
        &mut self,
        now: Now,
        key: &PartitionKey,
        batches: BytesMut,
        origin: Origin,
    ) -> Result<Appended, (ErrorCode, Option<String>)> {
        let Some(partition) = self.partitions.map.get_mut(key) else {
            return Err((self.absence(key), None));
        };
        let appended = partition.log.append(now, batches, partition.leader_epoch, origin);
        self.account(key, appended)
    }

    /// Writes the end of a transaction into partitions of this shard.
    pub(crate) fn handle_markers(&mut self, now: Now, asker: Asker, ask: &MarkersAsk) {
        for key in &ask.items {
            let Some(partition) = self.partitions.map.get_mut(key) else {
                let error = self.absence(key);
                self.tell(asker, Told::Marked { key: *key, error });
                continue;
            };
            partition.invalidate_verification(
                ask.producer_id,
                ask.producer_epoch,
                ask.transaction_version,
            );
            let appended = append_marker(now, partition, ask);
            // A marker whose transaction has already ended here was written before: the
            // coordinator drives an end again after a restart.
            let nothing_open = !partition.log.has_open_transaction(ask.producer_id);
            let repeated =
                nothing_open && matches!(&appended, Err(AppendError::InvalidProducerEpoch { .. }));
            let end = partition.log.log_end_offset();
            let told = |error| Told::Marked { key: *key, error };
            match self.account(key, appended) {
                Ok(appended) => {
                    let then = Then::Tell(asker, told(ErrorCode::NONE));
                    self.when_committed(key, appended.last_offset.next(), then);
                }
                Err(_) if repeated => {
                    self.when_committed(key, end, Then::Tell(asker, told(ErrorCode::NONE)));
                }
                Err((error, _)) => self.tell(asker, told(error)),
            }
        }
    }

    fn account(
        &mut self,
        key: &PartitionKey,
        appended: Result<Appended, AppendError>,
    ) -> Result<Appended, (ErrorCode, Option<String>)> {
        match appended {
            Ok(appended) => {
                self.partitions.dirty.insert(*key);
                Ok(appended)
            }
            Err(error) => {
                let dir = self.partitions.get(key).map(|partition| partition.dir);
                // A full disk as well, as in Kafka: whatever else is written there may fail halfway.
                if let AppendError::DiskFailed(_) | AppendError::DiskFull = &error
                    && let Some(dir) = dir
                {
                    self.fail_dir(dir, &format!("append: {error}"));
                }
                Err((error_code(&error), Some(error.to_string())))
            }
        }
    }
}

fn append_marker(
    now: Now,
    partition: &mut Partition,
    ask: &MarkersAsk,
) -> Result<Appended, AppendError> {
    let marker = Marker {
        producer_id: ask.producer_id,
        producer_epoch: ask.producer_epoch,
        commit: ask.commit,
        coordinator_epoch: ask.coordinator_epoch,
        transaction_version: ask.transaction_version,
    };
    partition.log.append_marker(now, marker, partition.leader_epoch)
}
