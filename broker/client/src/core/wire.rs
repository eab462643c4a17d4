//! All connections of one client: who to connect to, which versions to speak, which answer
//! belongs to which request, and when to give up waiting.
//!
//! Words: a *route* is a broker and a *lane*; each route has at most one connection. Lanes keep
//! requests that wait long (fetches, joins) from delaying the others, since a broker answers the
//! requests of one connection in order.
//!
//! Invariants:
//! - Answers are matched in order; one that does not fit closes the connection.
//! - Every request ends in exactly one [`Completion`], by an answer, a lost connection or a
//!   deadline. A deadline closes the connection, since later answers would come in its place.
//! - A failed broker is not connected to again before its backoff ends.
//! - A request is sent only on a connection that is authenticated, if there is a login. Once a
//!   broker refused the client, or the client a broker's certificate, no connection is made any
//!   more: [`Wire::refused`] tells the owner, who is to fail.
//!
//! What comes before the first request of a connection is in [`opening`].
//!
//! Brokers that bootstrap addresses stand for have negative ids, until metadata names the real ones.

mod address;
mod link;
mod opening;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use mainstem_platform::{Instant, Random, SeededRandom};
use mainstem_protocol::frame::{decode_response, encode_request};
use mainstem_protocol::messages::ApiVersionsRequest;
use mainstem_protocol::{BrokerId, Request};

use super::earlier;
use super::sasl::{Login, Need, Prepared};
use super::versions::Features;
use crate::error::{Cause, ClientError};
use crate::limits::{CONNECT_TIMEOUT, REQUESTS_IN_FLIGHT_MAX};
pub(crate) use address::Address;
use link::{InFlight, Link, State};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Short questions: metadata, offsets.
    Control,
    /// Produce or fetch.
    Data,
    /// A group's or transaction's coordinator.
    Coordinator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    pub(crate) broker: BrokerId,
    pub(crate) lane: Lane,
}

impl Route {
    pub(crate) const fn new(broker: BrokerId, lane: Lane) -> Self {
        Self { broker, lane }
    }
}

/// Names one TCP connection; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// What the shell tells.
#[derive(Debug, Clone)]
pub(crate) enum NetEvent {
    Connected(ConnectionId),
    /// A whole frame, without its length prefix.
    Frame(ConnectionId, Bytes),
    /// What [`NetEffect::Prepare`] asked for.
    Prepared(ConnectionId, Prepared),
    /// The connection is gone, or was never made.
    Closed(ConnectionId, String),
    /// The same, and it would be wrong to try again: one side does not trust the other's
    /// certificate.
    Refused(ConnectionId, String),
}

/// What the shell does. No `Debug`: frames of an authentication hold passwords and tokens.
#[derive(Clone)]
pub(crate) enum NetEffect {
    Connect(ConnectionId, Address),
    /// A whole frame, with its length prefix.
    Write(ConnectionId, Bytes),
    /// Brings what the authentication of this connection needs.
    Prepare(ConnectionId, Need),
    Close(ConnectionId),
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The request may have been carried out.
    Disconnected(String),
    /// The broker speaks no version of this API that would do; it was not sent.
    Unsupported(String),
    /// The answer makes no sense.
    Malformed(String),
}

impl Failure {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Disconnected(text) | Self::Unsupported(text) | Self::Malformed(text) => text,
        }
    }

    pub(crate) fn into_error(self) -> ClientError {
        match self {
            Self::Disconnected(text) => ClientError::Retriable(Cause { code: 0, text }),
            Self::Unsupported(text) => ClientError::Refused(Cause { code: 35, text }),
            Self::Malformed(text) => ClientError::Retriable(Cause { code: 0, text }),
        }
    }
}

/// An answer that was not looked into yet.
#[derive(Debug)]
pub(crate) struct Answer {
    version: i16,
    frame: Bytes,
}

impl Answer {
    pub(crate) fn decode<R: Request>(self) -> Result<R::Response, Failure> {
        decode_response::<R>(self.version, self.frame)
            .map(|(_, response)| response)
            .map_err(|error| Failure::Malformed(format!("{:?} response: {error}", R::API_KEY)))
    }

