//! The connections of a shard: which frame may be carried out next, and in which order answers
//! leave.
//!
//! Words: a *slot* is a request that was begun and not yet answered to the client.
//!
//! Invariants:
//! - Answers leave in the order of the requests.
//! - One request of a connection is under way at a time, as in Kafka, so a client may rely upon
//!   an answered request being visible to its next one. Produce is the exception: a producer
//!   keeps several batches in flight, and since appends happen at dispatch and in order, a produce
//!   may begin while only produces are under way.
//! - A connection whose queue is full is not read from; every queue has a limit.
//! - Frames of all connections together have a limit too: while it is reached, a connection that
//!   has sent a frame is *held*, which means it is not read from, until half of the memory is free.
//!
//! Absent on purpose: what requests mean. Only the first two bytes, the API key, are looked at.

use crate::ask::Ticket;
use crate::effect::ResponseSegment;
use crate::event::ConnectionId;
use crate::limits::Limits;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The API key of Produce.
const PRODUCE: [u8; 2] = [0, 0];

#[derive(Debug)]
struct Slot {
    ticket: Ticket,
    pipelines: bool,
    /// Of its frame, until it is answered.
    frame_bytes: usize,
    /// What leaves when all earlier slots have left; an empty list is a request without answer.
    answer: Option<Vec<ResponseSegment>>,
}

#[derive(Debug)]
struct Session {
    peer: Arc<str>,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    slots: VecDeque<Slot>,
    reading: bool,
    closing: bool,
}

/// All connections of one shard.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    connections: BTreeMap<ConnectionId, Session>,
    /// Of all frames that are queued or under way.
    frame_bytes: usize,
    /// Not read from because of the frames of all.
    held: BTreeSet<ConnectionId>,
}

impl Sessions {
    pub(crate) fn connected(&mut self, connection: ConnectionId, peer: &str) {
        let session = Session {
            peer: peer.into(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            slots: VecDeque::new(),
            reading: true,
            closing: false,
        };
        self.connections.insert(connection, session);
    }

    /// Forgets a connection; returns the requests that nobody waits for any more.
    pub(crate) fn disconnected(&mut self, connection: ConnectionId) -> Vec<Ticket> {
        self.held.remove(&connection);
        let Some(session) = self.connections.remove(&connection) else { return Vec::new() };
        let slots = session.slots;
        let under_way: usize = slots.iter().map(|slot| slot.frame_bytes).sum();
        self.frame_bytes -= session.queued_bytes + under_way;
        slots.into_iter().filter(|slot| slot.answer.is_none()).map(|slot| slot.ticket).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(crate) fn peer(&self, connection: ConnectionId) -> Option<Arc<str>> {
        self.connections.get(&connection).map(|session| Arc::clone(&session.peer))
    }

    /// Queues a frame. A connection that is being closed takes nothing more.
    pub(crate) fn enqueue(&mut self, connection: ConnectionId, frame: Bytes) {
        let Some(session) = self.connections.get_mut(&connection) else { return };
        if session.closing {
            return;
        }
        session.queued_bytes += frame.len();
        self.frame_bytes += frame.len();
        session.queue.push_back(frame);
    }

    /// The next frame of a connection whose turn has come; [`Sessions::begin`] must follow.
    pub(crate) fn next_frame(
        &mut self,
        connection: ConnectionId,
        limits: &Limits,
    ) -> Option<Bytes> {
        let session = self.connections.get_mut(&connection)?;
        if session.closing || limits.requests_in_flight_max <= session.slots.len() {
            return None;
        }
        let next_pipelines = session.queue.front()?.starts_with(&PRODUCE);
        let all_pipeline = next_pipelines && session.slots.iter().all(|slot| slot.pipelines);
        let has_its_turn = session.slots.is_empty() || all_pipeline;
        if !has_its_turn {
            return None;
        }
        let frame = session.queue.pop_front()?;
        session.queued_bytes -= frame.len();
        Some(frame)
    }

    /// A request of this connection is under way.
    pub(crate) fn begin(&mut self, connection: ConnectionId, ticket: Ticket, frame: &[u8]) {
        if let Some(session) = self.connections.get_mut(&connection) {
            let pipelines = frame.starts_with(&PRODUCE);
            let frame_bytes = frame.len();
            session.slots.push_back(Slot { ticket, pipelines, frame_bytes, answer: None });
        }
    }

    /// A request is answered; returns the answers that may leave now, in order.
    pub(crate) fn answer(
        &mut self,
        connection: ConnectionId,
        ticket: Ticket,
        segments: Vec<ResponseSegment>,
    ) -> Vec<Vec<ResponseSegment>> {
        let Some(session) = self.connections.get_mut(&connection) else { return Vec::new() };
        if let Some(slot) = session.slots.iter_mut().find(|slot| slot.ticket == ticket) {
            slot.answer = Some(segments);
            self.frame_bytes -= std::mem::take(&mut slot.frame_bytes);
        }
        let mut leaving = Vec::new();
        while session.slots.front().is_some_and(|slot| slot.answer.is_some()) {
            let answer = session.slots.pop_front().and_then(|slot| slot.answer);
            leaving.extend(answer.filter(|segments| !segments.is_empty()));
        }
        leaving
    }

    /// No more frames of this connection are carried out. Returns false when it was closing.
    pub(crate) fn close(&mut self, connection: ConnectionId) -> bool {
        let Some(session) = self.connections.get_mut(&connection) else { return false };
        session.queue.clear();
        self.frame_bytes -= std::mem::take(&mut session.queued_bytes);
        !std::mem::replace(&mut session.closing, true)
    }

    /// Whether reading must stop or may go on, when that changed.
    pub(crate) fn reading_changed(
        &mut self,
        connection: ConnectionId,
        limits: &Limits,
    ) -> Option<bool> {
        let session = self.connections.get_mut(&connection)?;
        let all_full = limits.frame_bytes_of_all_max <= self.frame_bytes;
        if all_full {
            self.held.insert(connection);
        }
        let full = limits.frames_queued_max <= session.queue.len()
            || limits.frame_bytes_queued_max <= session.queued_bytes
            || all_full;
        // Resume only when half of the queue is free, so that a slow client does not flip the
        // switch with every frame.
        let half_free = session.queue.len() <= limits.frames_queued_max / 2
            && session.queued_bytes <= limits.frame_bytes_queued_max / 2
            && !self.held.contains(&connection);
        let reading = if session.reading { !full } else { half_free };
        (std::mem::replace(&mut session.reading, reading) != reading).then_some(reading)
    }

    /// The connections that were held and may be looked at again, once there is room.
    pub(crate) fn release(&mut self, limits: &Limits) -> BTreeSet<ConnectionId> {
        match self.frame_bytes <= limits.frame_bytes_of_all_max / 2 {
            true => std::mem::take(&mut self.held),
            false => BTreeSet::new(),
        }
    }
}
