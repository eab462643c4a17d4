//! Finding the coordinator of a group or of a transactional id, and forgetting it when it moved.

use std::time::Duration;

use mainstem_platform::{Instant, Now};
use mainstem_protocol::messages::FindCoordinatorRequest;
use mainstem_protocol::{BrokerId, ErrorCode};

use super::backoff::Backoff;
use super::wire::{Address, Answer, Failure, Lane, Route, Wire};
use crate::error::{Cause, ClientError};
use crate::limits::{RETRY_BACKOFF, RETRY_BACKOFF_MAX};

/// FindCoordinator above this version asks for share groups, which this client does not do.
const VERSION_CAP: i16 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CoordinatorKind {
    Group = 0,
    Transaction = 1,
}

/// The way to one coordinator.
#[derive(Debug)]
pub(crate) struct Coordinator {
    kind: CoordinatorKind,
    key: String,
    broker: Option<BrokerId>,
    asking: bool,
    backoff: Backoff,
}

impl Coordinator {
    pub(crate) fn new(kind: CoordinatorKind, key: &str) -> Self {
        Self {
            kind,
            key: key.to_owned(),
            broker: None,
            asking: false,
            backoff: Backoff::new(RETRY_BACKOFF, RETRY_BACKOFF_MAX),
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// It moved or is gone: ask again.
    pub(crate) fn forget(&mut self) {
        self.broker = None;
    }

    /// The route to the coordinator when a request can be sent now; else works towards that.
    pub(crate) fn route<T>(
        &mut self,
        now: Now,
        wire: &mut Wire<T>,
        timeout: Duration,
        tag: impl FnOnce() -> T,
    ) -> Option<Route> {
        if let Some(broker) = self.broker {
            let route = Route::new(broker, Lane::Coordinator);
            return wire.ready(now.instant, route).then_some(route);
        }
        if self.asking || !self.backoff.ready(now.instant) {
            return None;
        }
        let any = wire.any_ready(now.instant, Lane::Control)?;
        self.asking = true;
        let request = FindCoordinatorRequest {
            key_type: self.kind as i8,
            ..self.key_for(wire.version::<FindCoordinatorRequest>(any, VERSION_CAP))
        };
        wire.send(now.instant, any, &request, VERSION_CAP, timeout, tag());
        None
    }

    /// Since version 4 several keys may be asked for at once.
    fn key_for(&self, version: Option<i16>) -> FindCoordinatorRequest {
        match version {
            Some(..4) => FindCoordinatorRequest { key: self.key.clone(), ..Default::default() },
            _ => FindCoordinatorRequest {
                coordinator_keys: vec![self.key.clone()],
                ..Default::default()
            },
        }
    }

    /// An `Err` is final: asking again will not help.
    pub(crate) fn handle_found<T>(
        &mut self,
        now: Instant,
        wire: &mut Wire<T>,
        result: Result<Answer, Failure>,
    ) -> Result<(), ClientError> {
        self.asking = false;
        let found = result.and_then(decode);
        match found {
            Ok((ErrorCode::NONE, broker, address)) => {
                wire.learn_broker(broker, address);
                self.broker = Some(broker);
                self.backoff.succeeded();
                Ok(())
            }
            Ok((code, _, _)) if !code.is_retriable() => Err(ClientError::Fatal(Cause {
                code: code.0,
                text: format!("coordinator of {}: {}", self.key, code.message()),
            })),
            Ok(_) | Err(_) => {
                self.backoff.failed(now, wire.random());
                Ok(())
            }
        }
    }

    /// The broker failed to answer: connect again, and ask whether it is still the coordinator.
    pub(crate) fn disconnected<T>(&mut self, now: Instant, wire: &mut Wire<T>) {
        self.broker = None;
        self.backoff.failed(now, wire.random());
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.broker.is_some() || self.asking { None } else { self.backoff.deadline(now) }
    }
}

fn decode(answer: Answer) -> Result<(ErrorCode, BrokerId, Address), Failure> {
    let version = answer.version();
    let response = answer.decode::<FindCoordinatorRequest>()?;
    let (code, id, host, port) = match response.coordinators.into_iter().next() {
        Some(found) => (found.error_code, found.node_id, found.host, found.port),
        None if version < 4 => {
            (response.error_code, response.node_id, response.host, response.port)
        }
        None => return Err(Failure::Malformed("FindCoordinator: empty answer".to_owned())),
    };
    let port = u16::try_from(port).unwrap_or(0);
    Ok((code, BrokerId(id), Address { host, port }))
}