    pub(crate) fn version(&self) -> i16 {
        self.version
    }
}

/// The end of one request.
#[derive(Debug)]
pub(crate) struct Completion<T> {
    pub(crate) tag: T,
    pub(crate) result: Result<Answer, Failure>,
}

/// See the module's text. `T` is what the owner wants back with the answer.
pub(crate) struct Wire<T> {
    client_id: String,
    login: Option<Login>,
    /// Why no connection is made any more.
    refused: Option<Cause>,
    bootstrap: Vec<Address>,
    brokers: BTreeMap<BrokerId, Address>,
    links: BTreeMap<Route, Link<T>>,
    routes: BTreeMap<ConnectionId, Route>,
    next_connection: u64,
    random: SeededRandom,
    features: Features,
    effects: VecDeque<NetEffect>,
    completions: VecDeque<Completion<T>>,
    /// The latest failure to connect, for the text of timeouts.
    last_failure: Option<String>,
    now: Instant,
}

impl<T> Wire<T> {
    pub(crate) fn new(
        client_id: &str,
        login: Option<Login>,
        bootstrap: Vec<Address>,
        seed: u64,
    ) -> Self {
        Self {
            client_id: client_id.to_owned(),
            login,
            refused: None,
            bootstrap,
            brokers: BTreeMap::new(),
            links: BTreeMap::new(),
            routes: BTreeMap::new(),
            next_connection: 0,
            random: SeededRandom::new(seed),
            features: Features::default(),
            effects: VecDeque::new(),
            completions: VecDeque::new(),
            last_failure: None,
            now: Instant(0),
        }
    }

    pub(crate) fn random(&mut self) -> &mut SeededRandom {
        &mut self.random
    }

    pub(crate) fn features(&self) -> Features {
        self.features
    }

    /// The brokers that were named so far.
    pub(crate) fn brokers(&self) -> impl Iterator<Item = BrokerId> {
        self.brokers.keys().copied()
    }

    /// Whether any broker has answered and is still there.
    pub(crate) fn is_connected(&self) -> bool {
        self.links.values().any(|link| matches!(link.state, State::Ready { .. }))
    }

    pub(crate) fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// The end of this client: see the module's text.
    pub(crate) fn refused(&self) -> Option<ClientError> {
        self.refused.clone().map(ClientError::Authentication)
    }

    /// Adds or moves brokers; those that are not named stay, coordinators may live on them.
    pub(crate) fn learn_broker(&mut self, broker: BrokerId, address: Address) {
        if self.brokers.get(&broker) == Some(&address) {
            return;
        }
        self.brokers.insert(broker, address);
        let moved: Vec<Route> =
            self.links.keys().filter(|route| route.broker == broker).copied().collect();
        for route in moved {
            self.drop_link(route, "the broker moved to another address", false);
        }
    }

    fn address(&self, broker: BrokerId) -> Option<&Address> {
        if broker.is_some() {
            return self.brokers.get(&broker);
        }
        let index = usize::try_from(-(i64::from(broker.0) + 1)).ok()?;
        self.bootstrap.get(index)
    }

    /// Whether requests may be sent on the route. If not, begins to connect when that is allowed.
    pub(crate) fn ready(&mut self, now: Instant, route: Route) -> bool {
        self.now = now;
        let Some(address) = self.address(route.broker).cloned() else { return false };
        let link = self.links.entry(route).or_insert_with(Link::new);
        if link.is_due(now) {
            self.renew(now, route);
            return false;
        }
        match link.state {
            State::Ready { .. } => return link.in_flight.len() < REQUESTS_IN_FLIGHT_MAX,
            State::Idle if self.refused.is_some() => return false,
            State::Idle => {}
            _ => return false,
        }
        link.wanted = true;
        if link.backoff.ready(now) {
            let id = ConnectionId(self.next_connection);
            self.next_connection += 1;
            link.wanted = false;
            link.state = State::Connecting { id, deadline: now.plus(CONNECT_TIMEOUT) };
            self.routes.insert(id, route);
            self.effects.push_back(NetEffect::Connect(id, address));
        }
        false
    }

