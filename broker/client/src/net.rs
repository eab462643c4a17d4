//! The shell: sockets, the clock, and one driver task per client.
//!
//! The driver takes events from its sockets, lets the machine look at everything, carries out what
//! comes of it, and sleeps until the next event, wish or deadline. Handles share the machine with
//! it under a lock that is held for computing only, never across an await.
//!
//! This file and its folder are all of the crate that knows sockets and time: [`transport`] makes
//! connections and brings what their authentication needs, [`tls`] encrypts them, [`tokens`] keeps
//! OAUTHBEARER's tokens. (Unsecured tokens, for development, have a look at the clock too.)

#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "net/without_tls.rs"]
mod tls;
mod tokens;
mod transport;

#[cfg(all(test, feature = "tls"))]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use mainstem_platform::os::OsClock;
use mainstem_platform::{Clock, Instant, Now};
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use crate::core::{Address, ConnectionId, Machine, NetEffect, NetEvent};
use crate::limits::{FRAME_BYTES_MAX, NET_EVENTS_MAX, REQUESTS_IN_FLIGHT_MAX};
use transport::Stream;
pub(crate) use transport::Transport;

/// Timers are not finer than this; it also keeps a machine that is late from spinning.
const SLEEP_MIN: Duration = Duration::from_millis(1);

/// How long a closed connection may take to write what was handed to it.
const CLOSE_LINGER: Duration = Duration::from_secs(1);

/// First size of a connection's read buffer.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// A machine that a driver and any number of handles share.
pub(crate) struct Shared<M> {
    machine: Mutex<M>,
    /// Wakes the driver.
    driver: Notify,
    /// Wakes callers: something may have changed.
    callers: Notify,
    closed: AtomicBool,
}

impl<M: Machine> Shared<M> {
    /// Starts the driver. It ends after [`Shared::stop`].
    pub(crate) fn start(machine: M, transport: Transport) -> Arc<Self> {
        let shared = Arc::new(Self {
            machine: Mutex::new(machine),
            driver: Notify::new(),
            callers: Notify::new(),
            closed: AtomicBool::new(false),
        });
        tokio::spawn(drive(shared.clone(), Arc::new(transport)));
        shared
    }

    pub(crate) fn now(&self) -> Now {
        OsClock.now()
    }

    /// Looks at the machine without telling it anything.
    pub(crate) fn peek(&self) -> MutexGuard<'_, M> {
        self.machine.lock()
    }

    /// Tells the machine something; the driver sees to the consequences.
    pub(crate) fn tell<R>(&self, command: impl FnOnce(&mut M, Now) -> R) -> R {
        let now = self.now();
        let result = command(&mut self.machine.lock(), now);
        self.driver.notify_one();
        result
    }

    pub(crate) fn wake_driver(&self) {
        self.driver.notify_one();
    }

    /// Asks again after every change until there is an answer; `None` when `patience` is over.
    pub(crate) async fn wait_for<R>(
        &self,
        patience: Duration,
        mut ask: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        let mut timeout = pin!(tokio::time::sleep(patience));
        loop {
            let mut changed = pin!(self.callers.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(answer) = ask() {
                return Some(answer);
            }
            tokio::select! {
                () = &mut changed => {}
                () = &mut timeout => return ask(),
            }
        }
    }

    /// Waits before another attempt.
    pub(crate) async fn pause(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Ends the driver once it has carried out what the machine still wants.
    pub(crate) fn stop(&self) {
        self.closed.store(true, Ordering::Release);
        self.driver.notify_one();
    }
}

struct Connection {
    outgoing: mpsc::Sender<Bytes>,
    task: AbortHandle,
}

async fn drive<M: Machine>(shared: Arc<Shared<M>>, transport: Arc<Transport>) {
    let (sender, mut events) = mpsc::channel(NET_EVENTS_MAX);
    let mut connections: BTreeMap<ConnectionId, Connection> = BTreeMap::new();
    let mut first: Option<NetEvent> = None;
    let mut effects = Vec::new();
    loop {
        let closed = shared.closed.load(Ordering::Acquire);
        let deadline = {
            let mut machine = shared.machine.lock();
            let now = OsClock.now();
            for event in
                first.take().into_iter().chain(std::iter::from_fn(|| events.try_recv().ok()))
            {
                machine.handle_net(now, event);
            }
            machine.advance(now);
            effects.extend(std::iter::from_fn(|| machine.poll_effect()));
            machine.deadline()
        };
        for effect in effects.drain(..) {
            carry_out(effect, &mut connections, &sender, &transport);
        }
        shared.callers.notify_waiters();
        if closed {
            break;
        }
        tokio::select! {
            event = events.recv() => first = event,
            () = shared.driver.notified() => {}
            () = sleep_until(deadline) => {}
        }
    }
    // Frames that were handed over are still written; the tasks end when the queues do.
    drop(connections);
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => {
            let left = deadline.saturating_duration_since(OsClock.now().instant);
            tokio::time::sleep(left.max(SLEEP_MIN)).await;
        }
        None => std::future::pending().await,
    }
}

