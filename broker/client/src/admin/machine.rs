//! The admin client's machine: calls to any broker, to one broker, or to the coordinator of a
//! group or of a transactional id.
//!
//! It brings a request to the right connection and hands the answer back unread; what requests
//! mean is known in [`super::topics`], [`super::groups`] and [`super::transactions`].

use std::collections::BTreeMap;
use std::time::Duration;

use mainstem_platform::{Instant, Now};
use mainstem_protocol::BrokerId;

use crate::config::{AdminConfig, Isolation};
use crate::core::coordinator::{Coordinator, CoordinatorKind};
use crate::core::list_offsets::{Found, JobId, ListOffsets};
use crate::core::wire::{Answer, Completion};
use crate::core::{
    Address, Failure, Lane, Machine, Metadata, NetEffect, NetEvent, OperationId, Operations, Route,
    Wire, earlier,
};
use crate::error::{ClientError, Result};
use crate::limits::OPERATIONS_MAX;
use crate::records::TopicPartition;

/// What an answer belongs to.
#[derive(Debug, Clone)]
pub(crate) enum Tag {
    Metadata,
    FindCoordinator(CoordinatorKey),
    Call(OperationId),
    ListOffsets(JobId, Vec<TopicPartition>),
}

/// Whose coordinator: the kind, and the group or the transactional id.
pub(crate) type CoordinatorKey = (CoordinatorKind, String);

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Any,
    Broker(BrokerId),
    Coordinator(CoordinatorKey),
}

impl Target {
    pub(crate) fn group(group: &str) -> Target {
        Target::Coordinator((CoordinatorKind::Group, group.to_owned()))
    }

    pub(crate) fn transaction(transactional_id: &str) -> Target {
        Target::Coordinator((CoordinatorKind::Transaction, transactional_id.to_owned()))
    }
}

/// What an operation answers.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answer(Answer),
    Found(BTreeMap<TopicPartition, Found>),
}

/// Encodes and sends a request on a route that is ready.
type Send = Box<dyn FnOnce(&mut Wire<Tag>, Instant, Route, Tag) + std::marker::Send>;

struct Call {
    operation: OperationId,
    target: Target,
    send: Send,
}

/// See the module's text.
pub(crate) struct AdminMachine {
    wire: Wire<Tag>,
    metadata: Metadata,
    coordinators: BTreeMap<CoordinatorKey, Coordinator>,
    calls: Vec<Call>,
    list_offsets: ListOffsets,
    lookups: BTreeMap<JobId, OperationId>,
    operations: Operations<Outcome>,
    request_timeout: Duration,
    now: Instant,
}

impl AdminMachine {
    pub(crate) fn new(config: &AdminConfig, bootstrap: Vec<Address>, seed: u64) -> Self {
        Self {
            wire: Wire::new(&config.client_id, config.security.login(), bootstrap, seed),
            metadata: Metadata::new(false),
            coordinators: BTreeMap::new(),
            calls: Vec::new(),
            list_offsets: ListOffsets::new(Isolation::ReadUncommitted, config.request_timeout),
            lookups: BTreeMap::new(),
            operations: Operations::default(),
            request_timeout: config.request_timeout,
            now: Instant(0),
        }
    }

    /// The brokers of the cluster, once they are known.
    pub(crate) fn brokers(&self) -> Option<Vec<BrokerId>> {
        (self.metadata.generation > 0).then(|| self.wire.brokers().collect())
    }

    /// The end of this client: it or a broker was refused.
    pub(crate) fn refused(&self) -> Option<ClientError> {
        self.wire.refused()
    }

    pub(crate) fn last_failure(&self) -> String {
        self.wire.last_failure().unwrap_or("no broker answered").to_owned()
    }

    pub(crate) fn operations(&mut self) -> &mut Operations<Outcome> {
        &mut self.operations
    }

    pub(crate) fn call(&mut self, target: Target, send: Send) -> Result<OperationId> {
        let operation = self.operations.start()?;
        self.calls.push(Call { operation, target, send });
        Ok(operation)
    }

    pub(crate) fn look_up(&mut self, times: Vec<(TopicPartition, i64)>) -> Result<OperationId> {
        let operation = self.operations.start()?;
        for (partition, _) in &times {
            self.metadata.want(&partition.topic);
        }
        let job = self.list_offsets.start(times);
        self.lookups.insert(job, operation);
        Ok(operation)
    }

