//! The consumer's machine: what it reads, what it belongs to, what it is asked.
//!
//! It joins the parts: [`super::subscribing`] says what shall be read, [`super::membership`] which
//! partitions are ours, [`super::positions`] where we are in them, [`super::fetch`] brings their
//! records, [`super::commits`] remembers how far we came; [`super::lookups`] finds where to begin.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstem_platform::{Instant, Now};
use mainstem_protocol::BrokerId;

use super::commits::{Commits, Consequence};
use super::fetch::Fetcher;
use super::lookups::CommittedQuery;
use super::membership::{Ask, Membership, Subscription};
use super::positions::{Positions, Taken, Want};
use crate::config::ConsumerConfig;
use crate::core::backoff::Backoff;
use crate::core::list_offsets::{Found, JobId, ListOffsets};
use crate::core::wire::{Answer, Completion};
use crate::core::{
    Address, Failure, Machine, Metadata, NetEffect, NetEvent, OperationId, Operations, Wire,
    earlier,
};
use crate::error::{Cause, ClientError, Result};
use crate::limits::{RETRY_BACKOFF, RETRY_BACKOFF_MAX};
use crate::records::{GroupMetadata, OffsetAndMetadata, Polled, Rebalance, TopicPartition};

/// What an answer belongs to.
#[derive(Debug, Clone)]
pub(crate) enum Tag {
    Metadata,
    Group(Ask),
    Fetch(BrokerId),
    Commit,
    /// `None`: to find our own positions.
    Committed(Option<OperationId>, Vec<TopicPartition>),
    ListOffsets(JobId, Vec<TopicPartition>),
}

/// What an operation answers.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    Committed(BTreeMap<TopicPartition, OffsetAndMetadata>),
    Found(BTreeMap<TopicPartition, Found>),
}

/// What a poll for one batch brings.
pub(crate) enum Next {
    Batch(Taken),
    Rebalance(Rebalance),
}

/// See the module's text.
pub(crate) struct ConsumerMachine {
    pub(super) config: ConsumerConfig,
    pub(super) wire: Wire<Tag>,
    pub(super) metadata: Metadata,
    pub(super) membership: Membership,
    pub(super) positions: Positions,
    pub(super) fetcher: Fetcher,
    pub(super) commits: Commits,
    pub(super) list_offsets: ListOffsets,
    /// Lookups of our own, and of callers.
    pub(super) resets: BTreeMap<JobId, Vec<TopicPartition>>,
    pub(super) callers: BTreeMap<JobId, OperationId>,
    pub(super) queries: Vec<CommittedQuery>,
    pub(super) committed_backoff: Backoff,
    pub(super) operations: Operations<Outcome>,
    pub(super) auto_commit_at: Instant,
    /// The metadata that a pattern was matched with last; `None` without a pattern.
    pub(super) matched_at: Option<u64>,
    pub(super) failure: Option<ClientError>,
    pub(super) closed: bool,
    pub(super) now: Instant,
}

