//! What an actor sees of the world: time, randomness of its own, one connection at a time.
//!
//! An actor is a state machine too. It is told what happened and leaves orders in its [`Port`]; the
//! world carries them out. An order to send on a connection that is gone does nothing: the actor
//! learns of the loss by `disconnected`.

use bytes::Bytes;
use mainstem_platform::{Instant, Now, SeededRandom};
use mainstem_protocol::Request;
use mainstem_protocol::frame::{decode_response, encode_request};
use std::fmt;
use std::time::Duration;

/// What an actor wants done.
#[derive(Debug)]
pub(crate) enum Order {
    /// Connect, dropping the connection there is. Fails silently while the broker is down.
    Connect,
    /// Connect anew, while what was sent on the old connection may still reach the broker: the
    /// client has lost its patience, not the network its packets.
    ConnectBeside,
    /// Send a frame, without its length.
    Send(Bytes),
    /// Call `timer` after this time, unless it will be called before: there is one timer.
    Wake(Duration),
}

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) now: Now,
    pub(crate) random: SeededRandom,
    pub(crate) connected: bool,
    /// Things go wrong, and the client may do so too.
    pub(crate) faulty: bool,
    pub(crate) orders: Vec<Order>,
    /// When `timer` is called next.
    pub(crate) wake_at: Option<Instant>,
    /// Lines for the trace; `None` when nobody reads them.
    pub(crate) remarks: Option<Vec<String>>,
    next_correlation: i32,
}

impl Port {
    pub(crate) fn new(random: SeededRandom, in_words: bool) -> Self {
        Self {
            now: Now::default(),
            random,
            connected: false,
            faulty: true,
            orders: Vec::new(),
            wake_at: None,
            remarks: in_words.then(Vec::new),
            next_correlation: 0,
        }
    }

    pub(crate) fn connect(&mut self) {
        self.orders.push(Order::Connect);
    }

    pub(crate) fn connect_beside(&mut self) {
        self.orders.push(Order::ConnectBeside);
    }

    /// Puts a line into the trace.
    pub(crate) fn remark(&mut self, line: fmt::Arguments<'_>) {
        if let Some(remarks) = &mut self.remarks {
            remarks.push(line.to_string());
        }
    }

    pub(crate) fn wake_after(&mut self, delay: Duration) {
        self.orders.push(Order::Wake(delay));
    }

    /// Sends a request; the answer will carry the correlation id that is returned.
    pub(crate) fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.next_correlation += 1;
        let correlation = self.next_correlation;
        let frame = encode_request(request, version, correlation, Some("sim"))
            .expect("requests of actors can be encoded");
        self.orders.push(Order::Send(frame.slice(4..)));
        correlation
    }
}

/// Reads the answer to a request of kind `R`.
pub(crate) fn answer<R: Request>(version: i16, frame: Bytes) -> R::Response {
    let (_, response) = decode_response::<R>(version, frame).expect("answers can be decoded");
    response
}

/// A rule was broken.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    /// The oracle that noticed.
    pub(crate) oracle: &'static str,
    /// What is wrong, and where.
    pub(crate) text: String,
}

impl Broken {
    pub(crate) fn new(oracle: &'static str, text: impl Into<String>) -> Self {
        Self { oracle, text: text.into() }
    }

    /// The broker answered what no client would expect.
    pub(crate) fn protocol(text: impl Into<String>) -> Self {
        Self::new("protocol", text)
    }
}

/// A client of the broker.
pub(crate) trait Actor {
    /// The name in the trace.
    fn name(&self) -> String;
    /// The first call, and the one after each `Wake`.
    fn timer(&mut self, port: &mut Port) -> Result<(), Broken>;
    /// The connection is there.
    fn connected(&mut self, port: &mut Port) -> Result<(), Broken>;
    /// The connection is gone, with everything that was under way on it.
    fn disconnected(&mut self, port: &mut Port);
    /// An answer, without its length. Its first four bytes are the correlation id.
    fn answered(&mut self, port: &mut Port, correlation: i32, frame: Bytes) -> Result<(), Broken>;
    /// Whether it has nothing more to do.
    fn is_done(&self) -> bool;
    /// Nobody writes to the topic any more: come to an end.
    fn wind_down(&mut self) {}
    /// What it was told, for the oracles.
    fn testimony(&self) -> crate::oracle::Testimony;
}
