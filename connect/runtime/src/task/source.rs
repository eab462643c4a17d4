//! A source task: poll the guest, convert, send; records and positions in one transaction.
//!
//! Exactly once comes from three things together:
//! - opening the transactional id `{group}-{connector}-{task}` fences an older task of the same
//!   name and ends its transaction, before the positions are read;
//! - positions are records of the offsets topic, sent in the same transaction as the data they
//!   stand behind;
//! - after any doubt the transaction is aborted and the task ends; the next one reads what was
//!   committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mainstem_client::{
    Admin, AdminConfig, ClientError, Header, NewTopic, Producer, ProducerConfig, ProducerRecord,
};
use mainstem_protocol::ErrorCode;

use super::offsets::read_stored;
use super::{TaskContext, guest_failed};
use crate::convert::{ConvertError, Converter, Part};
use crate::error::TaskError;
use crate::limits;
use crate::sandbox::bindings::capabilities::mainstem::connect::types::{Batch, RecMeta};
use crate::sandbox::guest::{SourceGuest, wit_source};
use crate::worker::records::{offset_key, state_key, state_value};

/// Pause after a poll that brought nothing.
const IDLE_PAUSE: Duration = Duration::from_millis(100);
/// The contract's number for "a copy in every partition".
const EVERY_PARTITION: i32 = -2;

/// What the open transaction holds.
#[derive(Default)]
struct Open {
    since: Option<Instant>,
    records: usize,
    /// Source partition -> offset, the last one wins.
    marks: BTreeMap<String, Option<String>>,
    token: Option<u64>,
}

struct SourceTask<'a> {
    context: &'a TaskContext,
    guest: SourceGuest,
    producer: Producer,
    keys: Converter,
    values: Converter,
    /// Topics that were created or found, with their partitions.
    topics: BTreeMap<String, i32>,
    open: Open,
    boundary_interval: Duration,
}

/// Runs until told to stop.
pub(super) fn run(context: &TaskContext) -> Result<(), TaskError> {
    let runtime = context.services.runtime.clone();
    let producer = runtime.block_on(open_producer(context))?;
    let stored = runtime.block_on(read_stored(context))?;
    let (sandbox, linker) = (context.services.plugins.sandbox(), context.services.plugins.linker());
    let component = &context.plugin.component;
    let mut guest =
        SourceGuest::start(sandbox, linker, component, context.tenant(), &context.guest_config())
            .map_err(|error| guest_failed("start the plugin", &error))?;
    guest.tenant().state.values = stored.state;
    let positions: Vec<(String, String)> = stored.positions.into_iter().collect();
    guest.open(&positions).map_err(|error| guest_failed("open", &error))?;
    let mut task = SourceTask {
        context,
        guest,
        producer,
        keys: context.converter(Part::Key)?,
        values: context.converter(Part::Value)?,
        topics: BTreeMap::new(),
        open: Open::default(),
        boundary_interval: context.millis("transaction.boundary.interval.ms", 200),
    };
    let result = task.work();
    if context.stop.is_abandoned() {
        return Ok(());
    }
    let result = match result {
        Ok(()) => task.commit(),
        Err(error) => {
            task.abort();
            Err(error)
        }
    };
    // The guest may hold resources outside; a broken one cannot be asked to close.
    let _ = task.guest.close();
    let _ = runtime.block_on(task.producer.close());
    result
}

async fn open_producer(context: &TaskContext) -> Result<Producer, TaskError> {
    let config = &context.services.config;
    let id = format!("{}-{}-{}", config.group_id, context.connector, context.index);
    let mut settings = ProducerConfig::new(&config.bootstrap);
    settings.client_id = format!("connect-{}-{}", context.connector, context.index);
    settings.transactional_id = Some(id);
    let failed = |error| TaskError::from_client("open the transactional producer", &error);
    let producer = Producer::connect(settings).await.map_err(failed)?;
    producer.init_transactions().await.map_err(failed)?;
    Ok(producer)
}

