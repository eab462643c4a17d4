//! The producer's machine: takes batches from the accumulator, gives them sequences, sends them to
//! leaders, and decides what each answer means.
//!
//! Invariants:
//! - At most `max_in_flight` produce requests per broker, one batch per partition in each.
//! - Every batch taken from the accumulator is answered exactly once, and released then.
//! - Once fatal, always fatal: everything that waits is answered with the reason.
//!
//! What an error of a partition means is in [`super::verdict`]; per-partition order is kept by
//! [`super::flow`]; transactions are driven by [`super::transaction`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstem_platform::{Instant, Now};
use mainstem_protocol::messages::ProduceRequest;
use mainstem_protocol::messages::produce::PartitionProduceResponse;
use mainstem_protocol::{BrokerId, LeaderEpoch};
use parking_lot::Mutex;

use super::accumulator::Accumulator;
use super::ack::Acknowledged;
use super::batch::OpenBatch;
use super::flow::{Flow, Sent, Ticket};
use super::idempotence::Idempotence;
use super::transaction::{Ask, Transaction};
use super::verdict::{Verdict, verdict};
use crate::config::ProducerConfig;
use crate::core::metadata::Leader;
use crate::core::wire::{Answer, Completion};
use crate::core::{
    Address, Failure, Machine, Metadata, NetEffect, NetEvent, OperationId, Operations, Wire,
    earlier,
};
use crate::error::{Cause, ClientError, Result};
use crate::records::TopicPartition;

/// What an answer belongs to.
#[derive(Debug, Clone)]
pub(crate) enum Tag {
    Metadata,
    InitProducerId,
    Transaction(Ask),
    Produce(Ticket, Vec<TopicPartition>),
}

/// See the module's text.
pub(crate) struct Sender {
    pub(super) config: ProducerConfig,
    pub(super) wire: Wire<Tag>,
    pub(super) metadata: Metadata,
    pub(super) metadata_seen: u64,
    pub(super) accumulator: Arc<Mutex<Accumulator>>,
    pub(super) flows: BTreeMap<TopicPartition, Flow>,
    pub(super) idempotence: Option<Idempotence>,
    pub(super) transaction: Option<Transaction>,
    pub(super) operations: Operations<()>,
    pub(super) fatal: Option<ClientError>,
    /// Batches that were sent once more.
    pub(super) retries: u64,
    pub(super) next_ticket: u64,
    /// Where the next request begins, so that no partition starves behind a full request.
    pub(super) turn: usize,
    pub(super) now: Instant,
}

impl Sender {
    pub(crate) fn new(
        config: ProducerConfig,
        bootstrap: Vec<Address>,
        accumulator: Arc<Mutex<Accumulator>>,
        seed: u64,
    ) -> Self {
        let transaction = config
            .transactional_id
            .as_ref()
            .map(|id| Transaction::new(id, config.transaction_timeout, config.request_timeout));
        let plain = config.idempotent && transaction.is_none();
        let idempotence = plain.then(Idempotence::new);
        Self {
            wire: Wire::new(&config.client_id, config.security.login(), bootstrap, seed),
            metadata: Metadata::new(config.allow_auto_create_topics),
            metadata_seen: 0,
            accumulator,
            flows: BTreeMap::new(),
            idempotence,
            transaction,
            operations: Operations::default(),
            fatal: None,
            retries: 0,
            next_ticket: 0,
            turn: 0,
            now: Instant(0),
            config,
        }
    }

    /// Follows a topic; its number of partitions will reach the accumulator.
    pub(crate) fn want_topic(&mut self, topic: &Arc<str>) -> Result<()> {
        if let Some(error) = &self.fatal {
            return Err(error.clone());
        }
        if !self.metadata.want(topic) {
            return Err(ClientError::Refused(Cause::text("this client follows too many topics")));
        }
        match self.metadata.failure(topic) {
            Some(code) if !code.is_retriable() => {
                Err(ClientError::Refused(Cause::of(format!("topic {topic}"), code)))
            }
            _ => Ok(()),
        }
    }

