//! Carries out what the machine asks for.

use mainstem_node::{Effect, Event, ShardIndex};

use super::run::{Ending, Shard};
use super::{Mail, Mailbox};

impl Shard {
    /// Carries out all effects of a pass; something when the shard is to end.
    pub(super) fn carry_out_effects(&mut self) -> Option<Ending> {
        while let Some(effect) = self.node.poll_effect() {
            let ending = self.carry_out(effect);
            if ending.is_some() {
                return ending;
            }
        }
        None
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Ending> {
        match effect {
            Effect::Respond { connection, segments } => {
                if let Some(connection) = self.connections.get(&connection) {
                    connection.respond(segments);
                }
            }
            Effect::Close { connection } => {
                if let Some(connection) = self.connections.get(&connection) {
                    connection.close_after_responses();
                }
            }
            Effect::Reading { connection, on } => {
                if let Some(connection) = self.connections.get(&connection) {
                    connection.set_reading(on);
                }
            }
            Effect::ToShard { shard, message } => {
                let event = Event::FromShard { from: self.index, message };
                match self.peer(shard) {
                    Some(peer) => peer.send(Mail::Event(event)),
                    None => self.inbox.push(event),
                }
            }
            Effect::Sync { token, job } => self.pool.sync(token, job, self.mailbox.clone()),
            Effect::Compact { token, task } => {
                self.pool.compact(token, task, self.mailbox.clone());
            }
            Effect::Copy { token, job } => self.pool.copy(token, job, self.mailbox.clone()),
            Effect::Remove { paths } => self.pool.remove(paths),
            Effect::CommandReply { token, reply } => {
                if let Some(waiting) = self.commands.remove(&token) {
                    // Whoever asked may have lost its patience.
                    let _ = waiting.send(reply);
                }
            }
            Effect::Halt { reason } => return Some(Ending::Failed(reason)),
            Effect::Stopped => return Some(Ending::Stopped),
        }
        None
    }

    /// Another shard's mailbox; none for this shard itself, which needs no lock.
    fn peer(&self, shard: ShardIndex) -> Option<&Mailbox> {
        if shard == self.index {
            return None;
        }
        self.peers.get(usize::from(shard.0))
    }
}