impl SourceTask<'_> {
    fn work(&mut self) -> Result<(), TaskError> {
        while !self.context.stop.is_stopping() {
            let polled =
                self.guest.poll(IDLE_PAUSE).map_err(|error| guest_failed("poll", &error))?;
            match polled {
                Some(polled) => self.take(polled)?,
                None => {
                    self.commit()?;
                    self.pause();
                }
            }
            let due =
                self.open.since.is_some_and(|since| self.boundary_interval <= since.elapsed());
            if due || limits::TRANSACTION_RECORDS_MAX <= self.open.records {
                self.commit()?;
            }
        }
        Ok(())
    }

    fn pause(&self) {
        let stop = Arc::clone(&self.context.stop);
        self.context.services.runtime.block_on(async move {
            let _ = tokio::time::timeout(IDLE_PAUSE, stop.stopped()).await;
        });
    }

    fn take(&mut self, polled: wit_source::Polled) -> Result<(), TaskError> {
        if polled.boundary == wit_source::Boundary::Abort {
            return Err(TaskError::passing("the plugin aborted the transaction"));
        }
        for rejected in &polled.rejected {
            self.context.skip(&rejected.position, &rejected.message)?;
        }
        let taken = polled.batch.recs.len();
        self.context.numbers.taken.fetch_add(taken as u64, Ordering::Relaxed);
        self.send(&polled.batch)?;
        for mark in polled.marks {
            // The whole batch is in the transaction, so every mark within it is reached.
            self.open.marks.insert(mark.partition, mark.offset);
        }
        self.open.token = Some(polled.token);
        self.begin()?;
        if polled.boundary == wit_source::Boundary::CommitAfter {
            self.commit()?;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), TaskError> {
        if self.open.since.is_none() {
            self.producer.begin_transaction().map_err(|e| produce_failed("begin", &e))?;
            self.open.since = Some(Instant::now());
        }
        Ok(())
    }

    fn send(&mut self, batch: &Batch) -> Result<(), TaskError> {
        let runtime = self.context.services.runtime.clone();
        runtime.block_on(async {
            for topic in &batch.topics {
                self.prepare_topic(topic).await?;
            }
            let definitions: Vec<Vec<u8>> =
                batch.schemas.iter().map(|schema| schema.definition.clone()).collect();
            self.prepare_schemas(batch, &definitions).await
        })?;
        let records = self.convert(batch)?;
        if records.is_empty() {
            return Ok(());
        }
        self.begin()?;
        self.open.records += records.len();
        runtime.block_on(async {
            for record in records {
                // The answer is awaited by the commit, which fails if any record did.
                let sent = self.producer.send(record).await;
                drop(sent.map_err(|error| produce_failed("send", &error))?);
            }
            Ok(())
        })
    }

    async fn prepare_schemas(
        &mut self,
        batch: &Batch,
        definitions: &[Vec<u8>],
    ) -> Result<(), TaskError> {
        let used = |of: fn(&RecMeta) -> u16| -> Vec<Vec<u8>> {
            let indexes: BTreeSet<u16> = batch.recs.iter().map(of).collect();
            let indexes = indexes.into_iter().filter_map(|index| usize::from(index).checked_sub(1));
            indexes.filter_map(|index| definitions.get(index).cloned()).collect()
        };
        for (converter, used) in [
            (&mut self.keys, used(|record| record.key_schema)),
            (&mut self.values, used(|record| record.val_schema)),
        ] {
            converter.prepare(&batch.topics, &used).await.map_err(|error| match error {
                ConvertError::Task(error) => error,
                ConvertError::Record(text) => TaskError::lasting(text),
            })?;
        }
        Ok(())
    }

    /// Finds or creates the topic, once per task.
    async fn prepare_topic(&mut self, topic: &str) -> Result<(), TaskError> {
        if self.topics.contains_key(topic) {
            return Ok(());
        }
        let config = &self.context.services.config;
        let number = |key: &str| self.context.text(key).trim().parse::<i32>().ok();
        let wanted = number("topic.creation.default.partitions").filter(|count| 0 < *count);
        if let Some(partitions) = wanted {
            let operation = format!("create topic {topic}");
            let failed = |error| TaskError::from_client(&operation, &error);
            let admin =
                Admin::connect(AdminConfig::new(&config.bootstrap)).await.map_err(failed)?;
            let mut new = NewTopic::new(topic, partitions);
            let replicas = number("topic.creation.default.replication.factor").unwrap_or(-1);
            new.replication_factor = i16::try_from(replicas).unwrap_or(-1);
            for (_, created) in admin.create_topics(&[new]).await.map_err(failed)? {
                match created {
                    Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS.0) => {}
                    other => other.map_err(failed)?,
                }
            }
        }
        let partitions = self.producer.partitions_for(topic).await;
        let partitions = partitions.map_err(|e| produce_failed("look up the topic", &e))?;
        self.topics.insert(topic.to_string(), partitions);
        self.context.numbers.topics.lock().insert(topic.to_string());
        Ok(())
    }

    fn convert(&mut self, batch: &Batch) -> Result<Vec<ProducerRecord>, TaskError> {
        let topics: Vec<Arc<str>> =
            batch.topics.iter().map(|topic| topic.as_str().into()).collect();
        let mut out = Vec::with_capacity(batch.arena.len() + 8 * batch.recs.len());
        let mut places = Vec::with_capacity(batch.recs.len());
        for (index, meta) in batch.recs.iter().enumerate() {
            let before = out.len();
            match self.convert_one(batch, meta, &mut out) {
                Ok(place) => places.push((meta, place)),
                Err(ConvertError::Task(error)) => return Err(error.during("convert")),
                Err(ConvertError::Record(reason)) => {
                    out.truncate(before);
                    self.context.skip(&format!("record {index} of the batch"), &reason)?;
                }
            }
        }
        let arena = Bytes::from(out);
        let mut records = Vec::with_capacity(places.len());
        for (meta, place) in places {
            let topic = &topics[usize::from(meta.topic)];
            let headers = read_headers(batch, meta)?;
            let bytes = |range: &Option<std::ops::Range<usize>>| {
                range.clone().map(|range| arena.slice(range))
            };
            let record = |partition: Option<i32>| ProducerRecord {
                topic: Arc::clone(topic),
                partition,
                key: bytes(&place.0),
                value: bytes(&place.1),
                timestamp_ms: (0 <= meta.timestamp).then_some(meta.timestamp),
                headers: headers.clone(),
            };
            if meta.partition == EVERY_PARTITION {
                let partitions = self.topics.get(&**topic).copied().unwrap_or(0);
                records.extend((0..partitions).map(|partition| record(Some(partition))));
            } else {
                records.push(record((0 <= meta.partition).then_some(meta.partition)));
            }
        }
        Ok(records)
    }

    fn convert_one(
        &mut self,
        batch: &Batch,
        meta: &RecMeta,
        out: &mut Vec<u8>,
    ) -> Result<Place, ConvertError> {
        let outside = |what: &str| {
            ConvertError::Task(TaskError::lasting(format!(
                "the plugin gave a {what} outside of its batch"
            )))
        };
        let topic = batch.topics.get(usize::from(meta.topic)).ok_or_else(|| outside("topic"))?;
        let mut convert =
            |converter: &mut Converter, encoding, schema: u16, offset, length: i32| {
                let Ok(length) = usize::try_from(length) else { return Ok(None) };
                let bytes = slice(&batch.arena, offset, length).ok_or_else(|| outside("value"))?;
                let schema = usize::from(schema).checked_sub(1);
                let schema = schema.and_then(|index| batch.schemas.get(index));
                let definition = schema.map(|schema| schema.definition.as_slice());
                let start = out.len();
                converter.outgoing(topic, encoding, definition, bytes, out)?;
                Ok(Some(start..out.len()))
            };
        let plugin = &self.context.plugin;
        let key = convert(
            &mut self.keys,
            plugin.key_encoding,
            meta.key_schema,
            meta.key_off,
            meta.key_len,
        )?;
        let value = convert(
            &mut self.values,
            plugin.value_encoding,
            meta.val_schema,
            meta.val_off,
            meta.val_len,
        )?;
        Ok((key, value))
    }

    /// Ends the open transaction: positions and private state go in, then everything counts.
    fn commit(&mut self) -> Result<(), TaskError> {
        if self.open.since.is_none() {
            return Ok(());
        }
        if self.context.stop.is_abandoned() {
            return Err(TaskError::passing("abandoned"));
        }
        let open = std::mem::take(&mut self.open);
        let context = self.context;
        let topic: Arc<str> = context.services.config.offset_topic.as_str().into();
        let mut records = Vec::new();
        for (partition, offset) in open.marks {
            let key = offset_key(&context.connector, &partition).ok_or_else(|| {
                TaskError::lasting(format!(
                    "the plugin named a partition that is no JSON object: {partition}"
                ))
            })?;
            records.push((key, offset));
        }
        for (key, value) in std::mem::take(&mut self.guest.tenant().state.changed) {
            let key = state_key(&context.connector, context.index, &key);
            records.push((key, value.map(|value| state_value(&value))));
        }
        let producer = &self.producer;
        context.services.runtime.block_on(async {
            for (key, value) in records {
                let record = ProducerRecord {
                    topic: Arc::clone(&topic),
                    partition: None,
                    key: Some(key.into()),
                    value: value.map(Bytes::from),
                    timestamp_ms: None,
                    headers: Vec::new(),
                };
                drop(
                    producer
                        .send(record)
                        .await
                        .map_err(|e| produce_failed("send positions", &e))?,
                );
            }
            producer.commit_transaction().await.map_err(|e| produce_failed("commit", &e))
        })?;
        context.numbers.delivered.fetch_add(open.records as u64, Ordering::Relaxed);
        context.numbers.commits.fetch_add(1, Ordering::Relaxed);
        context.progressed();
        match open.token {
            Some(token) => {
                self.guest.committed(token).map_err(|error| guest_failed("committed", &error))
            }
            None => Ok(()),
        }
    }

    fn abort(&mut self) {
        if self.open.since.take().is_some() {
            let aborted = self.producer.abort_transaction();
            // If this fails, the next task's opening of the same transactional id aborts it.
            if let Err(error) = self.context.services.runtime.block_on(aborted) {
                tracing::debug!("abort after a failure: {error}");
            }
        }
    }
}