    /// A route to any broker: the idlest that is connected, else one begins to connect.
    pub(crate) fn any_ready(&mut self, now: Instant, lane: Lane) -> Option<Route> {
        let idlest = self
            .links
            .iter()
            .filter(|(route, link)| {
                route.lane == lane
                    && matches!(link.state, State::Ready { .. })
                    && !link.is_due(now)
                    && link.in_flight.len() < REQUESTS_IN_FLIGHT_MAX
            })
            .min_by_key(|(route, link)| (route.broker.is_none(), link.in_flight.len()));
        if let Some((route, _)) = idlest {
            return Some(*route);
        }
        let mut of_lane = self.links.iter().filter(|(route, _)| route.lane == lane);
        if of_lane.clone().any(|(_, link)| link.is_opening()) {
            return None;
        }
        if let Some(due) = of_lane.find_map(|(route, link)| link.is_due(now).then_some(*route)) {
            self.renew(now, due);
            return None;
        }
        let candidate = self.candidate(lane)?;
        self.ready(now, candidate);
        None
    }

    /// The broker with the fewest failures, a random one among equals. Bootstrap addresses come
    /// last: they may be all that is left when the whole cluster has moved.
    fn candidate(&mut self, lane: Lane) -> Option<Route> {
        let known = self.brokers.keys().copied();
        let seeds = (1..=self.bootstrap.len()).filter_map(|n| i32::try_from(n).ok());
        let all: Vec<(Route, u32)> = known
            .chain(seeds.map(|n| BrokerId(-n)))
            .map(|broker| {
                let route = Route::new(broker, lane);
                let failures = self.links.get(&route).map_or(0, |l| l.backoff.failures());
                (route, failures + u32::from(broker.is_none() && !self.brokers.is_empty()))
            })
            .collect();
        let least = all.iter().map(|(_, failures)| *failures).min()?;
        let best: Vec<Route> =
            all.into_iter().filter(|(_, f)| *f == least).map(|(route, _)| route).collect();
        let pick = self.random.below(best.len() as u64);
        best.get(usize::try_from(pick).ok()?).copied()
    }

    pub(crate) fn in_flight(&self, route: Route) -> usize {
        self.links.get(&route).map_or(0, |link| link.in_flight.len())
    }

    /// The version that a request on this route would have; `None` when not connected or not
    /// spoken.
    pub(crate) fn version<R: Request>(&self, route: Route, cap: i16) -> Option<i16> {
        match &self.links.get(&route)?.state {
            State::Ready { versions, .. } => versions.choose::<R>(cap),
            _ => None,
        }
    }

    /// Sends on a route that is ready. `cap` is the highest version whose meaning the caller
    /// fills in. A request that cannot be sent completes with a failure.
    pub(crate) fn send<R: Request>(
        &mut self,
        now: Instant,
        route: Route,
        request: &R,
        cap: i16,
        timeout: Duration,
        tag: T,
    ) {
        let sent = self.write(route, request, cap);
        match sent {
            Ok((correlation_id, version)) => {
                if let Some(link) = self.links.get_mut(&route) {
                    let deadline = now.plus(timeout);
                    link.in_flight.push_back(InFlight { correlation_id, version, deadline, tag });
                }
            }
            Err(failure) => {
                self.completions.push_back(Completion { tag, result: Err(failure) });
            }
        }
    }

    /// Sends a request that has no answer (acks=0).
    pub(crate) fn send_unanswered<R: Request>(
        &mut self,
        route: Route,
        request: &R,
        cap: i16,
    ) -> Result<(), Failure> {
        self.write(route, request, cap).map(|_| ())
    }

    fn write<R: Request>(
        &mut self,
        route: Route,
        request: &R,
        cap: i16,
    ) -> Result<(i32, i16), Failure> {
        let not_ready = || Failure::Disconnected("not connected".to_owned());
        let link = self.links.get_mut(&route).ok_or_else(not_ready)?;
        let State::Ready { id, versions, .. } = &link.state else { return Err(not_ready()) };
        let id = *id;
        let version = versions.choose::<R>(cap).ok_or_else(|| {
            let text =
                format!("broker {} speaks no usable version of {:?}", route.broker, R::API_KEY);
            Failure::Unsupported(text)
        })?;
        let correlation_id = link.correlation_id();
        let frame = encode_request(request, version, correlation_id, Some(&self.client_id))
            .map_err(|error| {
                Failure::Unsupported(format!("{:?} v{version}: {error}", R::API_KEY))
            })?;
        self.effects.push_back(NetEffect::Write(id, frame));
        Ok((correlation_id, version))
    }

