//! The form of what is sent: records, batches, and whole produce requests that are encoded once.
//!
//! Values are half random bytes and half text that repeats, so that a codec has work and a gain as
//! with real data; they are the same in every run. All records of a batch have the time at which the
//! batch was built.

use bytes::Bytes;
use clap::ValueEnum;
use mainstem_platform::os::OsClock;
use mainstem_platform::{Clock, Random, SeededRandom};
use mainstem_protocol::messages::ProduceRequest;
use mainstem_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use mainstem_protocol::record::BatchBuilder;

use super::arguments::{Acks, Driver, Shape, Writing};
use super::report::Report;
use super::target::Target;
use super::wire::{Wire, encode};
use crate::failure::Failure;
use crate::produce::codec;

/// The last version that names topics by name and adds nothing to a transaction.
pub(crate) const PRODUCE_VERSION_CAP: i16 = 11;
/// The least that a produce request may be answered with.
const REQUEST_TIMEOUT_MS: i32 = 30_000;
const SEED: u64 = 0x6d61_696e_7374_656d;
/// What repeats in values.
const TEXT: &[u8] = b"{\"flight\":\"UA1545\",\"origin\":\"EWR\",\"dest\":\"IAH\",\"delay\":";

/// One batch, as it is sent again and again.
pub(crate) struct PreparedBatch {
    pub(crate) bytes: Bytes,
    pub(crate) records: u64,
    /// Bytes of the records' values.
    pub(crate) value_bytes: u64,
}

/// A produce request with one batch for each partition of a connection.
pub(crate) struct PreparedRequest {
    pub(crate) frame: Bytes,
    pub(crate) version: i16,
    pub(crate) records: u64,
    pub(crate) value_bytes: u64,
}

/// The value of a record; `number` makes it another one.
pub(crate) fn value(random: &mut SeededRandom, bytes: u32) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes as usize);
    while value.len() < bytes as usize {
        let from = random.below(TEXT.len() as u64 / 2) as usize;
        value.extend_from_slice(&TEXT[from..from + 16]);
        value.extend_from_slice(&random.next_u64().to_le_bytes());
        value.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    value.truncate(bytes as usize);
    value
}

/// The source of values; the same in every run.
pub(crate) fn values() -> SeededRandom {
    SeededRandom::new(SEED)
}

/// Fills one batch up to the shape's size.
pub(crate) fn batch(shape: &Shape) -> Result<PreparedBatch, Failure> {
    let mut random = values();
    let mut builder = BatchBuilder::new().compression(codec(shape.compression));
    let now_ms = OsClock.now().wall_ms;
    let mut records = 0;
    loop {
        let value = value(&mut random, shape.record_bytes);
        let room = shape.batch_bytes as usize;
        let next = BatchBuilder::record_size_max(None, Some(&value), &[]);
        if records > 0 && room < builder.size_bytes() + next {
            break;
        }
        builder.push(now_ms, None, Some(&value), &[]);
        records += 1;
    }
    let bytes = builder.finish().map_err(|error| Failure::doing("build a batch", &error))?;
    Ok(PreparedBatch { bytes, records, value_bytes: records * u64::from(shape.record_bytes) })
}

/// Encodes the request of a connection that writes to these partitions.
pub(crate) fn request(
    wire: &Wire,
    target: &Target,
    partitions: &[i32],
    batch: &PreparedBatch,
    acks: Acks,
) -> Result<PreparedRequest, Failure> {
    let data =
        |index: &i32| PartitionProduceData { index: *index, records: Some(batch.bytes.clone()) };
    let request = ProduceRequest {
        transactional_id: None,
        acks: match acks {
            Acks::All => -1,
            Acks::Leader => 1,
        },
        timeout_ms: REQUEST_TIMEOUT_MS,
        topic_data: vec![TopicProduceData {
            name: target.topic.to_string(),
            partition_data: partitions.iter().map(data).collect(),
            ..TopicProduceData::default()
        }],
    };
    let version = wire.version::<ProduceRequest>(PRODUCE_VERSION_CAP)?;
    let count = partitions.len() as u64;
    Ok(PreparedRequest {
        frame: encode(&request, version)?,
        version,
        records: batch.records * count,
        value_bytes: batch.value_bytes * count,
    })
}

/// States the form of the requests.
pub(crate) fn describe(report: &mut Report, shape: &Shape, target: &Target) {
    let compression = shape.compression.to_possible_value();
    report.setting("flush", target.flush.clone());
    report.setting("record bytes", shape.record_bytes);
    report.setting("batch bytes", shape.batch_bytes);
    report.setting("compression", compression.map(|value| value.get_name().to_owned()));
    report.setting("partitions", shape.partitions);
    report.setting("connections", target.shares(shape.connections).len());
}

/// States how records are appended.
pub(crate) fn describe_writing(report: &mut Report, writing: &Writing, driver: Driver) {
    let acks = match writing.acks {
        Acks::All => "all",
        Acks::Leader => "1",
    };
    report.setting("acks", acks);
    report.setting("in flight", writing.in_flight);
    match driver {
        Driver::Client => report.setting("linger ms", writing.linger_ms),
        Driver::Wire => report.setting("linger", "none: batches are full"),
    }
}
