//! What a transaction coordinator can be asked, what it answers, and what it wants done.

use crate::log::{AppendToken, CoordinatorRecord, ReplyTo, TopicPartition};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{LeaderEpoch, PartitionIndex, ProducerEpoch, ProducerId};
use mainstem_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse, DescribeTransactionsRequest, DescribeTransactionsResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse,
    ListTransactionsRequest, ListTransactionsResponse,
};
use std::collections::BTreeMap;

/// A request as it came from the wire, already authorized.
#[derive(Debug, Clone, PartialEq)]
pub enum TransactionRequest {
    InitProducerId(InitProducerIdRequest),
    AddPartitionsToTxn(AddPartitionsToTxnRequest),
    AddOffsetsToTxn(AddOffsetsToTxnRequest),
    EndTxn(EndTxnRequest),
    DescribeTransactions(DescribeTransactionsRequest),
    ListTransactions(ListTransactionsRequest),
}

/// The answer of the same name; `Partitions` answers `verify_or_add_partitions`.
#[derive(Debug, Clone, PartialEq)]
pub enum TransactionResponse {
    InitProducerId(InitProducerIdResponse),
    AddPartitionsToTxn(AddPartitionsToTxnResponse),
    AddOffsetsToTxn(AddOffsetsToTxnResponse),
    EndTxn(EndTxnResponse),
    DescribeTransactions(DescribeTransactionsResponse),
    ListTransactions(ListTransactionsResponse),
    /// Per partition: `NONE`, or why the partition is not in the transaction. Translate with
    /// [`Participation::produce_error`] or [`Participation::offset_commit_error`].
    Partitions(BTreeMap<TopicPartition, ErrorCode>),
}

/// How a write takes part in a transaction, by the version of the request that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Participation {
    /// Produce up to v10, TxnOffsetCommit up to v3: the client has added the partition before;
    /// otherwise `INVALID_TXN_STATE`.
    Verify,
    /// Produce v11, TxnOffsetCommit v4: as `Verify`, but the client knows `TRANSACTION_ABORTABLE`.
    VerifyAbortable,
    /// Produce v12+, TxnOffsetCommit v5+ (transactions version 2): the write adds the partition.
    Add,
}

impl Participation {
    pub fn of_produce(api_version: i16) -> Self {
        match api_version {
            ..=10 => Self::Verify,
            11 => Self::VerifyAbortable,
            12.. => Self::Add,
        }
    }

    /// What a Produce of this kind is answered. Old clients do not know the coordinator's retriable
    /// codes in this place; `NOT_ENOUGH_REPLICAS` makes them try again without a metadata refresh.
    pub fn produce_error(self, code: ErrorCode) -> ErrorCode {
        match code {
            ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH,
            ErrorCode::CONCURRENT_TRANSACTIONS if self == Self::Add => code,
            ErrorCode::CONCURRENT_TRANSACTIONS
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR => ErrorCode::NOT_ENOUGH_REPLICAS,
            code => code,
        }
    }

    /// What a TxnOffsetCommit of this kind is answered.
    pub fn offset_commit_error(self, code: ErrorCode) -> ErrorCode {
        match self.produce_error(code) {
            ErrorCode::NOT_ENOUGH_REPLICAS => ErrorCode::COORDINATOR_NOT_AVAILABLE,
            code => code,
        }
    }

    pub fn of_txn_offset_commit(api_version: i16) -> Self {
        match api_version {
            ..=3 => Self::Verify,
            4 => Self::VerifyAbortable,
            5.. => Self::Add,
        }
    }
}

/// A write that wants to be part of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionsInTransaction {
    pub transactional_id: String,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub partitions: Vec<TopicPartition>,
    pub participation: Participation,
}

/// Names one round of markers until all its partitions have answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkerToken(pub u64);

/// A transaction's end, to be written to its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markers {
    pub token: MarkerToken,
    pub partitions: Vec<TopicPartition>,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    /// True to commit, false to abort.
    pub commit: bool,
    /// The leader epoch of the coordinator's partition; a partition that has seen a higher one
    /// answers `TRANSACTION_COORDINATOR_FENCED`.
    pub coordinator_epoch: LeaderEpoch,
    /// 1 or 2: with 2 a partition demands a higher producer epoch than the one it knows.
    pub transaction_version: i16,
}

/// What the owner has to do, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum TransactionEffect {
    /// Append `records` as one batch to `__transaction_state-<partition>`. Tell the outcome with
    /// `handle_appended`.
    Append { token: AppendToken, partition: PartitionIndex, records: Vec<CoordinatorRecord> },
    /// Write an end marker to every partition, also to those of `__consumer_offsets` (and tell the
    /// group coordinator there); then `handle_markers_written` with one result per partition.
    /// `UNKNOWN_TOPIC_OR_PARTITION` must mean that the topic does not exist any more.
    WriteMarkers(Markers),
    /// Get a block of producer ids from the controller; then `handle_producer_ids`. At most one is
    /// asked for at a time.
    AllocateProducerIds,
    /// Send the answer.
    Reply { to: ReplyTo, response: TransactionResponse },
    /// The state of the partition was forgotten because an append ended in doubt. If this broker
    /// still leads the partition, load it again from its log start.
    Reload { partition: PartitionIndex },
}
