//! Transactions as an operator sees them, and the end of those that nobody ends (KIP-664).
//!
//! A transaction *hangs* when a partition has it open and its coordinator does not know it: its
//! records keep the last stable offset back for ever. [`Admin::describe_producers`] finds it,
//! [`Admin::abort_transaction`] ends it, past the coordinator.

use std::sync::Arc;
use std::time::Duration;

use mainstem_protocol::messages::describe_producers::{ProducerState, TopicRequest};
use mainstem_protocol::messages::describe_transactions::TransactionState;
use mainstem_protocol::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic};
use mainstem_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, DescribeTransactionsResponse,
    ListTransactionsRequest, WriteTxnMarkersRequest,
};
use mainstem_protocol::{BrokerId, ErrorCode};

use super::machine::Target;
use super::{Admin, refused};
use crate::error::{Cause, ClientError, Result};
use crate::records::TopicPartition;

/// Which transactions are listed: all that every filter lets pass. An empty filter passes all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Kafka's names, such as `Ongoing`.
    pub states: Vec<String>,
    pub producer_ids: Vec<i64>,
    /// Open for longer than this. Brokers before Kafka 3.8 do not know it.
    pub open_longer_than: Option<Duration>,
    /// A regular expression (RE2) that the whole transactional id must match. Brokers before
    /// Kafka 4.1 do not know it.
    pub pattern: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionListing {
    pub transactional_id: String,
    pub producer_id: i64,
    pub state: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionDescription {
    pub transactional_id: String,
    pub state: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub timeout_ms: i32,
    /// Wall time at which the open transaction began; `None` when none is open.
    pub start_time_ms: Option<i64>,
    /// Partitions of the open transaction; while it ends, those that have not heard of it.
    pub partitions: Vec<TopicPartition>,
}

/// A producer that a partition remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionProducer {
    pub producer_id: i64,
    pub producer_epoch: i32,
    /// -1 when the producer has written nothing in this epoch.
    pub last_sequence: i32,
    /// Wall time of its last write; -1 when that is not known.
    pub last_timestamp_ms: i64,
    /// Epoch of the coordinator that ended its last transaction here.
    pub coordinator_epoch: Option<i32>,
    /// First offset of its open transaction.
    pub transaction_start: Option<i64>,
}

/// Names the transaction of one partition that is to be aborted, by what
/// [`Admin::describe_producers`] says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbortTransaction {
    pub partition: TopicPartition,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub coordinator_epoch: i32,
}

impl AbortTransaction {
    /// The open transaction of a producer in a partition.
    pub fn of(partition: TopicPartition, producer: &PartitionProducer) -> Self {
        Self {
            partition,
            producer_id: producer.producer_id,
            producer_epoch: i16::try_from(producer.producer_epoch).unwrap_or(i16::MAX),
            // No coordinator has ended anything there yet, so the first one will do.
            coordinator_epoch: producer.coordinator_epoch.unwrap_or(0),
        }
    }
}

impl Admin {
    /// Transactional ids of all brokers, sorted.
    pub async fn list_transactions(
        &self,
        filter: &TransactionFilter,
    ) -> Result<Vec<TransactionListing>> {
        let mut listed = Vec::new();
        for broker in self.brokers().await? {
            listed.extend(self.list_transactions_of(broker, filter).await?);
        }
        listed.sort_by(|a: &TransactionListing, b| a.transactional_id.cmp(&b.transactional_id));
        Ok(listed)
    }

