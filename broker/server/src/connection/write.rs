//! The writing task of a connection: vectored writes for bytes, sendfile for ranges of logs.
//!
//! A range whose file has no descriptor (a simulated disk) is copied through a small buffer. A
//! cold page makes sendfile wait for the disk on the shard's thread; consumers read the hot tail
//! nearly always.

use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use mainstem_node::ResponseSegment;
use mainstem_platform::File;
use rustix::fs::sendfile;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::Connection;

/// Slices of one vectored write.
const SLICES_MAX: usize = 64;
/// Bytes of one sendfile, after which the other connections of the shard have their turn.
const FILE_CHUNK_BYTES: usize = 1024 * 1024;
/// Buffer for files without a descriptor.
const COPY_BYTES: usize = 64 * 1024;

/// Writes until the connection is over or everything is written and nothing may follow.
pub(super) async fn run(connection: Rc<Connection>) {
    loop {
        if connection.is_over.get() {
            return;
        }
        let (response, is_closing) = {
            let mut outbox = connection.outbox.borrow_mut();
            (outbox.pop(), outbox.is_closing())
        };
        match response {
            Some(segments) => {
                if let Err(error) = write_batch(&connection, segments).await {
                    tracing::debug!(connection = connection.id.0, %error, "write a response");
                    connection.end();
                    return;
                }
                // The reader may have waited for room in the outbox.
                connection.wake_reader.notify_one();
            }
            None if is_closing => {
                connection.end();
                return;
            }
            None => connection.wake_writer.notified().await,
        }
    }
}

/// Writes one response, and with its last bytes those that were queued behind it.
async fn write_batch(connection: &Connection, first: Vec<ResponseSegment>) -> io::Result<()> {
    let mut segments = first.into_iter();
    let mut run: Vec<Bytes> = Vec::new();
    loop {
        match segments.next() {
            Some(ResponseSegment::Bytes(bytes)) => run.push(bytes),
            Some(ResponseSegment::File { file, position, len }) => {
                // The head of a range leaves with its first bytes, not as a packet of its own.
                write_bytes(connection, &mut run, SendFlags::MORE).await?;
                write_file(connection, &file, position, len).await?;
            }
            None => {
                let next = connection.outbox.borrow_mut().pop();
                match next {
                    Some(next) => segments = next.into_iter(),
                    None => return write_bytes(connection, &mut run, SendFlags::empty()).await,
                }
            }
        }
        if run.len() >= SLICES_MAX {
            write_bytes(connection, &mut run, SendFlags::empty()).await?;
        }
    }
}

async fn write_bytes(
    connection: &Connection,
    run: &mut Vec<Bytes>,
    flags: SendFlags,
) -> io::Result<()> {
    let mut first = 0;
    while first < run.len() {
        if run[first].is_empty() {
            first += 1;
            continue;
        }
        let slices: Vec<IoSlice<'_>> =
            run[first..].iter().take(SLICES_MAX).map(|bytes| IoSlice::new(bytes)).collect();
        let sent = connection.stream.try_io(Interest::WRITABLE, || {
            let mut control = SendAncillaryBuffer::default();
            Ok(sendmsg(&connection.stream, &slices, &mut control, flags | SendFlags::NOSIGNAL)?)
        });
        let written = match sent {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                writable(connection).await?;
                continue;
            }
            Err(error) => return Err(error),
        };
        connection.note_traffic();
        let mut rest = written;
        while rest > 0 {
            let step = rest.min(run[first].len());
            run[first].advance(step);
            rest -= step;
            if run[first].is_empty() {
                first += 1;
            }
        }
    }
    run.clear();
    Ok(())
}

async fn write_file(
    connection: &Connection,
    file: &Arc<dyn File>,
    position: u64,
    len: u32,
) -> io::Result<()> {
    let end = position + u64::from(len);
    let mut at = position;
    while at < end {
        // Bounded by the chunk, so it fits.
        let chunk = usize::try_from(end - at).unwrap_or(FILE_CHUNK_BYTES).min(FILE_CHUNK_BYTES);
        let sent = match file.as_fd() {
            Some(descriptor) => {
                let mut offset = at;
                let sent = connection.stream.try_io(Interest::WRITABLE, || {
                    Ok(sendfile(&connection.stream, descriptor, Some(&mut offset), chunk)?)
                });
                match sent {
                    Ok(sent) => sent,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        writable(connection).await?;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            None => copy(connection, file, at, chunk).await?,
        };
        if sent == 0 {
            // The length was promised in the response's header: what follows would be garbage.
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "a log segment ends early"));
        }
        connection.note_traffic();
        at += sent as u64;
        if at < end {
            yield_now().await;
        }
    }
    Ok(())
}

async fn copy(
    connection: &Connection,
    file: &Arc<dyn File>,
    position: u64,
    len: usize,
) -> io::Result<usize> {
    let mut buffer = vec![0; len.min(COPY_BYTES)];
    let read = file.read_at(&mut buffer, position)?;
    buffer.truncate(read);
    write_bytes(connection, &mut vec![buffer.into()], SendFlags::empty()).await?;
    Ok(read)
}

/// Waits for room in the socket, as long as any connection may be silent.
async fn writable(connection: &Connection) -> io::Result<()> {
    let waiting = async {
        tokio::select! {
            ready = connection.stream.writable() => ready,
            () = over(connection) => Err(ErrorKind::ConnectionAborted.into()),
        }
    };
    match timeout(connection.limits.idle_timeout, waiting).await {
        Ok(result) => result,
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}

async fn over(connection: &Connection) {
    while !connection.is_over.get() {
        connection.wake_writer.notified().await;
    }
}