impl ConsumerMachine {
    pub(crate) fn new(config: ConsumerConfig, bootstrap: Vec<Address>, seed: u64) -> Self {
        Self {
            wire: Wire::new(&config.client_id, config.security.login(), bootstrap, seed),
            metadata: Metadata::new(config.allow_auto_create_topics)
                .with_age_max(config.metadata_max_age),
            membership: Membership::new(config.clone()),
            positions: Positions::default(),
            fetcher: Fetcher::new(config.clone()),
            commits: Commits::new(config.request_timeout),
            list_offsets: ListOffsets::new(config.isolation, config.request_timeout),
            resets: BTreeMap::new(),
            callers: BTreeMap::new(),
            queries: Vec::new(),
            committed_backoff: Backoff::new(RETRY_BACKOFF, RETRY_BACKOFF_MAX),
            operations: Operations::default(),
            auto_commit_at: Instant(0),
            matched_at: None,
            failure: None,
            closed: false,
            now: Instant(0),
            config,
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.wire.is_connected()
    }

    /// The end of this consumer: it or a broker was refused.
    pub(crate) fn refused(&self) -> Option<ClientError> {
        self.wire.refused()
    }

    pub(crate) fn last_failure(&self) -> String {
        self.wire.last_failure().unwrap_or("no broker answered").to_owned()
    }

    pub(crate) fn operations(&mut self) -> &mut Operations<Outcome> {
        &mut self.operations
    }

    pub(crate) fn positions(&mut self) -> &mut Positions {
        &mut self.positions
    }

    /// A poll begins: what the previous one returned counts as processed.
    pub(crate) fn begin_poll(&mut self, now: Now) {
        let due = self.config.auto_commit.filter(|_| self.auto_commit_at <= now.instant);
        if let Some(interval) = due {
            self.auto_commit_at = now.instant.plus(interval);
            self.commit_positions(now.instant);
        }
        // Partitions go with this poll: the last word about them.
        let hands_over = self.membership.hands_over();
        if hands_over && self.config.auto_commit.is_some() && due.is_none() {
            self.commit_positions(now.instant);
        }
        self.membership.begin_poll(now.instant);
        self.follow_ownership();
    }

    fn commit_positions(&mut self, now: Instant) {
        if self.membership.is_subscribed() && !self.membership.is_member() {
            return;
        }
        let reached = self.positions.partitions.iter().filter_map(|(name, partition)| {
            Some((name.clone(), OffsetAndMetadata::new(partition.position?)))
        });
        let offsets = reached.collect();
        self.commits.push(now, None, &self.membership, offsets);
    }

    /// What a poll returns, if there is something.
    pub(crate) fn poll(&mut self, now: Now) -> Option<Result<Polled>> {
        let limit = self.config.max_poll_records;
        self.poll_for(
            now,
            |rebalance| Polled { rebalance: Some(rebalance), batches: Vec::new() },
            |positions| {
                let batches = positions.take(limit)?;
                Ok((!batches.is_empty()).then_some(Polled { rebalance: None, batches }))
            },
        )
    }

    /// The same for one batch, not looked into.
    pub(crate) fn poll_batch(&mut self, now: Now) -> Option<Result<Next>> {
        self.poll_for(now, Next::Rebalance, |positions| {
            Ok(positions.take_batch()?.map(Next::Batch))
        })
    }

    fn poll_for<T>(
        &mut self,
        now: Now,
        of_rebalance: impl FnOnce(Rebalance) -> T,
        take: impl FnOnce(&mut Positions) -> Result<Option<T>>,
    ) -> Option<Result<T>> {
        if self.closed {
            return Some(Err(ClientError::Closed));
        }
        if let Some(refused) = self.refused() {
            return Some(Err(refused));
        }
        let failures = [&mut self.membership.failure, &mut self.fetcher.failure, &mut self.failure];
        if let Some(error) = failures.into_iter().find_map(Option::take) {
            return Some(Err(error));
        }
        if let Some(rebalance) = self.membership.poll_rebalance(now.instant) {
            return Some(Ok(of_rebalance(rebalance)));
        }
        // What was lost a moment ago must not be delivered.
        self.follow_ownership();
        take(&mut self.positions).transpose()
    }

    pub(crate) fn seek(&mut self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.positions.get_mut(partition)?.go_to(offset);
        Ok(())
    }

    pub(crate) fn seek_to(&mut self, partitions: &[TopicPartition], time: i64) -> Result<()> {
        for partition in partitions {
            self.positions.get_mut(partition)?.look_for(Want::Time(time));
        }
        Ok(())
    }

    pub(crate) fn group_metadata(&self) -> Option<GroupMetadata> {
        self.config.group_id.as_ref().map(|_| self.membership.metadata())
    }

    pub(crate) fn partition_count(&mut self, topic: &Arc<str>) -> Option<Result<i32>> {
        if let Some(known) = self.metadata.topic(topic) {
            return Some(Ok(known.partition_count()));
        }
        if let Some(refused) = self.refused() {
            return Some(Err(refused));
        }
        match self.metadata.failure(topic) {
            Some(code) if !code.is_retriable() => {
                let cause = Cause::of(format!("topic {topic}"), code);
                Some(Err(ClientError::Refused(cause)))
            }
            _ => self.want(topic).err().map(Err),
        }
    }

    pub(crate) fn why_unknown(&self, topic: &str) -> String {
        match self.metadata.failure(topic) {
            Some(code) => code.message().to_owned(),
            None => self.last_failure(),
        }
    }

    pub(crate) fn start_commit(
        &mut self,
        now: Now,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
    ) -> Result<OperationId> {
        if self.config.group_id.is_none() {
            return Err(ClientError::Config("group_id: needed to commit".to_owned()));
        }
        let group = self.membership.metadata();
        if self.membership.is_subscribed() && group.generation_id < 0 {
            let cause = Cause::text("commit: not a member of the group yet; poll first");
            return Err(ClientError::Rejoin(cause));
        }
        let operation = self.operations.start()?;
        let offsets = offsets.iter().cloned().collect();
        self.commits.push(now.instant, Some(operation), &self.membership, offsets);
        Ok(operation)
    }

    pub(crate) fn start_committed(&mut self, partitions: &[TopicPartition]) -> Result<OperationId> {
        if self.config.group_id.is_none() {
            return Err(ClientError::Config("group_id: needed for committed offsets".to_owned()));
        }
        let operation = self.operations.start()?;
        self.queries.push(CommittedQuery { operation, partitions: partitions.to_vec() });
        Ok(operation)
    }

    pub(crate) fn start_lookup(
        &mut self,
        times: impl Iterator<Item = (TopicPartition, i64)>,
    ) -> Result<OperationId> {
        let operation = self.operations.start()?;
        let mut times = times.peekable();
        if times.peek().is_none() {
            self.operations.finish(operation, Ok(Outcome::Found(BTreeMap::new())));
            return Ok(operation);
        }
        let job = self.list_offsets.start(times);
        self.callers.insert(job, operation);
        Ok(operation)
    }

    /// The caller of an operation gave up.
    pub(crate) fn cancel(&mut self, operation: OperationId) {
        self.operations.cancel(operation);
        self.queries.retain(|query| query.operation != operation);
        let given_up = |(job, of): (&JobId, &OperationId)| (*of == operation).then_some(*job);
        if let Some(job) = self.callers.iter().find_map(given_up) {
            self.callers.remove(&job);
            self.list_offsets.cancel(job);
        }
    }

    /// Commits (if that is automatic) and leaves; see [`ConsumerMachine::has_left`].
    pub(crate) fn leave(&mut self, now: Now) {
        if self.config.auto_commit.is_some() {
            self.commit_positions(now.instant);
        }
        self.closed = true;
    }

    pub(crate) fn has_left(&self) -> bool {
        let gone = self.wire.refused().is_some();
        gone || self.commits.is_idle() && self.membership.has_left()
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.wire.close();
    }

    fn handle_completion(&mut self, now: Now, completion: Completion<Tag>) {
        let Completion { tag, result } = completion;
        match tag {
            Tag::Metadata => self.metadata.handle_answer(now.instant, &mut self.wire, result),
            Tag::Group(ask) => {
                let (wire, metadata) = (&mut self.wire, &mut self.metadata);
                self.membership.handle_answer(now, wire, metadata, ask, result);
            }
            Tag::Fetch(broker) => {
                let (metadata, positions) = (&mut self.metadata, &mut self.positions);
                self.fetcher.handle_answer(now.instant, metadata, positions, broker, result);
            }
            Tag::Commit => self.handle_committed_ours(now.instant, result),
            Tag::Committed(operation, partitions) => {
                self.handle_committed(now.instant, operation, partitions, result);
            }
            Tag::ListOffsets(job, partitions) => {
                let (wire, metadata) = (&mut self.wire, &mut self.metadata);
                let ended = self.list_offsets.handle_answer(
                    now.instant,
                    wire,
                    metadata,
                    job,
                    &partitions,
                    result,
                );
                if let Some(result) = ended {
                    self.job_ended(job, result);
                }
            }
        }
    }

    fn handle_committed_ours(&mut self, now: Instant, result: Result<Answer, Failure>) {
        let current = self.membership.generation();
        match self.commits.handle_answer(now, &mut self.wire, &mut self.membership, result) {
            Consequence::Rebalance(of) if of == current => self.membership.rebalance(),
            Consequence::Lost(of) if of == current => self.membership.lose(),
            _ => {}
        }
    }

    fn drain(&mut self, now: Now) {
        while let Some(completion) = self.wire.poll_completion() {
            self.handle_completion(now, completion);
        }
        for (operation, result) in std::mem::take(&mut self.commits.results) {
            self.operations.finish(operation, result.map(|()| Outcome::Done));
        }
    }
}

impl Machine for ConsumerMachine {
    fn handle_net(&mut self, now: Now, event: NetEvent) {
        self.wire.handle_net(now.instant, event);
        self.drain(now);
        if let Some(refused) = self.refused() {
            self.operations.fail(&refused);
        }
    }

