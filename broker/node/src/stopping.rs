//! The end of a broker that is asked to stop: what is under way is answered, then all logs close.
//!
//! A shard that stops begins no more requests and ends its long polls. When the requests that it
//! has are answered it says so to the others, since theirs may need its partitions; when all have
//! said so, or patience ends, it closes its logs.
//!
//! Invariants:
//! - A produce that was begun is answered truthfully, or not at all.
//! - The end comes within [`Limits::stop_patience`](crate::Limits::stop_patience), whatever hangs.
//!
//! Absent on purpose: waiting for members of groups. A JoinGroup or SyncGroup that waits for other
//! clients ends with its connection.

use crate::api::Pending;
use crate::ask::Ticket;
use crate::effect::Effect;
use crate::event::ShardIndex;
use crate::node::{ShardNode, Timer};
use crate::shard_message::ShardMessage;
use mainstem_platform::Now;
use mainstem_protocol::ApiKey;
use std::collections::BTreeSet;

/// How far the end has come.
#[derive(Debug, Default)]
pub(crate) struct Stopping {
    /// Shards that have answered all they had.
    drained: BTreeSet<ShardIndex>,
}

impl ShardNode {
    /// The broker is to stop.
    pub(crate) fn begin_stop(&mut self, now: Now) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Stopping::default());
        let until = now.instant.plus(self.config.limits.stop_patience);
        self.timers.insert((until, Timer::Stop));
        let polls = self.pending.iter().filter(|(_, p)| matches!(p, Pending::Fetch(_)));
        let polls: Vec<Ticket> = polls.map(|(ticket, _)| *ticket).collect();
        for ticket in polls {
            self.handle_fetch_deadline(now, ticket);
        }
    }

    /// Another shard has answered all it had.
    pub(crate) fn handle_drained(&mut self, now: Now, from: ShardIndex) {
        self.begin_stop(now);
        if let Some(stopping) = self.stopping.as_mut() {
            stopping.drained.insert(from);
        }
    }

    /// Goes on with the end when nothing else is to be done. Says whether it did.
    pub(crate) fn go_on_stopping(&mut self, now: Now) -> bool {
        let waits = |key: ApiKey| matches!(key, ApiKey::JoinGroup | ApiKey::SyncGroup);
        let is_drained = self.requests.values().all(|request| waits(request.key));
        let shard_count = usize::from(self.shard_count);
        let Some(stopping) = self.stopping.as_mut() else { return false };
        if is_drained && stopping.drained.insert(self.shard) {
            self.tell_shards(|| ShardMessage::Drained);
            return true;
        }
        if stopping.drained.len() < shard_count {
            return false;
        }
        self.end_stop(now);
        true
    }

    /// All is answered, or patience has ended.
    pub(crate) fn end_stop(&mut self, now: Now) {
        self.close_partitions(now);
        self.over = true;
        self.effects.push_back(Effect::Stopped);
    }
}