fn carry_out(
    effect: NetEffect,
    connections: &mut BTreeMap<ConnectionId, Connection>,
    events: &mpsc::Sender<NetEvent>,
    transport: &Arc<Transport>,
) {
    match effect {
        NetEffect::Connect(id, address) => {
            let (outgoing, frames) = mpsc::channel(REQUESTS_IN_FLIGHT_MAX + 1);
            let running = run(id, address, frames, events.clone(), transport.clone());
            let task = tokio::spawn(running).abort_handle();
            connections.insert(id, Connection { outgoing, task });
        }
        NetEffect::Write(id, frame) => {
            // The machine keeps fewer requests in flight than the queue holds, so a full queue is
            // a closed one; its event is on the way.
            if let Some(connection) = connections.get(&id)
                && connection.outgoing.try_send(frame).is_err()
            {
                tracing::debug!(connection = id.0, "frame for a closed connection");
            }
        }
        NetEffect::Prepare(id, need) => {
            let (transport, events) = (transport.clone(), events.clone());
            tokio::spawn(async move {
                let prepared = transport.prepare(need).await;
                let _gone = events.send(NetEvent::Prepared(id, prepared)).await;
            });
        }
        NetEffect::Close(id) => {
            if let Some(Connection { outgoing, task }) = connections.remove(&id) {
                // The end of the queue ends the task, after what is in it was written.
                drop(outgoing);
                if !task.is_finished() {
                    tokio::spawn(async move {
                        tokio::time::sleep(CLOSE_LINGER).await;
                        task.abort();
                    });
                }
            }
        }
    }
}

/// How a connection ended.
enum End {
    Lost(String),
    /// One side does not trust the other.
    Refused(String),
}

impl End {
    fn of(doing: &str, error: &std::io::Error) -> Self {
        let text = format!("{doing}: {error}");
        if tls::is_refusal(error) { Self::Refused(text) } else { Self::Lost(text) }
    }
}

/// One connection from its first packet to its last.
async fn run(
    id: ConnectionId,
    address: Address,
    frames: mpsc::Receiver<Bytes>,
    events: mpsc::Sender<NetEvent>,
    transport: Arc<Transport>,
) {
    let end = match transport.connect(&address).await {
        Ok(Stream::Plain(mut stream)) => {
            let (reading, writing) = stream.split();
            talk(id, reading, writing, frames, &events).await
        }
        Ok(Stream::Encrypted(stream)) => {
            let (reading, writing) = tokio::io::split(*stream);
            talk(id, reading, writing, frames, &events).await
        }
        Err(end) => end,
    };
    let event = match end {
        End::Lost(reason) => NetEvent::Closed(id, reason),
        End::Refused(reason) => NetEvent::Refused(id, reason),
    };
    let _gone = events.send(event).await;
}

async fn talk(
    id: ConnectionId,
    reading: impl AsyncRead + Unpin,
    writing: impl AsyncWrite + Unpin,
    frames: mpsc::Receiver<Bytes>,
    events: &mpsc::Sender<NetEvent>,
) -> End {
    if events.send(NetEvent::Connected(id)).await.is_err() {
        return End::Lost("the client is gone".to_owned());
    }
    let ended: Result<(), End> = either(read(id, reading, events), write(writing, frames)).await;
    match ended {
        Ok(()) => End::Lost("closed by the client".to_owned()),
        Err(end) => end,
    }
}

/// The first of two ends.
async fn either<T>(a: impl Future<Output = T>, b: impl Future<Output = T>) -> T {
    tokio::select! {
        end = a => end,
        end = b => end,
    }
}

async fn write(
    mut stream: impl AsyncWrite + Unpin,
    mut frames: mpsc::Receiver<Bytes>,
) -> Result<(), End> {
    while let Some(frame) = frames.recv().await {
        stream.write_all(&frame).await.map_err(|error| End::of("write", &error))?;
        if frames.is_empty() {
            // What an encrypted stream still holds.
            stream.flush().await.map_err(|error| End::of("write", &error))?;
        }
    }
    stream.shutdown().await.map_err(|error| End::of("close", &error))
}

async fn read(
    id: ConnectionId,
    mut stream: impl AsyncRead + Unpin,
    events: &mpsc::Sender<NetEvent>,
) -> Result<(), End> {
    let mut buffer = BytesMut::with_capacity(READ_BUFFER_BYTES);
    loop {
        while let Some(frame) = take_frame(&mut buffer).map_err(End::Lost)? {
            if events.send(NetEvent::Frame(id, frame)).await.is_err() {
                return Ok(());
            }
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) => return Err(End::Lost("closed by the broker".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(End::of("read", &error)),
        }
    }
}

/// The next whole frame, without its length. Makes room for the rest of one that has begun.
fn take_frame(buffer: &mut BytesMut) -> Result<Option<Bytes>, String> {
    let Some(prefix) = buffer.first_chunk::<4>() else {
        buffer.reserve(READ_BUFFER_BYTES);
        return Ok(None);
    };
    let announced = i32::from_be_bytes(*prefix);
    let length = usize::try_from(announced).ok().filter(|length| *length <= FRAME_BYTES_MAX);
    let length = length.ok_or_else(|| not_a_frame(*prefix))?;
    if buffer.len() < 4 + length {
        let missing = 4 + length - buffer.len();
        buffer.reserve(missing);
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// The first bytes of an alert or of a handshake of TLS are what clients of a wrong port meet.
fn not_a_frame(prefix: [u8; 4]) -> String {
    match prefix {
        [0x15 | 0x16, 0x03, ..] => "the broker speaks TLS on this port".to_owned(),
        _ => format!("a frame of {} bytes is not accepted", i32::from_be_bytes(prefix)),
    }
}
