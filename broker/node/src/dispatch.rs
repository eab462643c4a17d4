//! From a frame to its handler, and from a handler's answer to the client.
//!
//! Words: a *request* has a [`Ticket`] from its first byte to its answer; its *origin* is the
//! connection or the other shard that waits for the answer.
//!
//! Invariants:
//! - A ticket is answered once; answers to a ticket that is gone (the client left) are dropped.
//! - What cannot be read closes its connection, as Kafka does: unknown API, unknown version,
//!   malformed body. ApiVersions is the exception, it answers an unknown version (KIP-511).
//! - Requests for the controller or a coordinator are carried out by shard zero only.

use crate::api::{self, Api, Place};
use crate::ask::{Ask, Asker, Ticket};
use crate::cluster::ClusterView;
use crate::effect::{Effect, ResponseSegment};
use crate::event::{ConnectionId, ShardIndex};
use crate::node::ShardNode;
use crate::shard_message::ShardMessage;
use bytes::{BufMut, Bytes, BytesMut};
use mainstem_platform::Now;
use mainstem_protocol::frame::{Segment, decode_request_header, encode_response};
use mainstem_protocol::{ApiKey, Message, Offset, Reader};
use mainstem_storage::FileRange;
use std::sync::Arc;

/// Who waits for the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    Connection(ConnectionId),
    Shard(Asker),
}

/// What is kept of a request until it is answered.
#[derive(Debug)]
pub(crate) struct RequestState {
    pub(crate) origin: Origin,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
}

/// One request as its handler sees it.
pub(crate) struct Request {
    pub(crate) ticket: Ticket,
    pub(crate) version: i16,
    pub(crate) client_id: Option<String>,
    pub(crate) peer: Arc<str>,
    /// The whole frame, for passing it on.
    pub(crate) frame: Bytes,
    /// What follows the header.
    pub(crate) body: Bytes,
}

/// Why a request closes its connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("{0}")]
    Malformed(String),
}

impl Request {
    /// Decodes the body.
    pub(crate) fn decode<M: Message>(&self) -> Result<M, RequestError> {
        let mut reader = Reader::new(self.body.clone());
        M::decode(&mut reader, self.version)
            .map_err(|error| RequestError::Malformed(error.to_string()))
    }
}

impl ShardNode {
    /// Carries out the frames of a connection whose turn has come.
    pub(crate) fn run_connection(&mut self, now: Now, connection: ConnectionId) {
        let config = Arc::clone(&self.config);
        while let Some(frame) = self.sessions.next_frame(connection, &config.limits) {
            let Some(peer) = self.sessions.peer(connection) else { return };
            let ticket = self.take_ticket();
            self.sessions.begin(connection, ticket, &frame);
            self.begin_request(now, ticket, Origin::Connection(connection), peer, frame);
        }
        if let Some(on) = self.sessions.reading_changed(connection, &config.limits) {
            self.effects.push_back(Effect::Reading { connection, on });
        }
    }

    /// Finds the handler of a frame and calls it.
    pub(crate) fn begin_request(
        &mut self,
        now: Now,
        ticket: Ticket,
        origin: Origin,
        peer: Arc<str>,
        frame: Bytes,
    ) {
        let Some((api, version, correlation_id)) = self.find_api(&frame) else {
            self.refuse(origin, &peer, "it names no API or version that we know, or no header");
            return;
        };
        // What another shard passes on was counted there.
        if let Origin::Connection(_) = origin {
            self.metrics.request(api.key, frame.len());
        }
        let state = RequestState { origin, key: api.key, version, correlation_id };
        self.requests.insert(ticket, state);
        if api.place == Place::FirstShard && self.shard != ShardIndex::FIRST {
            self.send(ShardIndex::FIRST, ShardMessage::Forward { ticket, peer, frame });
            return;
        }
        let Some((client_id, body)) = read_header(&frame, api, version) else {
            self.requests.remove(&ticket);
            self.refuse(origin, &peer, "its header cannot be read");
            return;
        };
        let request = Request { ticket, version, client_id, peer: Arc::clone(&peer), frame, body };
        if let Err(error) = (api.handle)(self, now, &request) {
            self.requests.remove(&ticket);
            self.refuse(origin, &peer, &format!("{:?} v{version}: {error}", api.key));
        }
    }

    /// The API, version and correlation id of a frame. ApiVersions passes with any version.
    fn find_api(&self, frame: &Bytes) -> Option<(&'static Api, i16, i32)> {
        let key = i16::from_be_bytes(frame.get(0..2)?.try_into().ok()?);
        let version = i16::from_be_bytes(frame.get(2..4)?.try_into().ok()?);
        let correlation_id = i32::from_be_bytes(frame.get(4..8)?.try_into().ok()?);
        let key = ApiKey::try_from(key).ok()?;
        let api = api::find(key)?;
        let known = api.versions.contains(&version) || key == ApiKey::ApiVersions;
        known.then_some((api, version, correlation_id))
    }

    /// A request that cannot be read: its connection is closed.
    fn refuse(&mut self, origin: Origin, peer: &str, why: &str) {
        tracing::warn!(peer, why, "close a connection: its request cannot be carried out");
        self.metrics.malformed();
        match origin {
            Origin::Connection(connection) => {
                if self.sessions.close(connection) {
                    self.effects.push_back(Effect::Close { connection });
                }
            }
            Origin::Shard(asker) => {
                let ticket = asker.ticket;
                self.send(asker.shard, ShardMessage::Forwarded { ticket, segments: None });
            }
        }
    }