/// Where key and value of one record lie in the converted arena.
type Place = (Option<std::ops::Range<usize>>, Option<std::ops::Range<usize>>);

fn slice(arena: &[u8], offset: u32, length: usize) -> Option<&[u8]> {
    let start = offset as usize;
    arena.get(start..start.checked_add(length)?)
}

fn read_headers(batch: &Batch, meta: &RecMeta) -> Result<Vec<Header>, TaskError> {
    let outside = || TaskError::lasting("the plugin gave a header outside of its batch");
    let first = meta.hdr_first as usize;
    let entries = batch.hdrs.get(first..first + usize::from(meta.hdr_count)).ok_or_else(outside)?;
    let mut headers = Vec::with_capacity(entries.len());
    for entry in entries {
        let name = slice(&batch.arena, entry.name_off, entry.name_len as usize);
        let value = match usize::try_from(entry.val_len) {
            Ok(length) => {
                let bytes = slice(&batch.arena, entry.val_off, length).ok_or_else(outside)?;
                Some(Bytes::copy_from_slice(bytes))
            }
            Err(_) => None,
        };
        let name = String::from_utf8_lossy(name.ok_or_else(outside)?).into_owned();
        headers.push(Header { key: name, value });
    }
    Ok(headers)
}

/// After a failure of the producer the task ends; only what can never be accepted stays failed.
fn produce_failed(operation: &str, error: &ClientError) -> TaskError {
    TaskError::from_client(operation, error)
}
