//! A batch of records as the broker keeps it, read in place.

use mainstem_protocol::record::{RecordRef, RecordRefs, Records, TimestampType};

use super::positions::Taken;
use crate::error::{Cause, ClientError, Result};
use crate::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use crate::records::{Rebalance, TopicPartition};

/// What [`Consumer::next_batch`](crate::Consumer::next_batch) brings.
#[derive(Debug)]
pub enum Received {
    Batch(RecordBatch),
    /// As in [`Polled`](crate::Polled).
    Rebalance(Rebalance),
}

/// Records of one partition, in offset order, whose keys and values are not copied: they borrow the
/// batch, which is the bytes that came from the broker, or what was decompressed of them.
///
/// ```no_run
/// # use std::time::Duration;
/// # use mainstem_client::{ClientError, Consumer, Received};
/// # async fn sum(consumer: &Consumer) -> Result<usize, ClientError> {
/// let mut bytes = 0;
/// while let Some(Received::Batch(batch)) = consumer.next_batch(Duration::from_secs(1)).await? {
///     for record in &batch {
///         bytes += record?.value.map_or(0, <[u8]>::len);
///     }
/// }
/// # Ok(bytes)
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RecordBatch {
    topic_partition: TopicPartition,
    records: Records,
    base_offset: i64,
    next_offset: i64,
    /// Records before it are passed over: the position was in the middle of the batch.
    from: i64,
    /// The time of all records, for topics with `LogAppendTime`.
    append_time_ms: Option<i64>,
    base_timestamp_ms: i64,
    high_watermark: i64,
    last_stable_offset: i64,
}

impl RecordBatch {
    /// Checks and decompresses what was taken.
    pub(crate) fn open(taken: &Taken) -> Result<Self> {
        let view = taken.batch.view();
        let opened = view.check_checksum();
        let records = opened.and_then(|()| taken.batch.records(BATCH_UNCOMPRESSED_BYTES_MAX));
        let records = records.map_err(|error| {
            let text = format!("{} at offset {}: {error}", taken.topic_partition, taken.from);
            ClientError::Refused(Cause { code: 2, text })
        })?;
        let at_append = view.timestamp_type() == TimestampType::LogAppendTime;
        Ok(Self {
            topic_partition: taken.topic_partition.clone(),
            records,
            base_offset: view.base_offset().0,
            next_offset: view.next_offset().0,
            from: taken.from,
            append_time_ms: at_append.then(|| view.max_timestamp_ms()),
            base_timestamp_ms: view.base_timestamp_ms(),
            high_watermark: taken.high_watermark,
            last_stable_offset: taken.last_stable_offset,
        })
    }

    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// Where the next batch begins: what to commit when this one is processed.
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// End of what is committed by replication, as of the fetch that brought this batch.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// End of what a read-committed consumer may see.
    pub fn last_stable_offset(&self) -> i64 {
        self.last_stable_offset
    }

    /// The records, again from the first one each time. One that cannot be read is an error and the
    /// end: its producer wrote it wrong, for the checksum of the batch is right.
    pub fn records(&self) -> RecordIter<'_> {
        RecordIter { batch: self, records: self.records.borrowed() }
    }
}

impl<'a> IntoIterator for &'a RecordBatch {
    type Item = Result<RecordView<'a>>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.records()
    }
}

/// One record of a [`RecordBatch`].
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    record: RecordRef<'a>,
}

impl<'a> RecordView<'a> {
    /// Keys and values, in the order of the record. A key is text by agreement.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        self.record.headers()
    }
}

/// See [`RecordBatch::records`].
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    batch: &'a RecordBatch,
    records: RecordRefs<'a>,
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let RecordBatch { base_offset, base_timestamp_ms, append_time_ms, from, .. } = self.batch;
        loop {
            let record = match self.records.next()? {
                Ok(record) => record,
                Err(error) => {
                    let text = format!("{}: {error}", self.batch.topic_partition);
                    return Some(Err(ClientError::Refused(Cause { code: 2, text })));
                }
            };
            let offset = base_offset.saturating_add(i64::from(record.offset_delta()));
            if offset < *from {
                continue;
            }
            let created_ms = base_timestamp_ms.saturating_add(record.timestamp_delta_ms());
            return Some(Ok(RecordView {
                offset,
                timestamp_ms: append_time_ms.unwrap_or(created_ms),
                key: record.key(),
                value: record.value(),
                record,
            }));
        }
    }
}
