//! A sink task: read committed records, convert, put, flush; commit only what the target says it
//! has.
//!
//! Exactly once comes from the target: when its `open` answers with positions, reading begins
//! there, whatever the group has committed. The group's offsets are committed all the same, for
//! those who watch the lag.
//!
//! After an error of `put` or `flush` nothing that was put since the last flush counts, and the
//! task ends; the next one opens the target and reads on from its positions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mainstem_client::{
    AutoOffsetReset, Consumer, ConsumerConfig, ConsumerRecord, Isolation, OffsetAndMetadata,
    Polled, Rebalance, TopicPartition,
};

use super::{TaskContext, guest_failed};
use crate::convert::{ConvertError, Converter, Part};
use crate::error::TaskError;
use crate::limits;
use crate::sandbox::bindings::capabilities::mainstem::connect::types::{
    Batch, HdrMeta, RecMeta, Schema,
};
use crate::sandbox::guest::{SinkGuest, wit_sink};

/// How long one poll waits for records.
const POLL_WAIT: Duration = Duration::from_millis(200);

struct SinkTask<'a> {
    context: &'a TaskContext,
    /// None until there is an assignment.
    guest: Option<SinkGuest>,
    consumer: Consumer,
    keys: Converter,
    values: Converter,
    /// Records put since the last flush.
    put: u64,
    flushed: Instant,
    flush_interval: Duration,
}

/// Runs until told to stop.
pub(super) fn run(context: &TaskContext) -> Result<(), TaskError> {
    let runtime = context.services.runtime.clone();
    let consumer = runtime.block_on(open_consumer(context))?;
    let mut task = SinkTask {
        context,
        guest: None,
        consumer,
        keys: context.converter(Part::Key)?,
        values: context.converter(Part::Value)?,
        put: 0,
        flushed: Instant::now(),
        flush_interval: context.millis("flush.interval.ms", 500),
    };
    let result = task.work();
    if context.stop.is_abandoned() {
        return Ok(());
    }
    let result = result.and_then(|()| task.flush());
    if let Some(mut guest) = task.guest.take() {
        // A broken guest cannot be asked to close.
        let _ = guest.close();
    }
    let _ = runtime.block_on(task.consumer.close());
    result
}

async fn open_consumer(context: &TaskContext) -> Result<Consumer, TaskError> {
    let mut config = ConsumerConfig::new(&context.services.config.bootstrap);
    config.group_id = Some(format!("connect-{}", context.connector));
    config.client_id = format!("connect-{}-{}", context.connector, context.index);
    config.isolation = Isolation::ReadCommitted;
    config.auto_offset_reset = AutoOffsetReset::Earliest;
    config.auto_commit = None;
    config.max_poll_records = limits::PUT_RECORDS_MAX;
    config.session_timeout = limits::SINK_SESSION_TIMEOUT;
    config.heartbeat_interval = limits::SINK_SESSION_TIMEOUT / 4;
    let failed = |error| TaskError::from_client("open the consumer", &error);
    let consumer = Consumer::connect(config).await.map_err(failed)?;
    let topics: Vec<&str> =
        context.text("topics").split(',').map(str::trim).filter(|t| !t.is_empty()).collect();
    consumer.subscribe(&topics).map_err(failed)?;
    Ok(consumer)
}

