//! InitProducerId: who holds a transactional id from now on.
//!
//! Whoever asks gets a higher epoch, and all earlier holders are fenced. An open transaction of an
//! earlier holder is aborted first; the newcomer is told to come again until its markers are
//! written. A client that names its present producer id and epoch (v3+, KIP-360) only raises its
//! own epoch, unless somebody else has raised it since.

use super::append::Then;
use super::coordinator::{Transaction, TransactionCoordinator};
use super::producer_ids::IdWaiter;
use super::state::{EPOCH_MAX_FOR_CLIENTS, Metadata, TransactionState};
use super::{TransactionRequest, TransactionResponse};
use crate::log::{ClientContext, ReplyTo};
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{ProducerEpoch, ProducerId};
use mainstem_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use std::sync::Arc;

/// The producer that a client believes to be.
#[derive(Debug, Clone, Copy)]
struct Expected {
    id: ProducerId,
    epoch: ProducerEpoch,
}

/// What becomes of a request.
enum Verdict {
    /// A new session, when its record is durable.
    Session(Metadata),
    /// The open transaction is aborted first.
    Abort(Metadata),
    /// Cannot go on without a producer id.
    NeedsId,
}

impl TransactionCoordinator {
    pub(super) fn init_producer_id(
        &mut self,
        now: Now,
        context: &ClientContext,
        request: InitProducerIdRequest,
        to: ReplyTo,
    ) {
        let outcome = self.try_init(now, context, &request, to);
        match outcome {
            Ok(Some(())) => {}
            Ok(None) => {
                let request = TransactionRequest::InitProducerId(request);
                self.wait_for_id(IdWaiter { context: context.clone(), request, to });
            }
            Err(code) => self.reply(to, refused(context.api_version, code)),
        }
    }

    /// `Ok(None)` when a producer id is missing.
    fn try_init(
        &mut self,
        now: Now,
        context: &ClientContext,
        request: &InitProducerIdRequest,
        to: ReplyTo,
    ) -> Result<Option<()>, ErrorCode> {
        let expected = expected(request)?;
        let Some(transactional_id) = request.transactional_id.as_deref() else {
            // Only idempotent: an id, and nothing to remember.
            let Some(id) = self.take_id() else { return Ok(None) };
            self.reply(to, granted(id, ProducerEpoch(0)));
            return Ok(Some(()));
        };
        self.check_id(transactional_id)?;
        let timeout_max = self.config.transaction_timeout_max.as_millis();
        let is_legal = u128::try_from(request.transaction_timeout_ms)
            .is_ok_and(|timeout| 0 < timeout && timeout <= timeout_max);
        if !is_legal {
            return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
        }
        let id: Arc<str> = Arc::from(transactional_id);
        if !self.transactions.contains_key(&id) {
            if self.config.transactional_ids_max <= self.transactions.len() {
                return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
            }
            let Some(producer_id) = self.take_id() else { return Ok(None) };
            let metadata = Metadata::new(producer_id, request.transaction_timeout_ms, now.wall_ms);
            self.transactions.insert(Arc::clone(&id), Transaction::new(metadata));
        }
        match self.judge(now, &id, request.transaction_timeout_ms, expected)? {
            Verdict::NeedsId => Ok(None),
            Verdict::Session(next) => {
                let then = Then::Initialized { to, api_version: context.api_version };
                self.transition(&id, Some(next), then).map_err(|(code, _)| code)?;
                Ok(Some(()))
            }
            Verdict::Abort(next) => {
                let then = Then::Fenced { to: Some(to) };
                self.transition(&id, Some(next), then).map_err(|(code, _)| code)?;
                Ok(Some(()))
            }
        }
    }

