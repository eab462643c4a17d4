//! ListTransactions: which ids are here, in which state (KIP-664, KIP-994, KIP-1152).
//!
//! Filters are joined by "and", the values of one filter by "or"; an empty filter passes all. A
//! state that nobody knows passes nothing and is named in the answer.

use super::TransactionResponse;
use super::coordinator::{Transaction, TransactionCoordinator};
use super::pattern::IdPattern;
use super::state::TransactionState;
use crate::log::ReplyTo;
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::list_transactions::TransactionState as ListedTransaction;
use mainstem_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};

/// States of Kafka that an id never has here: forgotten ids are gone at once, and who is fenced
/// is aborted in one step.
const OTHER_STATES: [&str; 2] = ["Dead", "PrepareEpochFence"];

/// What one request lets through.
struct Filter<'a> {
    request: &'a ListTransactionsRequest,
    pattern: Option<IdPattern>,
    now_ms: i64,
}

impl Filter<'_> {
    fn passes(&self, id: &str, transaction: &Transaction) -> bool {
        let (metadata, request) = (&transaction.metadata, self.request);
        let (states, producers) = (&request.state_filters, &request.producer_id_filters);
        let age_ms = self.now_ms.saturating_sub(metadata.start_ms);
        transaction.is_known()
            && (states.is_empty() || states.iter().any(|name| name == metadata.state.name()))
            && (producers.is_empty() || producers.contains(&metadata.producer_id.0))
            && (request.duration_filter < 0 || request.duration_filter < age_ms)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(id))
    }
}

impl TransactionCoordinator {
    pub(super) fn list(&mut self, now: Now, request: &ListTransactionsRequest, to: ReplyTo) {
        let mut response = ListTransactionsResponse::default();
        match self.filtered(now, request) {
            Ok(listed) => response.transaction_states = listed,
            Err(code) => response.error_code = code,
        }
        let unknown = request.state_filters.iter().filter(|name| !is_state(name));
        response.unknown_state_filters = unknown.cloned().collect();
        self.reply(to, TransactionResponse::ListTransactions(response));
    }

    fn filtered(
        &self,
        now: Now,
        request: &ListTransactionsRequest,
    ) -> Result<Vec<ListedTransaction>, ErrorCode> {
        if self.residency.any_loading() {
            return Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        }
        let pattern = request.transactional_id_pattern.as_deref().unwrap_or_default();
        let pattern = IdPattern::parse(pattern)?;
        let filter = Filter { request, pattern, now_ms: now.wall_ms };
        let passing = self.transactions.iter().filter(|(id, it)| filter.passes(id, it));
        let listed = passing.map(|(id, transaction)| ListedTransaction {
            transactional_id: id.to_string(),
            producer_id: transaction.metadata.producer_id.0,
            transaction_state: transaction.metadata.state.name().to_owned(),
        });
        Ok(listed.collect())
    }
}

fn is_state(name: &str) -> bool {
    let named = |number| TransactionState::of_number(number).is_some_and(|it| it.name() == name);
    (0..=i8::MAX).any(named) || OTHER_STATES.contains(&name)
}
