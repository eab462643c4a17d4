//! What happens on a connection before it carries requests: versions, then authentication; and the
//! authentication again before a session ends (KIP-368).
//!
//! A session is renewed lazily: when it is due and somebody wants to send, and what is in flight
//! has been answered. Until then nothing new is sent. The broker waits for us: it ends a session
//! only when a request comes that is no SaslHandshake.

use std::time::Duration;

use bytes::Bytes;
use mainstem_platform::{Instant, Random};
use mainstem_protocol::frame::{decode_response, encode_request};
use mainstem_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use mainstem_protocol::{ErrorCode, Request};

use super::link::{State, Step};
use super::{ConnectionId, NetEffect, Route, Wire};
use crate::core::sasl::{Exchange, Next, Prepared};
use crate::core::versions::{self, Versions};
use crate::error::Cause;
use crate::limits::{AUTHENTICATION_TIMEOUT, CONNECT_TIMEOUT};

/// Version 0 of SaslHandshake lets tokens follow without headers; it is not spoken here.
const SASL_HANDSHAKE_VERSION: i16 = 1;
const SASL_AUTHENTICATE_CAP: i16 = 2;

/// A session is renewed after this share of it, and a random part of the next ten in a hundred.
const RENEWAL_PERCENT: u64 = 85;

/// Apache's broker refuses a second renewal within a second, and takes a late one.
const RENEWAL_MIN: Duration = Duration::from_secs(1);

impl<T> Wire<T> {
    pub(super) fn negotiate(&mut self, now: Instant, route: Route, id: ConnectionId, version: i16) {
        let Some(link) = self.links.get_mut(&route) else { return };
        let correlation_id = link.correlation_id();
        let deadline = now.plus(CONNECT_TIMEOUT);
        link.state = State::Negotiating { id, deadline, correlation_id, version };
        match encode_request(&versions::request(), version, correlation_id, Some(&self.client_id)) {
            Ok(frame) => self.effects.push_back(NetEffect::Write(id, frame)),
            Err(error) => self.drop_link(route, &error.to_string(), true),
        }
    }

    pub(super) fn handle_versions(
        &mut self,
        now: Instant,
        route: Route,
        id: ConnectionId,
        correlation_id: i32,
        version: i16,
        frame: Bytes,
    ) {
        // A broker that does not know our version says so in version 0, whatever was asked.
        let code =
            frame.get(4..6).and_then(|b| b.first_chunk::<2>()).map(|b| i16::from_be_bytes(*b));
        if code == Some(ErrorCode::UNSUPPORTED_VERSION.0) && version > 0 {
            self.negotiate(now, route, id, 0);
            return;
        }
        let response = match decode_response::<ApiVersionsRequest>(version, frame) {
            Ok((correlation, response)) if correlation == correlation_id => response,
            Ok(_) => return self.drop_link(route, "ApiVersions: wrong correlation id", true),
            Err(error) => return self.drop_link(route, &format!("ApiVersions: {error}"), true),
        };
        self.versions_learned(now, route, id, &response);
    }

    fn versions_learned(
        &mut self,
        now: Instant,
        route: Route,
        id: ConnectionId,
        response: &ApiVersionsResponse,
    ) {
        if response.error_code.is_error() {
            let text = format!("ApiVersions: {}", response.error_code.name());
            return self.drop_link(route, &text, true);
        }
        self.features.learn(response);
        let versions = Versions::from_response(response);
        if self.login.is_some() {
            self.authenticate(now, route, id, versions);
        } else {
            self.opened(route, id, versions, None);
        }
    }

    fn opened(
        &mut self,
        route: Route,
        id: ConnectionId,
        versions: Versions,
        renew_at: Option<Instant>,
    ) {
        if let Some(link) = self.links.get_mut(&route) {
            link.state = State::Ready { id, versions, renew_at };
            link.backoff.succeeded();
        }
    }

    /// Begins an authentication with what it needs from outside.
    pub(super) fn authenticate(
        &mut self,
        now: Instant,
        route: Route,
        id: ConnectionId,
        versions: Versions,
    ) {
        let Some(login) = &self.login else { return };
        let Some(link) = self.links.get_mut(&route) else { return };
        let deadline = now.plus(AUTHENTICATION_TIMEOUT);
        let (correlation_id, step) = (0, Step::Preparation);
        link.state = State::Authenticating { id, deadline, versions, correlation_id, step };
        match login.need() {
            Some(need) => self.effects.push_back(NetEffect::Prepare(id, need)),
            None => self.handle_prepared(route, id, Prepared::Nothing),
        }
    }

    /// The session is due: authenticates again once nothing is in flight.
    pub(super) fn renew(&mut self, now: Instant, route: Route) {
        let Some(link) = self.links.get_mut(&route) else { return };
        if !link.in_flight.is_empty() {
            return;
        }
        if let State::Ready { id, versions, .. } = &link.state {
            let (id, versions) = (*id, versions.clone());
            self.authenticate(now, route, id, versions);
        }
    }

