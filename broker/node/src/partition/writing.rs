//! Accepted batches into files: those of a pass in one write for each partition.
//!
//! Between `append`, which has a log accept a batch, and `commit`, which makes it visible, stands the
//! write. It happens at the end of the pass, or earlier when something else than Produce and Fetch
//! wants the log, or when the log says that it is enough.
//!
//! Invariants:
//! - Nobody hears of a batch before its write: answers wait in the order of the appends.
//! - What could not be written is refused, and everything that was accepted behind it.

use super::{Partition, Then};
use crate::ask::{Acks, AppendOutcome, Asker, PartitionKey, Told};
use crate::node::ShardNode;
use mainstem_platform::Now;
use mainstem_protocol::{ErrorCode, Offset};

/// The answer to an append that is accepted.
#[derive(Debug)]
pub(super) struct Unwritten {
    pub(super) acks: Acks,
    /// The offset after it.
    pub(super) end: Offset,
    /// Zero for a duplicate.
    pub(super) size_bytes: usize,
    pub(super) asker: Asker,
    pub(super) outcome: AppendOutcome,
}

impl ShardNode {
    /// Lets an answer wait for the write of its batch.
    pub(super) fn answer_when_written(&mut self, now: Now, key: &PartitionKey, answer: Unwritten) {
        let Some(partition) = self.partitions.map.get_mut(key) else { return };
        partition.unwritten.push(answer);
        if partition.log.is_accepted_full() {
            self.write_accepted(now, key);
        } else {
            self.partitions.unwritten.insert(*key);
        }
    }

    /// Writes what all logs have accepted.
    pub(crate) fn write_all_accepted(&mut self, now: Now) {
        for key in std::mem::take(&mut self.partitions.unwritten) {
            self.write_accepted(now, &key);
        }
    }

    /// Writes what one log has accepted, and answers.
    pub(super) fn write_accepted(&mut self, now: Now, key: &PartitionKey) {
        let partition = self.partitions.map.get_mut(key);
        let Some(partition) = partition.filter(|partition| !partition.unwritten.is_empty()) else {
            return;
        };
        let answers = std::mem::take(&mut partition.unwritten);
        let written = partition.log.write_accepted(now);
        let end = partition.log.log_end_offset();
        let refusal = self.account(key, written).err();
        for answer in answers {
            match &refusal {
                Some(refusal) if end < answer.end || self.partitions.get(key).is_none() => {
                    let outcome = refusal.outcome(answer.outcome.slot);
                    self.tell(answer.asker, Told::Appended(outcome));
                }
                _ => self.answer_written(key, answer),
            }
        }
    }

    fn answer_written(&mut self, key: &PartitionKey, answer: Unwritten) {
        if 0 < answer.size_bytes {
            self.metrics.appended(1, answer.size_bytes);
        }
        let told = Told::Appended(answer.outcome);
        let waits = match answer.acks {
            Acks::None => false,
            Acks::Leader => self.partitions.get(key).is_some_and(Partition::is_flush_full),
            Acks::All => true,
        };
        if waits {
            self.when_committed(key, answer.end, Then::Tell(answer.asker, told));
        } else {
            self.tell(answer.asker, told);
        }
    }

    /// The partition goes before they were written.
    pub(super) fn refuse_unwritten(&mut self, partition: &mut Partition, error: ErrorCode) {
        self.partitions.unwritten.remove(&partition.key);
        for answer in std::mem::take(&mut partition.unwritten) {
            let refused = super::append::refused(answer.outcome.slot, error, None);
            self.tell(answer.asker, Told::Appended(refused));
        }
    }
}
