//! The transactional producer's talk with the transaction coordinator, in both protocols.
//!
//! TV1 (before KIP-890): a partition is added with AddPartitionsToTxn before the first produce to
//! it, a group with AddOffsetsToTxn before its offsets; the epoch changes only after trouble.
//! TV2 (`transaction.version` >= 2): both happen implicitly with Produce v12 and TxnOffsetCommit
//! v5, and every EndTxn v5 hands out a new epoch, so that a late request of one transaction can
//! never reach into the next.
//!
//! Invariants:
//! - At most one request to the transaction coordinator is in flight.
//! - EndTxn leaves only when every batch and every offset commit has its answer.
//! - A request without an answer is made again unchanged until it has one: brokers treat all of
//!   them as idempotent. Nothing is assumed about its outcome, nor that it is not still on its way:
//!   no copy of it may reach into the next transaction, so under TV1 that one gets a new epoch.
//! - An abortable failure lets nothing but an abort through; a fatal one lets nothing through.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstem_platform::{Instant, Now};
use mainstem_protocol::{ErrorCode, ProducerEpoch, ProducerId};

use super::sender::Tag;
use crate::core::backoff::Backoff;
use crate::core::coordinator::{Coordinator, CoordinatorKind};
use crate::core::{OperationId, Wire, earlier};
use crate::error::{Cause, ClientError, Result};
use crate::limits::{CONCURRENT_TRANSACTIONS_BACKOFF, RETRY_BACKOFF, RETRY_BACKOFF_MAX};
use crate::records::{GroupMetadata, OffsetAndMetadata, TopicPartition};

/// Who the producer is to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

impl Identity {
    pub(crate) const NONE: Self = Self { id: ProducerId::NONE, epoch: ProducerEpoch::NONE };
}

/// A request of this machine, named in its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    FindCoordinator,
    FindGroup,
    InitProducerId,
    AddPartitions,
    AddOffsets,
    CommitOffsets,
    EndTxn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// `init_transactions` was not called.
    New,
    Initializing(OperationId),
    Ready,
    Open,
    Ending {
        commit: bool,
        operation: OperationId,
    },
}

/// Offsets on their way into the transaction.
#[derive(Debug)]
pub(super) struct OffsetsJob {
    pub(super) operation: OperationId,
    pub(super) coordinator: Coordinator,
    pub(super) group: GroupMetadata,
    pub(super) left: BTreeMap<TopicPartition, OffsetAndMetadata>,
    /// TV1: the group was added.
    pub(super) added: bool,
    pub(super) busy: bool,
}

/// See the module's text.
pub(crate) struct Transaction {
    pub(super) id: String,
    pub(super) timeout_ms: i32,
    pub(super) request_timeout: Duration,
    pub(super) phase: Phase,
    pub(super) v2: bool,
    pub(super) identity: Option<Identity>,
    pub(super) coordinator: Coordinator,
    /// Set: only an abort leads on.
    pub(super) abort_reason: Option<ClientError>,
    pub(super) fatal: Option<ClientError>,
    /// TV1: acknowledged, asked for, and to be asked for.
    pub(super) added: BTreeSet<TopicPartition>,
    pub(super) adding: BTreeSet<TopicPartition>,
    pub(super) pending: BTreeSet<TopicPartition>,
    pub(super) offsets: Option<OffsetsJob>,
    /// The coordinator may know of this transaction.
    pub(super) started: bool,
    /// TV1: EndTxn was answered, and InitProducerId must follow to get a clean epoch.
    pub(super) bump: bool,
    pub(super) ended: bool,
    pub(super) busy: bool,
    pub(super) backoff: Backoff,
    pub(super) results: Vec<(OperationId, Result<()>)>,
}