    /// Why a topic is still not known, for the text of a timeout.
    pub(crate) fn why_unknown(&self, topic: &str) -> String {
        match (self.metadata.failure(topic), self.wire.last_failure()) {
            (Some(code), _) => code.message().to_owned(),
            (None, Some(text)) => text.to_owned(),
            (None, None) => "no broker answered".to_owned(),
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.wire.is_connected()
    }

    pub(crate) fn last_failure(&self) -> Option<&str> {
        self.wire.last_failure()
    }

    pub(crate) fn transaction(&mut self) -> Result<&mut Transaction> {
        self.transaction.as_mut().ok_or_else(|| {
            ClientError::Config("transactional_id: needed for transactions".to_owned())
        })
    }

    pub(crate) fn begin(&mut self) -> Result<()> {
        let transaction_version = self.wire.features().transaction_version();
        self.transaction()?.begin(transaction_version)?;
        self.accumulator.lock().set_gate(None);
        Ok(())
    }

    /// Starts an operation of the transaction machine.
    pub(crate) fn start(
        &mut self,
        command: impl FnOnce(&mut Transaction, OperationId) -> Result<()>,
    ) -> Result<OperationId> {
        let operation = self.operations.start()?;
        let started = self.transaction().and_then(|txn| command(txn, operation));
        if let Err(error) = started {
            self.operations.cancel(operation);
            return Err(error);
        }
        if self.transaction.as_ref().is_some_and(Transaction::is_ending) {
            let ending = Cause::text("the transaction is being ended");
            self.accumulator.lock().set_gate(Some(ClientError::Refused(ending)));
        }
        Ok(operation)
    }

    pub(crate) fn operations(&mut self) -> &mut Operations<()> {
        &mut self.operations
    }

    pub(crate) fn retries(&self) -> u64 {
        self.retries
    }

    pub(crate) fn fatal(&self) -> Option<&ClientError> {
        self.fatal.as_ref()
    }

    /// Ends everything; what waits is answered with `Closed`.
    pub(crate) fn close(&mut self) {
        self.fail_fatal(&ClientError::Closed);
        self.wire.close();
    }

    pub(super) fn fail_fatal(&mut self, error: &ClientError) {
        if self.fatal.is_some() {
            return;
        }
        self.accumulator.lock().set_gate(Some(error.clone()));
        if let Some(transaction) = &mut self.transaction {
            transaction.fail_fatal(error.clone());
        }
        self.fatal = Some(error.clone());
        self.drop_unsent(error);
        let in_flight: Vec<Sent> =
            self.flows.values_mut().flat_map(|flow| std::mem::take(&mut flow.unacked)).collect();
        for sent in in_flight {
            self.finish(&sent.batch, Err(error.clone()));
        }
    }

    /// Answers everything that is not in flight with `error`.
    fn drop_unsent(&mut self, error: &ClientError) {
        let end_of_time = Instant(u64::MAX);
        let unsent = self.accumulator.lock().expire(end_of_time);
        for batch in unsent {
            self.finish(&batch, Err(error.clone()));
        }
        let waiting: Vec<Sent> =
            self.flows.values_mut().flat_map(|flow| flow.expire(end_of_time)).collect();
        for sent in waiting {
            if let Some(transaction) = &mut self.transaction {
                transaction.sequence_in_doubt();
            }
            self.finish(&sent.batch, Err(error.clone()));
        }
    }

    pub(super) fn finish(&mut self, batch: &OpenBatch, result: Result<Acknowledged>) {
        self.accumulator.lock().release(batch, result.is_ok());
        batch.complete(result);
    }

    fn handle_completion(&mut self, now: Now, completion: Completion<Tag>) {
        let Completion { tag, result } = completion;
        match tag {
            Tag::Metadata => self.metadata.handle_answer(now.instant, &mut self.wire, result),
            Tag::InitProducerId => self.handle_identity(now.instant, result),
            Tag::Transaction(ask) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.handle_answer(now.instant, &mut self.wire, ask, result);
                }
            }
            Tag::Produce(ticket, partitions) => {
                self.handle_produced(now.instant, ticket, &partitions, result);
            }
        }
    }

    fn handle_produced(
        &mut self,
        now: Instant,
        ticket: Ticket,
        partitions: &[TopicPartition],
        result: Result<Answer, Failure>,
    ) {
        let response = match result.and_then(Answer::decode::<ProduceRequest>) {
            Ok(response) => response,
            Err(Failure::Unsupported(text)) => {
                let error = ClientError::Fatal(Cause { code: 35, text });
                return self.fail_fatal(&error);
            }
            Err(Failure::Disconnected(_) | Failure::Malformed(_)) => {
                self.metadata.request_update();
                for partition in partitions {
                    self.send_again(now, partition, ticket);
                }
                return;
            }
        };
        for topic in response.responses {
            for answer in topic.partition_responses {
                let partition = TopicPartition::new(topic.name.as_str(), answer.index);
                self.handle_partition(now, ticket, &partition, &answer);
            }
        }
        // A partition that the answer forgot has no answer.
        for partition in partitions {
            self.send_again(now, partition, ticket);
        }
    }

    fn send_again(&mut self, now: Instant, partition: &TopicPartition, ticket: Ticket) {
        let Some(flow) = self.flows.get_mut(partition) else { return };
        if let Some(index) = flow.find(ticket) {
            flow.send_again(now, index, self.wire.random());
        }
    }

    fn handle_partition(
        &mut self,
        now: Instant,
        ticket: Ticket,
        partition: &TopicPartition,
        answer: &PartitionProduceResponse,
    ) {
        let Some(flow) = self.flows.get_mut(partition) else { return };
        let Some(index) = flow.find(ticket) else { return };
        let transactional = self.transaction.is_some();
        let verdict = verdict(answer.error_code, index == 0, transactional);
        let mut cause = Cause::of(format!("produce to {partition}"), answer.error_code);
        if let Some(more) = answer.error_message.as_deref() {
            cause.text.push_str(": ");
            cause.text.push_str(more);
        }
        match verdict {
            Verdict::Done => {
                let acknowledged = Acknowledged {
                    base_offset: answer.base_offset,
                    log_append_time_ms: Some(answer.log_append_time_ms).filter(|ms| *ms >= 0),
                };
                if let Some(sent) = flow.acknowledged(index) {
                    self.finish(&sent.batch, Ok(acknowledged));
                }
            }
            Verdict::Again { moved } => {
                flow.send_again(now, index, self.wire.random());
                if moved {
                    self.leader_moved(partition, answer);
                }
            }
            Verdict::Renumber => {
                flow.send_again(now, index, self.wire.random());
                flow.broken = true;
            }
            Verdict::Refused => self.give_up(partition, index, ClientError::Refused(cause)),
            Verdict::Abort => self.give_up(partition, index, ClientError::Abortable(cause)),
            Verdict::Fenced => self.fail_fatal(&ClientError::Fenced(cause)),
            Verdict::Fatal => self.fail_fatal(&ClientError::Fatal(cause)),
        }
    }

    fn leader_moved(&mut self, partition: &TopicPartition, answer: &PartitionProduceResponse) {
        self.metadata.request_update();
        let told = &answer.current_leader;
        let leader =
            Leader { broker: BrokerId(told.leader_id), epoch: LeaderEpoch(told.leader_epoch) };
        self.metadata.learn_leader(partition, leader);
    }

    fn give_up(&mut self, partition: &TopicPartition, index: usize, error: ClientError) {
        let sent = self.flows.get_mut(partition).and_then(|flow| flow.give_up(index));
        if let (Some(transaction), ClientError::Refused(cause) | ClientError::Abortable(cause)) =
            (&mut self.transaction, &error)
        {
            transaction.sequence_in_doubt();
            transaction.fail_abortable(cause.clone());
        }
        if let Some(sent) = sent {
            self.finish(&sent.batch, Err(error));
        }
    }

    /// Tells the accumulator how many partitions topics have.
    fn spread_metadata(&mut self) {
        if self.metadata_seen == self.metadata.generation {
            return;
        }
        self.metadata_seen = self.metadata.generation;
        let mut accumulator = self.accumulator.lock();
        for topic in self.metadata.topics() {
            accumulator.set_partition_count(&topic.name, topic.partition_count());
        }
    }

    fn expire(&mut self, now: Now) {
        let timeout = self.config.delivery_timeout;
        let age = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        let Some(before) = now.instant.0.checked_sub(age).map(Instant) else { return };
        let mut batches = self.accumulator.lock().expire(before);
        for flow in self.flows.values_mut() {
            batches.extend(flow.expire(before).into_iter().map(|sent| sent.batch));
        }
        for batch in batches {
            let why = self.wire.last_failure().unwrap_or("no acknowledgement came");
            let cause = Cause::text(format!("not delivered within {timeout:?}: {why}"));
            if let Some(transaction) = &mut self.transaction {
                transaction.sequence_in_doubt();
                transaction.fail_abortable(cause.clone());
            }
            self.finish(&batch, Err(ClientError::Retriable(cause)));
        }
    }

    fn advance_transaction(&mut self, now: Now) {
        let Some(transaction) = &mut self.transaction else { return };
        if transaction.is_aborting() || transaction.failure().is_some() {
            let reason = transaction.failure().cloned();
            let error = reason.unwrap_or_else(super::transaction::aborted);
            self.drop_unsent(&error);
        }
        let quiet = self.accumulator.lock().is_idle();
        let Some(transaction) = &mut self.transaction else { return };
        transaction.advance(now, &mut self.wire, quiet);
        if let Some(fatal) = transaction.fatal().cloned() {
            self.fail_fatal(&fatal);
        } else if let Some(reason) = transaction.failure().filter(|_| transaction.is_open()) {
            self.accumulator.lock().set_gate(Some(reason.clone()));
        }
        self.settle_transaction();
    }

    /// Hands results to callers, and forgets sequences of transactions that are over.
    fn settle_transaction(&mut self) {
        let Some(transaction) = &mut self.transaction else { return };
        for (operation, result) in transaction.take_results() {
            self.operations.finish(operation, result);
        }
        if !transaction.is_open() && !transaction.is_ending() && self.fatal.is_none() {
            for flow in self.flows.values_mut() {
                flow.broken = false;
            }
            self.accumulator.lock().set_gate(Some(super::accumulator::no_transaction()));
        }
    }
}