    /// The caller gave up.
    pub(crate) fn cancel(&mut self, operation: OperationId) {
        self.operations.cancel(operation);
        self.calls.retain(|call| call.operation != operation);
        let of = self.lookups.iter().find_map(|(job, of)| (*of == operation).then_some(*job));
        if let Some(job) = of {
            self.lookups.remove(&job);
            self.list_offsets.cancel(job);
        }
        if self.lookups.is_empty() {
            // Only lookups need topics, and each names its own.
            self.metadata.retain(|_| false);
        }
    }

    /// The coordinator said that it is not.
    pub(crate) fn forget_coordinator(&mut self, target: &Target) {
        if let Target::Coordinator(key) = target {
            self.coordinators.remove(key);
        }
    }

    pub(crate) fn close(&mut self) {
        self.wire.close();
    }

    fn coordinator(&mut self, key: &CoordinatorKey) {
        if self.coordinators.len() >= OPERATIONS_MAX {
            self.coordinators.clear();
        }
        let new = || Coordinator::new(key.0, &key.1);
        self.coordinators.entry(key.clone()).or_insert_with(new);
    }

    fn route(&mut self, now: Now, target: &Target) -> Option<Route> {
        match target {
            Target::Any => self.wire.any_ready(now.instant, Lane::Control),
            Target::Broker(broker) => {
                let route = Route::new(*broker, Lane::Control);
                self.wire.ready(now.instant, route).then_some(route)
            }
            Target::Coordinator(key) => {
                self.coordinator(key);
                let coordinator = self.coordinators.get_mut(key)?;
                let tag = || Tag::FindCoordinator(key.clone());
                coordinator.route(now, &mut self.wire, self.request_timeout, tag)
            }
        }
    }

    fn handle_completion(&mut self, now: Instant, completion: Completion<Tag>) {
        let Completion { tag, result } = completion;
        match tag {
            Tag::Metadata => self.metadata.handle_answer(now, &mut self.wire, result),
            Tag::FindCoordinator(key) => {
                let Some(coordinator) = self.coordinators.get_mut(&key) else { return };
                if let Err(error) = coordinator.handle_found(now, &mut self.wire, result) {
                    self.fail_coordinated(key, &error);
                }
            }
            Tag::Call(operation) => {
                let result = result.map(Outcome::Answer).map_err(Failure::into_error);
                self.operations.finish(operation, result);
            }
            Tag::ListOffsets(job, partitions) => {
                let (wire, metadata) = (&mut self.wire, &mut self.metadata);
                let lookups = &mut self.list_offsets;
                let ended = lookups.handle_answer(now, wire, metadata, job, &partitions, result);
                if let (Some(result), Some(operation)) = (ended, self.lookups.get(&job)) {
                    self.operations.finish(*operation, result.map(Outcome::Found));
                }
            }
        }
    }

    fn fail_coordinated(&mut self, key: CoordinatorKey, error: &ClientError) {
        self.coordinators.remove(&key);
        let target = Target::Coordinator(key);
        for call in self.calls.extract_if(.., |call: &mut Call| call.target == target) {
            self.operations.finish(call.operation, Err(error.clone()));
        }
    }

    /// A topic that does not exist ends the lookups that ask for it.
    fn fail_lookups(&mut self) {
        for (job, operation) in &self.lookups {
            let Some(topic) = self
                .list_offsets
                .topics(*job)
                .find_map(|topic| self.metadata.failure(topic).map(|code| (topic.clone(), code)))
            else {
                continue;
            };
            let cause = crate::error::Cause::of(format!("topic {}", topic.0), topic.1);
            self.operations.finish(*operation, Err(ClientError::Refused(cause)));
        }
    }

    fn drain(&mut self, now: Now) {
        while let Some(completion) = self.wire.poll_completion() {
            self.handle_completion(now.instant, completion);
        }
    }
}

impl Machine for AdminMachine {
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
        for call in std::mem::take(&mut self.calls) {
            match self.route(now, &call.target) {
                Some(route) => {
                    let tag = Tag::Call(call.operation);
                    (call.send)(&mut self.wire, now.instant, route, tag);
                }
                None => self.calls.push(call),
            }
        }
        self.list_offsets.advance(now, &mut self.wire, &mut self.metadata, Tag::ListOffsets);
        self.fail_lookups();
        let timeout = self.request_timeout;
        self.metadata.advance(now, &mut self.wire, timeout, || Tag::Metadata);
        self.drain(now);
    }

    fn poll_effect(&mut self) -> Option<NetEffect> {
        self.wire.poll_effect()
    }

    fn deadline(&self) -> Option<Instant> {
        let finding = self.coordinators.values().filter_map(|c| c.deadline(self.now)).min();
        let own = earlier(self.wire.deadline(), self.metadata.deadline(self.now));
        earlier(earlier(own, finding), self.list_offsets.deadline(self.now))
    }
}
