//! EndTxn: the client decides the outcome.
//!
//! The answer leaves when the decision is durable; the markers follow. A retry of a decision that
//! was made is answered like the first time, never like a new one. How a retry is known differs:
//! with version 1 by the state alone, with version 2 by the epoch, which the first time has raised.
//!
//! While a decision or its markers are under way, everybody is asked to come again, before anything
//! else is looked at: a client that was answered may have begun its next transaction and given it
//! up without a write, and then it ends that one under the epoch, or the producer id, that the
//! markers are still making present.

use super::append::Then;
use super::coordinator::TransactionCoordinator;
use super::producer_ids::IdWaiter;
use super::state::{ClientVersion, EPOCH_MAX_FOR_CLIENTS, Metadata, Outcome, TransactionState};
use super::{TransactionRequest, TransactionResponse};
use crate::log::{ClientContext, ReplyTo};
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{ProducerEpoch, ProducerId};
use mainstem_protocol::messages::{EndTxnRequest, EndTxnResponse};
use std::sync::Arc;

/// What becomes of a request.
enum Verdict {
    /// It was decided so before: answer as then.
    Repeated,
    /// Decide now.
    Decide,
}

impl TransactionCoordinator {
    pub(super) fn end_txn(
        &mut self,
        now: Now,
        context: &ClientContext,
        request: EndTxnRequest,
        to: ReplyTo,
    ) {
        match self.try_end(now, context, &request, to) {
            Ok(Some(())) => {}
            Ok(None) => {
                let request = TransactionRequest::EndTxn(request);
                self.wait_for_id(IdWaiter { context: context.clone(), request, to });
            }
            Err(code) => self.reply(to, refused(context.api_version, code)),
        }
    }

    /// `Ok(None)` when a producer id is missing.
    fn try_end(
        &mut self,
        now: Now,
        context: &ClientContext,
        request: &EndTxnRequest,
        to: ReplyTo,
    ) -> Result<Option<()>, ErrorCode> {
        self.check_id(&request.transactional_id)?;
        let version = ClientVersion::of_end_txn(context.api_version);
        let outcome = if request.committed { Outcome::Commit } else { Outcome::Abort };
        let (producer_id, epoch) =
            (ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch));
        let transaction = self.transactions.get(request.transactional_id.as_str());
        let transaction = transaction.ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        let metadata = &transaction.metadata;
        if transaction.in_transition || metadata.state.is_prepared() {
            return Err(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        let verdict = match version {
            ClientVersion::V1 => judge_v1(metadata, producer_id, epoch, outcome)?,
            ClientVersion::V2 => judge_v2(metadata, producer_id, epoch, outcome)?,
        };
        if matches!(verdict, Verdict::Repeated) {
            let (id, epoch) = metadata.producer_after_end();
            self.reply(to, ended(id, epoch));
            return Ok(Some(()));
        }
        let metadata = metadata.clone();
        let next_id = if version == ClientVersion::V2 && metadata.is_epoch_exhausted() {
            let Some(id) = self.take_id() else { return Ok(None) };
            id
        } else {
            ProducerId::NONE
        };
        let next = metadata.prepared(outcome, version, next_id, now.wall_ms);
        let id: Arc<str> = Arc::from(request.transactional_id.as_str());
        let then = Then::Ended { to };
        self.transition(&id, Some(next), then).map_err(|(code, _)| code)?;
        Ok(Some(()))
    }
}

/// Version 1: the epoch names a session, so the state has to tell whether this is a retry.
fn judge_v1(
    metadata: &Metadata,
    producer_id: ProducerId,
    epoch: ProducerEpoch,
    outcome: Outcome,
) -> Result<Verdict, ErrorCode> {
    if metadata.producer_id != producer_id {
        return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    }
    if metadata.producer_epoch != epoch {
        return Err(ErrorCode::PRODUCER_FENCED);
    }
    match (metadata.state, outcome) {
        (TransactionState::Ongoing, _) => Ok(Verdict::Decide),
        (TransactionState::CompleteCommit, Outcome::Commit)
        | (TransactionState::CompleteAbort, Outcome::Abort) => Ok(Verdict::Repeated),
        _ => Err(ErrorCode::INVALID_TXN_STATE),
    }
}

/// Version 2: the epoch names a transaction. The epoch before the present one is a retry of the
/// decision that raised it; the present one asks for the next decision, which may be to abort
/// nothing.
fn judge_v2(
    metadata: &Metadata,
    producer_id: ProducerId,
    epoch: ProducerEpoch,
    outcome: Outcome,
) -> Result<Verdict, ErrorCode> {
    let is_current = epoch == metadata.producer_epoch;
    let after_raise = epoch.0.checked_add(1) == Some(metadata.producer_epoch.0);
    let after_rotation = metadata.previous_producer_id == producer_id
        && epoch == EPOCH_MAX_FOR_CLIENTS
        && metadata.producer_epoch == ProducerEpoch(0);
    let is_retry = after_raise || after_rotation;
    if metadata.producer_id != producer_id && !after_rotation {
        return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    }
    let has_ended = matches!(
        metadata.state,
        TransactionState::CompleteCommit | TransactionState::CompleteAbort
    );
    let is_valid = is_current || (has_ended && is_retry);
    // The answer to a retry is the producer as it goes on, and nobody goes on under the last epoch.
    if !is_valid || (is_retry && metadata.state.is_at_rest() && metadata.is_at_last_epoch()) {
        return Err(ErrorCode::PRODUCER_FENCED);
    }
    match (metadata.state, outcome) {
        (TransactionState::Ongoing, _) | (TransactionState::Empty, Outcome::Abort) => {
            Ok(Verdict::Decide)
        }
        (TransactionState::CompleteCommit, Outcome::Commit) if is_retry => Ok(Verdict::Repeated),
        (TransactionState::CompleteAbort, Outcome::Abort) if is_retry => Ok(Verdict::Repeated),
        // Nothing was added since: an abort of nothing still raises the epoch.
        (TransactionState::CompleteCommit | TransactionState::CompleteAbort, Outcome::Abort)
            if !is_retry =>
        {
            Ok(Verdict::Decide)
        }
        _ => Err(ErrorCode::INVALID_TXN_STATE),
    }
}

pub(super) fn ended(id: ProducerId, epoch: ProducerEpoch) -> TransactionResponse {
    TransactionResponse::EndTxn(EndTxnResponse {
        producer_id: id.0,
        producer_epoch: epoch.0,
        ..EndTxnResponse::default()
    })
}

pub(super) fn refused(api_version: i16, code: ErrorCode) -> TransactionResponse {
    let error_code = match code {
        ErrorCode::PRODUCER_FENCED if api_version < 2 => ErrorCode::INVALID_PRODUCER_EPOCH,
        code => code,
    };
    TransactionResponse::EndTxn(EndTxnResponse { error_code, ..EndTxnResponse::default() })
}
