//! The clients' side: connections, and what actors order.
//!
//! A connection that its client gave up may *linger*: what was sent on it still reaches the broker,
//! some of it long afterwards, and nobody hears the answers. That is how a request of the past comes
//! after those of the present.

use super::{Occurrence, World};
use crate::port::{Actor, Broken, Order, Port};
use crate::schedule::delay;
use bytes::Bytes;
use mainstem_node::{ConnectionId, Event};
use mainstem_platform::{Instant, Random};
use std::time::Duration;

/// One connection.
pub(super) struct Connection {
    actor: usize,
    shard: usize,
    life: u64,
    /// The client has given it up.
    lingers: bool,
    /// What is on its way to the broker is held up until then.
    held_until: Instant,
}

impl World {
    /// The shard that serves a connection, if the broker is up and knows it.
    pub(super) fn shard_of(&self, connection: u64) -> Option<usize> {
        let connection = self.connections.get(&connection)?;
        (connection.life == self.life && !self.shards.is_empty()).then_some(connection.shard)
    }

    pub(super) fn cut_connection(&mut self) {
        let count = self.connections.len() as u64;
        let place = self.random.below(count.max(1)) as usize;
        if let Some(connection) = self.connections.keys().nth(place).copied() {
            self.note(format_args!("the network cuts connection {connection}"));
            self.plan(Duration::ZERO, Occurrence::ConnectionLost { connection });
        }
    }

    pub(super) fn accepted(&mut self, actor: usize, connection: u64) -> Result<(), Broken> {
        if self.connections.get(&connection).is_none_or(|connection| connection.lingers) {
            return Ok(());
        }
        if self.shard_of(connection).is_none() {
            return self.drop_connection(connection);
        }
        self.actors[actor].1.connected = true;
        self.tell(actor, |actor, port| actor.connected(port))
    }

    pub(super) fn answer_arrives(&mut self, connection: u64, frame: Bytes) -> Result<(), Broken> {
        let Some(Connection { actor, lingers: false, .. }) = self.connections.get(&connection)
        else {
            return Ok(());
        };
        let actor = *actor;
        let correlation = mainstem_protocol::frame::correlation_id(&frame)
            .ok_or_else(|| Broken::protocol("an answer without a correlation id"))?;
        self.tell(actor, |actor, port| actor.answered(port, correlation, frame))
    }

    pub(super) fn frame_arrives(&mut self, connection: u64, frame: Bytes) {
        let held_until = self.connections.get(&connection).map(|connection| connection.held_until);
        if let Some(until) = held_until.filter(|until| self.now.instant < *until) {
            let what = Occurrence::FrameArrives { connection, frame };
            return self.schedule.on_link((connection, 0), until, what);
        }
        if let Some(shard) = self.shard_of(connection) {
            let connection = ConnectionId(connection);
            self.handle(shard, Event::Frame { connection, frame });
        }
    }

    /// Tells the broker that a connection is gone.
    pub(super) fn disconnect(&mut self, connection: u64) {
        if let Some(shard) = self.shard_of(connection) {
            let connection = ConnectionId(connection);
            self.handle(shard, Event::Disconnected { connection });
        }
    }

    /// Forgets a connection and tells its client.
    pub(super) fn drop_connection(&mut self, connection: u64) -> Result<(), Broken> {
        let Some(Connection { actor, lingers: false, .. }) = self.connections.remove(&connection)
        else {
            return Ok(());
        };
        self.actors[actor].1.connected = false;
        self.tell(actor, |actor, port| {
            actor.disconnected(port);
            Ok(())
        })
    }

    /// Calls an actor and carries out its orders.
    pub(super) fn tell(
        &mut self,
        actor: usize,
        call: impl FnOnce(&mut dyn Actor, &mut Port) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let now = self.now;
        let (machine, port) = &mut self.actors[actor];
        port.now = now;
        let outcome = call(&mut **machine, port);
        let orders = std::mem::take(&mut port.orders);
        if let Some(remarks) = port.remarks.as_mut().map(std::mem::take) {
            let name = self.actors[actor].0.name();
            for remark in remarks {
                self.note(format_args!("{name}: {remark}"));
            }
        }
        outcome?;
        for order in orders {
            match order {
                Order::Wake(delay) => self.wake(actor, delay),
                Order::Connect => self.connect(actor, false),
                Order::ConnectBeside => self.connect(actor, true),
                Order::Send(frame) => self.send(actor, frame),
            }
        }
        Ok(())
    }

    /// Sets the actor's timer, or leaves it where it is set to an earlier time. One that could be set
    /// many times would multiply itself: every call sets it again.
    pub(super) fn wake(&mut self, actor: usize, delay: Duration) {
        let at = self.now.instant.plus(delay);
        let port = &mut self.actors[actor].1;
        if port.wake_at.is_none_or(|earlier| at < earlier) {
            port.wake_at = Some(at);
            self.schedule.at(at, Occurrence::Wake { actor });
        }
    }

    pub(super) fn woken(&mut self, actor: usize) -> Result<(), Broken> {
        let port = &mut self.actors[actor].1;
        // A later time may have been set before this one.
        if port.wake_at != Some(self.now.instant) {
            return Ok(());
        }
        port.wake_at = None;
        self.tell(actor, |actor, port| actor.timer(port))
    }

    fn connect(&mut self, actor: usize, beside: bool) {
        self.actors[actor].1.connected = false;
        if let Some(connection) = self.connection_of(actor) {
            if beside {
                let held_us = [0, 20_000, 200_000][self.random.below(3) as usize];
                let held = Duration::from_micros(self.random.below(held_us + 1));
                if let Some(connection) = self.connections.get_mut(&connection) {
                    connection.lingers = true;
                    connection.held_until = self.now.instant.plus(held);
                }
                let gone = held + Duration::from_millis(50);
                self.plan(gone, Occurrence::ConnectionLost { connection });
            } else {
                self.disconnect(connection);
                self.connections.remove(&connection);
            }
        }
        if self.shards.is_empty() {
            return;
        }
        let connection = self.next_connection;
        self.next_connection += 1;
        let shard = self.random.below(self.shards.len() as u64) as usize;
        let (life, lingers, held_until) = (self.life, false, self.now.instant);
        self.connections.insert(connection, Connection { actor, shard, life, lingers, held_until });
        let peer = self.actors[actor].0.name();
        self.note(format_args!("{peer} connects to shard {shard} as {connection}"));
        self.handle(shard, Event::Connected { connection: ConnectionId(connection), peer });
        self.after(200, Occurrence::Accepted { actor, connection });
    }

    /// The one connection that the actor listens to.
    fn connection_of(&self, actor: usize) -> Option<u64> {
        let of_actor = |(id, connection): (&u64, &Connection)| {
            (connection.actor == actor && !connection.lingers).then_some(*id)
        };
        self.connections.iter().find_map(of_actor)
    }

    fn send(&mut self, actor: usize, frame: Bytes) {
        let Some(connection) = self.connection_of(actor) else { return };
        let at = self.now.instant.plus(delay(&mut self.random, 200));
        let what = Occurrence::FrameArrives { connection, frame };
        self.schedule.on_link((connection, 0), at, what);
    }
}
