//! `AvroCodec`: writes with its own schema, reads with any that it was told.
//!
//! The codec asks nobody. Whoever owns it registers `definition` and says the id by `registered`;
//! before reading it asks `missing` and says what it fetched by `learn`. `prepare` and `fetch` do
//! this with a `RegistryClient`, where one is at hand.

use super::{AvroError, AvroSchema, Value, framed, split};
use crate::typed::registry::{RegistryClient, SchemaId};
use bytes::Bytes;
use parking_lot::RwLock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

/// The most schemas of writers that are kept; a topic has a handful.
const WRITERS_MAX: usize = 1_000;

/// Writes and reads `T`, or `Value` for values without a type of their own.
#[derive(Debug)]
pub struct AvroCodec<T> {
    schema: Arc<AvroSchema>,
    id: OnceLock<SchemaId>,
    /// The schemas of writers, by id.
    writers: RwLock<BTreeMap<SchemaId, Arc<AvroSchema>>>,
    holds: PhantomData<fn() -> T>,
}

impl<T> AvroCodec<T> {
    /// A codec that writes with a schema, and reads what others wrote as if it was theirs.
    pub fn new(schema: AvroSchema) -> AvroCodec<T> {
        AvroCodec {
            schema: Arc::new(schema),
            id: OnceLock::new(),
            writers: RwLock::default(),
            holds: PhantomData,
        }
    }

    /// A codec for the schema in `text`.
    pub fn parse(text: &str) -> Result<AvroCodec<T>, AvroError> {
        AvroSchema::parse(text).map(AvroCodec::new)
    }

    /// The text of the codec's own schema, to be registered.
    pub fn definition(&self) -> &str {
        &self.schema.text().text
    }

    /// The codec's own schema.
    pub fn schema(&self) -> &AvroSchema {
        &self.schema
    }

    /// The registry has given the codec's own schema this id. Only the first one counts.
    pub fn registered(&self, id: SchemaId) {
        let _ = self.id.set(id);
        self.keep(id, Arc::clone(&self.schema));
    }

    /// The id that `bytes` name, if its schema is not known yet.
    pub fn missing(&self, bytes: &[u8]) -> Option<SchemaId> {
        let (id, _) = split(bytes).ok()?;
        (!self.writers.read().contains_key(&id)).then_some(id)
    }

    /// The schema of an id, which refers to no other.
    pub fn learn(&self, id: SchemaId, definition: &str) -> Result<(), AvroError> {
        self.learn_schema(id, AvroSchema::parse(definition)?);
        Ok(())
    }

    /// The schema of an id.
    pub fn learn_schema(&self, id: SchemaId, schema: AvroSchema) {
        self.keep(id, Arc::new(schema));
    }

    fn keep(&self, id: SchemaId, schema: Arc<AvroSchema>) {
        let mut writers = self.writers.write();
        if writers.len() >= WRITERS_MAX {
            writers.pop_first();
        }
        writers.insert(id, schema);
    }

    /// Registers the codec's own schema under a subject.
    pub async fn prepare(
        &self,
        registry: &RegistryClient,
        subject: &str,
    ) -> Result<SchemaId, AvroError> {
        let id = registry.register(subject, self.schema.text()).await?;
        self.registered(id);
        Ok(id)
    }

    /// Fetches the schema that `bytes` name, if it is not known yet.
    pub async fn fetch(&self, registry: &RegistryClient, bytes: &[u8]) -> Result<(), AvroError> {
        if let Some(id) = self.missing(bytes) {
            let text = registry.by_id(id).await?;
            self.learn_schema(id, AvroSchema::load(registry, &text).await?);
        }
        Ok(())
    }

    /// The framed bytes of an Avro value. The order of a map in it is left to chance.
    pub fn encode_value(&self, value: Value) -> Result<Bytes, AvroError> {
        let mut out = framed(self.own_id()?);
        self.schema.write_value(value, &mut out)?;
        Ok(Bytes::from(out))
    }

    /// The Avro value behind framed bytes, in the codec's own schema.
    pub fn decode_value(&self, bytes: &[u8]) -> Result<Value, AvroError> {
        let (id, value) = split(bytes)?;
        let writer = self.writers.read().get(&id).cloned();
        writer.ok_or(AvroError::UnknownSchema(id))?.read(value, Some(&self.schema))
    }

    fn own_id(&self) -> Result<SchemaId, AvroError> {
        self.id.get().copied().ok_or(AvroError::NotRegistered)
    }
}

impl<T: Serialize> AvroCodec<T> {
    /// The framed bytes of a value.
    pub fn encode(&self, value: &T) -> Result<Bytes, AvroError> {
        let mut out = framed(self.own_id()?);
        self.schema.write(value, &mut out)?;
        Ok(Bytes::from(out))
    }
}

impl<T: DeserializeOwned> AvroCodec<T> {
    /// The value behind framed bytes.
    pub fn decode(&self, bytes: &[u8]) -> Result<T, AvroError> {
        let value = self.decode_value(bytes)?;
        apache_avro::from_value(&value).map_err(|error| AvroError::Malformed(error.to_string()))
    }
}
