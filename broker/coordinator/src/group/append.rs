//! What waits for the log, and what happens when the log has spoken.

use super::change::Change;
use super::consumer::ConsumerAppend;
use super::coordinator::GroupCoordinator;
use super::load::revive;
use super::member::Waiting;
use super::refuse::{join_error, sync_error};
use super::static_member::Replacement;
use super::sync::Assignment;
use super::{GroupEffect, GroupResponse};
use crate::log::{
    AppendFailure, AppendToken, ProducerIdAndEpoch, ReplyTo, TopicPartition, append_failure,
};
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{Offset, PartitionIndex, ProducerId};
use mainstem_protocol::messages::{
    OffsetCommitResponse, OffsetDeleteResponse, TxnOffsetCommitResponse,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Records under way to the log.
#[derive(Debug)]
pub(super) struct PendingAppend {
    pub(super) partition: PartitionIndex,
    /// One per record, in the order of the records.
    pub(super) changes: Vec<Change>,
    pub(super) producer: Option<ProducerIdAndEpoch>,
    pub(super) then: Then,
}

/// What to do when the fate of an append is known.
#[derive(Debug)]
pub(super) enum Then {
    Nothing,
    Committed {
        to: ReplyTo,
        response: OffsetCommitResponse,
    },
    TxnCommitted {
        to: ReplyTo,
        response: TxnOffsetCommitResponse,
    },
    Assigned(Assignment),
    Replaced(Replacement),
    Consumer(ConsumerAppend),
    OffsetsDeleted {
        to: ReplyTo,
        response: OffsetDeleteResponse,
    },
    /// Groups of one partition were deleted for a request that may span several.
    Deleted {
        to: ReplyTo,
        groups: Vec<Arc<str>>,
    },
}

impl GroupCoordinator {
    /// The batch of `token` is past the high watermark at `Ok(base offset)`, or it is not. A token
    /// of a partition that was forgotten meanwhile is ignored.
    pub fn handle_appended(
        &mut self,
        now: Now,
        token: AppendToken,
        result: Result<Offset, ErrorCode>,
    ) {
        let Some(mut append) = self.appends.remove(&token) else { return };
        if let Then::Consumer(consumer) = &append.then
            && self.consumer_appends.get(&consumer.group) == Some(&token)
        {
            self.consumer_appends.remove(&consumer.group);
        }
        let base = match result.map_err(append_failure) {
            Ok(base) => Ok(base),
            Err(AppendFailure::Refused(code)) => {
                let is_taken_back = match &mut append.then {
                    Then::Consumer(consumer) => self.take_back(now, consumer),
                    // A consumer group that was to be deleted is gone from memory already.
                    _ => !append.changes.iter().any(|c| matches!(c, Change::Consumer { .. })),
                };
                if !is_taken_back {
                    let partition = append.partition;
                    self.appends.insert(token, append);
                    return self.reload(partition, code);
                }
                Err(code)
            }
            Err(AppendFailure::Unknown(code)) => {
                let partition = append.partition;
                tracing::warn!(%partition, ?code, "an append ended in doubt; loading again");
                self.appends.insert(token, append);
                return self.reload(partition, code);
            }
        };
        let PendingAppend { partition, changes, producer, then } = append;
        if producer.is_some() {
            self.settle_transactional(&changes);
        }
        match base {
            Ok(base) => {
                for (offset, change) in (0..).map(|n| base.plus(n)).zip(changes) {
                    self.apply(partition, offset, producer.map(|p| p.id), change);
                }
                self.finish(now, then, Ok(()));
            }
            Err(code) => self.finish(now, then, Err(code)),
        }
    }

    /// Forgets a partition whose log may say something else than this machine.
    fn reload(&mut self, partition: PartitionIndex, code: ErrorCode) {
        let epoch = self.residency.epoch(partition);
        self.forget(partition, code);
        if let Some(epoch) = epoch {
            self.residency.begin_load(partition, epoch);
            self.ask_for_reload(partition);
        }
    }

    /// Takes back the mark that an offset in flight puts on its partition.
    fn settle_transactional(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::Offset { group, partition, .. } = change {
                self.offsets.unmark_unstable(group, partition);
            }
        }
    }

    /// The only writer of what is durable: the same at append and at load.
    pub(super) fn apply(
        &mut self,
        log_partition: PartitionIndex,
        offset: Offset,
        transaction: Option<ProducerId>,
        change: Change,
    ) {
        match change {
            Change::Offset { group, partition, mut entry } => {
                entry.record_offset = offset;
                match transaction {
                    Some(producer) => {
                        self.offsets.pend(log_partition, producer, &group, partition, entry);
                    }
                    None => self.offsets.commit(log_partition, &group, partition, entry),
                }
            }
            Change::OffsetRemoved { group, partition } => self.offsets.remove(&group, &partition),
            // Was applied when it was decided, or read.
            Change::Consumer { .. } => {}
            // The group has become a consumer group while this was under way.
            Change::Group { group, .. } if self.consumer_groups.contains_key(&group) => {}
            Change::Group { group, snapshot } => match self.groups.get_mut(&group) {
                Some(group) => group.durable = Some(snapshot),
                // It was deleted while this was under way, and lives again by this record.
                None => {
                    self.groups.insert(Arc::clone(&group), revive(&group, &snapshot));
                }
            },
            Change::GroupRemoved { group } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.durable = None;
                    if group.members.is_empty() && group.pending_members.is_empty() {
                        let id = Arc::clone(&group.id);
                        self.groups.remove(&id);
                    }
                }
            }
        }
    }

    /// Offsets that are under way to the log, pending ones aside.
    pub(super) fn offsets_in_flight(&self) -> BTreeSet<(Arc<str>, TopicPartition)> {
        let appends = self.appends.values().filter(|append| append.producer.is_none());
        let offset = |change: &Change| match change {
            Change::Offset { group, partition, .. } => Some((Arc::clone(group), partition.clone())),
            _ => None,
        };
        appends.flat_map(|append| append.changes.iter().filter_map(offset)).collect()
    }

    fn finish(&mut self, now: Now, then: Then, result: Result<(), ErrorCode>) {
        match then {
            Then::Nothing => {}
            Then::Committed { to, mut response } => {
                if let Err(code) = result.map_err(commit_failure) {
                    let partitions = response.topics.iter_mut().flat_map(|t| &mut t.partitions);
                    for partition in partitions.filter(|p| p.error_code == ErrorCode::NONE) {
                        partition.error_code = code;
                    }
                }
                self.reply(to, GroupResponse::OffsetCommit(response));
            }
            Then::TxnCommitted { to, mut response } => {
                if let Err(code) = result.map_err(commit_failure) {
                    let partitions = response.topics.iter_mut().flat_map(|t| &mut t.partitions);
                    for partition in partitions.filter(|p| p.error_code == ErrorCode::NONE) {
                        partition.error_code = code;
                    }
                }
                self.reply(to, GroupResponse::TxnOffsetCommit(response));
            }
            Then::Assigned(assignment) => self.assigned(now, assignment, result),
            Then::Replaced(replacement) => self.replaced(now, &replacement, result),
            Then::Consumer(consumer) => self.answer_all(consumer, result),
            Then::OffsetsDeleted { to, response } => self.offsets_deleted(to, response, result),
            Then::Deleted { to, groups } => self.deleted(to, &groups, result),
        }
    }

    /// Drops everything of a partition and answers all who wait for it. No timer, group, offset or
    /// append of the partition is left.
    pub(super) fn forget(&mut self, partition: PartitionIndex, code: ErrorCode) {
        let tokens: Vec<AppendToken> = self
            .appends
            .iter()
            .filter(|(_, append)| append.partition == partition)
            .map(|(token, _)| *token)
            .collect();
        let now = Now::default();
        for token in tokens {
            let append = self.appends.remove(&token).expect("the token was just listed");
            match append.then {
                // Their waiting members are answered below.
                Then::Assigned(_) => {}
                Then::Replaced(replacement) => {
                    let Waiting { to, api_version } = replacement.waiting;
                    self.reply(to, join_error(api_version, &replacement.member, code));
                }
                then => self.finish(now, then, Err(code)),
            }
        }
        let mut gone: Vec<Arc<str>> =
            self.groups.keys().filter(|id| self.partition_of(id) == partition).cloned().collect();
        for id in &gone {
            let group = self.groups.remove(id).expect("the group was just listed");
            for member in group.members.into_values() {
                if let Some(waiting) = member.awaiting_join {
                    self.reply(waiting.to, join_error(waiting.api_version, &member.id, code));
                }
                if let Some(waiting) = member.awaiting_sync {
                    self.reply(waiting.to, sync_error(code));
                }
            }
        }
        let of_partition = |id: &&Arc<str>| self.partition_of(id) == partition;
        gone.extend(self.consumer_groups.keys().filter(of_partition).cloned());
        let gone: BTreeSet<Arc<str>> = gone.into_iter().collect();
        self.consumer_groups.retain(|id, _| !gone.contains(id));
        self.consumer_appends.retain(|id, _| !gone.contains(id));
        self.timers.retain(|timer| !timer.group().is_some_and(|group| gone.contains(group)));
        self.offsets.forget(partition);
        self.drop_appends_not_sent(partition);
    }

    /// Appends that nobody has taken out yet must not reach the log after their state is gone.
    fn drop_appends_not_sent(&mut self, partition: PartitionIndex) {
        self.retain_effects(|effect| {
            !matches!(effect, GroupEffect::Append { partition: of, .. } if *of == partition)
        });
    }
}

/// A batch that the log refuses for its size has a code of its own when it holds offsets.
fn commit_failure(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::UNKNOWN_SERVER_ERROR => ErrorCode::INVALID_COMMIT_OFFSET_SIZE,
        code => code,
    }
}