    pub(super) fn handle_prepared(&mut self, route: Route, id: ConnectionId, prepared: Prepared) {
        let Some(login) = &self.login else { return };
        let Some(link) = self.links.get_mut(&route) else { return };
        let State::Authenticating { step: step @ Step::Preparation, versions, .. } =
            &mut link.state
        else {
            return;
        };
        if versions.choose::<SaslHandshakeRequest>(SASL_HANDSHAKE_VERSION)
            != Some(SASL_HANDSHAKE_VERSION)
        {
            let text = "the broker authenticates nobody on this port, or is too old";
            return self.refuse(route, &Cause::text(text));
        }
        match Exchange::new(login, prepared) {
            Ok(exchange) => {
                *step = Step::Handshake(exchange);
                let request = SaslHandshakeRequest { mechanism: login.mechanism().to_owned() };
                self.ask(route, id, &request, SASL_HANDSHAKE_VERSION);
            }
            Err(reason) => {
                let text = format!("{}: {reason}", login.mechanism());
                self.drop_link(route, &text, true);
            }
        }
    }

    /// Sends a request of the authentication.
    fn ask<R: Request>(&mut self, route: Route, id: ConnectionId, request: &R, version: i16) {
        let Some(link) = self.links.get_mut(&route) else { return };
        let next = link.correlation_id();
        if let State::Authenticating { correlation_id, .. } = &mut link.state {
            *correlation_id = next;
        }
        match encode_request(request, version, next, Some(&self.client_id)) {
            Ok(frame) => self.effects.push_back(NetEffect::Write(id, frame)),
            Err(error) => self.drop_link(route, &error.to_string(), true),
        }
    }

    /// An answer while the connection is being authenticated.
    pub(super) fn handle_sasl(&mut self, now: Instant, route: Route, frame: Bytes) {
        let Some(link) = self.links.get_mut(&route) else { return };
        let State::Authenticating { correlation_id, step, .. } = &mut link.state else { return };
        let expected = *correlation_id;
        let next = match std::mem::replace(step, Step::Preparation) {
            Step::Preparation => {
                return self.drop_link(route, "an answer to a question nobody asked", true);
            }
            Step::Handshake(mut exchange) => {
                match read::<SaslHandshakeRequest>(SASL_HANDSHAKE_VERSION, expected, frame) {
                    Ok(response) => exchange
                        .handle_handshake(&response)
                        .map(|token| (Next::Send(token), exchange)),
                    Err(text) => return self.drop_link(route, &text, true),
                }
            }
            Step::Token(mut exchange, version) => {
                match read::<SaslAuthenticateRequest>(version, expected, frame) {
                    Ok(response) => exchange.handle_token(&response).map(|next| (next, exchange)),
                    Err(text) => return self.drop_link(route, &text, true),
                }
            }
        };
        match next {
            Ok((Next::Send(token), exchange)) => self.send_token(route, exchange, token),
            Ok((Next::Authenticated(lifetime), _)) => self.authenticated(now, route, lifetime),
            Err(cause) if is_passing(cause.code) => self.drop_link(route, &cause.text, true),
            Err(cause) => self.refuse(route, &cause),
        }
    }

    fn send_token(&mut self, route: Route, exchange: Exchange, auth_bytes: Bytes) {
        let Some(link) = self.links.get_mut(&route) else { return };
        let State::Authenticating { id, step, versions, .. } = &mut link.state else { return };
        let id = *id;
        match versions.choose::<SaslAuthenticateRequest>(SASL_AUTHENTICATE_CAP) {
            Some(version) => {
                *step = Step::Token(exchange, version);
                self.ask(route, id, &SaslAuthenticateRequest { auth_bytes }, version);
            }
            None => {
                let text = "the broker speaks no usable version of SaslAuthenticate";
                self.refuse(route, &Cause::text(text));
            }
        }
    }

    fn authenticated(&mut self, now: Instant, route: Route, lifetime: Option<Duration>) {
        let percent = RENEWAL_PERCENT + self.random.below(10);
        let renew_after = |lifetime: Duration| {
            let nanos = lifetime.as_nanos() * u128::from(percent) / 100;
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).max(RENEWAL_MIN)
        };
        let renew_at = lifetime.map(|lifetime| now.plus(renew_after(lifetime)));
        let Some(link) = self.links.get(&route) else { return };
        if let State::Authenticating { id, versions, .. } = &link.state {
            let (id, versions) = (*id, versions.clone());
            self.opened(route, id, versions, renew_at);
        }
    }

    /// The broker does not want us, or we do not trust it: nothing is tried again.
    pub(super) fn refuse(&mut self, route: Route, cause: &Cause) {
        self.drop_link(route, &cause.text, true);
        if self.refused.is_none() {
            let text = self.last_failure.clone().unwrap_or_default();
            self.refused = Some(Cause { code: cause.code, text });
        }
    }
}

/// Whether a broker has trouble of its own, and has not said no.
fn is_passing(code: i16) -> bool {
    let code = ErrorCode(code);
    code.is_retriable() || code == ErrorCode::UNKNOWN_SERVER_ERROR
}

fn read<R: Request>(version: i16, expected: i32, frame: Bytes) -> Result<R::Response, String> {
    match decode_response::<R>(version, frame) {
        Ok((correlation_id, response)) if correlation_id == expected => Ok(response),
        Ok(_) => Err(format!("{:?}: wrong correlation id", R::API_KEY)),
        Err(error) => Err(format!("{:?}: {error}", R::API_KEY)),
    }
}