    pub(crate) fn handle_net(&mut self, now: Instant, event: NetEvent) {
        self.now = now;
        let (NetEvent::Connected(id)
        | NetEvent::Frame(id, _)
        | NetEvent::Prepared(id, _)
        | NetEvent::Closed(id, _)
        | NetEvent::Refused(id, _)) = &event;
        // Events of connections that were given up are late, not wrong.
        let Some(route) = self.routes.get(id).copied() else { return };
        match event {
            NetEvent::Connected(id) => {
                self.negotiate(now, route, id, ApiVersionsRequest::MAX_VERSION);
            }
            NetEvent::Frame(id, frame) => self.handle_frame(now, route, id, frame),
            NetEvent::Prepared(id, prepared) => self.handle_prepared(route, id, prepared),
            NetEvent::Closed(_, reason) => self.drop_link(route, &reason, true),
            NetEvent::Refused(_, reason) => self.refuse(route, &Cause::text(reason)),
        }
    }

    fn handle_frame(&mut self, now: Instant, route: Route, id: ConnectionId, frame: Bytes) {
        let Some(link) = self.links.get_mut(&route) else { return };
        match link.state {
            State::Negotiating { correlation_id, version, .. } => {
                self.handle_versions(now, route, id, correlation_id, version, frame);
            }
            State::Authenticating { .. } => self.handle_sasl(now, route, frame),
            State::Ready { .. } => {
                let correlation_id = frame.first_chunk::<4>().map(|b| i32::from_be_bytes(*b));
                match link.in_flight.pop_front() {
                    Some(request) if correlation_id == Some(request.correlation_id) => {
                        let result = Ok(Answer { version: request.version, frame });
                        let completion = Completion { tag: request.tag, result };
                        self.completions.push_back(completion);
                    }
                    other => {
                        if let Some(request) = other {
                            link.in_flight.push_front(request);
                        }
                        self.drop_link(route, "an answer to a question nobody asked", true);
                    }
                }
            }
            State::Idle | State::Connecting { .. } => {
                self.drop_link(route, "an answer before any question", true);
            }
        }
    }

    /// Ends the connection and fails what waits for it.
    fn drop_link(&mut self, route: Route, reason: &str, failed: bool) {
        let text = match self.address(route.broker) {
            Some(address) => format!("{}:{}: {reason}", address.host, address.port),
            None => reason.to_owned(),
        };
        let Some(link) = self.links.get_mut(&route) else { return };
        let Some(id) = link.connection() else { return };
        self.routes.remove(&id);
        self.effects.push_back(NetEffect::Close(id));
        link.state = State::Idle;
        if failed {
            link.backoff.failed(self.now, &mut self.random);
        }
        for request in link.in_flight.drain(..) {
            let result = Err(Failure::Disconnected(text.clone()));
            self.completions.push_back(Completion { tag: request.tag, result });
        }
        self.last_failure = Some(text);
    }

    /// Gives up what has waited too long.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let late: Vec<Route> = self
            .links
            .iter()
            .filter(|(_, link)| link.connection().is_some())
            .filter(|(_, link)| link.deadline(now).is_some_and(|deadline| deadline <= now))
            .map(|(route, _)| *route)
            .collect();
        for route in late {
            self.drop_link(route, "no answer in time", true);
        }
    }

    /// Closes everything; what waits fails.
    pub(crate) fn close(&mut self) {
        let routes: Vec<Route> = self.links.keys().copied().collect();
        for route in routes {
            self.drop_link(route, "the client was closed", false);
        }
    }

    pub(crate) fn poll_effect(&mut self) -> Option<NetEffect> {
        self.effects.pop_front()
    }

    pub(crate) fn poll_completion(&mut self) -> Option<Completion<T>> {
        self.completions.pop_front()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.links.values().map(|link| link.deadline(self.now)).fold(None, earlier)
    }
}
