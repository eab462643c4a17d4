//! What comes to a shard from other threads.
//!
//! The queue has no limit of its own, because two shards that wait for each other's room would
//! wait for ever. It is bounded by what is under way: messages of shards belong to requests, whose
//! number every connection limits; a shard has one sync at a time; HTTP limits its connections.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use mainstem_node::{Event, LocalCommand, LocalReply};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::status::Place;

/// One piece of mail.
#[derive(Debug)]
pub(crate) enum Mail {
    /// For the machine as it is.
    Event(Event),
    /// A client that this shard shall serve from now on.
    Accepted { stream: TcpStream, peer: SocketAddr, place: Place },
    /// A question of the HTTP side.
    Command { command: LocalCommand, reply: oneshot::Sender<LocalReply> },
    /// End at once, as if the process had been killed.
    Abandon,
}

/// The address of a shard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mailbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<VecDeque<Mail>>,
    wake: Notify,
}

impl Mailbox {
    /// Sends; mails of one sender arrive in their order.
    pub(crate) fn send(&self, mail: Mail) {
        self.0.queue.lock().push_back(mail);
        self.0.wake.notify_one();
    }

    /// Asks, and waits for the answer; `None` when the shard is gone.
    pub(crate) async fn ask(&self, command: LocalCommand) -> Option<LocalReply> {
        let (reply, answer) = oneshot::channel();
        self.send(Mail::Command { command, reply });
        answer.await.ok()
    }

    /// Everything that has come.
    pub(super) fn take(&self) -> VecDeque<Mail> {
        std::mem::take(&mut *self.0.queue.lock())
    }

    /// Wakes the loop without a mail: something lies in the inbox of its own thread.
    pub(super) fn wake(&self) {
        self.0.wake.notify_one();
    }

    pub(super) async fn wait(&self) {
        self.0.wake.notified().await;
    }
}
