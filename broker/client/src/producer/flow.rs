//! The batches of one partition between the accumulator and their answers.
//!
//! Invariants:
//! - `unacked` is in sequence order; a batch leaves it only with its answer.
//! - While one batch waits to be sent again, nothing newer leaves, and the waiting ones go one by
//!   one: what a broker appends is in the order of `send`.
//! - Nothing follows the first batch of all before its answer. A broker that has no memory of a
//!   producer takes any sequence as the first; a second batch that arrives where the first was
//!   refused (the partition was just being made) would end up before it.
//! - With an identity, sequences have no gaps. When one opens (a batch failed, or the broker lost
//!   its memory of this producer), everything unacked is numbered anew from 0 under a new epoch,
//!   once nothing is in flight.

use std::collections::VecDeque;

use bytes::Bytes;
use mainstem_platform::{Instant, SeededRandom};
use mainstem_protocol::record::sequence_plus;

use super::batch::{OpenBatch, restamp};
use super::transaction::Identity;
use crate::core::backoff::Backoff;
use crate::limits::{RETRY_BACKOFF, RETRY_BACKOFF_MAX, UNACKED_BATCHES_PER_PARTITION};

/// Names one produce request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// A batch that was given a sequence.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) batch: OpenBatch,
    /// As it goes over the wire.
    pub(crate) bytes: Bytes,
    pub(crate) sequence: i32,
    /// `None`: waits to be sent again.
    pub(crate) ticket: Option<Ticket>,
}

/// What may leave next for a partition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The oldest unacked batch, again.
    Again,
    /// A batch from the accumulator.
    Fresh,
    Nothing,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) identity: Identity,
    pub(crate) next_sequence: i32,
    pub(crate) unacked: VecDeque<Sent>,
    /// Sequences have a gap or are in doubt.
    pub(crate) broken: bool,
    /// The broker remembers this producer: it will notice a gap.
    known: bool,
    backoff: Backoff,
}

impl Flow {
    pub(crate) fn new(identity: Identity) -> Self {
        Self {
            identity,
            next_sequence: 0,
            unacked: VecDeque::new(),
            broken: false,
            known: false,
            backoff: Backoff::new(RETRY_BACKOFF, RETRY_BACKOFF_MAX),
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.unacked.iter().filter(|sent| sent.ticket.is_some()).count()
    }

    /// `identity`: the producer's own, which this partition adopts when nothing is unacked.
    pub(crate) fn next(&mut self, now: Instant, identity: Identity) -> Next {
        if self.broken {
            return Next::Nothing;
        }
        if self.unacked.is_empty() && self.identity != identity {
            self.identity = identity;
            self.next_sequence = 0;
        }
        if !self.backoff.ready(now) {
            return Next::Nothing;
        }
        let in_flight = self.in_flight();
        if in_flight < self.unacked.len() {
            let first_waits = self.unacked.front().is_some_and(|sent| sent.ticket.is_none());
            return if in_flight == 0 && first_waits { Next::Again } else { Next::Nothing };
        }
        let stale = self.identity != identity;
        let in_flight_max = if self.known { UNACKED_BATCHES_PER_PARTITION } else { 1 };
        if stale || in_flight >= in_flight_max { Next::Nothing } else { Next::Fresh }
    }

    /// Takes a batch from the accumulator under its sequence.
    pub(crate) fn push(&mut self, batch: OpenBatch, bytes: Bytes, ticket: Ticket) {
        let sequence = self.next_sequence;
        self.next_sequence = after(sequence, &batch);
        self.unacked.push_back(Sent { batch, bytes, sequence, ticket: Some(ticket) });
    }

    /// The place of the batch that went with this request.
    pub(crate) fn find(&self, ticket: Ticket) -> Option<usize> {
        self.unacked.iter().position(|sent| sent.ticket == Some(ticket))
    }

    pub(crate) fn acknowledged(&mut self, index: usize) -> Option<Sent> {
        self.backoff.succeeded();
        self.known = true;
        self.unacked.remove(index)
    }

    pub(crate) fn send_again(&mut self, now: Instant, index: usize, random: &mut SeededRandom) {
        if let Some(sent) = self.unacked.get_mut(index) {
            sent.ticket = None;
            self.backoff.failed(now, random);
        }
    }

    /// Takes a batch that will not be sent again; what follows it has a gap before it.
    pub(crate) fn give_up(&mut self, index: usize) -> Option<Sent> {
        self.broken = true;
        self.unacked.remove(index)
    }

    /// Takes the waiting batches that were begun before `before`.
    pub(crate) fn expire(&mut self, before: Instant) -> Vec<Sent> {
        let late = |sent: &Sent| sent.ticket.is_none() && sent.batch.created <= before;
        let mut expired = Vec::new();
        while let Some(index) = self.unacked.iter().position(late) {
            expired.extend(self.give_up(index));
        }
        expired
    }

    /// Whether numbering can begin anew.
    pub(crate) fn can_restart(&self) -> bool {
        self.broken && self.in_flight() == 0
    }

    /// Numbers everything unacked from 0 under a new identity.
    pub(crate) fn restart(&mut self, identity: Identity) {
        self.identity = identity;
        self.next_sequence = 0;
        self.broken = false;
        for sent in &mut self.unacked {
            sent.sequence = self.next_sequence;
            sent.bytes = restamp(&sent.bytes, identity, sent.sequence);
            self.next_sequence = after(sent.sequence, &sent.batch);
        }
    }

    /// The next time at which waiting ends or a waiting batch is as old as `timeout`. The pause after
    /// a failure holds fresh batches back as well, also when the batch that failed is gone.
    pub(crate) fn deadline(&self, now: Instant, timeout: std::time::Duration) -> Option<Instant> {
        let first = self.unacked.iter().find(|sent| sent.ticket.is_none());
        let expiry = first.map(|first| first.batch.created.plus(timeout));
        crate::core::earlier(self.backoff.deadline(now), expiry)
    }
}

fn after(sequence: i32, batch: &OpenBatch) -> i32 {
    sequence_plus(sequence, i32::try_from(batch.count()).unwrap_or(i32::MAX))
}
