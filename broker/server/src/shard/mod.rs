//! A shard: one thread, one current-thread runtime, one loop around one machine.
//!
//! A pass of the loop: take what has come in, give it to the machine, let it end the pass (the
//! group commit), carry out its effects, and let the sockets have their turn. The machine decides;
//! this loop only carries.

mod effects;
mod inbox;
mod mailbox;
mod run;

pub(crate) use inbox::Inbox;
pub(crate) use mailbox::{Mail, Mailbox};
pub(crate) use run::{ShardSeed, start};
