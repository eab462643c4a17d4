//! The reading task of a connection.

use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use mainstem_node::Event;
use tokio::time::timeout;

use super::Connection;
use super::budget::FREE_BYTES;
use super::frames::{Frames, ImpossibleFrame};
use crate::shard::Inbox;
use crate::status::Counters;

/// A frame that has begun must be whole after this time and a second for each
/// `SLOWEST_BYTES_PER_SECOND` of it: a client that sends single bytes does not stay for ever.
const FRAME_PATIENCE: Duration = Duration::from_secs(60);
const SLOWEST_BYTES_PER_SECOND: usize = 16 * 1024;

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client has closed, or the socket has failed.
    Gone,
    /// What came is no frame.
    Impossible(ImpossibleFrame),
    /// Nothing came for too long.
    Silent,
    /// The machine, or the writing task, wants it.
    Asked,
}

/// Reads until the connection ends, then says so to the shard.
pub(super) async fn run(connection: Rc<Connection>, inbox: Rc<Inbox>) {
    let end = read(&connection, &inbox).await;
    let counters = &inbox.status().counters;
    match end {
        End::Gone | End::Asked => {}
        End::Impossible(error) => {
            tracing::info!(connection = connection.id.0, %error, "a connection is closed");
            Counters::add(&counters.frames_refused);
        }
        End::Silent => count_silence(connection.id.0, &counters.connections_timed_out),
    }
    connection.end();
    inbox.push(Event::Disconnected { connection: connection.id });
}

fn count_silence(connection: u64, counter: &AtomicU64) {
    tracing::debug!(connection, "a connection was silent for too long and is closed");
    Counters::add(counter);
}

async fn read(connection: &Rc<Connection>, inbox: &Inbox) -> End {
    let mut frames = Frames::new(connection.limits.frame_bytes_max);
    let mut frame_began = Instant::now();
    let mut claim = inbox.frame_budget().claim();
    loop {
        if connection.is_over.get() {
            return End::Asked;
        }
        if !connection.may_deliver() {
            connection.wake_reader.notified().await;
            // The client is not to blame for a pause that was ours.
            frame_began = Instant::now();
            continue;
        }
        match frames.next() {
            Ok(Some(frame)) => {
                connection.deliver(frame, inbox);
                claim.release();
                frame_began = Instant::now();
                continue;
            }
            Ok(None) => {}
            Err(error) => return End::Impossible(error),
        }
        let pending = frames.pending_bytes();
        if pending == 0 {
            frames.release();
            frame_began = Instant::now();
        }
        if FREE_BYTES <= pending && !claim.cover(frames.room_bytes()) {
            tokio::select! {
                () = inbox.frame_budget().freed() => {}
                () = connection.wake_reader.notified() => {}
            }
            frame_began = Instant::now();
            continue;
        }
        if frame_patience(pending) < frame_began.elapsed() {
            return End::Silent;
        }
        if let Err(end) = receive(connection, &mut frames).await {
            return end;
        }
    }
}

/// Waits for bytes and takes what is there, or comes back because something has changed.
async fn receive(connection: &Connection, frames: &mut Frames) -> Result<(), End> {
    let readable = async {
        tokio::select! {
            ready = connection.stream.readable() => ready.map_err(|_| End::Gone),
            () = connection.wake_reader.notified() => Ok(()),
        }
    };
    // While a frame is unfinished, look at the clock more often than when all is quiet.
    let patience = match frames.pending_bytes() {
        0 => connection.patience(),
        pending => connection.patience().min(frame_patience(pending)),
    };
    match timeout(patience, readable).await {
        Ok(result) => result?,
        Err(_) if connection.patience().is_zero() => return Err(End::Silent),
        Err(_) => return Ok(()),
    }
    match connection.stream.try_read_buf(frames.room()) {
        Ok(0) => Err(End::Gone),
        Ok(_) => {
            connection.note_traffic();
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
        Err(_) => Err(End::Gone),
    }
}

fn frame_patience(pending_bytes: usize) -> Duration {
    let seconds = (pending_bytes / SLOWEST_BYTES_PER_SECOND) as u64;
    FRAME_PATIENCE + Duration::from_secs(seconds)
}