impl Transaction {
    pub(crate) fn new(id: &str, timeout: Duration, request_timeout: Duration) -> Self {
        Self {
            id: id.to_owned(),
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            request_timeout,
            phase: Phase::New,
            v2: false,
            identity: None,
            coordinator: Coordinator::new(CoordinatorKind::Transaction, id),
            abort_reason: None,
            fatal: None,
            added: BTreeSet::new(),
            adding: BTreeSet::new(),
            pending: BTreeSet::new(),
            offsets: None,
            started: false,
            bump: false,
            ended: false,
            busy: false,
            backoff: Backoff::new(RETRY_BACKOFF, RETRY_BACKOFF_MAX),
            results: Vec::new(),
        }
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.v2
    }

    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Batches that were not sent yet are to be thrown away.
    pub(crate) fn is_aborting(&self) -> bool {
        matches!(self.phase, Phase::Ending { commit: false, .. })
    }

    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. })
    }

    /// Why nothing but an abort, or nothing at all, can go on.
    pub(crate) fn failure(&self) -> Option<&ClientError> {
        self.fatal.as_ref().or(self.abort_reason.as_ref())
    }

    pub(crate) fn fatal(&self) -> Option<&ClientError> {
        self.fatal.as_ref()
    }

    pub(crate) fn take_results(&mut self) -> Vec<(OperationId, Result<()>)> {
        std::mem::take(&mut self.results)
    }

    pub(crate) fn init(&mut self, operation: OperationId) -> Result<()> {
        self.check_fatal()?;
        if self.phase != Phase::New {
            return Err(misuse("init_transactions was called before"));
        }
        self.phase = Phase::Initializing(operation);
        Ok(())
    }

    /// `transaction_version`: what the cluster has finalized. It changes between transactions
    /// only.
    pub(crate) fn begin(&mut self, transaction_version: i16) -> Result<()> {
        self.check_fatal()?;
        match self.phase {
            Phase::Ready => {}
            Phase::New | Phase::Initializing(_) => {
                return Err(misuse("init_transactions must succeed before"));
            }
            Phase::Open | Phase::Ending { .. } => {
                return Err(misuse("a transaction is open already"));
            }
        }
        self.v2 = transaction_version >= 2;
        self.phase = Phase::Open;
        Ok(())
    }

    pub(crate) fn send_offsets(
        &mut self,
        operation: OperationId,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
        group: &GroupMetadata,
    ) -> Result<()> {
        self.check_open()?;
        if self.offsets.is_some() {
            return Err(misuse("send_offsets is still running"));
        }
        if offsets.is_empty() {
            self.results.push((operation, Ok(())));
            return Ok(());
        }
        self.offsets = Some(OffsetsJob {
            operation,
            coordinator: Coordinator::new(CoordinatorKind::Group, &group.group_id),
            group: group.clone(),
            left: offsets.iter().cloned().collect(),
            added: false,
            busy: false,
        });
        Ok(())
    }

    pub(crate) fn end(&mut self, operation: OperationId, commit: bool) -> Result<()> {
        self.check_fatal()?;
        if commit {
            self.check_open()?;
        } else if self.phase != Phase::Open {
            return Err(misuse("no transaction is open"));
        }
        if !commit && let Some(job) = self.offsets.take_if(|job| !job.busy) {
            self.results.push((job.operation, Err(aborted())));
        }
        self.phase = Phase::Ending { commit, operation };
        Ok(())
    }

    fn check_fatal(&self) -> Result<()> {
        self.fatal.clone().map_or(Ok(()), Err)
    }

    fn check_open(&self) -> Result<()> {
        if let Some(error) = self.failure() {
            return Err(error.clone());
        }
        if self.phase == Phase::Open { Ok(()) } else { Err(misuse("no transaction is open")) }
    }

    /// Whether a batch for the partition may leave now. Under TV1 the partition is added first.
    pub(crate) fn may_send(&mut self, partition: &TopicPartition) -> bool {
        if self.failure().is_some() || !self.is_begun() {
            return false;
        }
        if self.v2 {
            self.started = true;
            return true;
        }
        if self.added.contains(partition) {
            return true;
        }
        if !self.adding.contains(partition) {
            self.pending.insert(partition.clone());
        }
        false
    }

    /// The transaction cannot commit any more.
    pub(crate) fn fail_abortable(&mut self, cause: Cause) {
        if self.fatal.is_some() || self.abort_reason.is_some() || self.is_aborting() {
            return;
        }
        let error = ClientError::Abortable(cause);
        self.abort_reason = Some(error.clone());
        if let Phase::Ending { commit: true, operation } = self.phase {
            self.phase = Phase::Open;
            self.results.push((operation, Err(error.clone())));
        }
        if let Some(job) = &self.offsets {
            self.results.push((job.operation, Err(error)));
        }
        // A commit in flight keeps its place: EndTxn must not overtake it.
        self.offsets.take_if(|job| !job.busy);
    }

    pub(crate) fn fail_fatal(&mut self, error: ClientError) {
        if self.fatal.is_some() {
            return;
        }
        match self.phase {
            // The transaction has its outcome; only the producer does not go on.
            Phase::Ending { operation, .. } if self.ended => {
                self.results.push((operation, Ok(())));
            }
            Phase::Initializing(operation) | Phase::Ending { operation, .. } => {
                self.results.push((operation, Err(error.clone())));
            }
            Phase::New | Phase::Ready | Phase::Open => {}
        }
        if let Some(job) = self.offsets.take() {
            self.results.push((job.operation, Err(error.clone())));
        }
        self.fatal = Some(error);
    }

    /// A batch that may have reached a broker ended without success: its sequence numbers are in
    /// doubt, so the next transaction needs a new epoch. TV2 gives one anyway.
    pub(crate) fn sequence_in_doubt(&mut self) {
        self.bump = true;
    }

    /// A request of this transaction may still be on its way, and will be made again. Under TV1 all
    /// transactions of a session have one epoch, so a late copy would end the next transaction, add
    /// a partition or offsets to it, or begin it: the next one needs a new epoch (KAFKA-17754). TV2
    /// gives one anyway.
    pub(super) fn request_in_doubt(&mut self) {
        if !self.v2 && self.is_begun() {
            self.bump = true;
        }
    }

    fn is_begun(&self) -> bool {
        self.is_open() || self.is_ending()
    }

    /// Does the next thing. `quiet`: no batch waits or is in flight.
    pub(crate) fn advance(&mut self, now: Now, wire: &mut Wire<Tag>, quiet: bool) {
        if self.fatal.is_some() {
            return;
        }
        self.advance_offsets(now, wire);
        if self.busy || !self.backoff.ready(now.instant) {
            return;
        }
        let Some(ask) = self.next_ask(quiet) else { return };
        let timeout = self.request_timeout;
        let tag = || Tag::Transaction(Ask::FindCoordinator);
        let Some(route) = self.coordinator.route(now, wire, timeout, tag) else { return };
        self.busy = true;
        self.ask(now.instant, wire, route, ask);
    }

    fn next_ask(&mut self, quiet: bool) -> Option<Ask> {
        let offsets_to_add = |job: &OffsetsJob| !self.v2 && !job.added;
        match self.phase {
            Phase::New | Phase::Ready => None,
            Phase::Initializing(_) => Some(Ask::InitProducerId),
            Phase::Ending { .. } if self.ended => Some(Ask::InitProducerId),
            _ if !self.pending.is_empty() && !self.is_aborting() && self.abort_reason.is_none() => {
                Some(Ask::AddPartitions)
            }
            _ if self.offsets.as_ref().is_some_and(offsets_to_add) && !self.is_aborting() => {
                Some(Ask::AddOffsets)
            }
            Phase::Ending { .. } if quiet && self.offsets.is_none() => {
                if self.started {
                    return Some(Ask::EndTxn);
                }
                // The coordinator has never heard of this transaction.
                self.finish();
                None
            }
            Phase::Open | Phase::Ending { .. } => None,
        }
    }

    /// The transaction is over, and the producer ready for the next.
    pub(super) fn finish(&mut self) {
        if let Phase::Ending { operation, .. } | Phase::Initializing(operation) = self.phase {
            self.results.push((operation, Ok(())));
        }
        self.phase = Phase::Ready;
        self.abort_reason = None;
        self.added.clear();
        self.pending.clear();
        self.started = false;
        self.bump = false;
        self.ended = false;
    }

    /// What a code means to every request; `None`: it is special to the request.
    pub(super) fn handle_code(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        operation: &str,
        code: ErrorCode,
    ) -> bool {
        let cause = Cause::of(operation, code);
        match code {
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                self.coordinator.forget();
                self.backoff.failed(now, wire.random());
            }
            ErrorCode::CONCURRENT_TRANSACTIONS => {
                self.backoff.wait(now, CONCURRENT_TRANSACTIONS_BACKOFF);
            }
            ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH => {
                self.fail_fatal(ClientError::Fenced(cause));
            }
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
            | ErrorCode::INVALID_TRANSACTION_TIMEOUT
            | ErrorCode::UNSUPPORTED_VERSION
            | ErrorCode::INVALID_TXN_STATE => self.fail_fatal(ClientError::Fatal(cause)),
            code if code.is_retriable() => self.backoff.failed(now, wire.random()),
            _ => return false,
        }
        true
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let group = self.offsets.as_ref().and_then(|job| job.coordinator.deadline(now));
        let own = earlier(self.backoff.deadline(now), self.coordinator.deadline(now));
        earlier(own, group)
    }
}

pub(super) fn aborted() -> ClientError {
    ClientError::Abortable(Cause::text("the transaction was aborted"))
}

fn misuse(text: &str) -> ClientError {
    ClientError::Refused(Cause::text(text))
}
