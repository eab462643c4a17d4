//! What is known of a transactional id, and its transitions as pure functions.
//!
//! A transition takes the present metadata and gives the next; it becomes present when its record
//! is durable.

use crate::log::TopicPartition;
use mainstem_protocol::ids::{ProducerEpoch, ProducerId};
use std::collections::BTreeSet;

/// The highest epoch that a client is given; the one above it is left for a last fencing.
pub(super) const EPOCH_MAX_FOR_CLIENTS: ProducerEpoch = ProducerEpoch(i16::MAX - 1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransactionState {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

impl TransactionState {
    /// The number in the log.
    pub(super) fn number(self) -> i8 {
        match self {
            Self::Empty => 0,
            Self::Ongoing => 1,
            Self::PrepareCommit => 2,
            Self::PrepareAbort => 3,
            Self::CompleteCommit => 4,
            Self::CompleteAbort => 5,
        }
    }

    pub(super) fn of_number(number: i8) -> Option<Self> {
        let all = [
            Self::Empty,
            Self::Ongoing,
            Self::PrepareCommit,
            Self::PrepareAbort,
            Self::CompleteCommit,
            Self::CompleteAbort,
        ];
        all.into_iter().find(|state| state.number() == number)
    }

    pub(super) fn is_prepared(self) -> bool {
        matches!(self, Self::PrepareCommit | Self::PrepareAbort)
    }

    /// Whether no transaction is open, so that a new one may begin.
    pub(super) fn is_at_rest(self) -> bool {
        matches!(self, Self::Empty | Self::CompleteCommit | Self::CompleteAbort)
    }
}

/// Which rules a client lives by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ClientVersion {
    V1,
    V2,
}

impl ClientVersion {
    pub(super) fn of_end_txn(api_version: i16) -> Self {
        if api_version < 5 { Self::V1 } else { Self::V2 }
    }

    /// The number in the log and in markers.
    pub(super) fn number(self) -> i16 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    pub(super) fn of_number(number: i16) -> Self {
        if number < 2 { Self::V1 } else { Self::V2 }
    }
}

/// How a transaction is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Commit,
    Abort,
}

impl Outcome {
    pub(super) fn prepare(self) -> TransactionState {
        match self {
            Self::Commit => TransactionState::PrepareCommit,
            Self::Abort => TransactionState::PrepareAbort,
        }
    }

    fn complete(self) -> TransactionState {
        match self {
            Self::Commit => TransactionState::CompleteCommit,
            Self::Abort => TransactionState::CompleteAbort,
        }
    }
}

/// A transactional id as its record describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) producer_id: ProducerId,
    /// The id before the last rotation: a retry may still name it.
    pub(super) previous_producer_id: ProducerId,
    /// The id that takes over when the present transaction completes, if its epochs are used up.
    pub(super) next_producer_id: ProducerId,
    pub(super) producer_epoch: ProducerEpoch,
    /// The epoch that a retry of the last epoch change may still name. Kafka's record has no place
    /// for it, so after a load such a retry is fenced.
    pub(super) last_producer_epoch: ProducerEpoch,
    pub(super) timeout_ms: i32,
    pub(super) state: TransactionState,
    pub(super) partitions: BTreeSet<TopicPartition>,
    /// When the transaction began; -1 before the first one.
    pub(super) start_ms: i64,
    pub(super) update_ms: i64,
    pub(super) client_version: ClientVersion,
}

