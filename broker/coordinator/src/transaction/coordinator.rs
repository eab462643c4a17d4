//! The transaction coordinator: its state, its doors, and the one way in which an id changes.

use super::append::{PendingAppend, Then};
use super::markers::Round;
use super::partitions::{AddWaiter, Gathering, Wish};
use super::producer_ids::{IdBlock, IdWaiter};
use super::record::encode;
use super::state::Metadata;
use super::timeout::arm_cleanup;
use super::{
    MarkerToken, TransactionConfig, TransactionEffect, TransactionRequest, TransactionResponse,
};
use crate::log::{AppendToken, ClientContext, ReplyTo, partition_for};
use crate::residency::Residency;
use crate::timers::Timers;
use mainstem_platform::{Instant, Now};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{LeaderEpoch, PartitionIndex};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What may fall due. The order decides between equal times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TransactionTimer {
    /// A transaction has been open for longer than its client allowed.
    Timeout(Arc<str>),
    /// Try again to write markers, or the record after them.
    Markers(Arc<str>),
    /// Partitions have waited long enough for their id to be free.
    Waiters(Arc<str>),
    /// Look for ids that nobody has used for long.
    Cleanup,
}

/// A transactional id.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) metadata: Metadata,
    /// A record of the id is on its way to the log; `metadata` is what holds until it is there.
    pub(super) in_transition: bool,
    /// That record decides the outcome of the open transaction.
    pub(super) is_ending: bool,
    /// Present while markers are being written.
    pub(super) round: Option<Round>,
}

/// Transactional ids of the partitions of `__transaction_state` that live on this broker.
#[derive(Debug)]
pub struct TransactionCoordinator {
    pub(super) config: TransactionConfig,
    pub(super) residency: Residency,
    pub(super) transactions: BTreeMap<Arc<str>, Transaction>,
    pub(super) timers: Timers<TransactionTimer>,
    pub(super) appends: BTreeMap<AppendToken, PendingAppend>,
    /// Whose markers a token stands for.
    pub(super) rounds: BTreeMap<MarkerToken, Arc<str>>,
    /// AddPartitionsToTxn requests of several transactions.
    pub(super) gatherings: BTreeMap<ReplyTo, Gathering>,
    /// Partitions that came while their id was busy.
    pub(super) waiting_adds: BTreeMap<Arc<str>, Vec<(Wish, AddWaiter)>>,
    pub(super) ids: IdBlock,
    pub(super) id_waiters: VecDeque<IdWaiter>,
    effects: VecDeque<TransactionEffect>,
    next_token: u64,
}

impl Transaction {
    pub(super) fn new(metadata: Metadata) -> Self {
        Self { metadata, in_transition: false, is_ending: false, round: None }
    }
}

impl TransactionCoordinator {
    /// A coordinator that holds no partition yet.
    pub fn new(config: TransactionConfig) -> Self {
        Self {
            config,
            residency: Residency::default(),
            transactions: BTreeMap::new(),
            timers: Timers::new(),
            appends: BTreeMap::new(),
            rounds: BTreeMap::new(),
            gatherings: BTreeMap::new(),
            waiting_adds: BTreeMap::new(),
            ids: IdBlock::default(),
            id_waiters: VecDeque::new(),
            effects: VecDeque::new(),
            next_token: 0,
        }
    }

    /// The partition of `__transaction_state` that holds a transactional id.
    pub fn partition_of(&self, transactional_id: &str) -> PartitionIndex {
        partition_for(transactional_id, self.config.state_partitions)
    }

    /// Takes a request; the answer leaves as [`TransactionEffect::Reply`], now or later. The owner
    /// has answered what names partitions that do not exist.
    pub fn handle_request(
        &mut self,
        now: Now,
        context: &ClientContext,
        request: TransactionRequest,
        to: ReplyTo,
    ) {
        match request {
            TransactionRequest::InitProducerId(request) => {
                self.init_producer_id(now, context, request, to);
            }
            TransactionRequest::AddPartitionsToTxn(request) => {
                self.add_partitions(now, context, &request, to);
            }
            TransactionRequest::AddOffsetsToTxn(request) => {
                self.add_offsets(now, context, &request, to);
            }
            TransactionRequest::EndTxn(request) => self.end_txn(now, context, request, to),
            TransactionRequest::DescribeTransactions(request) => self.describe(request, to),
            TransactionRequest::ListTransactions(request) => self.list(now, &request, to),
        }
    }

