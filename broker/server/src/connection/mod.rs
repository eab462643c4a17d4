//! One client: a task that reads frames, a task that writes responses, and what they share.
//!
//! Both tasks run on the shard's thread, beside the shard's loop, and wait only for their own
//! socket. So a slow client holds nobody up, and nothing here needs a lock.
//!
//! Reading stops while one of these holds, so that memory stays bounded whatever a client does:
//! 1. the machine has said so (too many requests of this client wait for their turn);
//! 2. the client does not fetch its responses (`OUTBOX_RESPONSES_MAX`, `OUTBOX_BYTES_MAX`);
//! 3. the client has had its share of the present pass (`PASS_FRAMES_MAX`, `PASS_BYTES_MAX`);
//! 4. its unfinished frame grows, and those of others leave no room for it (`FrameBudget`).
//!
//! A connection ends once: the reading task tells the shard by `Event::Disconnected`, after it has
//! seen the client's end, an impossible frame, silence, or the writing task's wish.

mod budget;
mod frames;
mod outbox;
mod read;
mod write;

pub(crate) use budget::FrameBudget;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mainstem_node::{ConnectionId, Event, ResponseSegment};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::shard::Inbox;
use crate::status::{Place, Places};
use outbox::Outbox;

/// Frames that one client may put into one pass of the shard.
const PASS_FRAMES_MAX: usize = 64;
/// Bytes that one client may put into one pass; a single larger frame is taken all the same.
const PASS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    pub(crate) frame_bytes_max: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) places: Places,
}

/// What the two tasks and the shard share.
pub(crate) struct Connection {
    id: ConnectionId,
    stream: TcpStream,
    outbox: RefCell<Outbox>,
    wake_reader: Notify,
    wake_writer: Notify,
    /// The machine wants more frames.
    is_wanted: Cell<bool>,
    /// Both tasks end as soon as they see it.
    is_over: Cell<bool>,
    pass_frames: Cell<usize>,
    pass_bytes: Cell<usize>,
    last_traffic: Cell<Instant>,
    limits: ConnectionLimits,
    _place: Place,
}

impl Connection {
    /// Starts both tasks; must be called on the shard's thread, within its `LocalSet`.
    pub(crate) fn start(
        id: ConnectionId,
        stream: TcpStream,
        place: Place,
        limits: ConnectionLimits,
        inbox: &Rc<Inbox>,
    ) -> Rc<Self> {
        // Responses are written whole; waiting for more would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "set TCP_NODELAY");
        }
        let connection = Rc::new(Self {
            id,
            stream,
            outbox: RefCell::new(Outbox::default()),
            wake_reader: Notify::new(),
            wake_writer: Notify::new(),
            is_wanted: Cell::new(true),
            is_over: Cell::new(false),
            pass_frames: Cell::new(0),
            pass_bytes: Cell::new(0),
            last_traffic: Cell::new(Instant::now()),
            limits,
            _place: place,
        });
        tokio::task::spawn_local(read::run(connection.clone(), inbox.clone()));
        tokio::task::spawn_local(write::run(connection.clone()));
        connection
    }

    /// Queues a response.
    pub(crate) fn respond(&self, segments: Vec<ResponseSegment>) {
        self.outbox.borrow_mut().push(segments);
        self.wake_writer.notify_one();
    }

    /// Ends the connection after what is queued has been written.
    pub(crate) fn close_after_responses(&self) {
        self.outbox.borrow_mut().close();
        self.wake_writer.notify_one();
    }

    /// The machine's wish about reading.
    pub(crate) fn set_reading(&self, is_wanted: bool) {
        self.is_wanted.set(is_wanted);
        self.wake_reader.notify_one();
    }

    /// A new pass begins, with a new share.
    pub(crate) fn begin_pass(&self) {
        self.pass_frames.set(0);
        self.pass_bytes.set(0);
        self.wake_reader.notify_one();
    }

    /// Whether something is still to be written.
    pub(crate) fn has_responses(&self) -> bool {
        !self.is_over.get() && !self.outbox.borrow().is_empty()
    }

    fn may_deliver(&self) -> bool {
        self.is_wanted.get()
            && self.pass_frames.get() < PASS_FRAMES_MAX
            && self.pass_bytes.get() < PASS_BYTES_MAX
            && !self.outbox.borrow().is_full()
    }

    fn deliver(self: &Rc<Self>, frame: bytes::Bytes, inbox: &Inbox) {
        if self.pass_frames.get() == 0 {
            inbox.note_delivery(self.clone());
        }
        self.pass_frames.set(self.pass_frames.get() + 1);
        self.pass_bytes.set(self.pass_bytes.get() + frame.len());
        inbox.push(Event::Frame { connection: self.id, frame });
    }

    fn end(&self) {
        self.is_over.set(true);
        self.wake_reader.notify_one();
        self.wake_writer.notify_one();
    }

    fn note_traffic(&self) {
        self.last_traffic.set(Instant::now());
    }

    /// How long the connection may still be silent.
    fn patience(&self) -> Duration {
        self.limits.idle_timeout.saturating_sub(self.last_traffic.get().elapsed())
    }
}
