//! The nouns that a caller of this crate holds: records, offsets, what a poll brings.
//!
//! Topics are `Arc<str>` and payloads are `Bytes`, so that handing a record on costs a reference
//! count, not a copy. Offsets and partitions are plain integers here, at the door of the crate;
//! inside, the machines use the newtypes of the protocol crate.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Partitions as requests name them: by topic, in the order of names.
pub(crate) fn by_topic<'a, T>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
    topic: impl Fn(String, &[&TopicPartition]) -> T,
) -> Vec<T> {
    let mut topics: BTreeMap<&str, Vec<&TopicPartition>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition);
    }
    topics.into_iter().map(|(name, of_topic)| topic(name.to_owned(), &of_topic)).collect()
}

/// A record header. A key may occur more than once; the order is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub key: String,
    pub value: Option<Bytes>,
}

/// A record to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerRecord {
    pub topic: Arc<str>,
    /// `None`: by the hash of the key, or sticky when there is no key.
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    /// Milliseconds since 1970; `None`: the time of `send`.
    pub timestamp_ms: Option<i64>,
    pub headers: Vec<Header>,
}

impl ProducerRecord {
    /// A record without key, headers, fixed partition or timestamp.
    pub fn new(topic: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            value: Some(value.into()),
            timestamp_ms: None,
            headers: Vec::new(),
        }
    }

    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }

    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header { key: key.into(), value: Some(value.into()) });
        self
    }
}

/// Where an acknowledged record lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    pub topic_partition: TopicPartition,
    /// -1 when the broker did not say: acks=0, or a duplicate older than its memory.
    pub offset: i64,
    /// The time of the record, or of the append for topics with `LogAppendTime`.
    pub timestamp_ms: i64,
}

/// A record read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRecord {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// The records of one partition that a poll returns, in offset order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionBatch {
    pub topic_partition: TopicPartition,
    pub records: Vec<ConsumerRecord>,
    /// End of what is committed by replication, as of the fetch that brought these records.
    pub high_watermark: i64,
    /// End of what a read-committed consumer may see.
    pub last_stable_offset: i64,
}

/// What happened to the assignment, as a difference to what was reported before.
///
/// With an eager assignor a rebalance takes everything and then gives; with a cooperative one, and
/// in the consumer protocol, it takes and gives only what moves, and what stays goes on being read.
/// [`crate::Consumer::assignment`] is always the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebalance {
    /// These partitions will go. The member still owns them until the next poll, which gives them
    /// up: commit now.
    Revoked(Vec<TopicPartition>),
    /// These partitions are gone: the group went on without this member, and commits for them
    /// will be refused. Drop the work done since the last commit.
    Lost(Vec<TopicPartition>),
    /// These partitions are now owned too; there may be none. `user_data` is what the assignor
    /// gave to this member.
    Assigned { partitions: Vec<TopicPartition>, user_data: Bytes },
}

/// What one poll brings. Both parts may be empty after the timeout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Polled {
    pub rebalance: Option<Rebalance>,
    pub batches: Vec<PartitionBatch>,
}

impl Polled {
    pub fn is_empty(&self) -> bool {
        self.rebalance.is_none() && self.batches.is_empty()
    }

    /// All records, partition by partition.
    pub fn records(&self) -> impl Iterator<Item = &ConsumerRecord> {
        self.batches.iter().flat_map(|batch| batch.records.iter())
    }
}

/// An offset to commit: the NEXT offset to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OffsetAndMetadata {
    pub offset: i64,
    pub leader_epoch: Option<i32>,
    /// Opaque to the broker; at most 4,096 bytes by its default.
    pub metadata: String,
}

impl OffsetAndMetadata {
    pub fn new(offset: i64) -> Self {
        Self { offset, leader_epoch: None, metadata: String::new() }
    }
}

/// The first offset whose timestamp is at or after the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    pub offset: i64,
    pub timestamp_ms: i64,
}

/// Who a consumer is in its group right now; a transaction that commits offsets carries it, so
/// that the broker can refuse a member that the group has left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    pub group_id: String,
    /// The member epoch in the consumer protocol. -1 when not a member (partitions assigned by
    /// hand).
    pub generation_id: i32,
    pub member_id: String,
    pub group_instance_id: Option<String>,
}
