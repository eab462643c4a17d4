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

use bytes::Bytes;
use mainstem_platform::{Instant, Now};
use mainstem_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData,
};
use mainstem_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use mainstem_protocol::{BrokerId, LeaderEpoch, ProducerEpoch, ProducerId};
use parking_lot::Mutex;

use super::accumulator::Accumulator;
use super::ack::Acknowledged;
use super::batch::{OpenBatch, Stamp};
use super::flow::{Flow, Next, Sent, Ticket};
use super::transaction::{Ask, Identity, Transaction};
use super::verdict::{Verdict, verdict};
use crate::config::{Acks, ProducerConfig};
use crate::core::backoff::Backoff;
use crate::core::metadata::Leader;
use crate::core::wire::{Answer, Completion};
use crate::core::{
    Address, Failure, Lane, Machine, Metadata, NetEffect, NetEvent, OperationId, Operations, Route,
    Wire, earlier,
};
use crate::error::{Cause, ClientError, Result};
use crate::limits::{RETRY_BACKOFF, RETRY_BACKOFF_MAX};
use crate::records::TopicPartition;

/// Version 12 is TV2's; 13 names topics by id, which a topic that is made anew would break.
const PRODUCE_V1_CAP: i16 = 11;
const PRODUCE_V2_CAP: i16 = 12;
const INIT_PRODUCER_ID_CAP: i16 = 5;
/// What a produce request weighs besides its batches, with room to spare.
const REQUEST_OVERHEAD_BYTES: usize = 512;

/// What an answer belongs to.
#[derive(Debug, Clone)]
pub(crate) enum Tag {
    Metadata,
    InitProducerId,
    Transaction(Ask),
    Produce(Ticket, Vec<TopicPartition>),
}

/// Where an idempotent producer without transactions gets its identity from.
struct Idempotence {
    identity: Option<Identity>,
    asking: bool,
    backoff: Backoff,
}

