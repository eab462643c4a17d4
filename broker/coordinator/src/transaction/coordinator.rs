//! The transaction coordinator's public face.

use super::request::{MarkerToken, PartitionsInTransaction, TransactionEffect, TransactionRequest};
use super::TransactionConfig;
use crate::log::{AppendToken, ClientContext, ReplyTo, TopicPartition};

impl TransactionCoordinator {
    pub fn new(config: TransactionConfig) -> Self;
    /// The partition of `__transaction_state` that holds `transactional_id`.
    pub fn partition_of(&self, transactional_id: &str) -> PartitionIndex;
    pub fn handle_request(&mut self, now: Now, context: &ClientContext, request: TransactionRequest, to: ReplyTo);
    /// A write asks to be part of a transaction; answered with `TransactionResponse::Partitions`.
    pub fn verify_or_add_partitions(&mut self, now: Now, write: PartitionsInTransaction, to: ReplyTo);
    pub fn handle_appended(&mut self, now: Now, token: AppendToken, result: Result<Offset, ErrorCode>);
    pub fn handle_markers_written(&mut self, now: Now, token: MarkerToken, results: Vec<(TopicPartition, ErrorCode)>);
    /// A block of ids: the first one and how many.
    pub fn handle_producer_ids(&mut self, now: Now, block: Result<(ProducerId, i32), ErrorCode>);
    pub fn handle_timeout(&mut self, now: Now);
    pub fn deadline(&self) -> Option<Instant>;
    pub fn poll_effect(&mut self) -> Option<TransactionEffect>;

    pub fn begin_load(&mut self, partition: PartitionIndex, epoch: LeaderEpoch);
    pub fn load_record(&mut self, partition: PartitionIndex, offset: Offset, key: &[u8], value: Option<&[u8]>);
    pub fn finish_load(&mut self, now: Now, partition: PartitionIndex);
    pub fn resign(&mut self, partition: PartitionIndex);
}
