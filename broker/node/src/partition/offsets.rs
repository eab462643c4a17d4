//! Questions about offsets: where the log begins and ends, what was written when, where an epoch
//! ended, where producers have open transactions, and forgetting the beginning.

use super::Partition;
use super::read::read_error_code;
use crate::ask::{
    Asker, EpochEndQuestion, FoundOffset, Isolation, Item, OffsetQuestion, Outcome, SoughtOffset,
    Told,
};
use crate::cluster::is_internal;
use crate::node::ShardNode;
use mainstem_protocol::{ErrorCode, LeaderEpoch, Offset};
use mainstem_storage::{Bound, ReadError, TimestampedOffset};

/// The answer when there is nothing of the kind that is sought.
const NOTHING: FoundOffset =
    FoundOffset { offset: Offset::NONE, timestamp_ms: -1, leader_epoch: LeaderEpoch::NONE };

impl ShardNode {
    /// Asks each partition its question.
    fn answer_each<Q, A>(
        &self,
        items: &[Item<Q>],
        answer: impl Fn(&Partition, &Q) -> Result<A, ErrorCode>,
    ) -> Vec<Outcome<A>> {
        let one = |item: &Item<Q>| Outcome {
            slot: item.slot,
            answer: match self.partitions.get(&item.key) {
                Some(partition) => answer(partition, &item.question),
                None => Err(self.absence(&item.key)),
            },
        };
        items.iter().map(one).collect()
    }

    pub(super) fn handle_offsets(&mut self, asker: Asker, items: &[Item<OffsetQuestion>]) {
        let outcomes = self.answer_each(items, find_offset);
        self.tell(asker, Told::Offsets(outcomes));
    }

    pub(super) fn handle_epoch_end(&mut self, asker: Asker, items: &[Item<EpochEndQuestion>]) {
        let outcomes = self.answer_each(items, epoch_end);
        self.tell(asker, Told::EpochEnd(outcomes));
    }

    pub(super) fn handle_producers(&mut self, asker: Asker, items: &[Item<()>]) {
        let producers = |partition: &Partition, (): &()| Ok(partition.log.producers());
        let outcomes = self.answer_each(items, producers);
        self.tell(asker, Told::Producers(outcomes));
    }

    pub(super) fn handle_delete_records(&mut self, asker: Asker, items: &[Item<Option<Offset>>]) {
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            outcomes.push(Outcome { slot: item.slot, answer: self.delete_records(item) });
        }
        self.tell(asker, Told::DeleteRecords(outcomes));
    }

    fn delete_records(&mut self, item: &Item<Option<Offset>>) -> Result<Offset, ErrorCode> {
        let Some(partition) = self.partitions.get_mut(&item.key) else {
            return Err(self.absence(&item.key));
        };
        let before = first_to_stay(partition, item.question)?;
        match partition.log.delete_records_before(before) {
            Ok(start) => {
                self.partitions.touch(item.key);
                Ok(start)
            }
            Err(error) => {
                let dir = partition.dir;
                self.storage_failed(dir, "delete records", &error);
                Err(ErrorCode::KAFKA_STORAGE_ERROR)
            }
        }
    }
}

fn epoch_end(
    partition: &Partition,
    question: &EpochEndQuestion,
) -> Result<(LeaderEpoch, Offset), ErrorCode> {
    partition.check_leader_epoch(question.current_leader_epoch)?;
    let (log, asked) = (&partition.log, question.epoch);
    // The present epoch begins with its leader, not with the first record that it writes.
    if asked == partition.leader_epoch {
        return Ok((asked, log.log_end_offset()));
    }
    if asked.is_none() || partition.leader_epoch < asked {
        return Ok((LeaderEpoch::NONE, Offset::NONE));
    }
    // An epoch from before the log's beginning ended there.
    let end = log.offset_for_leader_epoch(asked);
    Ok(end.unwrap_or((asked, log.log_start_offset())))
}

/// The epoch that an earliest offset is answered with. Where no record is, the next one will be
/// the present leader's.
fn epoch_of_start(partition: &Partition) -> LeaderEpoch {
    let epoch = partition.log.epoch_at(partition.log.log_start_offset());
    epoch.unwrap_or(partition.leader_epoch)
}

fn find_offset(partition: &Partition, question: &OffsetQuestion) -> Result<FoundOffset, ErrorCode> {
    partition.check_leader_epoch(question.current_leader_epoch)?;
    let log = &partition.log;
    let bound = match question.isolation {
        Isolation::ReadUncommitted => Bound::HighWatermark,
        Isolation::ReadCommitted => Bound::LastStable,
    };
    let found: Result<Option<TimestampedOffset>, ReadError> = match question.sought {
        SoughtOffset::Earliest => {
            let (offset, leader_epoch) = (log.log_start_offset(), epoch_of_start(partition));
            return Ok(FoundOffset { offset, leader_epoch, ..NOTHING });
        }
        SoughtOffset::Latest => {
            let (offset, leader_epoch) = (log.end_of(bound), partition.leader_epoch);
            return Ok(FoundOffset { offset, leader_epoch, ..NOTHING });
        }
        SoughtOffset::MaxTimestamp => log.offset_of_max_timestamp(bound),
        SoughtOffset::AtTimestamp { timestamp_ms } => log.offset_for_timestamp(timestamp_ms, bound),
        SoughtOffset::Tiered => Ok(None),
    };
    match found {
        Ok(Some(found)) => Ok(FoundOffset {
            offset: found.offset,
            timestamp_ms: found.timestamp_ms,
            leader_epoch: found.leader_epoch,
        }),
        Ok(None) => Ok(NOTHING),
        Err(error) => {
            tracing::error!(topic = &*partition.topic, %error, "looking for a time failed");
            Err(read_error_code(&error))
        }
    }
}

/// Which offset a deletion may leave as the first one.
fn first_to_stay(partition: &Partition, before: Option<Offset>) -> Result<Offset, ErrorCode> {
    if is_internal(&partition.topic) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    // Records of a compacted topic are kept by key, not by age (Kafka's rule as well).
    if !partition.log.config().cleanup_policy.delete {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let high_watermark = partition.log.high_watermark();
    let before = before.unwrap_or(high_watermark);
    if before < Offset::ZERO || high_watermark < before {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    Ok(before)
}
