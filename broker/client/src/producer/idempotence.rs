//! The identity of an idempotent producer without transactions.
//!
//! Any broker gives one. Its epoch is raised here, without asking, whenever sequences of a
//! partition must begin anew: no one else has this id, so there is no one to fence.

use mainstem_platform::{Instant, Now};
use mainstem_protocol::messages::InitProducerIdRequest;
use mainstem_protocol::{ProducerEpoch, ProducerId};

use super::flow::Flow;
use super::sender::{Sender, Tag};
use super::transaction::Identity;
use crate::core::backoff::Backoff;
use crate::core::wire::Answer;
use crate::core::{Failure, Lane};
use crate::error::{Cause, ClientError};
use crate::limits::{RETRY_BACKOFF, RETRY_BACKOFF_MAX};

const INIT_PRODUCER_ID_CAP: i16 = 5;

/// Where an idempotent producer without transactions gets its identity from.
pub(super) struct Idempotence {
    pub(super) identity: Option<Identity>,
    pub(super) asking: bool,
    pub(super) backoff: Backoff,
}

impl Idempotence {
    pub(super) fn new() -> Self {
        let backoff = Backoff::new(RETRY_BACKOFF, RETRY_BACKOFF_MAX);
        Self { identity: None, asking: false, backoff }
    }
}

impl Sender {
    pub(super) fn handle_identity(&mut self, now: Instant, result: Result<Answer, Failure>) {
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
                self.fail_fatal(&ClientError::Fatal(cause));
            }
            Ok(_) | Err(_) => idempotence.backoff.failed(now, self.wire.random()),
        }
    }

    /// The identity that new batches get; `None`: not yet.
    pub(super) fn identity(&self) -> Option<Identity> {
        match (&self.transaction, &self.idempotence) {
            (Some(transaction), _) => transaction.identity(),
            (None, Some(idempotence)) => idempotence.identity,
            (None, None) => Some(Identity::NONE),
        }
    }

    pub(super) fn advance_identity(&mut self, now: Now) {
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
    pub(super) fn restart_flows(&mut self) {
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
}