    /// The deadline has passed (or not: then nothing happens).
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.instant) {
            match timer {
                TransactionTimer::Timeout(id) => self.time_is_up(now, &id),
                TransactionTimer::Markers(id) => self.retry_markers(now, &id),
                TransactionTimer::Waiters(id) => {
                    self.dismiss_waiting(&id, ErrorCode::CONCURRENT_TRANSACTIONS);
                }
                TransactionTimer::Cleanup => self.clean_up(now),
            }
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next thing to do; `None` until the next event.
    pub fn poll_effect(&mut self) -> Option<TransactionEffect> {
        self.effects.pop_front()
    }

    /// The partition's log will now be read through; `epoch` is its leader epoch, and the
    /// coordinator epoch of the markers that come from it.
    pub fn begin_load(&mut self, partition: PartitionIndex, epoch: LeaderEpoch) {
        self.forget(partition, ErrorCode::NOT_COORDINATOR);
        self.residency.begin_load(partition, epoch);
    }

    /// The log was read to its end; from now on the partition is served, and what was prepared is
    /// driven to its end.
    pub fn finish_load(&mut self, now: Now, partition: PartitionIndex) {
        assert!(
            self.residency.finish_load(partition),
            "a load is finished that was not begun: partition {partition}"
        );
        self.resume(now, partition);
        arm_cleanup(self, now);
    }

    /// This broker does not lead the partition any more.
    pub fn resign(&mut self, partition: PartitionIndex) {
        self.forget(partition, ErrorCode::NOT_COORDINATOR);
        self.residency.resign(partition);
    }

    pub(super) fn reply(&mut self, to: ReplyTo, response: TransactionResponse) {
        self.emit(TransactionEffect::Reply { to, response });
    }

    pub(super) fn emit(&mut self, effect: TransactionEffect) {
        self.effects.push_back(effect);
    }

    pub(super) fn retain_effects(&mut self, keep: impl Fn(&TransactionEffect) -> bool) {
        self.effects.retain(keep);
    }

    pub(super) fn fresh_token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Whether requests about the id may be answered here.
    pub(super) fn check_id(&self, transactional_id: &str) -> Result<(), ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        self.residency.check(self.partition_of(transactional_id))
    }

    /// Sends an id's next state to the log (`None` forgets the id). It is in transition until the
    /// fate of the record is known.
    pub(super) fn transition(
        &mut self,
        id: &Arc<str>,
        next: Option<Metadata>,
        then: Then,
    ) -> Result<(), (ErrorCode, Then)> {
        // What completes a transaction must get through: it makes room.
        let is_bounded = !matches!(then, Then::Completed);
        if is_bounded && self.config.appends_in_flight_max <= self.appends.len() {
            return Err((ErrorCode::COORDINATOR_NOT_AVAILABLE, then));
        }
        let Ok(record) = encode(id, next.as_ref()) else {
            return Err((ErrorCode::UNKNOWN_SERVER_ERROR, then));
        };
        let partition = self.partition_of(id);
        let transaction = self.transactions.get_mut(id).expect("callers look the id up");
        assert!(!transaction.in_transition, "one transition of an id at a time");
        transaction.in_transition = true;
        transaction.is_ending = next.as_ref().is_some_and(|next| next.state.is_prepared());
        let token = AppendToken(self.fresh_token());
        self.emit(TransactionEffect::Append { token, partition, records: vec![record] });
        let append = PendingAppend { partition, id: Arc::clone(id), next, then };
        self.appends.insert(token, append);
        Ok(())
    }
}
