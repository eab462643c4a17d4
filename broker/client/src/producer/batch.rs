//! One batch of records, from its first record to its answer.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mainstem_platform::{Instant, Now};
use mainstem_protocol::compression::{Compression, Level};
use mainstem_protocol::record::{BatchBuilder, Header, patch};

use super::accumulator::BatchNumber;
use super::ack::{Acknowledged, BatchAck, Delivery};
use super::transaction::Identity;
use crate::error::{Cause, ClientError, Result};
use crate::records::{ProducerRecord, TopicPartition};

/// What a batch is marked with when it leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) identity: Identity,
    pub(crate) sequence: i32,
    pub(crate) transactional: bool,
    pub(crate) compression: Compression,
    pub(crate) level: Level,
}

/// A batch that takes records, or that waits for its answer.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    pub(crate) number: BatchNumber,
    pub(crate) created: Instant,
    ack: Arc<BatchAck>,
    /// `None` once it was encoded.
    builder: Option<BatchBuilder>,
    /// The most that its records can take, which is what they cost in the buffer.
    size_bytes: usize,
    count: u32,
    closed: bool,
}

impl OpenBatch {
    pub(crate) fn new(number: BatchNumber, created: Instant, ack: Arc<BatchAck>) -> Self {
        let builder = Some(BatchBuilder::new());
        Self { number, created, ack, builder, size_bytes: 0, count: 0, closed: false }
    }

    pub(crate) fn has_room(&self, size_bytes: usize, limit_bytes: usize) -> bool {
        !self.closed && self.size_bytes + size_bytes <= limit_bytes
    }

    /// Whether an average record would not fit any more.
    pub(crate) fn is_full(&self, limit_bytes: usize) -> bool {
        let average = self.size_bytes / (self.count.max(1) as usize);
        self.closed || !self.has_room(average, limit_bytes)
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        self.ack.topic_partition()
    }

    /// `size_bytes`: what [`record_size_max`] says about the record.
    pub(crate) fn append(
        &mut self,
        now: Now,
        record: ProducerRecord,
        size_bytes: usize,
    ) -> Delivery {
        let timestamp_ms = record.timestamp_ms.unwrap_or(now.wall_ms);
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        if let Some(builder) = &mut self.builder {
            if record.headers.is_empty() {
                builder.push(timestamp_ms, key, value, &[]);
            } else {
                builder.push(timestamp_ms, key, value, &wire_headers(record.headers));
            }
        }
        let delivery = Delivery::new(self.ack.clone(), self.count, timestamp_ms);
        self.size_bytes += size_bytes;
        self.count += 1;
        delivery
    }

    /// Compresses, stamps and seals the batch. Done once; see [`restamp`].
    pub(crate) fn encode(&mut self, stamp: &Stamp) -> Result<Bytes> {
        self.closed = true;
        let broken = |text: String| ClientError::Fatal(Cause::text(text));
        let builder = self.builder.take();
        let builder = builder.ok_or_else(|| broken("a batch was encoded twice".to_owned()))?;
        let sequence = if stamp.identity == Identity::NONE { -1 } else { stamp.sequence };
        let builder = builder.compression(stamp.compression).level(stamp.level).producer(
            stamp.identity.id,
            stamp.identity.epoch,
            sequence,
        );
        let builder = if stamp.transactional { builder.transactional() } else { builder };
        builder.finish().map_err(|error| broken(format!("encode a batch: {error}")))
    }

    pub(crate) fn complete(&self, result: Result<Acknowledged>) {
        self.ack.complete(result);
    }
}

/// Marks an encoded batch with another identity and sequence.
pub(crate) fn restamp(bytes: &Bytes, identity: Identity, sequence: i32) -> Bytes {
    let mut copy = BytesMut::from(&bytes[..]);
    let sequence = if identity == Identity::NONE { -1 } else { sequence };
    patch::set_producer(&mut copy, identity.id, identity.epoch, sequence);
    copy.freeze()
}

/// The most that a record can take in a batch.
pub(crate) fn record_size_max(record: &ProducerRecord) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|header| 10 + header.key.len() + header.value.as_ref().map_or(0, Bytes::len))
        .sum();
    headers + BatchBuilder::record_size_max(record.key.as_deref(), record.value.as_deref(), &[])
}

fn wire_headers(headers: Vec<crate::records::Header>) -> Vec<Header> {
    let wire = |header: crate::records::Header| Header {
        key: Bytes::from(header.key),
        value: header.value,
    };
    headers.into_iter().map(wire).collect()
}