impl Metadata {
    /// An id that was never used. Its epoch is below all epochs.
    pub(super) fn new(producer_id: ProducerId, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer_id,
            previous_producer_id: ProducerId::NONE,
            next_producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            last_producer_epoch: ProducerEpoch::NONE,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            start_ms: -1,
            update_ms: now_ms,
            client_version: ClientVersion::V1,
        }
    }

    pub(super) fn is_epoch_exhausted(&self) -> bool {
        EPOCH_MAX_FOR_CLIENTS <= self.producer_epoch
    }

    /// The producer was fenced with the last epoch that there is. No client may go on under it: the
    /// next session has a new producer id.
    pub(super) fn is_at_last_epoch(&self) -> bool {
        EPOCH_MAX_FOR_CLIENTS < self.producer_epoch
    }

    pub(super) fn next_epoch(&self) -> ProducerEpoch {
        let next = self.producer_epoch.0.checked_add(1);
        ProducerEpoch(next.expect("an exhausted epoch is rotated before it is raised"))
    }

    /// Raises the epoch for the markers of an end. A log that says that a transaction runs under
    /// the last epoch was not written by this coordinator; its end still has to come, with markers
    /// of version 1, which may carry the epoch of their records.
    fn raise_for_end(&mut self, last: ProducerEpoch) {
        self.last_producer_epoch = last;
        if self.is_at_last_epoch() {
            self.client_version = ClientVersion::V1;
        } else {
            self.producer_epoch = self.next_epoch();
        }
    }

    /// A new session under a higher epoch.
    pub(super) fn with_epoch(
        &self,
        epoch: ProducerEpoch,
        last: ProducerEpoch,
        timeout_ms: i32,
        now_ms: i64,
    ) -> Self {
        Self {
            producer_epoch: epoch,
            last_producer_epoch: last,
            timeout_ms,
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            start_ms: -1,
            update_ms: now_ms,
            ..self.clone()
        }
    }

    /// A new session under a new producer id, because the epochs of the old one are used up.
    pub(super) fn with_producer_id(
        &self,
        producer_id: ProducerId,
        last: ProducerEpoch,
        timeout_ms: i32,
        now_ms: i64,
    ) -> Self {
        Self {
            producer_id,
            previous_producer_id: self.producer_id,
            next_producer_id: ProducerId::NONE,
            ..self.with_epoch(ProducerEpoch(0), last, timeout_ms, now_ms)
        }
    }

    /// More partitions take part; the first ones begin the transaction.
    pub(super) fn with_partitions(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        version: ClientVersion,
        now_ms: i64,
    ) -> Self {
        let mut next = self.clone();
        if self.state.is_at_rest() {
            next.start_ms = now_ms;
            next.partitions.clear();
        }
        next.partitions.extend(partitions);
        next.state = TransactionState::Ongoing;
        next.update_ms = now_ms;
        next.client_version = version;
        next
    }

    /// The outcome is decided. With version 2 the epoch rises here, and the markers carry it.
    pub(super) fn prepared(
        &self,
        outcome: Outcome,
        version: ClientVersion,
        next_producer_id: ProducerId,
        now_ms: i64,
    ) -> Self {
        let mut next = self.clone();
        next.client_version = version;
        if version == ClientVersion::V2 {
            next.raise_for_end(self.producer_epoch);
        }
        if self.state.is_at_rest() {
            // An abort of nothing: no partition has given it a beginning.
            next.start_ms = now_ms;
        }
        next.next_producer_id = next_producer_id;
        next.state = outcome.prepare();
        next.update_ms = now_ms;
        next
    }

    /// The transaction is aborted against its client: a higher epoch fences it.
    pub(super) fn fenced(&self, last: ProducerEpoch, now_ms: i64) -> Self {
        let mut next = self.clone();
        next.raise_for_end(last);
        next.state = TransactionState::PrepareAbort;
        next.update_ms = now_ms;
        next
    }

    /// Every partition has its marker.
    pub(super) fn completed(&self, now_ms: i64) -> Self {
        let mut next = self.clone();
        next.state = self.outcome().expect("only what is prepared completes").complete();
        next.partitions.clear();
        next.update_ms = now_ms;
        if self.next_producer_id.is_some() {
            next.previous_producer_id = self.producer_id;
            next.producer_id = self.next_producer_id;
            next.next_producer_id = ProducerId::NONE;
            // The last epoch stays what the client saw last, so that its retry is known.
            next.producer_epoch = ProducerEpoch(0);
        }
        next
    }

    /// What was decided, if something was.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.state {
            TransactionState::PrepareCommit => Some(Outcome::Commit),
            TransactionState::PrepareAbort => Some(Outcome::Abort),
            _ => None,
        }
    }

    /// The producer as the client will use it after the present transition.
    pub(super) fn producer_after_end(&self) -> (ProducerId, ProducerEpoch) {
        if self.next_producer_id.is_some() {
            (self.next_producer_id, ProducerEpoch(0))
        } else {
            (self.producer_id, self.producer_epoch)
        }
    }
}