impl Machine for Sender {
    fn handle_net(&mut self, now: Now, event: NetEvent) {
        self.wire.handle_net(now.instant, event);
        while let Some(completion) = self.wire.poll_completion() {
            self.handle_completion(now, completion);
        }
        if let Some(refused) = self.wire.refused() {
            self.fail_fatal(&refused);
        }
    }

    fn advance(&mut self, now: Now) {
        self.now = now.instant;
        self.wire.handle_timeout(now.instant);
        while let Some(completion) = self.wire.poll_completion() {
            self.handle_completion(now, completion);
        }
        if self.fatal.is_none() {
            self.spread_metadata();
            self.expire(now);
            self.restart_flows();
            self.advance_identity(now);
            self.advance_transaction(now);
            self.produce(now);
            // Producing may have found partitions that must join the transaction first.
            self.advance_transaction(now);
            let timeout = self.config.request_timeout;
            self.metadata.advance(now, &mut self.wire, timeout, || Tag::Metadata);
        } else {
            self.settle_transaction();
        }
        // What could not be sent at all has ended already.
        while let Some(completion) = self.wire.poll_completion() {
            self.handle_completion(now, completion);
        }
    }

    fn poll_effect(&mut self) -> Option<NetEffect> {
        self.wire.poll_effect()
    }

    fn deadline(&self) -> Option<Instant> {
        if self.fatal.is_some() {
            return None;
        }
        let timeout: Duration = self.config.delivery_timeout;
        let mut deadline = earlier(self.wire.deadline(), self.metadata.deadline(self.now));
        deadline = earlier(deadline, self.accumulator.lock().deadline(self.now, timeout));
        if let Some(transaction) = &self.transaction {
            deadline = earlier(deadline, transaction.deadline(self.now));
        }
        if let Some(idempotence) = &self.idempotence {
            deadline = earlier(deadline, idempotence.backoff.deadline(self.now));
        }
        self.flows.values().map(|f| f.deadline(self.now, timeout)).fold(deadline, earlier)
    }
}