    fn advance(&mut self, now: Now) {
        self.now = now.instant;
        self.wire.handle_timeout(now.instant);
        self.drain(now);
        if self.closed && self.commits.is_idle() && self.membership.is_subscribed() {
            self.membership.subscribe(Subscription::None);
        }
        self.follow_pattern();
        let quiet = self.commits.is_settled(self.membership.tenure());
        self.membership.advance(now, &mut self.wire, &mut self.metadata, quiet);
        self.follow_ownership();
        self.commits.advance(now, &mut self.wire, &mut self.membership);
        self.find_positions(now);
        let tag = Tag::ListOffsets;
        self.list_offsets.advance(now, &mut self.wire, &mut self.metadata, tag);
        if !self.closed {
            self.fetcher.advance(now, &mut self.wire, &mut self.metadata, &self.positions);
        }
        let timeout: Duration = self.config.request_timeout;
        self.metadata.advance(now, &mut self.wire, timeout, || Tag::Metadata);
        self.drain(now);
    }

    fn poll_effect(&mut self) -> Option<NetEffect> {
        self.wire.poll_effect()
    }

    fn deadline(&self) -> Option<Instant> {
        let now = Now { instant: self.now, wall_ms: 0 };
        let deadlines = [
            self.wire.deadline(),
            self.metadata.deadline(self.now),
            self.membership.deadline(now),
            self.commits.deadline(self.now),
            self.list_offsets.deadline(self.now),
            self.committed_backoff.deadline(self.now),
        ];
        let resting = self.positions.partitions.values().filter_map(|p| p.deadline(self.now)).min();
        deadlines.into_iter().fold(resting, earlier)
    }
}