    /// Passes a request on to shard zero; its answer will come from there.
    pub(crate) fn forward(&mut self, request: &Request) {
        let message = ShardMessage::Forward {
            ticket: request.ticket,
            peer: Arc::clone(&request.peer),
            frame: request.frame.clone(),
        };
        self.send(ShardIndex::FIRST, message);
    }

    /// Shard zero answered what was passed on to it.
    pub(crate) fn handle_forwarded(
        &mut self,
        ticket: Ticket,
        segments: Option<Vec<ResponseSegment>>,
    ) {
        let Some(state) = self.requests.remove(&ticket) else { return };
        match segments {
            Some(segments) => self.deliver(ticket, &state, segments),
            None => self.refuse(state.origin, "", "shard zero could not read it"),
        }
    }

    /// Answers a request.
    pub(crate) fn respond<M: Message>(&mut self, ticket: Ticket, response: &M) {
        self.respond_with_files(ticket, response, &[]);
    }

    /// Answers a request whose records are file ranges; `External` ids are places in `files`.
    pub(crate) fn respond_with_files<M: Message>(
        &mut self,
        ticket: Ticket,
        response: &M,
        files: &[Vec<FileRange>],
    ) {
        let Some(state) = self.requests.remove(&ticket) else { return };
        let encoded = encode_response(state.key, state.version, state.correlation_id, response);
        let frame = match encoded {
            Ok(frame) => frame,
            Err(error) => {
                self.refuse(state.origin, "", &format!("encode {:?}: {error}", state.key));
                return;
            }
        };
        let mut segments = Vec::with_capacity(frame.segments.len());
        for segment in frame.segments {
            match segment {
                Segment::Bytes(bytes) => segments.push(ResponseSegment::Bytes(bytes)),
                Segment::External { id, .. } => {
                    let ranges = files.get(id as usize).map(Vec::as_slice).unwrap_or_default();
                    segments.extend(ranges.iter().map(|range| ResponseSegment::File {
                        file: Arc::clone(&range.file),
                        position: range.position,
                        len: range.len,
                    }));
                }
            }
        }
        self.deliver(ticket, &state, segments);
    }

    /// Answers a request with a body that is already encoded.
    pub(crate) fn respond_bytes(&mut self, ticket: Ticket, body: &[u8]) {
        let Some(state) = self.requests.remove(&ticket) else { return };
        let mut frame = BytesMut::with_capacity(8 + body.len());
        frame.put_u32(4 + body.len() as u32);
        frame.put_i32(state.correlation_id);
        frame.put_slice(body);
        self.deliver(ticket, &state, vec![ResponseSegment::Bytes(frame.freeze())]);
    }

    /// The answer will be encoded in another version than the request was.
    pub(crate) fn answer_in_version(&mut self, ticket: Ticket, version: i16) {
        if let Some(state) = self.requests.get_mut(&ticket) {
            state.version = version;
        }
    }

    /// Closes the connection of a request instead of answering it.
    pub(crate) fn refuse_ticket(&mut self, ticket: Ticket, why: &str) {
        if let Some(state) = self.requests.remove(&ticket) {
            self.refuse(state.origin, "", why);
        }
    }

    /// Ends a request that wants no answer (acks=0).
    pub(crate) fn respond_nothing(&mut self, ticket: Ticket) {
        if let Some(state) = self.requests.remove(&ticket) {
            self.deliver(ticket, &state, Vec::new());
        }
    }

    fn deliver(&mut self, ticket: Ticket, state: &RequestState, segments: Vec<ResponseSegment>) {
        let size_bytes = segments.iter().map(ResponseSegment::size_bytes).sum();
        match state.origin {
            Origin::Connection(connection) => {
                self.metrics.response(state.key, size_bytes);
                for segments in self.sessions.answer(connection, ticket, segments) {
                    self.effects.push_back(Effect::Respond { connection, segments });
                }
                self.runnable.insert(connection);
                self.runnable.append(&mut self.sessions.release(&self.config.limits));
            }
            Origin::Shard(asker) => {
                let ticket = asker.ticket;
                let message = ShardMessage::Forwarded { ticket, segments: Some(segments) };
                self.send(asker.shard, message);
            }
        }
    }

    /// Asks the shard of some partitions; the answer comes back as `Told`.
    pub(crate) fn ask(&mut self, shard: ShardIndex, ticket: Ticket, ask: Ask) {
        let view_offset = self.cluster.as_ref().map_or(Offset::ZERO, |view| view.offset);
        self.send(shard, ShardMessage::Ask { ticket, view_offset, ask });
    }

    /// Says something to a shard, perhaps to this one.
    pub(crate) fn send(&mut self, shard: ShardIndex, message: ShardMessage) {
        if shard == self.shard {
            self.local.push_back(message);
        } else {
            self.effects.push_back(Effect::ToShard { shard, message });
        }
    }

    pub(crate) fn take_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// The metadata that requests are answered from. Requests are not carried out before the
    /// first view came, so every handler may rely upon it.
    pub(crate) fn view(&self) -> ClusterView {
        self.cluster.clone().expect("requests wait until the cluster's metadata is here")
    }
}

/// The client id and the body. A version of ApiVersions that we do not know is not read at all:
/// its answer does not depend upon its content.
fn read_header(frame: &Bytes, api: &Api, version: i16) -> Option<(Option<String>, Bytes)> {
    if !api.versions.contains(&version) {
        return Some((None, Bytes::new()));
    }
    let mut reader = Reader::new(frame.clone());
    let header = decode_request_header(&mut reader).ok()?;
    Some((header.client_id, reader.rest()))
}
