//! Producer ids from the controller's blocks, and the requests that wait for the next block.

use super::coordinator::TransactionCoordinator;
use super::{TransactionEffect, TransactionRequest, TransactionResponse};
use crate::log::{ClientContext, ReplyTo};
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::ProducerId;
use mainstem_protocol::messages::{EndTxnResponse, InitProducerIdResponse};

/// The ids that this broker may still give out.
#[derive(Debug, Default)]
pub(super) struct IdBlock {
    next: i64,
    /// One past the last.
    end: i64,
    is_asked_for: bool,
}

/// A request that could not go on without an id. It is handled anew from the beginning.
#[derive(Debug)]
pub(super) struct IdWaiter {
    pub(super) context: ClientContext,
    pub(super) request: TransactionRequest,
    pub(super) to: ReplyTo,
}

impl TransactionCoordinator {
    /// An id that nobody has; `None` when the block is used up.
    pub(super) fn take_id(&mut self) -> Option<ProducerId> {
        if self.ids.next < self.ids.end {
            self.ids.next += 1;
            return Some(ProducerId(self.ids.next - 1));
        }
        None
    }

    /// Lets a request wait for the next block.
    pub(super) fn wait_for_id(&mut self, waiter: IdWaiter) {
        if self.config.id_waiters_max <= self.id_waiters.len() {
            return self.refuse_waiter(&waiter, ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        self.id_waiters.push_back(waiter);
        if !self.ids.is_asked_for {
            self.ids.is_asked_for = true;
            self.emit(TransactionEffect::AllocateProducerIds);
        }
    }

    /// The controller's answer: the first id of a block and how many there are.
    pub fn handle_producer_ids(&mut self, now: Now, block: Result<(ProducerId, i32), ErrorCode>) {
        self.ids.is_asked_for = false;
        let waiters = std::mem::take(&mut self.id_waiters);
        match block {
            Ok((first, count)) => {
                self.ids.next = first.0;
                self.ids.end = first.0.saturating_add(count.into());
                for IdWaiter { context, request, to } in waiters {
                    self.handle_request(now, &context, request, to);
                }
            }
            Err(_) => {
                for waiter in waiters {
                    self.refuse_waiter(&waiter, ErrorCode::COORDINATOR_NOT_AVAILABLE);
                }
            }
        }
    }

    fn refuse_waiter(&mut self, waiter: &IdWaiter, code: ErrorCode) {
        let response = match &waiter.request {
            TransactionRequest::EndTxn(_) => TransactionResponse::EndTxn(EndTxnResponse {
                error_code: code,
                ..EndTxnResponse::default()
            }),
            _ => TransactionResponse::InitProducerId(InitProducerIdResponse {
                error_code: code,
                producer_epoch: -1,
                ..InitProducerIdResponse::default()
            }),
        };
        self.reply(waiter.to, response);
    }
}