    async fn list_transactions_of(
        &self,
        broker: BrokerId,
        filter: &TransactionFilter,
    ) -> Result<Vec<TransactionListing>> {
        let longer_than = filter.open_longer_than.map(|age| age.as_millis());
        let build = |_| ListTransactionsRequest {
            state_filters: filter.states.clone(),
            producer_id_filters: filter.producer_ids.clone(),
            duration_filter: longer_than.map_or(-1, |ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            transactional_id_pattern: filter.pattern.clone(),
        };
        let response = self.ask(&Target::Broker(broker), i16::MAX, build).await?;
        refused("list transactions", response.error_code, None)?;
        if let Some(state) = response.unknown_state_filters.first() {
            let text = format!("list transactions: there is no state {state}");
            return Err(ClientError::Refused(Cause::text(text)));
        }
        let listing = response.transaction_states.into_iter().map(|it| TransactionListing {
            transactional_id: it.transactional_id,
            producer_id: it.producer_id,
            state: it.transaction_state,
            coordinator: broker.0,
        });
        Ok(listing.collect())
    }

    /// One answer per transactional id, in the order given.
    pub async fn describe_transactions(
        &self,
        transactional_ids: &[&str],
    ) -> Result<Vec<(String, Result<TransactionDescription, ClientError>)>> {
        let mut answers = Vec::new();
        for id in transactional_ids {
            answers.push(((*id).to_owned(), self.describe_transaction(id).await));
        }
        Ok(answers)
    }

    async fn describe_transaction(&self, id: &str) -> Result<TransactionDescription> {
        let build = |_| DescribeTransactionsRequest { transactional_ids: vec![id.to_owned()] };
        let read = |response: DescribeTransactionsResponse| {
            let state = response.transaction_states.into_iter().next().unwrap_or_default();
            (state.error_code, state)
        };
        let target = Target::transaction(id);
        let operation = format!("transactional id {id}");
        let state = self.ask_coordinator(&target, &operation, i16::MAX, build, read).await?;
        Ok(description(state))
    }

    /// The producers that a partition remembers, asked of its leader.
    pub async fn describe_producers(
        &self,
        partition: &TopicPartition,
    ) -> Result<Vec<PartitionProducer>> {
        let leader = self.leader_of(partition).await?;
        let topic = || TopicRequest {
            name: partition.topic.to_string(),
            partition_indexes: vec![partition.partition],
        };
        let build = |_| DescribeProducersRequest { topics: vec![topic()] };
        let response = self.ask(&Target::Broker(leader), i16::MAX, build).await?;
        let mut rows = response.topics.into_iter().flat_map(|topic| topic.partitions);
        let Some(row) = rows.next() else {
            return Err(ClientError::Retriable(Cause::text("describe producers: empty answer")));
        };
        refused(&partition.to_string(), row.error_code, row.error_message)?;
        Ok(row.active_producers.iter().map(producer).collect())
    }

    /// Aborts a transaction in one partition, past its coordinator: for one that hangs. Done to a
    /// transaction that its coordinator still knows, it tears the transaction apart.
    pub async fn abort_transaction(&self, abort: &AbortTransaction) -> Result<()> {
        let AbortTransaction { partition, .. } = abort;
        let leader = self.leader_of(partition).await?;
        let marker = WritableTxnMarker {
            producer_id: abort.producer_id,
            producer_epoch: abort.producer_epoch,
            transaction_result: false,
            topics: vec![WritableTxnMarkerTopic {
                name: partition.topic.to_string(),
                partition_indexes: vec![partition.partition],
            }],
            coordinator_epoch: abort.coordinator_epoch,
            ..WritableTxnMarker::default()
        };
        let request = WriteTxnMarkersRequest { markers: vec![marker] };
        let response = self.call(Target::Broker(leader), i16::MAX, move |_| request).await?;
        let topics = response.markers.into_iter().flat_map(|marker| marker.topics);
        let row = topics.flat_map(|topic| topic.partitions).next();
        let code = row.map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |row| row.error_code);
        refused(&partition.to_string(), code, None)
    }
}

fn description(state: TransactionState) -> TransactionDescription {
    let partitions = state.topics.into_iter().flat_map(|topic| {
        let name: Arc<str> = topic.topic.as_str().into();
        let named = move |partition| TopicPartition { topic: name.clone(), partition };
        topic.partitions.into_iter().map(named)
    });
    TransactionDescription {
        transactional_id: state.transactional_id,
        state: state.transaction_state,
        producer_id: state.producer_id,
        producer_epoch: state.producer_epoch,
        timeout_ms: state.transaction_timeout_ms,
        start_time_ms: Some(state.transaction_start_time_ms).filter(|ms| 0 <= *ms),
        partitions: partitions.collect(),
    }
}

fn producer(state: &ProducerState) -> PartitionProducer {
    PartitionProducer {
        producer_id: state.producer_id,
        producer_epoch: state.producer_epoch,
        last_sequence: state.last_sequence,
        last_timestamp_ms: state.last_timestamp,
        coordinator_epoch: Some(state.coordinator_epoch).filter(|epoch| 0 <= *epoch),
        transaction_start: Some(state.current_txn_start_offset).filter(|offset| 0 <= *offset),
    }
}
