//! DescribeTransactions: ids as an operator sees them (KIP-664).
//!
//! What is shown is durable: an id whose next state is on its way to the log is shown as it is
//! until the log has it.

use super::TransactionResponse;
use super::coordinator::{Transaction, TransactionCoordinator};
use super::state::TransactionState;
use crate::log::{ReplyTo, TopicPartition};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::describe_transactions::{
    TopicData, TransactionState as DescribedTransaction,
};
use mainstem_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse};
use std::collections::BTreeSet;

impl TransactionState {
    /// The name that operators see.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Ongoing => "Ongoing",
            Self::PrepareCommit => "PrepareCommit",
            Self::PrepareAbort => "PrepareAbort",
            Self::CompleteCommit => "CompleteCommit",
            Self::CompleteAbort => "CompleteAbort",
        }
    }
}

impl TransactionCoordinator {
    pub(super) fn describe(&mut self, request: DescribeTransactionsRequest, to: ReplyTo) {
        let states = request.transactional_ids.into_iter().map(|id| self.describe_one(id));
        let response = DescribeTransactionsResponse {
            transaction_states: states.collect(),
            ..DescribeTransactionsResponse::default()
        };
        self.reply(to, TransactionResponse::DescribeTransactions(response));
    }

    fn describe_one(&self, transactional_id: String) -> DescribedTransaction {
        let found = self.check_id(&transactional_id).and_then(|()| {
            let transaction = self.transactions.get(transactional_id.as_str());
            transaction.filter(|it| it.is_known()).ok_or(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND)
        });
        let mut described =
            DescribedTransaction { transactional_id, ..DescribedTransaction::default() };
        match found {
            Ok(transaction) => fill(&mut described, transaction),
            Err(code) => described.error_code = code,
        }
        described
    }
}

impl Transaction {
    /// Whether the log knows the id: the first record of a new one may still be under way.
    pub(super) fn is_known(&self) -> bool {
        self.metadata.producer_epoch.is_some()
    }
}

fn fill(described: &mut DescribedTransaction, transaction: &Transaction) {
    let metadata = &transaction.metadata;
    described.transaction_state = metadata.state.name().to_owned();
    described.transaction_timeout_ms = metadata.timeout_ms;
    described.transaction_start_time_ms = metadata.start_ms;
    described.producer_id = metadata.producer_id.0;
    described.producer_epoch = metadata.producer_epoch.0;
    // While it ends, only what still wants a marker counts.
    let open = transaction.round.as_ref().map(super::markers::Round::open);
    described.topics = by_topic(open.unwrap_or(&metadata.partitions));
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> Vec<TopicData> {
    let mut topics: Vec<TopicData> = Vec::new();
    for partition in partitions {
        match topics.last_mut() {
            Some(last) if *last.topic == *partition.topic => {
                last.partitions.push(partition.partition.0);
            }
            _ => topics.push(TopicData {
                topic: partition.topic.to_string(),
                partitions: vec![partition.partition.0],
            }),
        }
    }
    topics
}
