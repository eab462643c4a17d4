//! What one fetch brought for one partition, read record by record.
//!
//! Nothing of it is thrown away: a poll that is full stops in the middle of a batch, and the next
//! one goes on from there.
//!
//! A read-committed consumer skips aborted data here. The broker names the aborted transactions
//! that touch the chunk, by producer and first offset; one is entered when the walk reaches that
//! offset and left at its abort marker. Markers themselves are skipped at either isolation.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use mainstem_protocol::ProducerId;
use mainstem_protocol::record::{Batch, Batches, ControlRecord, Record, Records, batches};

use crate::config::Isolation;
use crate::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use crate::records::{ConsumerRecord, Header, TopicPartition};

/// An aborted transaction that touches a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Aborted {
    pub(crate) first_offset: i64,
    pub(crate) producer_id: ProducerId,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Chunk {
    batches: Batches,
    current: Option<(Batch, Records)>,
    isolation: Isolation,
    /// Transactions still ahead, by first offset.
    aborted: VecDeque<Aborted>,
    /// Producers whose transaction around the present batch was aborted.
    aborting: BTreeSet<ProducerId>,
    /// Everything before was delivered or skipped.
    position: i64,
    size_bytes: usize,
    /// What is broken stays broken: stepping over it silently would lose records.
    failed: Option<String>,
}

impl Chunk {
    /// `position`: records before it are skipped; a fetch may begin in the middle of a batch.
    pub(crate) fn new(
        bytes: &Bytes,
        position: i64,
        isolation: Isolation,
        mut aborted: Vec<Aborted>,
    ) -> Self {
        aborted.sort();
        Self {
            batches: batches(bytes),
            current: None,
            isolation,
            aborted: aborted.into(),
            aborting: BTreeSet::new(),
            position,
            size_bytes: bytes.len(),
            failed: None,
        }
    }

    /// The offset after the last whole batch of `bytes`; `None` without a batch.
    pub(crate) fn end_of(bytes: &Bytes) -> Option<i64> {
        batches(bytes).map_while(Result::ok).last().map(|batch| batch.view().next_offset().0)
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    /// The next record; `None` at the end of the chunk. After an error, the error again.
    pub(crate) fn next(
        &mut self,
        partition: &TopicPartition,
    ) -> Result<Option<ConsumerRecord>, String> {
        if let Some(text) = &self.failed {
            return Err(text.clone());
        }
        let next = self.read(partition);
        if let Err(text) = &next {
            self.failed = Some(text.clone());
        }
        next
    }

    fn read(&mut self, partition: &TopicPartition) -> Result<Option<ConsumerRecord>, String> {
        loop {
            while let Some((batch, records)) = &mut self.current {
                let Some(record) = records.next() else {
                    self.position = self.position.max(batch.view().next_offset().0);
                    self.current = None;
                    break;
                };
                let record = record.map_err(|error| format!("{partition}: {error}"))?;
                let view = batch.view();
                let offset = view.offset_of(&record).0;
                if offset < self.position {
                    continue;
                }
                self.position = offset + 1;
                let timestamp_ms = view.timestamp_of_ms(&record);
                return Ok(Some(to_record(partition, offset, timestamp_ms, record)));
            }
            let Some(batch) = self.batches.next() else { return Ok(None) };
            let batch = batch.map_err(|error| format!("{partition}: {error}"))?;
            self.enter(batch)
                .map_err(|error| format!("{partition} at offset {}: {error}", self.position))?;
        }
    }

    /// The next whole batch, or the rest of the one that is being read; `None` at the end of the
    /// chunk. It counts as read.
    pub(crate) fn take_batch(
        &mut self,
        partition: &TopicPartition,
    ) -> Result<Option<(Batch, i64)>, String> {
        if let Some(text) = &self.failed {
            return Err(text.clone());
        }
        loop {
            if let Some((batch, _)) = self.current.take() {
                return Ok(Some(self.hand_out(batch)));
            }
            let Some(batch) = self.batches.next() else { return Ok(None) };
            let admitted = match batch {
                Ok(batch) => self.admit(&batch).map(|admitted| admitted.then_some(batch)),
                Err(error) => Err(error.to_string()),
            };
            match admitted {
                Ok(Some(batch)) => return Ok(Some(self.hand_out(batch))),
                Ok(None) => {}
                Err(error) => {
                    let text = format!("{partition} at offset {}: {error}", self.position);
                    self.failed = Some(text.clone());
                    return Err(text);
                }
            }
        }
    }

    fn hand_out(&mut self, batch: Batch) -> (Batch, i64) {
        let from = self.position;
        self.position = from.max(batch.view().next_offset().0);
        (batch, from)
    }

    /// Opens a batch, or steps over it.
    fn enter(&mut self, batch: Batch) -> Result<(), String> {
        if self.admit(&batch)? {
            batch.view().check_checksum().map_err(|error| error.to_string())?;
            let records = batch.records(BATCH_UNCOMPRESSED_BYTES_MAX);
            let records = records.map_err(|error| error.to_string())?;
            self.current = Some((batch, records));
        }
        Ok(())
    }

    /// Whether a reader sees records of this batch. One that none is seen of is behind us now.
    fn admit(&mut self, batch: &Batch) -> Result<bool, String> {
        let view = batch.view();
        let next_offset = view.next_offset().0;
        while let Some(first) = self.aborted.front().filter(|a| a.first_offset < next_offset) {
            self.aborting.insert(first.producer_id);
            self.aborted.pop_front();
        }
        let producer_id = view.producer_id();
        let hidden = self.isolation == Isolation::ReadCommitted
            && view.is_transactional()
            && self.aborting.contains(&producer_id);
        if view.is_control() {
            view.check_checksum().map_err(|error| error.to_string())?;
            if is_abort(batch)? {
                self.aborting.remove(&producer_id);
            }
        } else if !hidden && next_offset > self.position {
            return Ok(true);
        }
        self.position = self.position.max(next_offset);
        Ok(false)
    }
}

fn is_abort(batch: &Batch) -> Result<bool, String> {
    let mut records = batch.records(BATCH_UNCOMPRESSED_BYTES_MAX).map_err(|e| e.to_string())?;
    let Some(record) = records.next() else { return Ok(false) };
    let record = record.map_err(|error| error.to_string())?;
    match ControlRecord::decode(record.key.as_ref(), record.value.as_ref()) {
        Ok(ControlRecord::Abort { .. }) => Ok(true),
        Ok(ControlRecord::Commit { .. } | ControlRecord::Other { .. }) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

fn to_record(
    partition: &TopicPartition,
    offset: i64,
    timestamp_ms: i64,
    record: Record,
) -> ConsumerRecord {
    let header = |header: mainstem_protocol::record::Header| Header {
        key: header.key_text().into_owned(),
        value: header.value,
    };
    ConsumerRecord {
        topic: partition.topic.clone(),
        partition: partition.partition,
        offset,
        timestamp_ms,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().map(header).collect(),
    }
}
