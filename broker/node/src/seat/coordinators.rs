//! Driving the coordinators of groups and transactions: their records into their topics, their
//! answers to clients.

use super::{Route, SeatThen, batch};
use crate::ask::Asker;
use crate::ask::{PartitionKey, Ticket};
use crate::cluster::{ClusterView, GROUP_TOPIC, TRANSACTION_TOPIC, is_internal};
use crate::dispatch::Request;
use crate::event::ShardIndex;
use crate::node::ShardNode;
use crate::partition::Then;
use crate::seat::ControllerThen;
use crate::shard_message::{ShardMessage, VerifyTransaction};
use mainstem_coordinator::group::{GroupEffect, GroupRequest, GroupResponse, TopicDirectory};
use mainstem_coordinator::transaction::{
    PartitionsInTransaction, TransactionEffect, TransactionRequest, TransactionResponse,
};
use mainstem_coordinator::{
    AppendToken, ClientContext, CoordinatorRecord, ProducerIdAndEpoch, TopicPartition,
};
use mainstem_metadata::Command;
use mainstem_platform::Now;
use mainstem_protocol::{ErrorCode, Offset, PartitionIndex, ProducerId, TopicId};
use std::collections::BTreeMap;

/// A coordinator's append is over.
#[derive(Debug)]
pub(crate) struct CoordinatorsThen {
    machine: Machine,
    token: AppendToken,
    result: Result<Offset, ErrorCode>,
}

impl CoordinatorsThen {
    /// The same, of an append that came to nothing.
    pub(super) fn refused(self, error: ErrorCode) -> CoordinatorsThen {
        CoordinatorsThen { result: Err(error), ..self }
    }
}

#[derive(Debug, Clone, Copy)]
enum Machine {
    Groups,
    Transactions,
}

impl Machine {
    fn topic(self) -> &'static str {
        match self {
            Machine::Groups => GROUP_TOPIC,
            Machine::Transactions => TRANSACTION_TOPIC,
        }
    }
}

/// The published topics, as the group coordinator asks for them.
struct Directory<'a>(&'a ClusterView);

impl TopicDirectory for Directory<'_> {
    fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.0.image.topic(name).map(|topic| topic.id)
    }

    fn topic_name(&self, id: TopicId) -> Option<&str> {
        self.0.image.topic_by_id(id).map(|topic| &*topic.name)
    }

    fn partition_count(&self, id: TopicId) -> Option<i32> {
        let topic = self.0.image.topic_by_id(id)?;
        i32::try_from(topic.partitions.len()).ok()
    }

    fn for_each_topic(&self, visit: &mut dyn FnMut(&str)) {
        for topic in self.0.image.topics().filter(|topic| !is_internal(&topic.name)) {
            visit(&topic.name);
        }
    }

    fn version(&self) -> i64 {
        self.0.offset.0
    }
}

/// What a coordinator may know of a client.
pub(crate) fn context(request: &Request) -> ClientContext {
    // Kafka shows addresses as Java prints them, with a slash and without a port.
    let host = request.peer.rsplit_once(':').map_or(&*request.peer, |(host, _)| host);
    ClientContext {
        api_version: request.version,
        client_id: request.client_id.clone().unwrap_or_default(),
        client_host: format!("/{host}"),
    }
}

impl ShardNode {
    /// Hands a request to the group coordinator, which answers in its time.
    pub(crate) fn ask_groups(&mut self, now: Now, request: &Request, body: GroupRequest) {
        self.ask_groups_as(now, &context(request), request.ticket, body);
    }

    pub(crate) fn ask_groups_as(
        &mut self,
        now: Now,
        context: &ClientContext,
        ticket: Ticket,
        body: GroupRequest,
    ) {
        let view = self.view();
        if let Some(seat) = self.seat.as_mut() {
            seat.groups.handle_request(now, context, &Directory(&view), body, ticket.0);
        }
    }

