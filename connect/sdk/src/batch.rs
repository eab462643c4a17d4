//! Records on their way out of a source and into a sink.
//!
//! A batch is one arena of bytes and flat columns of places within it. Building one appends to the
//! arena; reading one only slices. Nothing is allocated per record.
//!
//! Invariants:
//! - every place that a [`BatchBuilder`] writes lies within its arena;
//! - a [`Batch`] comes from the host, which has checked the same; a place outside yields an empty
//!   slice, not a panic.

use crate::bindings::mainstem::connect::types;

pub use types::Schema;

/// Which partition a source wants for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// The host chooses by the key.
    ByKey,
    /// A copy in every partition of the topic.
    Every,
    Fixed(i32),
}

impl Partition {
    fn to_wire(self) -> i32 {
        match self {
            Partition::ByKey => -1,
            Partition::Every => -2,
            Partition::Fixed(index) => index,
        }
    }
}

/// One record to be added to a batch. Schemas are what [`BatchBuilder::schema`] returned, 0 for
/// none.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    pub topic: u16,
    pub partition: Partition,
    /// Milliseconds since 1970 UTC; `None` is the time of sending.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub key_schema: u16,
    pub value: Option<&'a [u8]>,
    pub value_schema: u16,
}

/// Collects the records of one poll.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    topics: Vec<String>,
    schemas: Vec<Schema>,
    recs: Vec<types::RecMeta>,
    hdrs: Vec<types::HdrMeta>,
    arena: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch with room for this many bytes.
    pub fn with_capacity(records: usize, bytes: usize) -> BatchBuilder {
        BatchBuilder {
            recs: Vec::with_capacity(records),
            arena: Vec::with_capacity(bytes),
            ..BatchBuilder::default()
        }
    }

    /// The index of a topic, added if it is new.
    pub fn topic(&mut self, name: &str) -> u16 {
        let found = self.topics.iter().position(|topic| topic == name);
        let index = found.unwrap_or_else(|| {
            self.topics.push(name.to_string());
            self.topics.len() - 1
        });
        u16::try_from(index).expect("a batch has fewer than 65,536 topics")
    }

    /// The index of an Avro schema, added if it is new.
    pub fn schema(&mut self, definition: &[u8]) -> u16 {
        let found = self.schemas.iter().position(|schema| schema.definition == definition);
        let index = found.unwrap_or_else(|| {
            self.schemas.push(Schema {
                id: -1,
                kind: "avro".to_string(),
                subject: String::new(),
                version: -1,
                definition: definition.to_vec(),
            });
            self.schemas.len() - 1
        });
        u16::try_from(index + 1).expect("a batch has fewer than 65,535 schemas")
    }

    /// Adds a record. Headers added from now on belong to it.
    pub fn push(&mut self, record: NewRecord<'_>) {
        let (key_off, key_len) = self.store(record.key);
        let (val_off, val_len) = self.store(record.value);
        self.recs.push(types::RecMeta {
            topic: record.topic,
            partition: record.partition.to_wire(),
            offset: -1,
            timestamp: record.timestamp_ms.unwrap_or(-1),
            key_off,
            key_len,
            val_off,
            val_len,
            hdr_first: place(self.hdrs.len()),
            hdr_count: 0,
            key_schema: record.key_schema,
            val_schema: record.value_schema,
        });
    }

    /// Adds a header to the last record.
    pub fn header(&mut self, name: &str, value: Option<&[u8]>) {
        let (name_off, name_len) = (place(self.arena.len()), place(name.len()));
        self.arena.extend_from_slice(name.as_bytes());
        let (val_off, val_len) = self.store(value);
        let last = self.recs.last_mut().expect("a header follows a record");
        last.hdr_count += 1;
        self.hdrs.push(types::HdrMeta { name_off, name_len, val_off, val_len });
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.recs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.recs.is_empty()
    }

    pub fn size_bytes(&self) -> usize {
        self.arena.len()
    }

    pub(crate) fn finish(self) -> types::Batch {
        types::Batch {
            topics: self.topics,
            schemas: self.schemas,
            recs: self.recs,
            hdrs: self.hdrs,
            arena: self.arena,
        }
    }

    fn store(&mut self, bytes: Option<&[u8]>) -> (u32, i32) {
        let start = place(self.arena.len());
        match bytes {
            None => (start, -1),
            Some(bytes) => {
                self.arena.extend_from_slice(bytes);
                (start, i32::try_from(bytes.len()).expect("a value is smaller than 2 GiB"))
            }
        }
    }
}

fn place(position: usize) -> u32 {
    u32::try_from(position).expect("a batch is smaller than 4 GiB")
}

/// Records that the host hands to a sink.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a>(&'a types::Batch);

/// One record of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    batch: &'a types::Batch,
    meta: &'a types::RecMeta,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(batch: &'a types::Batch) -> Batch<'a> {
        Batch(batch)
    }

    pub fn len(&self) -> usize {
        self.0.recs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.recs.is_empty()
    }

    /// The records in their order.
    pub fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let batch = self.0;
        batch.recs.iter().map(move |meta| Record {
            topic: batch.topics.get(usize::from(meta.topic)).map_or("", String::as_str),
            partition: meta.partition,
            offset: meta.offset,
            timestamp_ms: meta.timestamp,
            key: slice(&batch.arena, meta.key_off, meta.key_len),
            value: slice(&batch.arena, meta.val_off, meta.val_len),
            batch,
            meta,
        })
    }
}

impl<'a> Record<'a> {
    /// Names and values.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let batch = self.batch;
        let first = self.meta.hdr_first as usize;
        let entries = batch.hdrs.iter().skip(first).take(usize::from(self.meta.hdr_count));
        entries.map(move |header| {
            let length = i32::try_from(header.name_len).unwrap_or_default();
            let name = slice(&batch.arena, header.name_off, length).unwrap_or_default();
            let value = slice(&batch.arena, header.val_off, header.val_len);
            (std::str::from_utf8(name).unwrap_or_default(), value)
        })
    }

    /// The schema of the value, where the encoding has one.
    pub fn value_schema(&self) -> Option<&'a Schema> {
        let index = usize::from(self.meta.val_schema).checked_sub(1)?;
        self.batch.schemas.get(index)
    }
}

fn slice(arena: &[u8], offset: u32, length: i32) -> Option<&[u8]> {
    let length = usize::try_from(length).ok()?;
    let start = offset as usize;
    Some(arena.get(start..start.saturating_add(length)).unwrap_or_default())
}
