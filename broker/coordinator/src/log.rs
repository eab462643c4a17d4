//! What both coordinators say to their logs: tokens, records, placement and append errors.
//!
//! The words here are shared because the contract with the owner of the log is the same for both
//! machines. What the records mean is known only to `group::record` and `transaction::record`.

use bytes::Bytes;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{PartitionIndex, ProducerEpoch, ProducerId};
use std::sync::Arc;

/// Where an answer goes. The owner chooses the number and gets it back with the answer; a machine
/// answers every request exactly once.
pub type ReplyTo = u64;

/// Names one append until its outcome is told. Unique within one machine, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendToken(pub u64);

/// One record for an internal topic. `value: None` is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoordinatorRecord {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// Who writes a transactional batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerIdAndEpoch {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
}

/// A partition of a topic, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: PartitionIndex,
}

impl TopicPartition {
    pub fn new(topic: &str, partition: i32) -> Self {
        Self { topic: Arc::from(topic), partition: PartitionIndex(partition) }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition.0)
    }
}

/// What the machine knows about the one who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientContext {
    /// Version of the request; answers and some rules depend on it.
    pub api_version: i16,
    /// Client id of the request header, empty when absent.
    pub client_id: String,
    /// Address of the peer as Kafka shows it, with a leading slash.
    pub client_host: String,
}

/// The partition of an internal topic that holds `key`: Java's `String.hashCode`, sign bit cleared,
/// modulo the number of partitions. Clients of ours and of others rely on it being the same.
pub fn partition_for(key: &str, partitions: i32) -> PartitionIndex {
    assert!(partitions > 0, "an internal topic has at least one partition");
    let hash = key
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit.into()));
    PartitionIndex((hash & i32::MAX) % partitions)
}

/// What a failed append means for the state that it was about to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppendFailure {
    /// The batch was refused before it touched the log; the state is as it was.
    Refused(ErrorCode),
    /// The batch may or may not be in the log; only reading the log tells.
    Unknown(ErrorCode),
}

/// Translates an append error to what a client is told, as Kafka does.
pub(crate) fn append_failure(code: ErrorCode) -> AppendFailure {
    match code {
        ErrorCode::MESSAGE_TOO_LARGE
        | ErrorCode::RECORD_LIST_TOO_LARGE
        | ErrorCode::INVALID_FETCH_SIZE
        | ErrorCode::INVALID_RECORD => AppendFailure::Refused(ErrorCode::UNKNOWN_SERVER_ERROR),
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::NOT_ENOUGH_REPLICAS => {
            AppendFailure::Refused(ErrorCode::COORDINATOR_NOT_AVAILABLE)
        }
        // Fencing of a transactional offset commit by the log's own producer table.
        ErrorCode::INVALID_PRODUCER_EPOCH
        | ErrorCode::INVALID_TXN_STATE
        | ErrorCode::PRODUCER_FENCED => AppendFailure::Refused(code),
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => {
            AppendFailure::Unknown(ErrorCode::NOT_COORDINATOR)
        }
        _ => AppendFailure::Unknown(ErrorCode::COORDINATOR_NOT_AVAILABLE),
    }
}
