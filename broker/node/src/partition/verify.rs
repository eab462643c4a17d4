//! Transactional batches wait here until their coordinator agrees (KIP-890).
//!
//! The first batch of a transaction on a partition asks the coordinator whether the partition is
//! in the transaction (version 1 clients have said so before) or adds it (version 2). While the
//! question is open, later batches of the same producer queue behind it.
//!
//! Invariants:
//! - Batches of a producer are appended in the order in which they came.
//! - When the question is answered with no, everything queued behind it is refused with the same
//!   code, and no batch with a higher sequence is appended before the refused one was: on a
//!   partition without state of the producer, any first sequence would be taken.
//! - A marker that arrives while the question is open ends the transaction the question was
//!   about; a late yes to it is a no.
//!
//! Absent on purpose: asking per batch. A transaction that is open in the log needs no question.

use super::append::refused;
use super::{Partition, Partitions};
use crate::ask::{Acks, AppendItem, Asker, PartitionKey, Ticket, Told, TransactionalWrite};
use crate::event::ShardIndex;
use crate::node::ShardNode;
use crate::shard_message::{ShardMessage, VerifyTransaction};
use mainstem_coordinator::TopicPartition;
use mainstem_coordinator::transaction::PartitionsInTransaction;
use mainstem_platform::Now;
use mainstem_protocol::{ErrorCode, ProducerEpoch, ProducerId};
use std::collections::VecDeque;

/// One producer whose transaction is, or was in vain, asked about.
pub(super) struct Verifying {
    producer_epoch: ProducerEpoch,
    /// Sequence of the first batch that asked.
    lowest_sequence: i32,
    /// `None` after a no: only the lowest sequence is remembered then.
    question: Option<Question>,
}

struct Question {
    /// A marker came meanwhile.
    invalidated: bool,
    queue: VecDeque<Kept>,
}

struct Kept {
    asker: Asker,
    acks: Acks,
    transaction: TransactionalWrite,
    item: AppendItem,
}

/// What becomes of a batch.
pub(super) enum Checked {
    /// It may be appended now.
    Append(AppendItem),
    /// It is queued.
    Kept,
    Refused(ErrorCode, String),
}

/// What the header of a batch says of its writer.
struct Writer {
    transactional: bool,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: i32,
}

/// Reads the writer from a batch header: attributes at 21, producer id at 43, epoch at 51,
/// sequence at 53. Too short a batch has no writer; the log will refuse it.
fn writer(batch: &[u8]) -> Option<Writer> {
    const TRANSACTIONAL: i16 = 1 << 4;
    let attributes = i16::from_be_bytes(batch.get(21..23)?.try_into().ok()?);
    Some(Writer {
        transactional: attributes & TRANSACTIONAL != 0,
        producer_id: ProducerId(i64::from_be_bytes(batch.get(43..51)?.try_into().ok()?)),
        producer_epoch: ProducerEpoch(i16::from_be_bytes(batch.get(51..53)?.try_into().ok()?)),
        base_sequence: i32::from_be_bytes(batch.get(53..57)?.try_into().ok()?),
    })
}

impl Partition {
    /// The producer's transaction ends here: what was asked about it is void.
    ///
    /// A marker of version 2 carries the epoch after its transaction's, which is that of the next
    /// one: a question of the next transaction, asked before this marker arrived, stays open.
    pub(super) fn invalidate_verification(
        &mut self,
        producer_id: ProducerId,
        marker_epoch: ProducerEpoch,
        transaction_version: i16,
    ) {
        let ended = |epoch: ProducerEpoch| match transaction_version {
            2.. => epoch < marker_epoch,
            _ => epoch <= marker_epoch,
        };
        if let Some(verifying) = self.verifying.get_mut(&producer_id)
            && ended(verifying.producer_epoch)
        {
            match &mut verifying.question {
                Some(question) => question.invalidated = true,
                None => {
                    self.verifying.remove(&producer_id);
                }
            }
        }
    }

    fn is_in_transaction(&self, writer: &Writer) -> bool {
        let state = self.log.producer_state(writer.producer_id);
        state.is_some_and(|state| {
            state.transaction_start.is_some() && state.epoch == writer.producer_epoch
        })
    }

    fn knows_producer(&self, producer_id: ProducerId) -> bool {
        self.log.producer_state(producer_id).is_some()
    }

    /// All that waits for a verification, when the partition goes away.
    pub(super) fn take_unverified(&mut self) -> Vec<(Asker, usize)> {
        let verifying = std::mem::take(&mut self.verifying);
        let questions = verifying.into_values().filter_map(|verifying| verifying.question);
        questions.flat_map(|question| question.queue).map(|k| (k.asker, k.item.slot)).collect()
    }
}

impl Partitions {
    fn kept(&self, key: &PartitionKey) -> usize {
        let questions = self.map.get(key).into_iter().flat_map(|p| p.verifying.values());
        questions.filter_map(|v| v.question.as_ref()).map(|question| question.queue.len()).sum()
    }
}

