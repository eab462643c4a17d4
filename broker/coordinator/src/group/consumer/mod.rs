//! Groups of the consumer protocol (KIP-848): the coordinator computes the assignment, and members
//! come to it one by one, each in its own heartbeats.
//!
//! # Words
//!
//! - The **group epoch** counts the reasons for a new assignment: a member came, left or changed its
//!   subscription, or the topics changed. It is written before anybody acts on it.
//! - The **target assignment** is what every member shall have; its epoch is the group epoch that it
//!   was computed for.
//! - The **current assignment** is what a member has now. Its **member epoch** follows the target's
//!   epoch when the member has given up what it shall not have any more.
//! - A member is **stable** at the target, has **unrevoked** partitions while it still owns what
//!   it shall give up, and waits for **unreleased** ones that others still own.
//! - A **classic member** speaks JoinGroup, SyncGroup and Heartbeat inside such a group while its
//!   application is upgraded or rolled back.
//!
//! # Invariants
//!
//! - A partition has at most one owner: it is given to a member only when nobody else holds it,
//!   revoked or not.
//! - Epochs never go back: member epoch <= target epoch <= group epoch.
//! - State changes only through [`state::ConsumerGroup::apply`], at load and in life. In life it is
//!   applied when it is decided, so that a thousand heartbeats of one moment need one sync; their
//!   answers leave when the log has the records, in order. A batch that the log refuses is taken
//!   back by the inverses of its changes; one whose fate is unknown makes the partition load again.
//! - A name belongs to a classic group or to a consumer group, never to both.
//!
//! # The rooms
//!
//! `partitions`, `member`, `change` and `state` are the data; `record` its layout in the log;
//! `draft` a decision in the making. `heartbeat` and `leave` are the doors of members, `classic`
//! those of classic members, `upgrade` and `downgrade` the ways between the two kinds of groups.
//! `subscription` and `regex` say what members want, `assignor` and `target` what they shall have,
//! `reconcile` what they have next. `fencing` guards offsets, `describe` shows groups, `timeout`
//! ends what has lasted too long, `delete` forgets, `append` speaks with the log.
//!
//! Deliberately absent: assignors of clients (KIP-848 left them for later) and racks: a member's
//! rack is kept and shown, but with one replica per partition there is nothing to choose.

mod append;
mod assignor;
mod change;
mod classic;
mod config;
mod delete;
mod describe;
mod downgrade;
mod draft;
mod fencing;
mod heartbeat;
mod leave;
mod member;
mod partitions;
mod reconcile;
mod record;
mod regex;
mod state;
mod subscription;
mod target;
mod timeout;
mod upgrade;

pub(super) use append::ConsumerAppend;
pub(super) use change::ConsumerChange;
pub use config::{ConsumerGroupConfig, ConsumerGroupOverrides, MigrationPolicy, ServerAssignor};
pub(super) use fencing::Claim;
pub(super) use record::{decode, encode, is_consumer_key};
pub(super) use state::ConsumerGroup;

#[cfg(test)]
mod tests;
