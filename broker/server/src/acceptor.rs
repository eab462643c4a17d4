//! Accepts Kafka clients and deals them out to the shards in turn.
//!
//! One listening socket, read on the first shard, so that connections spread evenly however few
//! they are; the kernel's own spreading over several sockets goes by hash and would not.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::shard::{Mail, Mailbox};
use crate::status::{Counters, Places, Status};

/// Rest after an error that comes back at once, such as no free file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the task is dropped.
pub(crate) async fn run(
    listener: TcpListener,
    shards: Vec<Mailbox>,
    (places, status): (Places, Arc<Status>),
) {
    for shard in shards.iter().cycle() {
        let (stream, peer) = accept(&listener).await;
        let Some(place) = status.admit(peer.ip(), stream.as_raw_fd(), places) else {
            Counters::add(&status.counters.connections_refused);
            tracing::warn!(%peer, ?places, "a connection is refused");
            continue;
        };
        Counters::add(&status.counters.connections_accepted);
        // Sockets belong to the runtime of a thread: take it out of this one.
        match stream.into_std() {
            Ok(stream) => shard.send(Mail::Accepted { stream, peer, place }),
            Err(error) => tracing::warn!(%peer, %error, "hand a connection over"),
        }
    }
}

async fn accept(listener: &TcpListener) -> (tokio::net::TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