impl SinkTask<'_> {
    fn work(&mut self) -> Result<(), TaskError> {
        while !self.context.stop.is_stopping() {
            let Some(polled) = self.poll()? else { return Ok(()) };
            if let Some(rebalance) = polled.rebalance {
                self.rebalance(rebalance)?;
            }
            let quiet = polled.batches.is_empty();
            for batch in &polled.batches {
                for records in batch.records.chunks(limits::PUT_RECORDS_MAX) {
                    self.put(records)?;
                }
            }
            if 0 < self.put && (quiet || self.flush_interval <= self.flushed.elapsed()) {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// None at the stop.
    fn poll(&self) -> Result<Option<Polled>, TaskError> {
        self.context.services.runtime.block_on(async {
            tokio::select! {
                () = self.context.stop.stopped() => Ok(None),
                polled = self.consumer.poll(POLL_WAIT) => match polled {
                    Ok(polled) => Ok(Some(polled)),
                    Err(error) => Err(TaskError::from_client("poll", &error)),
                },
            }
        })
    }

    fn rebalance(&mut self, rebalance: Rebalance) -> Result<(), TaskError> {
        match rebalance {
            Rebalance::Revoked(partitions) => {
                self.flush()?;
                if let Some(guest) = &mut self.guest {
                    let answer = guest.reassign(&to_wire(&partitions), &[]);
                    answer.map_err(|error| guest_failed("reassign", &error))?;
                }
                Ok(())
            }
            // What was put since the last flush belongs to somebody else now: forget the guest with
            // it.
            Rebalance::Lost(_) => {
                self.guest = None;
                self.put = 0;
                Ok(())
            }
            Rebalance::Assigned { partitions, .. } => self.assign(&partitions),
        }
    }

    fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), TaskError> {
        let assigned = to_wire(partitions);
        let positions = match &mut self.guest {
            Some(guest) => {
                guest.reassign(&[], &assigned).map_err(|error| guest_failed("reassign", &error))?
            }
            None => {
                let mut guest = self.start_guest()?;
                let positions =
                    guest.open(&assigned).map_err(|error| guest_failed("open", &error))?;
                self.guest = Some(guest);
                positions
            }
        };
        for position in positions {
            let partition = TopicPartition::new(position.topic, position.partition);
            // A target may remember partitions that belong to other tasks.
            if partitions.contains(&partition) {
                let sought = self.consumer.seek(&partition, position.offset);
                sought.map_err(|error| TaskError::from_client("seek", &error))?;
            }
        }
        Ok(())
    }

    fn start_guest(&self) -> Result<SinkGuest, TaskError> {
        let context = self.context;
        let plugins = &context.services.plugins;
        let (component, config) = (&context.plugin.component, context.guest_config());
        SinkGuest::start(plugins.sandbox(), plugins.linker(), component, context.tenant(), &config)
            .map_err(|error| guest_failed("start the plugin", &error))
    }

    fn put(&mut self, records: &[ConsumerRecord]) -> Result<(), TaskError> {
        self.context.numbers.taken.fetch_add(records.len() as u64, Ordering::Relaxed);
        let runtime = self.context.services.runtime.clone();
        let batch = runtime.block_on(self.convert(records))?;
        let Some(guest) = &mut self.guest else {
            return Err(TaskError::passing("records came before an assignment"));
        };
        let failures = guest.put(&batch).map_err(|error| guest_failed("put", &error))?;
        self.put += batch.recs.len() as u64;
        for failure in failures {
            let meta = batch.recs.get(failure.index as usize);
            let position = meta.map_or_else(String::new, |meta| {
                let topic = batch.topics.get(usize::from(meta.topic)).map_or("", String::as_str);
                format!("{topic}-{} offset {}", meta.partition, meta.offset)
            });
            self.context.skip(&position, &failure.message)?;
        }
        Ok(())
    }

    async fn convert(&mut self, records: &[ConsumerRecord]) -> Result<Batch, TaskError> {
        let mut building = Building::default();
        let plugin = &self.context.plugin;
        for record in records {
            let before = building.batch.arena.len();
            let arena = &mut building.batch.arena;
            let key =
                append(&mut self.keys, plugin.key_encoding, record.key.as_deref(), arena).await;
            let value = match key {
                Ok(key) => {
                    let bytes = record.value.as_deref();
                    let value = append(&mut self.values, plugin.value_encoding, bytes, arena).await;
                    value.map(|value| (key, value))
                }
                Err(error) => Err(error),
            };
            match value {
                Ok((key, value)) => building.push(record, &key, &value, (&self.keys, &self.values)),
                Err(ConvertError::Task(error)) => return Err(error.during("convert")),
                Err(ConvertError::Record(reason)) => {
                    building.batch.arena.truncate(before);
                    let (topic, partition) = (&record.topic, record.partition);
                    let position = format!("{topic}-{partition} offset {}", record.offset);
                    self.context.skip(&position, &reason)?;
                }
            }
        }
        Ok(building.batch)
    }

    /// Makes the target durable and commits what it says.
    fn flush(&mut self) -> Result<(), TaskError> {
        self.flushed = Instant::now();
        let Some(guest) = &mut self.guest else { return Ok(()) };
        if self.put == 0 {
            return Ok(());
        }
        let positions = guest.flush().map_err(|error| guest_failed("flush", &error))?;
        let offsets: Vec<(TopicPartition, OffsetAndMetadata)> = positions
            .into_iter()
            .map(|position| {
                let partition = TopicPartition::new(position.topic, position.partition);
                (partition, OffsetAndMetadata::new(position.offset))
            })
            .collect();
        let delivered = std::mem::take(&mut self.put);
        self.context.numbers.delivered.fetch_add(delivered, Ordering::Relaxed);
        self.context.numbers.commits.fetch_add(1, Ordering::Relaxed);
        self.context.progressed();
        let committed = self.context.services.runtime.block_on(self.consumer.commit(&offsets));
        match committed {
            // The group moved on; the coming poll says how, and the target's own positions are
            // safe.
            Err(error) if error.is_retriable() => {
                tracing::debug!(connector = self.context.connector, "commit of positions: {error}");
                Ok(())
            }
            other => other.map_err(|error| TaskError::from_client("commit positions", &error)),
        }
    }
}

fn to_wire(partitions: &[TopicPartition]) -> Vec<wit_sink::TopicPartition> {
    let convert = |partition: &TopicPartition| wit_sink::TopicPartition {
        topic: partition.topic.to_string(),
        partition: partition.partition,
    };
    partitions.iter().map(convert).collect()
}

/// Where one converted part lies, and its schema's id.
struct Placed {
    offset: usize,
    /// None is null.
    length: Option<usize>,
    schema_id: Option<u32>,
}

async fn append(
    converter: &mut Converter,
    encoding: crate::sandbox::bindings::capabilities::mainstem::connect::types::Encoding,
    bytes: Option<&[u8]>,
    arena: &mut Vec<u8>,
) -> Result<Placed, ConvertError> {
    let offset = arena.len();
    let Some(bytes) = bytes else { return Ok(Placed { offset, length: None, schema_id: None }) };
    let incoming = converter.incoming(encoding, bytes, arena).await?;
    Ok(Placed { offset, length: Some(arena.len() - offset), schema_id: incoming.schema_id })
}

/// A batch being built, with what was put into its tables so far.
struct Building {
    batch: Batch,
    topics: BTreeMap<Arc<str>, u16>,
    schemas: BTreeMap<u32, u16>,
}

impl Default for Building {
    fn default() -> Building {
        let batch = Batch {
            topics: Vec::new(),
            schemas: Vec::new(),
            recs: Vec::new(),
            hdrs: Vec::new(),
            arena: Vec::new(),
        };
        Building { batch, topics: BTreeMap::new(), schemas: BTreeMap::new() }
    }
}

impl Building {
    fn push(
        &mut self,
        record: &ConsumerRecord,
        key: &Placed,
        value: &Placed,
        converters: (&Converter, &Converter),
    ) {
        let topic = match self.topics.get(&record.topic) {
            Some(index) => *index,
            None => {
                let index = narrow(self.batch.topics.len());
                self.batch.topics.push(record.topic.to_string());
                self.topics.insert(Arc::clone(&record.topic), index);
                index
            }
        };
        let key_schema = self.schema(key.schema_id, converters.0);
        let val_schema = self.schema(value.schema_id, converters.1);
        let hdr_first = self.headers(record);
        self.batch.recs.push(RecMeta {
            topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp_ms,
            key_off: place(key.offset),
            key_len: length(key.length),
            val_off: place(value.offset),
            val_len: length(value.length),
            hdr_first,
            hdr_count: narrow(record.headers.len()),
            key_schema,
            val_schema,
        });
    }

    fn headers(&mut self, record: &ConsumerRecord) -> u32 {
        let first = place(self.batch.hdrs.len());
        for header in record.headers.iter().take(usize::from(u16::MAX)) {
            let arena = &mut self.batch.arena;
            let name_off = place(arena.len());
            arena.extend_from_slice(header.key.as_bytes());
            let val_off = place(arena.len());
            arena.extend_from_slice(header.value.as_deref().unwrap_or_default());
            self.batch.hdrs.push(HdrMeta {
                name_off,
                name_len: place(header.key.len()),
                val_off,
                val_len: length(header.value.as_ref().map(bytes::Bytes::len)),
            });
        }
        first
    }

    fn schema(&mut self, id: Option<u32>, converter: &Converter) -> u16 {
        let Some(id) = id else { return 0 };
        if let Some(index) = self.schemas.get(&id) {
            return *index;
        }
        let definition = converter.definition(id).unwrap_or_default();
        self.batch.schemas.push(Schema {
            id: i32::try_from(id).unwrap_or(-1),
            kind: "avro".to_string(),
            subject: String::new(),
            version: -1,
            definition: definition.as_bytes().to_vec(),
        });
        let index = narrow(self.batch.schemas.len());
        self.schemas.insert(id, index);
        index
    }
}

// A batch is made of one poll, whose records and bytes are limited far below these types.
fn place(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

fn length(length: Option<usize>) -> i32 {
    length.map_or(-1, |length| i32::try_from(length).unwrap_or(i32::MAX))
}

fn narrow(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