impl ShardNode {
    /// Whether a batch may be appended now. Asks its coordinator when that is not known.
    pub(super) fn check_transaction(
        &mut self,
        asker: Asker,
        acks: Acks,
        transaction: Option<&TransactionalWrite>,
        item: AppendItem,
    ) -> Checked {
        let Some(writer) = writer(&item.batches).filter(|writer| writer.transactional) else {
            return Checked::Append(item);
        };
        let Some(transaction) = transaction.cloned() else {
            return Checked::Refused(
                ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                "a transactional batch came without a transactional id".to_owned(),
            );
        };
        let kept = self.partitions.kept(&item.key);
        let full = self.partitions.verifications_max <= kept;
        let Some(partition) = self.partitions.map.get_mut(&item.key) else {
            return Checked::Append(item);
        };
        let known = partition.knows_producer(writer.producer_id);
        let in_transaction = partition.is_in_transaction(&writer);
        match partition.verifying.get_mut(&writer.producer_id) {
            Some(Verifying { question: Some(question), .. }) => {
                if full {
                    return too_many();
                }
                question.queue.push_back(Kept { asker, acks, transaction, item });
                return Checked::Kept;
            }
            Some(refused)
                if refused.producer_epoch == writer.producer_epoch
                    && !known
                    && refused.lowest_sequence < writer.base_sequence =>
            {
                return Checked::Refused(
                    ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
                    "an earlier batch of this transaction was refused".to_owned(),
                );
            }
            _ if in_transaction => {
                partition.verifying.remove(&writer.producer_id);
                return Checked::Append(item);
            }
            _ if full => return too_many(),
            _ => {}
        }
        let key = item.key;
        let mut queue = VecDeque::new();
        queue.push_back(Kept { asker, acks, transaction: transaction.clone(), item });
        let verifying = Verifying {
            producer_epoch: writer.producer_epoch,
            lowest_sequence: writer.base_sequence,
            question: Some(Question { invalidated: false, queue }),
        };
        partition.verifying.insert(writer.producer_id, verifying);
        let write = PartitionsInTransaction {
            transactional_id: transaction.transactional_id.to_string(),
            producer_id: writer.producer_id,
            producer_epoch: writer.producer_epoch,
            partitions: vec![TopicPartition {
                topic: partition.topic.clone(),
                partition: key.partition,
            }],
            participation: transaction.participation,
        };
        self.ask_coordinator(key, write);
        Checked::Kept
    }

    fn ask_coordinator(&mut self, key: PartitionKey, write: PartitionsInTransaction) {
        let ticket = self.take_ticket();
        self.partitions.verifications.insert(ticket, (key, write.producer_id));
        let message = ShardMessage::VerifyTransaction(VerifyTransaction { ticket, write });
        self.send(ShardIndex::FIRST, message);
    }

    /// The coordinator answered.
    pub(crate) fn handle_verified(&mut self, now: Now, ticket: Ticket, error: ErrorCode) {
        let Some((key, producer_id)) = self.partitions.verifications.remove(&ticket) else {
            return;
        };
        let Some(partition) = self.partitions.map.get_mut(&key) else { return };
        let Some(verifying) = partition.verifying.get_mut(&producer_id) else { return };
        let Some(question) = verifying.question.take() else { return };
        let error = match error {
            ErrorCode::NONE if question.invalidated => ErrorCode::INVALID_TXN_STATE,
            error => error,
        };
        if error == ErrorCode::NONE {
            let epoch = verifying.producer_epoch;
            partition.verifying.remove(&producer_id);
            for Kept { asker, acks, transaction, item } in question.queue {
                let same = writer(&item.batches).is_some_and(|w| w.producer_epoch == epoch);
                match same {
                    true => self.append_now(now, asker, acks, item),
                    false => self.append_item(now, asker, acks, Some(&transaction), item),
                }
            }
            return;
        }
        self.forget_refused(&key);
        for Kept { asker, item, .. } in question.queue {
            let message = "the batch is not part of an ongoing transaction".to_owned();
            self.tell(asker, Told::Appended(refused(item.slot, error, Some(message))));
        }
    }

    /// Keeps the memory of refused producers within its limit, lowest producer ids first.
    fn forget_refused(&mut self, key: &PartitionKey) {
        let max = self.partitions.verifications_max;
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        while max < partition.verifying.len() {
            let idle = partition.verifying.iter().find(|(_, v)| v.question.is_none());
            let Some(producer_id) = idle.map(|(producer_id, _)| *producer_id) else { return };
            partition.verifying.remove(&producer_id);
        }
    }
}

fn too_many() -> Checked {
    Checked::Refused(
        ErrorCode::COORDINATOR_NOT_AVAILABLE,
        "too many batches wait for their transactions".to_owned(),
    )
}
