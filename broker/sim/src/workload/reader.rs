//! A reader of all partitions, from the beginning on, that remembers everything it saw.
//!
//! With `committed_only` it does what a read-committed client does: it leaves out the records of the
//! transactions that the broker names as aborted, from their first offset to their marker.
//!
//! Rule that it checks itself: a high watermark never goes back.

use super::{RETRY_AFTER, TOPIC, is_passing};
use crate::oracle::{Rows, Testimony, Value};
use crate::port::{Actor, Broken, Port, answer};
use bytes::Bytes;
use mainstem_protocol::codec::RecordsRef;
use mainstem_protocol::messages::FetchRequest;
use mainstem_protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use mainstem_protocol::record::{Batch, ControlRecord, batches};
use mainstem_protocol::{ErrorCode, ProducerId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const VERSION: i16 = 11;
const RECORD_BYTES_MAX: usize = 1 << 20;

/// An aborted transaction, ordered by where it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Began {
    first_offset: i64,
    producer_id: i64,
}

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Reader {
    name: String,
    committed_only: bool,
    /// Stops once it has read to the end when it was told that nothing more comes.
    until_end: bool,
    positions: BTreeMap<i32, i64>,
    rows: Rows,
    /// High watermark and last stable offset as told last.
    ends: BTreeMap<i32, (i64, i64)>,
    waiting: bool,
}

impl Reader {
    pub(crate) fn new(name: &str, partitions: i32, committed_only: bool, until_end: bool) -> Self {
        Self {
            name: name.to_owned(),
            committed_only,
            until_end,
            positions: (0..partitions).map(|partition| (partition, 0)).collect(),
            rows: Rows::new(),
            ends: BTreeMap::new(),
            waiting: false,
        }
    }

    /// When it was made to read to the end: everything acknowledged is read, nothing is undecided.
    fn is_finished(&self) -> bool {
        let read = |(partition, position): (&i32, &i64)| {
            let end = self.ends.get(partition);
            end.is_some_and(|(high, stable)| high == stable && high <= position)
        };
        self.until_end && self.positions.iter().all(read)
    }

    fn fetch(&mut self, port: &mut Port) {
        if !port.connected || self.waiting || self.is_finished() {
            return;
        }
        let partition = |(partition, fetch_offset): (&i32, &i64)| FetchPartition {
            partition: *partition,
            fetch_offset: *fetch_offset,
            partition_max_bytes: 600,
            ..FetchPartition::default()
        };
        let request = FetchRequest {
            max_wait_ms: 50,
            min_bytes: 1,
            max_bytes: 2_000,
            isolation_level: i8::from(self.committed_only),
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: TOPIC.to_owned(),
                partitions: self.positions.iter().map(partition).collect(),
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        port.send(VERSION, &request);
        self.waiting = true;
    }

    fn take(&mut self, part: PartitionData) -> Result<(), Broken> {
        let partition = part.partition_index;
        match part.error_code {
            ErrorCode::NONE => {}
            error if is_passing(error) => return Ok(()),
            error => return Err(Broken(format!("{}: {partition}: {error:?}", self.name))),
        }
        let end = (part.high_watermark, part.last_stable_offset);
        let before = self.ends.insert(partition, end);
        if before.is_some_and(|before| end.0 < before.0) {
            return Err(Broken(format!("{}: high watermark {before:?} to {end:?}", self.name)));
        }
        let Some(RecordsRef::Bytes(bytes)) = part.records else { return Ok(()) };
        let mut aborted: Vec<Began> = part
            .aborted_transactions
            .unwrap_or_default()
            .iter()
            .map(|t| Began { first_offset: t.first_offset, producer_id: t.producer_id })
            .collect();
        aborted.sort();
        let mut aborted = VecDeque::from(aborted);
        let mut skipped = BTreeSet::new();
        for batch in batches(&bytes) {
            let batch = batch.map_err(|error| Broken(format!("{}: {error}", self.name)))?;
            self.take_batch(partition, &batch, &mut aborted, &mut skipped)?;
        }
        Ok(())
    }

    fn take_batch(
        &mut self,
        partition: i32,
        batch: &Batch,
        aborted: &mut VecDeque<Began>,
        skipped: &mut BTreeSet<ProducerId>,
    ) -> Result<(), Broken> {
        let view = batch.view();
        let unreadable = |error: &dyn ToString| Broken(error.to_string());
        if !view.is_checksum_ok() {
            return Err(Broken(format!("{}: checksum at {}", self.name, view.base_offset())));
        }
        let position = self.positions.entry(partition).or_insert(0);
        let from = *position;
        *position = view.next_offset().0;
        // The list is sorted: those that began up to here are skipped until their marker.
        while let Some(next) = aborted.front().copied() {
            if next.first_offset > view.last_offset().0 {
                break;
            }
            skipped.insert(ProducerId(next.producer_id));
            aborted.pop_front();
        }
        let records = batch.records(RECORD_BYTES_MAX).map_err(|error| unreadable(&error))?;
        for record in records {
            let record = record.map_err(|error| unreadable(&error))?;
            let offset = view.offset_of(&record).0;
            if view.is_control() {
                let control = ControlRecord::decode(record.key.as_ref(), record.value.as_ref())
                    .map_err(|error| unreadable(&error))?;
                if matches!(control, ControlRecord::Abort { .. }) {
                    skipped.remove(&view.producer_id());
                }
                continue;
            }
            let left_out = view.is_transactional() && skipped.contains(&view.producer_id());
            if offset < from || left_out {
                continue;
            }
            let text = record.value.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let value = Value::parse(&text).ok_or_else(|| unreadable(&"a strange value"))?;
            self.rows.entry(partition).or_default().insert(offset, value);
        }
        Ok(())
    }
}

impl Actor for Reader {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn timer(&mut self, port: &mut Port) -> Result<(), Broken> {
        if self.is_finished() {
            return Ok(());
        }
        if port.connected {
            self.fetch(port);
        } else {
            port.connect();
        }
        port.wake_after(RETRY_AFTER);
        Ok(())
    }

    fn connected(&mut self, port: &mut Port) -> Result<(), Broken> {
        self.fetch(port);
        Ok(())
    }

    fn disconnected(&mut self, _: &mut Port) {
        self.waiting = false;
    }

    fn answered(&mut self, port: &mut Port, _: i32, frame: Bytes) -> Result<(), Broken> {
        self.waiting = false;
        let response = answer::<FetchRequest>(VERSION, frame);
        for part in response.responses.into_iter().flat_map(|topic| topic.partitions) {
            self.take(part)?;
        }
        self.fetch(port);
        Ok(())
    }

    /// A reader that reads for ever keeps nobody waiting.
    fn is_done(&self) -> bool {
        !self.until_end || self.is_finished()
    }

    fn testimony(&self) -> Testimony {
        Testimony::Seen { committed_only: self.committed_only, rows: self.rows.clone() }
    }
}
