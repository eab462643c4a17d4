//! Questions about offsets: where the log begins and ends, what was written when, where an epoch
//! ended, and forgetting the beginning.

use super::Partition;
use super::read::read_error_code;
use crate::ask::{
    Asker, DeleteRecordsItem, DeleteRecordsOutcome, EpochEndItem, EpochEndOutcome, Isolation,
    OffsetItem, OffsetOutcome, OffsetQuestion, Told,
};
use crate::node::ShardNode;
use mainstem_protocol::{ErrorCode, LeaderEpoch, Offset};
use mainstem_storage::{Bound, ReadError, TimestampedOffset};

impl ShardNode {
    pub(super) fn handle_offsets(
        &mut self,
        asker: Asker,
        isolation: Isolation,
        items: &[OffsetItem],
    ) {
        let answer = |item: &OffsetItem| match self.partitions.get(&item.key) {
            Some(partition) => find_offset(partition, isolation, item),
            None => no_offset(item, self.absence(&item.key)),
        };
        let outcomes = items.iter().map(answer).collect();
        self.tell(asker, Told::Offsets(outcomes));
    }

    pub(super) fn handle_epoch_end(&mut self, asker: Asker, items: &[EpochEndItem]) {
        let answer = |item: &EpochEndItem| {
            let mut outcome = EpochEndOutcome {
                slot: item.slot,
                error: self.absence(&item.key),
                epoch: LeaderEpoch::NONE,
                end_offset: Offset::NONE,
            };
            if let Some(partition) = self.partitions.get(&item.key) {
                outcome.error = partition.check_leader_epoch(item.current_leader_epoch);
                let end = partition.log.offset_for_leader_epoch(item.epoch);
                if let (ErrorCode::NONE, Some((epoch, end))) = (outcome.error, end) {
                    (outcome.epoch, outcome.end_offset) = (epoch, end);
                }
            }
            outcome
        };
        let outcomes = items.iter().map(answer).collect();
        self.tell(asker, Told::EpochEnd(outcomes));
    }

    pub(super) fn handle_delete_records(&mut self, asker: Asker, items: &[DeleteRecordsItem]) {
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            let result = match self.partitions.get_mut(&item.key) {
                Some(partition) => delete_records(partition, item.before),
                None => Err(self.absence(&item.key)),
            };
            if result.is_ok() {
                self.partitions.dirty.insert(item.key);
            }
            let dir = self.partitions.get(&item.key).map(|partition| partition.dir);
            if let (Err(ErrorCode::KAFKA_STORAGE_ERROR), Some(dir)) = (&result, dir) {
                self.fail_dir(dir, "move the start of a log");
            }
            let (error, low_watermark) = match result {
                Ok(start) => (ErrorCode::NONE, start),
                Err(error) => (error, Offset::NONE),
            };
            outcomes.push(DeleteRecordsOutcome { slot: item.slot, error, low_watermark });
        }
        self.tell(asker, Told::DeleteRecords(outcomes));
    }
}

fn no_offset(item: &OffsetItem, error: ErrorCode) -> OffsetOutcome {
    OffsetOutcome {
        slot: item.slot,
        error,
        offset: Offset::NONE,
        timestamp_ms: -1,
        leader_epoch: LeaderEpoch::NONE,
    }
}

fn find_offset(partition: &Partition, isolation: Isolation, item: &OffsetItem) -> OffsetOutcome {
    let mut outcome = no_offset(item, partition.check_leader_epoch(item.current_leader_epoch));
    if outcome.error != ErrorCode::NONE {
        return outcome;
    }
    let log = &partition.log;
    let bound = match isolation {
        Isolation::ReadUncommitted => Bound::HighWatermark,
        Isolation::ReadCommitted => Bound::LastStable,
    };
    let found: Result<Option<TimestampedOffset>, ReadError> = match item.question {
        OffsetQuestion::Earliest => {
            outcome.offset = log.log_start_offset();
            return outcome;
        }
        OffsetQuestion::Latest => {
            outcome.offset = partition.bound(isolation);
            outcome.leader_epoch = partition.leader_epoch;
            return outcome;
        }
        OffsetQuestion::MaxTimestamp => log.offset_of_max_timestamp(bound),
        OffsetQuestion::AtTimestamp { timestamp_ms } => {
            log.offset_for_timestamp(timestamp_ms, bound)
        }
    };
    match found {
        Ok(Some(found)) => {
            outcome.offset = found.offset;
            outcome.timestamp_ms = found.timestamp_ms;
            outcome.leader_epoch = found.leader_epoch;
        }
        Ok(None) => {}
        Err(error) => {
            tracing::error!(topic = &*partition.topic, %error, "looking for a time failed");
            outcome.error = read_error_code(&error);
        }
    }
    outcome
}

fn delete_records(partition: &mut Partition, before: Option<Offset>) -> Result<Offset, ErrorCode> {
    // Records of a compacted topic are kept by key, not by age (KAFKA's rule as well).
    if !partition.log.config().cleanup_policy.delete {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let high_watermark = partition.log.high_watermark();
    let before = before.unwrap_or(high_watermark);
    if before < Offset::ZERO || high_watermark < before {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    partition.log.delete_records_before(before).map_err(|error| {
        tracing::error!(topic = &*partition.topic, %error, "deleting records failed");
        ErrorCode::KAFKA_STORAGE_ERROR
    })
}
