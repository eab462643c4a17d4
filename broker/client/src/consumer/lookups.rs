//! Finding where to read from: committed offsets at the group's coordinator, times at the leaders.
//!
//! The same questions are asked for callers. An answer moves a partition only if it still looks
//! for what was asked: a seek meanwhile is newer.

use std::collections::BTreeMap;

use mainstem_platform::{Instant, Now};
use mainstem_protocol::messages::OffsetFetchRequest;
use mainstem_protocol::{BrokerId, ErrorCode};

use super::machine::{ConsumerMachine, Outcome, Tag};
use super::membership::Ask;
use super::positions::Want;
use crate::config::Isolation;
use crate::core::committed::{self, OFFSET_FETCH_CAP};
use crate::core::list_offsets::{JobId, JobResult};
use crate::core::wire::Answer;
use crate::core::{Failure, OperationId};
use crate::error::{Cause, ClientError, Result};
use crate::records::{OffsetAndMetadata, TopicPartition};

/// A lookup of committed offsets for a caller.
pub(super) struct CommittedQuery {
    pub(super) operation: OperationId,
    pub(super) partitions: Vec<TopicPartition>,
}

impl ConsumerMachine {
    pub(super) fn job_ended(&mut self, job: JobId, result: JobResult) {
        if let Some(operation) = self.callers.remove(&job) {
            self.operations.finish(operation, result.map(Outcome::Found));
            return;
        }
        let partitions = self.resets.remove(&job).unwrap_or_default();
        let found = match result {
            Ok(found) => found,
            Err(error) => {
                self.failure = Some(error);
                BTreeMap::new()
            }
        };
        for name in partitions {
            let Some(partition) = self.positions.partitions.get_mut(&name) else { continue };
            // A seek meanwhile is newer than what was looked for.
            if !partition.asking || !matches!(partition.want, Want::Time(_)) {
                continue;
            }
            partition.asking = false;
            if let Some(found) = found.get(&name).filter(|found| found.offset >= 0) {
                partition.go_to(found.offset);
            }
        }
    }

    /// Sends a lookup of committed offsets. The tag says for whom.
    fn ask_committed(
        &mut self,
        now: Now,
        operation: Option<OperationId>,
        partitions: Vec<TopicPartition>,
    ) -> bool {
        let timeout = self.config.request_timeout;
        let tag = || Tag::Group(Ask::Find);
        let member = self.membership.claim();
        let coordinator = &mut self.membership.coordinator;
        let Some(route) = coordinator.route(now, &mut self.wire, timeout, tag) else {
            return false;
        };
        let version = self.wire.version::<OffsetFetchRequest>(route, OFFSET_FETCH_CAP);
        let stable = self.config.isolation == Isolation::ReadCommitted;
        let group = coordinator.key();
        let version = version.unwrap_or_default();
        let request = committed::request(group, member, Some(&partitions), stable, version);
        let tag = Tag::Committed(operation, partitions);
        self.wire.send(now.instant, route, &request, OFFSET_FETCH_CAP, timeout, tag);
        true
    }

    pub(super) fn handle_committed(
        &mut self,
        now: Instant,
        operation: Option<OperationId>,
        partitions: Vec<TopicPartition>,
        result: Result<Answer, Failure>,
    ) {
        let answer = match result.and_then(committed::read) {
            Ok(answer) if answer.error.is_ok() => {
                self.committed_backoff.succeeded();
                Ok(answer.offsets)
            }
            Ok(answer) if answer.error.is_retriable() => {
                self.committed_backoff.failed(now, self.wire.random());
                if !matches!(answer.error, ErrorCode::UNSTABLE_OFFSET_COMMIT) {
                    self.membership.coordinator.forget();
                }
                return self.ask_committed_again(operation, partitions);
            }
            // A heartbeat brings the epoch that is missing, or the end of the membership.
            Ok(answer)
                if matches!(
                    answer.error,
                    ErrorCode::STALE_MEMBER_EPOCH | ErrorCode::UNKNOWN_MEMBER_ID
                ) =>
            {
                self.membership.epoch_is_stale(now);
                self.committed_backoff.failed(now, self.wire.random());
                return self.ask_committed_again(operation, partitions);
            }
            Ok(answer) => Err(ClientError::Refused(Cause::of("committed offsets", answer.error))),
            Err(failure @ Failure::Unsupported(_)) => Err(failure.into_error()),
            Err(_) => {
                self.membership.coordinator.disconnected(now, &mut self.wire);
                return self.ask_committed_again(operation, partitions);
            }
        };
        match (operation, answer) {
            (Some(operation), answer) => {
                self.operations.finish(operation, answer.map(Outcome::Committed));
            }
            (None, Ok(offsets)) => self.committed_found(&partitions, &offsets),
            (None, Err(error)) => {
                self.failure = Some(error);
                self.ask_committed_again(None, partitions);
                self.committed_backoff.failed(now, self.wire.random());
            }
        }
    }

    fn ask_committed_again(
        &mut self,
        operation: Option<OperationId>,
        partitions: Vec<TopicPartition>,
    ) {
        if let Some(operation) = operation {
            if self.operations.is_waiting(operation) {
                self.queries.push(CommittedQuery { operation, partitions });
            }
            return;
        }
        for name in &partitions {
            if let Some(partition) = self.positions.partitions.get_mut(name)
                && partition.want == Want::Committed
            {
                partition.asking = false;
            }
        }
    }

    fn committed_found(
        &mut self,
        partitions: &[TopicPartition],
        offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
    ) {
        let reset = self.reset();
        for name in partitions {
            let Some(partition) = self.positions.partitions.get_mut(name) else { continue };
            if !partition.asking || partition.want != Want::Committed {
                continue;
            }
            match offsets.get(name) {
                Some(committed) => partition.go_to(committed.offset),
                None => {
                    partition.look_for(reset);
                    if reset == Want::Nothing {
                        let text = format!("{name} has no committed offset and no reset policy");
                        self.failure = Some(ClientError::Refused(Cause::text(text)));
                    }
                }
            }
        }
    }

    /// Starts lookups for partitions that look for a position.
    pub(super) fn find_positions(&mut self, now: Now) {
        let mut committed = Vec::new();
        let mut by_leader: BTreeMap<Option<BrokerId>, Vec<(TopicPartition, i64)>> = BTreeMap::new();
        for (name, want) in self.positions.looking() {
            match want {
                Want::Committed => committed.push(name.clone()),
                Want::Time(time) => {
                    let leader = self.metadata.leader(name).map(|leader| leader.broker);
                    by_leader.entry(leader).or_default().push((name.clone(), time));
                }
                Want::Nothing => {}
            }
        }
        for (_, wanted) in by_leader {
            let names: Vec<TopicPartition> = wanted.iter().map(|(name, _)| name.clone()).collect();
            self.mark_asking(&names);
            let job = self.list_offsets.start(wanted);
            self.resets.insert(job, names);
        }
        if !self.committed_backoff.ready(now.instant) {
            return;
        }
        if !committed.is_empty() && self.ask_committed(now, None, committed.clone()) {
            self.mark_asking(&committed);
        }
        for query in std::mem::take(&mut self.queries) {
            let partitions = query.partitions.clone();
            if !self.ask_committed(now, Some(query.operation), partitions) {
                self.queries.push(query);
            }
        }
    }

    fn mark_asking(&mut self, names: &[TopicPartition]) {
        for name in names {
            if let Some(partition) = self.positions.partitions.get_mut(name) {
                partition.asking = true;
            }
        }
    }
}
