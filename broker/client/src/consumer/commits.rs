//! Committing offsets to the group's coordinator, one request at a time and in order.
//!
//! A commit is repeated until it has an answer or its caller gave up: it names absolute offsets,
//! so repeating it is harmless as long as no later commit overtakes it, which the queue prevents.
//!
//! A commit follows its member: a cooperative rebalance or a new member epoch that took nothing
//! from the member changes what the commit is signed with. Once something was given up or lost, it
//! keeps the signature that it was made with, and the coordinator decides.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mainstem_platform::{Instant, Now};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::OffsetCommitRequest;

use super::machine::Tag;
use super::membership::{Ask, Membership};
use crate::core::backoff::Backoff;
use crate::core::committed::{OFFSET_COMMIT_CAP, commit_topics};
use crate::core::wire::Answer;
use crate::core::{Failure, OperationId, Wire};
use crate::error::{Cause, ClientError, Result};
use crate::limits::{OPERATIONS_MAX, RETRY_BACKOFF, RETRY_BACKOFF_MAX};
use crate::records::{GroupMetadata, OffsetAndMetadata, TopicPartition};

/// What a refused commit means to the membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consequence {
    None,
    /// A rebalance is going on, in the generation that was named.
    Rebalance(i32),
    /// The group went on without the member of the generation that was named.
    Lost(i32),
}

#[derive(Debug)]
struct Commit {
    /// `None`: nobody waits (auto commit).
    operation: Option<OperationId>,
    group: GroupMetadata,
    tenure: u64,
    offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
    /// When it is given up.
    deadline: Instant,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Commits {
    timeout: Duration,
    queue: VecDeque<Commit>,
    busy: bool,
    backoff: Backoff,
    pub(crate) results: Vec<(OperationId, Result<()>)>,
}

impl Commits {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            queue: VecDeque::new(),
            busy: false,
            backoff: Backoff::new(RETRY_BACKOFF, RETRY_BACKOFF_MAX),
            results: Vec::new(),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether no commit waits that was made before something was given up.
    pub(crate) fn is_settled(&self, tenure: u64) -> bool {
        self.queue.front().is_none_or(|first| tenure <= first.tenure)
    }

    pub(crate) fn push(
        &mut self,
        now: Instant,
        operation: Option<OperationId>,
        member: &Membership,
        offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
    ) {
        // The queue holds one commit per waiting caller, and those are limited; auto commits
        // beyond that add nothing to the ones that wait.
        if offsets.is_empty() || self.queue.len() >= OPERATIONS_MAX {
            self.results.extend(operation.map(|operation| (operation, Ok(()))));
            return;
        }
        let deadline = now.plus(self.timeout);
        let (group, tenure) = (member.metadata(), member.tenure());
        self.queue.push_back(Commit { operation, group, tenure, offsets, deadline });
    }

    pub(crate) fn advance(&mut self, now: Now, wire: &mut Wire<Tag>, member: &mut Membership) {
        let late = |commit: &mut Commit| commit.deadline <= now.instant;
        while !self.busy
            && let Some(commit) = self.queue.pop_front_if(late)
        {
            let why = wire.last_failure().unwrap_or("the coordinator did not answer");
            let cause = Cause::text(format!("commit: {why}"));
            self.finish(&commit, Err(ClientError::Retriable(cause)));
        }
        if self.busy || !self.backoff.ready(now.instant) || member.holds_commits() {
            return;
        }
        let Some(commit) = self.queue.front_mut() else { return };
        if commit.tenure == member.tenure() {
            commit.group = member.metadata();
        }
        let tag = || Tag::Group(Ask::Find);
        let Some(route) = member.coordinator.route(now, wire, self.timeout, tag) else { return };
        let request = OffsetCommitRequest {
            group_id: commit.group.group_id.clone(),
            generation_id_or_member_epoch: commit.group.generation_id,
            member_id: commit.group.member_id.clone(),
            group_instance_id: commit.group.group_instance_id.clone(),
            topics: commit_topics(&commit.offsets),
            ..OffsetCommitRequest::default()
        };
        self.busy = true;
        wire.send(now.instant, route, &request, OFFSET_COMMIT_CAP, self.timeout, Tag::Commit);
    }

    fn finish(&mut self, commit: &Commit, result: Result<()>) {
        self.results.extend(commit.operation.map(|operation| (operation, result)));
    }

    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        member: &mut Membership,
        result: Result<Answer, Failure>,
    ) -> Consequence {
        self.busy = false;
        let Some(mut commit) = self.queue.pop_front() else { return Consequence::None };
        let response = match result.and_then(Answer::decode::<OffsetCommitRequest>) {
            Ok(response) => response,
            Err(failure @ Failure::Unsupported(_)) => {
                self.finish(&commit, Err(failure.into_error()));
                return Consequence::None;
            }
            Err(_) => {
                member.coordinator.disconnected(now, wire);
                self.queue.push_front(commit);
                return Consequence::None;
            }
        };
        let mut worst = ErrorCode::NONE;
        for topic in &response.topics {
            for answer in &topic.partitions {
                if answer.error_code.is_ok() {
                    let name = topic.name.as_str();
                    commit.offsets.remove(&TopicPartition::new(name, answer.partition_index));
                } else if worst.is_ok() || !answer.error_code.is_retriable() {
                    worst = answer.error_code;
                }
            }
        }
        if worst.is_ok() {
            self.backoff.succeeded();
            self.finish(&commit, Ok(()));
            return Consequence::None;
        }
        self.refused(now, wire, member, commit, worst)
    }

    fn refused(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        member: &mut Membership,
        commit: Commit,
        code: ErrorCode,
    ) -> Consequence {
        let cause = Cause::of("commit", code);
        let generation = commit.group.generation_id;
        let (error, consequence) = match code {
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION => {
                (ClientError::Rejoin(cause), Consequence::Lost(generation))
            }
            ErrorCode::REBALANCE_IN_PROGRESS => {
                (ClientError::Rejoin(cause), Consequence::Rebalance(generation))
            }
            ErrorCode::FENCED_INSTANCE_ID => (ClientError::Fenced(cause), Consequence::None),
            ErrorCode::STALE_MEMBER_EPOCH if commit.tenure == member.tenure() => {
                member.epoch_is_stale(now);
                self.backoff.failed(now, wire.random());
                self.queue.push_front(commit);
                return Consequence::None;
            }
            ErrorCode::STALE_MEMBER_EPOCH => (ClientError::Rejoin(cause), Consequence::None),
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                member.coordinator.disconnected(now, wire);
                self.queue.push_front(commit);
                return Consequence::None;
            }
            code if code.is_retriable() => {
                self.backoff.failed(now, wire.random());
                self.queue.push_front(commit);
                return Consequence::None;
            }
            _ => (ClientError::Refused(cause), Consequence::None),
        };
        self.finish(&commit, Err(error));
        consequence
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let first = self.queue.front().filter(|_| !self.busy)?;
        crate::core::earlier(self.backoff.deadline(now), Some(first.deadline))
    }
}
