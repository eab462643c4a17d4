//! What a client makes of one partition's part of a fetch answer.
//!
//! Who reads committed records only does what a read-committed client does: it leaves out the records
//! of the transactions that the broker names as aborted, from their first offset to their marker.

use crate::oracle::Value;
use crate::port::Broken;
use bytes::Bytes;
use mainstem_protocol::ProducerId;
use mainstem_protocol::codec::RecordsRef;
use mainstem_protocol::messages::fetch::{
    AbortedTransaction, FetchPartition, FetchTopic, PartitionData,
};
use mainstem_protocol::messages::{FetchRequest, FetchResponse};
use mainstem_protocol::record::{Batch, ControlRecord, batches};
use std::collections::{BTreeSet, VecDeque};

pub(super) const FETCH_VERSION: i16 = 11;
const RECORD_BYTES_MAX: usize = 1 << 20;

/// A fetch of some partitions of a topic, without a session.
pub(super) fn fetch_request(
    topic: &str,
    committed_only: bool,
    partition_bytes_max: i32,
    positions: impl Iterator<Item = (i32, i64)>,
) -> FetchRequest {
    let partition = |(partition, fetch_offset)| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: partition_bytes_max,
        ..FetchPartition::default()
    };
    FetchRequest {
        max_wait_ms: 30,
        min_bytes: 1,
        max_bytes: 4 * partition_bytes_max,
        isolation_level: i8::from(committed_only),
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            partitions: positions.map(partition).collect(),
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

/// All partitions of an answer.
pub(super) fn partitions_of(response: FetchResponse) -> impl Iterator<Item = PartitionData> {
    response.responses.into_iter().flat_map(|topic| topic.partitions)
}

/// What was taken in.
pub(super) struct Intake {
    /// Visible records by offset, in order.
    pub(super) rows: Vec<(i64, Value)>,
    /// Where to read on.
    pub(super) position: i64,
}

/// Reads the records from `position` on.
pub(super) fn take_in(
    part: PartitionData,
    position: i64,
    committed_only: bool,
) -> Result<Intake, Broken> {
    let mut intake = Intake { rows: Vec::new(), position };
    let Some(RecordsRef::Bytes(bytes)) = part.records else { return Ok(intake) };
    let aborted = part.aborted_transactions.unwrap_or_default();
    let mut filter = Filter::new(committed_only, &aborted);
    take_batches(&bytes, &mut filter, &mut intake)?;
    Ok(intake)
}

/// Which transactions are left out.
struct Filter {
    /// Aborted ones by where they began, in order; those before are skipped already.
    aborted: VecDeque<(i64, i64)>,
    skipped: BTreeSet<ProducerId>,
}

impl Filter {
    fn new(committed_only: bool, aborted: &[AbortedTransaction]) -> Self {
        let mut aborted: Vec<_> = if committed_only {
            aborted.iter().map(|t| (t.first_offset, t.producer_id)).collect()
        } else {
            Vec::new()
        };
        aborted.sort_unstable();
        Self { aborted: VecDeque::from(aborted), skipped: BTreeSet::new() }
    }

    /// Those that began up to here are skipped until their marker.
    fn move_to(&mut self, last_offset: i64) {
        while let Some((first_offset, producer_id)) = self.aborted.front().copied() {
            if last_offset < first_offset {
                break;
            }
            self.skipped.insert(ProducerId(producer_id));
            self.aborted.pop_front();
        }
    }
}

fn take_batches(bytes: &Bytes, filter: &mut Filter, intake: &mut Intake) -> Result<(), Broken> {
    for batch in batches(bytes) {
        let batch = batch.map_err(|error| unreadable(&error))?;
        take_batch(&batch, filter, intake)?;
    }
    Ok(())
}

fn unreadable(error: &dyn ToString) -> Broken {
    Broken::new("changed", error.to_string())
}

fn take_batch(batch: &Batch, filter: &mut Filter, intake: &mut Intake) -> Result<(), Broken> {
    let view = batch.view();
    if !view.is_checksum_ok() {
        return Err(Broken::new("changed", format!("checksum at {}", view.base_offset())));
    }
    let from = intake.position;
    intake.position = view.next_offset().0;
    filter.move_to(view.last_offset().0);
    let records = batch.records(RECORD_BYTES_MAX).map_err(|error| unreadable(&error))?;
    for record in records {
        let record = record.map_err(|error| unreadable(&error))?;
        let offset = view.offset_of(&record).0;
        if view.is_control() {
            let control = ControlRecord::decode(record.key.as_ref(), record.value.as_ref())
                .map_err(|error| unreadable(&error))?;
            if matches!(control, ControlRecord::Abort { .. }) {
                filter.skipped.remove(&view.producer_id());
            }
            continue;
        }
        let left_out = view.is_transactional() && filter.skipped.contains(&view.producer_id());
        if offset < from || left_out {
            continue;
        }
        let text = record.value.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let value = Value::parse(&text).ok_or_else(|| unreadable(&"a strange value"))?;
        intake.rows.push((offset, value));
    }
    Ok(())
}
