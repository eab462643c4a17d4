//! `AvroDecoder`: reads values whatever their schema, asking a registry for it.

use super::{AvroError, AvroSchema, Value, split, to_json};
use crate::typed::registry::{RegistryClient, SchemaId};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most parsed schemas that are kept.
const SCHEMAS_MAX: usize = 1_000;

/// Reads values in the schemas that they were written with.
#[derive(Debug)]
pub struct AvroDecoder {
    registry: RegistryClient,
    parsed: Mutex<BTreeMap<SchemaId, Arc<AvroSchema>>>,
}

impl AvroDecoder {
    /// A decoder that asks the registry at `url`.
    pub fn new(url: &str) -> AvroDecoder {
        AvroDecoder::with(RegistryClient::new(url))
    }

    /// A decoder that asks a registry.
    pub fn with(registry: RegistryClient) -> AvroDecoder {
        AvroDecoder { registry, parsed: Mutex::default() }
    }

    /// The schema of an id.
    pub async fn schema(&self, id: SchemaId) -> Result<Arc<AvroSchema>, AvroError> {
        if let Some(schema) = self.parsed.lock().get(&id) {
            return Ok(Arc::clone(schema));
        }
        let text = self.registry.by_id(id).await?;
        let schema = Arc::new(AvroSchema::load(&self.registry, &text).await?);
        let mut parsed = self.parsed.lock();
        if parsed.len() >= SCHEMAS_MAX {
            parsed.pop_first();
        }
        parsed.insert(id, Arc::clone(&schema));
        Ok(schema)
    }

    /// The value behind framed bytes.
    pub async fn decode(&self, bytes: &[u8]) -> Result<Value, AvroError> {
        let (id, value) = split(bytes)?;
        self.schema(id).await?.read(value, None)
    }

    /// The value behind framed bytes, as JSON for people: see [`to_json`].
    pub async fn to_json(&self, bytes: &[u8]) -> Result<serde_json::Value, AvroError> {
        self.decode(bytes).await.map(|value| to_json(&value))
    }
}
