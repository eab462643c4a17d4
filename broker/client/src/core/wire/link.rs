//! One route's connection: how far it is, and what waits on it.

use std::collections::VecDeque;

use mainstem_platform::Instant;

use super::ConnectionId;
use crate::core::backoff::Backoff;
use crate::core::sasl::Exchange;
use crate::core::versions::Versions;
use crate::limits::{RECONNECT_BACKOFF, RECONNECT_BACKOFF_MAX};

pub(super) struct InFlight<T> {
    pub(super) correlation_id: i32,
    pub(super) version: i16,
    pub(super) deadline: Instant,
    pub(super) tag: T,
}

/// What an authentication waits for.
pub(super) enum Step {
    /// The nonce or the token.
    Preparation,
    Handshake(Exchange),
    /// The version of the request.
    Token(Exchange, i16),
}

pub(super) enum State {
    Idle,
    Connecting {
        id: ConnectionId,
        deadline: Instant,
    },
    Negotiating {
        id: ConnectionId,
        deadline: Instant,
        correlation_id: i32,
        version: i16,
    },
    Authenticating {
        id: ConnectionId,
        deadline: Instant,
        versions: Versions,
        correlation_id: i32,
        step: Step,
    },
    Ready {
        id: ConnectionId,
        versions: Versions,
        /// When to authenticate again, before the broker ends the session.
        renew_at: Option<Instant>,
    },
}

pub(super) struct Link<T> {
    pub(super) state: State,
    pub(super) backoff: Backoff,
    /// Somebody asked for this route while it was backing off.
    pub(super) wanted: bool,
    next_correlation_id: i32,
    pub(super) in_flight: VecDeque<InFlight<T>>,
}

impl<T> Link<T> {
    pub(super) fn new() -> Self {
        Self {
            state: State::Idle,
            backoff: Backoff::new(RECONNECT_BACKOFF, RECONNECT_BACKOFF_MAX),
            wanted: false,
            next_correlation_id: 0,
            in_flight: VecDeque::new(),
        }
    }

    pub(super) fn connection(&self) -> Option<ConnectionId> {
        match self.state {
            State::Idle => None,
            State::Connecting { id, .. }
            | State::Negotiating { id, .. }
            | State::Authenticating { id, .. }
            | State::Ready { id, .. } => Some(id),
        }
    }

    /// On the way to being ready.
    pub(super) fn is_opening(&self) -> bool {
        matches!(
            self.state,
            State::Connecting { .. } | State::Negotiating { .. } | State::Authenticating { .. }
        )
    }

    /// Whether the session is to be renewed before anything else is sent.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self.state, State::Ready { renew_at: Some(at), .. } if at <= now)
    }

    pub(super) fn correlation_id(&mut self) -> i32 {
        let id = self.next_correlation_id;
        self.next_correlation_id = id.checked_add(1).unwrap_or(0);
        id
    }

    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Idle if self.wanted => self.backoff.deadline(now),
            State::Idle => None,
            State::Connecting { deadline, .. }
            | State::Negotiating { deadline, .. }
            | State::Authenticating { deadline, .. } => Some(deadline),
            State::Ready { .. } => self.in_flight.iter().map(|request| request.deadline).min(),
        }
    }
}
