//! One fetch from its first read to its answer.
//!
//! A *round* reads all partitions on their shards and sets watches there. It ends when every
//! shard has answered; then the fetch answers, or waits. Growth that is told during a round
//! starts the next one right after it.
//!
//! Invariants:
//! - An answer is made from one round, so it never mixes two states of a partition.
//! - Answers and tidings of an earlier round are dropped.

use super::super::Pending;
use super::{VERSION_TOPIC_IDS, answer};
use crate::ask::{Ask, Isolation, PartitionKey, ReadAsk, ReadItem, ReadOutcome, Ticket, Told};
use crate::cluster::{ClusterView, shard_of};
use crate::event::ShardIndex;
use crate::fetch_session::{FetchKey, FetchWish, SessionUse};
use crate::node::{ShardNode, Timer};
use mainstem_platform::{Instant, Now};
use mainstem_protocol::{ErrorCode, Offset, PartitionIndex};
use std::collections::BTreeMap;

/// One partition of the fetch.
pub(super) struct Entry {
    pub(super) key: FetchKey,
    pub(super) wish: FetchWish,
    /// Of the last round that has ended for this partition.
    pub(super) outcome: ReadOutcome,
}

/// A fetch under way.
pub(crate) struct Waiting {
    version: i16,
    isolation: Isolation,
    pub(super) session: SessionUse,
    pub(super) entries: Vec<Entry>,
    until: Instant,
    pub(super) min_bytes: i32,
    pub(super) bytes_max: i32,
    pub(super) may_wait: bool,
    round: u32,
    /// Shards that have not answered this round.
    missing: usize,
    /// Shards where watches may stand.
    watching: Vec<ShardIndex>,
    /// A partition grew while the round was under way.
    changed: bool,
    has_timer: bool,
}

impl Waiting {
    pub(super) fn new(
        version: i16,
        isolation: Isolation,
        session: SessionUse,
        wishes: Vec<(FetchKey, FetchWish)>,
        until: Instant,
    ) -> Waiting {
        let entries = wishes.into_iter().enumerate();
        Waiting {
            version,
            isolation,
            session,
            entries: entries
                .map(|(slot, (key, wish))| Entry { key, wish, outcome: nothing(slot) })
                .collect(),
            until,
            min_bytes: 0,
            bytes_max: 0,
            may_wait: false,
            round: 0,
            missing: 0,
            watching: Vec::new(),
            changed: false,
            has_timer: false,
        }
    }

    fn is_satisfied(&self) -> bool {
        let bytes: u64 = self.entries.iter().map(|e| u64::from(e.outcome.size_bytes)).sum();
        let urgent = |entry: &Entry| {
            entry.outcome.error != ErrorCode::NONE || entry.outcome.diverging.is_some()
        };
        !self.may_wait
            || self.entries.is_empty()
            || u64::from(self.min_bytes.unsigned_abs()) <= bytes
            || self.entries.iter().any(urgent)
    }
}

fn nothing(slot: usize) -> ReadOutcome {
    ReadOutcome {
        slot,
        error: ErrorCode::NONE,
        high_watermark: Offset::NONE,
        last_stable_offset: Offset::NONE,
        log_start_offset: Offset::NONE,
        aborted: None,
        diverging: None,
        ranges: Vec::new(),
        size_bytes: 0,
    }
}

/// Where a partition is.
fn place(
    view: &ClusterView,
    key: &FetchKey,
    version: i16,
    shard_count: u16,
) -> Result<(ShardIndex, PartitionKey), ErrorCode> {
    let (name, topic) = if version < VERSION_TOPIC_IDS {
        view.topic(&key.topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?
    } else {
        view.topic_by_id(key.topic_id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?
    };
    let key = PartitionKey { topic, partition: PartitionIndex(key.partition) };
    if !view.has_partition(&key) {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    Ok((shard_of(&name, &key, shard_count), key))
}

/// Asks all partitions.
pub(super) fn begin_round(
    node: &mut ShardNode,
    now: Now,
    ticket: Ticket,
    mut waiting: Box<Waiting>,
) {
    let view = node.view();
    waiting.round += 1;
    waiting.changed = false;
    let mut asks: BTreeMap<ShardIndex, Vec<ReadItem>> = BTreeMap::new();
    for (slot, entry) in waiting.entries.iter_mut().enumerate() {
        match place(&view, &entry.key, waiting.version, node.shard_count) {
            Ok((shard, key)) => asks.entry(shard).or_default().push(ReadItem {
                slot,
                key,
                current_leader_epoch: entry.wish.current_leader_epoch,
                from: entry.wish.from,
                last_fetched_epoch: entry.wish.last_fetched_epoch,
                bytes_max: entry.wish.bytes_max,
            }),
            Err(error) => entry.outcome = ReadOutcome { error, ..nothing(slot) },
        }
    }
    waiting.missing = asks.len();
    if waiting.may_wait {
        waiting.watching = asks.keys().copied().collect();
    }
    for (shard, items) in asks {
        let ask = ReadAsk {
            round: waiting.round,
            isolation: waiting.isolation,
            bytes_max: waiting.bytes_max,
            watch: waiting.may_wait,
            items,
        };
        node.ask(shard, ticket, Ask::Read(ask));
    }
    go_on(node, now, ticket, waiting);
}

/// A shard has read, or says that a partition grew.
pub(crate) fn told(
    node: &mut ShardNode,
    now: Now,
    ticket: Ticket,
    mut waiting: Box<Waiting>,
    told: Told,
) {
    match told {
        Told::Read { round, outcomes } if round == waiting.round => {
            waiting.missing -= 1;
            for outcome in outcomes {
                if let Some(entry) = waiting.entries.get_mut(outcome.slot) {
                    entry.outcome = outcome;
                }
            }
        }
        Told::Changed { round } if round == waiting.round => waiting.changed = true,
        _ => {}
    }
    go_on(node, now, ticket, waiting);
}

fn go_on(node: &mut ShardNode, now: Now, ticket: Ticket, mut waiting: Box<Waiting>) {
    if 0 < waiting.missing {
        node.pending.insert(ticket, Pending::Fetch(waiting));
    } else if waiting.is_satisfied() || waiting.until <= now.instant {
        finish(node, ticket, waiting);
    } else if waiting.changed {
        begin_round(node, now, ticket, waiting);
    } else {
        if !std::mem::replace(&mut waiting.has_timer, true) {
            node.timers.insert((waiting.until, Timer::Fetch(ticket)));
        }
        node.pending.insert(ticket, Pending::Fetch(waiting));
    }
}

/// The fetch has waited long enough: it answers with what it has, or after this round.
pub(crate) fn deadline(node: &mut ShardNode, now: Now, ticket: Ticket, mut waiting: Box<Waiting>) {
    waiting.may_wait = false;
    go_on(node, now, ticket, waiting);
}

fn finish(node: &mut ShardNode, ticket: Ticket, waiting: Box<Waiting>) {
    unwatch(node, ticket, &waiting);
    answer::respond(node, ticket, *waiting);
}

/// Takes the watches and the timer of a fetch away.
pub(crate) fn unwatch(node: &mut ShardNode, ticket: Ticket, waiting: &Waiting) {
    if waiting.has_timer {
        node.timers.remove(&(waiting.until, Timer::Fetch(ticket)));
    }
    for shard in &waiting.watching {
        node.ask(*shard, ticket, Ask::Unwatch);
    }
}