    /// The group coordinator's deadline has passed.
    pub(super) fn groups_timeout(&mut self, now: Now) {
        let view = self.view();
        if let Some(seat) = self.seat.as_mut() {
            seat.groups.handle_timeout(now, &Directory(&view));
        }
    }

    /// Hands a request to the transaction coordinator, which answers in its time.
    pub(crate) fn ask_transactions(
        &mut self,
        now: Now,
        request: &Request,
        body: TransactionRequest,
    ) {
        if let Some(seat) = self.seat.as_mut() {
            let context = context(request);
            seat.transactions.handle_request(now, &context, body, request.ticket.0);
        }
    }

    /// Asks whether a write is part of its transaction; the answer takes `route`.
    pub(crate) fn ask_participation(
        &mut self,
        now: Now,
        write: PartitionsInTransaction,
        route: Route,
    ) {
        let ticket = self.take_ticket();
        if let Some(seat) = self.seat.as_mut() {
            seat.routes.insert(ticket, route);
            seat.transactions.verify_or_add_partitions(now, write, ticket.0);
        }
    }

    /// A partition wants to know whether a batch is part of its transaction.
    pub(crate) fn handle_verify(&mut self, now: Now, from: ShardIndex, verify: VerifyTransaction) {
        let asker = Asker { shard: from, ticket: verify.ticket };
        let Some(partition) = verify.write.partitions.first().cloned() else { return };
        let participation = verify.write.participation;
        let route = Route::Verification { asker, partition, participation };
        self.ask_participation(now, verify.write, route);
    }

    pub(super) fn handle_group_effect(&mut self, now: Now, effect: GroupEffect) {
        match effect {
            GroupEffect::Append { token, partition, records, producer } => {
                self.append_records(now, Machine::Groups, token, partition, &records, producer);
            }
            GroupEffect::Reply { to, response } => {
                let to = Ticket(to);
                match response {
                    GroupResponse::JoinGroup(response) => self.respond(to, &response),
                    GroupResponse::SyncGroup(response) => self.respond(to, &response),
                    GroupResponse::Heartbeat(response) => self.respond(to, &response),
                    GroupResponse::LeaveGroup(response) => self.respond(to, &response),
                    GroupResponse::ConsumerGroupHeartbeat(response) => {
                        self.respond(to, &response);
                    }
                    GroupResponse::ConsumerGroupDescribe(response) => self.respond(to, &response),
                    GroupResponse::DescribeGroups(response) => self.respond(to, &response),
                    GroupResponse::ListGroups(response) => self.respond(to, &response),
                    GroupResponse::DeleteGroups(response) => self.respond(to, &response),
                    GroupResponse::OffsetCommit(response) => self.respond(to, &response),
                    GroupResponse::OffsetFetch(response) => self.respond(to, &response),
                    GroupResponse::OffsetDelete(response) => self.respond(to, &response),
                    GroupResponse::TxnOffsetCommit(response) => self.respond(to, &response),
                }
            }
            GroupEffect::Reload { partition } => self.reload(now, Machine::Groups, partition),
        }
    }

    pub(super) fn handle_transaction_effect(&mut self, now: Now, effect: TransactionEffect) {
        match effect {
            TransactionEffect::Append { token, partition, records } => {
                self.append_records(now, Machine::Transactions, token, partition, &records, None);
            }
            TransactionEffect::WriteMarkers(markers) => self.write_markers(now, markers),
            TransactionEffect::AllocateProducerIds => {
                let command = Command::AllocateProducerIds { broker: self.config.node_id };
                self.decide(now, &command, ControllerThen::ProducerIds);
            }
            TransactionEffect::Reply { to, response } => {
                let to = Ticket(to);
                match response {
                    TransactionResponse::InitProducerId(response) => self.respond(to, &response),
                    TransactionResponse::AddPartitionsToTxn(response) => {
                        self.respond(to, &response);
                    }
                    TransactionResponse::AddOffsetsToTxn(response) => self.respond(to, &response),
                    TransactionResponse::EndTxn(response) => self.respond(to, &response),
                    TransactionResponse::DescribeTransactions(response) => {
                        self.respond(to, &response);
                    }
                    TransactionResponse::ListTransactions(response) => self.respond(to, &response),
                    TransactionResponse::Partitions(results) => {
                        self.handle_participation(now, to, &results);
                    }
                }
            }
            TransactionEffect::Reload { partition } => {
                self.reload(now, Machine::Transactions, partition);
            }
        }
    }

