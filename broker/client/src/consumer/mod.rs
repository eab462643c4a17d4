//! The consumer's handle.

pub(crate) mod assignor;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::ConsumerConfig;
use crate::error::Result;
use crate::records::{
    GroupMetadata, OffsetAndMetadata, OffsetAndTimestamp, Polled, TopicPartition,
};

/// Reads records, alone or as a member of a group.
pub struct Consumer {}

impl Consumer {
    pub async fn connect(_config: ConsumerConfig) -> Result<Self> {
        todo!()
    }

    /// Joins the group for these topics at the next poll. Replaces what was subscribed before.
    pub fn subscribe(&self, _topics: &[&str]) -> Result<()> {
        todo!()
    }

    /// Reads exactly these partitions, without group membership.
    pub fn assign(&self, _partitions: &[TopicPartition]) -> Result<()> {
        todo!()
    }

    /// Waits for records or a rebalance, at most `timeout`.
    pub async fn poll(&self, _timeout: Duration) -> Result<Polled> {
        todo!()
    }

    pub fn seek(&self, _partition: &TopicPartition, _offset: i64) -> Result<()> {
        todo!()
    }

    /// Goes to the beginning or end at the next poll.
    pub fn seek_to_beginning(&self, _partitions: &[TopicPartition]) -> Result<()> {
        todo!()
    }

    /// The next offset that a poll returns; `None` while it is not known.
    pub fn position(&self, _partition: &TopicPartition) -> Option<i64> {
        todo!()
    }

    pub fn pause(&self, _partitions: &[TopicPartition]) {
        todo!()
    }

    pub fn resume(&self, _partitions: &[TopicPartition]) {
        todo!()
    }

    pub async fn commit(&self, _offsets: &[(TopicPartition, OffsetAndMetadata)]) -> Result<()> {
        todo!()
    }

    pub async fn committed(
        &self,
        _partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        todo!()
    }

    pub async fn beginning_offsets(
        &self,
        _partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        todo!()
    }

    /// The high watermark, or the last stable offset for a read-committed consumer.
    pub async fn end_offsets(
        &self,
        _partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        todo!()
    }

    pub async fn offsets_for_times(
        &self,
        _times: &[(TopicPartition, i64)],
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>> {
        todo!()
    }

    /// Number of partitions of a topic.
    pub async fn partitions_for(&self, _topic: &str) -> Result<i32> {
        todo!()
    }

    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        todo!()
    }

    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        todo!()
    }

    /// Leaves the group and closes.
    pub async fn close(self) -> Result<()> {
        todo!()
    }
}
