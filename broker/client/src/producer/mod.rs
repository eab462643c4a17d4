//! The producer's handle.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::config::ProducerConfig;
use crate::error::Result;
use crate::records::{
    GroupMetadata, OffsetAndMetadata, ProducerRecord, RecordMetadata, TopicPartition,
};

/// Sends records. Cheap to clone; all clones share one driver.
#[derive(Clone)]
pub struct Producer {}

/// The coming answer to one record. It may be dropped: the record is sent all the same.
pub struct Delivery {}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}

impl Producer {
    pub async fn connect(_config: ProducerConfig) -> Result<Self> {
        todo!()
    }

    /// Puts the record into its batch; waits for metadata and for buffer room.
    pub async fn send(&self, _record: ProducerRecord) -> Result<Delivery> {
        todo!()
    }

    /// Waits until everything sent before has its answer.
    pub async fn flush(&self) -> Result<()> {
        todo!()
    }

    pub async fn close(self) -> Result<()> {
        todo!()
    }

    pub async fn init_transactions(&self) -> Result<()> {
        todo!()
    }

    pub fn begin_transaction(&self) -> Result<()> {
        todo!()
    }

    pub async fn send_offsets(
        &self,
        _offsets: &[(TopicPartition, OffsetAndMetadata)],
        _group: &GroupMetadata,
    ) -> Result<()> {
        todo!()
    }

    pub async fn commit_transaction(&self) -> Result<()> {
        todo!()
    }

    pub async fn abort_transaction(&self) -> Result<()> {
        todo!()
    }

    /// Number of partitions of a topic.
    pub async fn partitions_for(&self, _topic: &str) -> Result<i32> {
        todo!()
    }
}