    fn handle_participation(
        &mut self,
        now: Now,
        ticket: Ticket,
        results: &BTreeMap<TopicPartition, ErrorCode>,
    ) {
        let Some(route) = self.seat.as_mut().and_then(|seat| seat.routes.remove(&ticket)) else {
            return;
        };
        let error_of = |partition: &TopicPartition| {
            results.get(partition).copied().unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR)
        };
        match route {
            Route::Verification { asker, partition, participation } => {
                let error = participation.produce_error(error_of(&partition));
                let message = ShardMessage::TransactionVerified { ticket: asker.ticket, error };
                self.send(asker.shard, message);
            }
            Route::TxnOffsetCommit(wait) => {
                let error = wait.participation.offset_commit_error(error_of(&wait.partition));
                wait.go_on(self, now, error);
            }
        }
    }

    fn append_records(
        &mut self,
        now: Now,
        machine: Machine,
        token: AppendToken,
        partition: PartitionIndex,
        records: &[CoordinatorRecord],
        producer: Option<ProducerIdAndEpoch>,
    ) {
        let result = match self.internal_key(machine, partition) {
            None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            Some(key) => {
                let pairs = records.iter().map(|record| (Some(&record.key), record.value.as_ref()));
                batch(now, pairs, producer).and_then(|batch| {
                    let appended = self.append(now, &key, batch);
                    appended.map(|appended| (key, appended)).map_err(|(error, _)| error)
                })
            }
        };
        match result {
            Ok((key, appended)) => {
                let result = Ok(appended.base_offset);
                let then = SeatThen::Coordinators(CoordinatorsThen { machine, token, result });
                let end = appended.last_offset.next();
                self.when_committed(&key, end, Then::Seat(Box::new(then)));
            }
            Err(error) => {
                let result = Err(error);
                let then = CoordinatorsThen { machine, token, result };
                self.resume_seat(SeatThen::Coordinators(then));
            }
        }
    }

    fn internal_key(&self, machine: Machine, partition: PartitionIndex) -> Option<PartitionKey> {
        let view = self.cluster.as_ref()?;
        let topic = view.image.topic(machine.topic())?;
        Some(PartitionKey { topic: topic.id, partition })
    }

    pub(super) fn handle_coordinators_then(&mut self, now: Now, then: &CoordinatorsThen) {
        let Some(seat) = self.seat.as_mut() else { return };
        let CoordinatorsThen { machine, token, result } = *then;
        match machine {
            Machine::Groups => seat.groups.handle_appended(now, token, result),
            Machine::Transactions => seat.transactions.handle_appended(now, token, result),
        }
    }

    fn reload(&mut self, now: Now, machine: Machine, partition: PartitionIndex) {
        let Some(key) = self.internal_key(machine, partition) else { return };
        tracing::warn!(topic = machine.topic(), %partition, "an append ended in doubt: load again");
        if let Err(problem) = self.load_internal(now, &key) {
            self.take_offline(&key, &problem);
        }
        if self.partitions.get(&key).is_none()
            && let Some(seat) = self.seat.as_mut()
        {
            match machine {
                Machine::Groups => seat.groups.resign(partition),
                Machine::Transactions => seat.transactions.resign(partition),
            }
        }
    }

    pub(super) fn handle_producer_ids(
        &mut self,
        now: Now,
        block: Result<(ProducerId, i32), ErrorCode>,
    ) {
        if let Some(seat) = self.seat.as_mut() {
            seat.transactions.handle_producer_ids(now, block);
        }
    }
}