    fn judge(
        &mut self,
        now: Now,
        id: &Arc<str>,
        timeout_ms: i32,
        expected: Option<Expected>,
    ) -> Result<Verdict, ErrorCode> {
        let transaction = &self.transactions[id];
        let metadata = &transaction.metadata;
        if transaction.in_transition {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        if expected.is_some_and(|expected| !may_be(metadata, expected)) {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        match metadata.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                Err(ErrorCode::CONCURRENT_TRANSACTIONS)
            }
            TransactionState::Ongoing => {
                let last = match expected.map(|expected| expected.epoch) {
                    // A new holder, which is not known by an epoch yet: no retry may claim this one.
                    None => ProducerEpoch::NONE,
                    // The holder itself gives its transaction up; it comes again in the same words.
                    Some(epoch) if epoch == metadata.producer_epoch => epoch,
                    // A delayed request of an earlier session must not touch this one. (Kafka would
                    // abort it, and only then look at the epoch.)
                    Some(_) => return Err(ErrorCode::PRODUCER_FENCED),
                };
                Ok(Verdict::Abort(metadata.fenced(last, now.wall_ms)))
            }
            TransactionState::Empty
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort => {
                let is_current =
                    expected.is_none_or(|expected| expected.epoch == metadata.producer_epoch);
                // Fenced with the last epoch, by its timeout or by itself: it may go on, but not
                // under that epoch.
                let is_next = metadata.is_at_last_epoch()
                    && expected.is_some_and(|e| e.epoch == metadata.last_producer_epoch);
                if metadata.is_epoch_exhausted() && (is_current || is_next) {
                    let metadata = metadata.clone();
                    let Some(new_id) = self.take_id() else { return Ok(Verdict::NeedsId) };
                    let last = expected.map_or(ProducerEpoch::NONE, |expected| expected.epoch);
                    let next = metadata.with_producer_id(new_id, last, timeout_ms, now.wall_ms);
                    return Ok(Verdict::Session(next));
                }
                let (epoch, last) = raise(metadata, expected)?;
                Ok(Verdict::Session(metadata.with_epoch(epoch, last, timeout_ms, now.wall_ms)))
            }
        }
    }
}

fn expected(request: &InitProducerIdRequest) -> Result<Option<Expected>, ErrorCode> {
    let (id, epoch) = (ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch));
    match (id.is_some(), epoch.is_some()) {
        (true, true) => Ok(Some(Expected { id, epoch })),
        (false, false) => Ok(None),
        _ => Err(ErrorCode::INVALID_REQUEST),
    }
}

/// Whether the client may be the holder of the id: it names the present producer, or the one before
/// a rotation whose answer it has not seen, or the id was just made because it had expired.
fn may_be(metadata: &Metadata, expected: Expected) -> bool {
    metadata.producer_epoch.is_none()
        || expected.id == metadata.producer_id
        || (expected.id == metadata.previous_producer_id && EPOCH_MAX_FOR_CLIENTS <= expected.epoch)
}

/// The next epoch, and the one that a retry of this request may name.
fn raise(
    metadata: &Metadata,
    expected: Option<Expected>,
) -> Result<(ProducerEpoch, ProducerEpoch), ErrorCode> {
    match expected.map(|expected| expected.epoch) {
        None => Ok((metadata.next_epoch(), ProducerEpoch::NONE)),
        Some(epoch) if metadata.producer_epoch.is_none() || epoch == metadata.producer_epoch => {
            Ok((metadata.next_epoch(), metadata.producer_epoch))
        }
        // A retry: whoever else had raised the epoch would have erased the last one.
        Some(epoch) if epoch == metadata.last_producer_epoch => {
            Ok((metadata.producer_epoch, metadata.last_producer_epoch))
        }
        Some(_) => Err(ErrorCode::PRODUCER_FENCED),
    }
}

pub(super) fn granted(id: ProducerId, epoch: ProducerEpoch) -> TransactionResponse {
    TransactionResponse::InitProducerId(InitProducerIdResponse {
        producer_id: id.0,
        producer_epoch: epoch.0,
        ..InitProducerIdResponse::default()
    })
}

pub(super) fn refused(api_version: i16, code: ErrorCode) -> TransactionResponse {
    let error_code = match code {
        ErrorCode::PRODUCER_FENCED if api_version < 4 => ErrorCode::INVALID_PRODUCER_EPOCH,
        code => code,
    };
    TransactionResponse::InitProducerId(InitProducerIdResponse {
        error_code,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    })
}