/// See the module's text.
pub(crate) struct Sender {
    config: ProducerConfig,
    wire: Wire<Tag>,
    metadata: Metadata,
    metadata_seen: u64,
    accumulator: Arc<Mutex<Accumulator>>,
    flows: BTreeMap<TopicPartition, Flow>,
    idempotence: Option<Idempotence>,
    transaction: Option<Transaction>,
    operations: Operations<()>,
    fatal: Option<ClientError>,
    next_ticket: u64,
    /// Where the next request begins, so that no partition starves behind a full request.
    turn: usize,
    now: Instant,
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
        let idempotence = (config.idempotent && transaction.is_none()).then(|| Idempotence {
            identity: None,
            asking: false,
            backoff: Backoff::new(RETRY_BACKOFF, RETRY_BACKOFF_MAX),
        });
        Self {
            wire: Wire::new(&config.client_id, bootstrap, seed),
            metadata: Metadata::new(config.allow_auto_create_topics),
            metadata_seen: 0,
            accumulator,
            flows: BTreeMap::new(),
            idempotence,
            transaction,
            operations: Operations::default(),
            fatal: None,
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

    pub(crate) fn fatal(&self) -> Option<&ClientError> {
        self.fatal.as_ref()
    }

    /// Ends everything; what waits is answered with `Closed`.
    pub(crate) fn close(&mut self) {
        self.fail_fatal(ClientError::Closed);
        self.wire.close();
    }

    fn fail_fatal(&mut self, error: ClientError) {
        if self.fatal.is_some() {
            return;
        }
        self.accumulator.lock().set_gate(Some(error.clone()));
        if let Some(transaction) = &mut self.transaction {
            transaction.fail_fatal(error.clone());
        }
        self.fatal = Some(error.clone());
        self.drop_unsent(&error);
        let in_flight: Vec<Sent> =
            self.flows.values_mut().flat_map(|flow| std::mem::take(&mut flow.unacked)).collect();
        for sent in in_flight {
            self.finish(sent.batch, Err(error.clone()));
        }
    }

    /// Answers everything that is not in flight with `error`.
    fn drop_unsent(&mut self, error: &ClientError) {
        let end_of_time = Instant(u64::MAX);
        let unsent = self.accumulator.lock().expire(end_of_time);
        for batch in unsent {
            self.finish(batch, Err(error.clone()));
        }
        let waiting: Vec<Sent> =
            self.flows.values_mut().flat_map(|flow| flow.expire(end_of_time)).collect();
        for sent in waiting {
            if let Some(transaction) = &mut self.transaction {
                transaction.sequence_in_doubt();
            }
            self.finish(sent.batch, Err(error.clone()));
        }
    }

    fn finish(&mut self, batch: OpenBatch, result: Result<Acknowledged>) {
        self.accumulator.lock().release(batch.number, batch.size_bytes());
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

    fn handle_identity(&mut self, now: Instant, result: Result<Answer, Failure>) {
        let Some(idempotence) = &mut self.idempotence else { return };
        idempotence.asking = false;
        match result.and_then(Answer::decode::<InitProducerIdRequest>) {
            Ok(response) if response.error_code.is_ok() => {
                idempotence.identity = Some(Identity {
                    id: ProducerId(response.producer_id),
                    epoch: ProducerEpoch(response.producer_epoch),
                });
                idempotence.backoff.succeeded();
            }
            Ok(response) if !response.error_code.is_retriable() => {
                let cause = Cause::of("InitProducerId", response.error_code);
                self.fail_fatal(ClientError::Fatal(cause));
            }
            Ok(_) | Err(_) => idempotence.backoff.failed(now, self.wire.random()),
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
                return self.fail_fatal(error);
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
                    self.finish(sent.batch, Ok(acknowledged));
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
            Verdict::Fenced => self.fail_fatal(ClientError::Fenced(cause)),
            Verdict::Fatal => self.fail_fatal(ClientError::Fatal(cause)),
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
            self.finish(sent.batch, Err(error));
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
            self.finish(batch, Err(ClientError::Retriable(cause)));
        }
    }

    /// The identity that new batches get; `None`: not yet.
    fn identity(&self) -> Option<Identity> {
        match (&self.transaction, &self.idempotence) {
            (Some(transaction), _) => transaction.identity(),
            (None, Some(idempotence)) => idempotence.identity,
            (None, None) => Some(Identity::NONE),
        }
    }

    fn advance_identity(&mut self, now: Now) {
        let Some(idempotence) = &mut self.idempotence else { return };
        let settled = idempotence.identity.is_some() || idempotence.asking;
        if settled || !idempotence.backoff.ready(now.instant) {
            return;
        }
        let Some(route) = self.wire.any_ready(now.instant, Lane::Control) else { return };
        idempotence.asking = true;
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: i32::MAX,
            ..InitProducerIdRequest::default()
        };
        let timeout = self.config.request_timeout;
        let tag = Tag::InitProducerId;
        self.wire.send(now.instant, route, &request, INIT_PRODUCER_ID_CAP, timeout, tag);
    }

    /// Numbers broken partitions anew. A transaction cannot: its batches are dropped instead.
    fn restart_flows(&mut self) {
        if self.transaction.is_some() || !self.flows.values().any(Flow::can_restart) {
            return;
        }
        let Some(identity) = self.identity() else { return };
        let next = match identity {
            Identity::NONE => identity,
            // The last epoch is not used; the broker gives a new id instead.
            Identity { epoch: ProducerEpoch(epoch), .. } if epoch >= i16::MAX - 1 => {
                if let Some(idempotence) = &mut self.idempotence {
                    idempotence.identity = None;
                }
                return;
            }
            Identity { id, epoch } => Identity { id, epoch: ProducerEpoch(epoch.0 + 1) },
        };
        if let Some(idempotence) = &mut self.idempotence {
            idempotence.identity = Some(next);
        }
        for flow in self.flows.values_mut().filter(|flow| flow.can_restart()) {
            flow.restart(next);
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
            self.fail_fatal(fatal);
        } else if let Some(reason) = transaction.failure().filter(|_| transaction.is_open()) {
            self.accumulator.lock().set_gate(Some(reason.clone()));
        }
        self.settle_transaction();
    }

    /// Hands results to callers, and forgets sequences of transactions that are over.
    fn settle_transaction(&mut self) {
        let Some(transaction) = &mut self.transaction else { return };
        let identity = transaction.identity().unwrap_or(Identity::NONE);
        for (operation, result) in transaction.take_results() {
            self.operations.finish(operation, result);
        }
        self.flows.retain(|_, flow| !flow.unacked.is_empty() || flow.identity == identity);
        if !transaction.is_open() && !transaction.is_ending() && self.fatal.is_none() {
            for flow in self.flows.values_mut() {
                flow.broken = false;
            }
            self.accumulator.lock().set_gate(Some(super::accumulator::no_transaction()));
        }
    }

    /// Sends what may be sent.
    fn produce(&mut self, now: Now) {
        let Some(identity) = self.identity() else { return };
        let mut by_broker = self.sendable(now.instant, identity);
        for (broker, partitions) in &mut by_broker {
            let route = Route::new(*broker, Lane::Data);
            if !self.wire.ready(now.instant, route) {
                continue;
            }
            self.turn = self.turn.wrapping_add(1);
            let turn = self.turn % partitions.len().max(1);
            partitions.rotate_left(turn);
            while self.wire.in_flight(route) < self.config.max_in_flight
                && self.produce_to(now.instant, route, identity, partitions)
            {}
        }
    }

    /// Partitions that may have something to send, by the broker that leads them.
    fn sendable(
        &mut self,
        now: Instant,
        identity: Identity,
    ) -> BTreeMap<BrokerId, Vec<TopicPartition>> {
        let mut candidates: Vec<TopicPartition> =
            self.accumulator.lock().ready(now).cloned().collect();
        let waiting = |flow: &Flow| flow.in_flight() < flow.unacked.len();
        let again = self.flows.iter().filter(|(_, flow)| waiting(flow)).map(|(p, _)| p.clone());
        candidates.extend(again);
        candidates.sort();
        candidates.dedup();
        let mut by_broker: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
        for partition in candidates {
            if let Some(transaction) = &mut self.transaction
                && !transaction.may_send(&partition)
            {
                continue;
            }
            let flow = self.flows.entry(partition.clone()).or_insert_with(|| Flow::new(identity));
            if flow.next(now, identity) == Next::Nothing {
                continue;
            }
            match self.metadata.leader(&partition) {
                Some(leader) => by_broker.entry(leader.broker).or_default().push(partition),
                None => self.metadata.request_update(),
            }
        }
        by_broker
    }

    /// One request with the next batch of each partition. False when there was nothing.
    fn produce_to(
        &mut self,
        now: Instant,
        route: Route,
        identity: Identity,
        partitions: &[TopicPartition],
    ) -> bool {
        let ticket = Ticket(self.next_ticket);
        let mut left = self.config.max_request_bytes.saturating_sub(REQUEST_OVERHEAD_BYTES);
        let mut chosen: Vec<(TopicPartition, Bytes)> = Vec::new();
        for partition in partitions {
            let Some(flow) = self.flows.get_mut(partition) else { continue };
            let bytes = match flow.next(now, identity) {
                Next::Nothing => continue,
                Next::Again => {
                    let Some(first) = flow.unacked.front_mut() else { continue };
                    if !chosen.is_empty() && left < first.bytes.len() {
                        continue;
                    }
                    first.ticket = Some(ticket);
                    first.bytes.clone()
                }
                Next::Fresh => match self.take(now, partition, ticket, left, chosen.is_empty()) {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => continue,
                    Err(error) => {
                        self.fail_fatal(error);
                        return false;
                    }
                },
            };
            left = left.saturating_sub(bytes.len());
            chosen.push((partition.clone(), bytes));
        }
        if chosen.is_empty() {
            return false;
        }
        self.next_ticket += 1;
        self.send_produce(now, route, ticket, chosen);
        true
    }

    /// Takes the next batch from the accumulator and stamps it. The lock is not held meanwhile:
    /// compression takes long.
    fn take(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        ticket: Ticket,
        left: usize,
        first: bool,
    ) -> Result<Option<Bytes>> {
        let taken = {
            let mut accumulator = self.accumulator.lock();
            let fits = accumulator.next_size(partition).is_some_and(|size| size <= left);
            let due = accumulator.is_due(now, partition);
            if due && (fits || first) { accumulator.take(partition) } else { None }
        };
        let (Some(mut batch), Some(flow)) = (taken, self.flows.get_mut(partition)) else {
            return Ok(None);
        };
        let stamp = Stamp {
            identity: flow.identity,
            sequence: flow.next_sequence,
            transactional: self.transaction.is_some(),
            compression: self.config.compression,
        };
        match batch.encode(&stamp) {
            Ok(bytes) => {
                flow.push(batch, bytes.clone(), ticket);
                Ok(Some(bytes))
            }
            Err(error) => {
                self.finish(batch, Err(error.clone()));
                Err(error)
            }
        }
    }

    fn send_produce(
        &mut self,
        now: Instant,
        route: Route,
        ticket: Ticket,
        mut chosen: Vec<(TopicPartition, Bytes)>,
    ) {
        chosen.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut topic_data: Vec<TopicProduceData> = Vec::new();
        for (partition, bytes) in &chosen {
            let data =
                PartitionProduceData { index: partition.partition, records: Some(bytes.clone()) };
            match topic_data.last_mut().filter(|topic| *topic.name == *partition.topic) {
                Some(topic) => topic.partition_data.push(data),
                None => topic_data.push(TopicProduceData {
                    name: partition.topic.to_string(),
                    partition_data: vec![data],
                    ..TopicProduceData::default()
                }),
            }
        }
        let timeout = self.config.request_timeout;
        let request = ProduceRequest {
            transactional_id: self.config.transactional_id.clone(),
            acks: match self.config.acks {
                Acks::All => -1,
                Acks::Leader => 1,
                Acks::None => 0,
            },
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data,
        };
        let v2 = self.transaction.as_ref().is_some_and(Transaction::is_v2);
        let cap = if v2 { PRODUCE_V2_CAP } else { PRODUCE_V1_CAP };
        let partitions: Vec<TopicPartition> = chosen.into_iter().map(|(p, _)| p).collect();
        if self.config.acks == Acks::None {
            let result = self.wire.send_unanswered(route, &request, cap);
            self.finish_unanswered(ticket, &partitions, result);
        } else {
            let tag = Tag::Produce(ticket, partitions);
            self.wire.send(now, route, &request, cap, timeout, tag);
        }
    }

    fn finish_unanswered(
        &mut self,
        ticket: Ticket,
        partitions: &[TopicPartition],
        result: Result<(), Failure>,
    ) {
        let acknowledged = Acknowledged { base_offset: -1, log_append_time_ms: None };
        for partition in partitions {
            let Some(flow) = self.flows.get_mut(partition) else { continue };
            let Some(index) = flow.find(ticket) else { continue };
            if let Some(sent) = flow.acknowledged(index) {
                let result = result.clone().map(|()| acknowledged).map_err(Failure::into_error);
                self.finish(sent.batch, result);
            }
        }
    }
}

impl Machine for Sender {
    fn handle_net(&mut self, now: Now, event: NetEvent) {
        self.wire.handle_net(now.instant, event);
        while let Some(completion) = self.wire.poll_completion() {
            self.handle_completion(now, completion);
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
