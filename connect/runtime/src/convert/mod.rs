//! Converters: between what a plugin speaks and what lies in the topic.
//!
//! | converter | in the topic                                  | from and to plugins that speak            |
//! |-----------|-----------------------------------------------|-------------------------------------------|
//! | `bytes`   | the bytes                                     | raw                                       |
//! | `string`  | UTF-8 text                                    | raw, json (a JSON string), avro (`string`) |
//! | `json`    | one JSON text                                 | raw, json, avro (towards the topic)       |
//! | `avro`    | magic 0, schema id (4 bytes), Avro's binary   | json (from the topic), avro               |
//!
//! A plugin that speaks `raw` gets and gives the topic's bytes whatever the converter. Null stays
//! null everywhere.
//!
//! A conversion appends to a buffer that the whole batch shares, so nothing is allocated per
//! record.

pub(crate) mod json;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::Schema;
use mainstem_client::typed::registry::{RegistryClient, RegistryError, SchemaId, SchemaText};

use crate::error::TaskError;
use crate::sandbox::bindings::capabilities::mainstem::connect::types::Encoding;

/// Distinct schemas that one converter remembers.
const SCHEMAS_MAX: usize = 1_000;

/// What lies in the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Bytes,
    Text,
    Json,
    Avro,
}

impl Format {
    /// Our name, or the class name that Kafka Connect uses for the same thing.
    pub(crate) fn parse(name: &str) -> Option<Format> {
        match name {
            "bytes" | "org.apache.kafka.connect.converters.ByteArrayConverter" => {
                Some(Format::Bytes)
            }
            "string" | "org.apache.kafka.connect.storage.StringConverter" => Some(Format::Text),
            "json" | "org.apache.kafka.connect.json.JsonConverter" => Some(Format::Json),
            "avro" | "io.confluent.connect.avro.AvroConverter" => Some(Format::Avro),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Bytes => "bytes",
            Format::Text => "string",
            Format::Json => "json",
            Format::Avro => "avro",
        }
    }

    /// Can a source that speaks `encoding` write this?
    pub(crate) fn takes_from(self, encoding: Encoding) -> bool {
        match encoding {
            Encoding::Raw => true,
            Encoding::Json => matches!(self, Format::Text | Format::Json),
            Encoding::Avro => !matches!(self, Format::Bytes),
            Encoding::Cbor => false,
        }
    }

    /// Can a sink that speaks `encoding` read this?
    pub(crate) fn gives_to(self, encoding: Encoding) -> bool {
        match encoding {
            Encoding::Raw => true,
            Encoding::Json => !matches!(self, Format::Bytes),
            Encoding::Avro => self == Format::Avro,
            Encoding::Cbor => false,
        }
    }
}

/// Which part of a record; names the registry's subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Key,
    Value,
}

/// Why a record was not converted.
#[derive(Debug)]
pub(crate) enum ConvertError {
    /// This record cannot be converted; its neighbours may.
    Record(String),
    /// Nothing can be converted right now.
    Task(TaskError),
}

fn record_error(text: impl Into<String>) -> ConvertError {
    ConvertError::Record(text.into())
}

/// The converter of one task for keys or for values.
pub(crate) struct Converter {
    format: Format,
    part: Part,
    registry: Option<RegistryClient>,
    /// Towards the topic: (subject, definition) -> id.
    registered: HashMap<(String, Vec<u8>), u32>,
    /// Definition -> parsed.
    parsed: HashMap<Vec<u8>, Arc<Schema>>,
    /// From the topic: id -> schema.
    known: HashMap<u32, Known>,
}

/// A schema of the registry.
#[derive(Clone)]
pub(crate) struct Known {
    pub schema: Arc<Schema>,
    pub definition: Arc<str>,
}

/// What a record from the topic was for a plugin that speaks Avro.
pub(crate) struct Incoming {
    pub schema_id: Option<u32>,
}

impl Converter {
    pub(crate) fn new(format: Format, part: Part, registry: Option<RegistryClient>) -> Self {
        let (registered, parsed, known) = (HashMap::new(), HashMap::new(), HashMap::new());
        Converter { format, part, registry, registered, parsed, known }
    }

    /// Appends a source's bytes to `out` in the topic's form.
    pub(crate) fn outgoing(
        &mut self,
        topic: &str,
        encoding: Encoding,
        definition: Option<&[u8]>,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ConvertError> {
        match (encoding, self.format) {
            (Encoding::Raw, _) | (Encoding::Json, Format::Json) => out.extend_from_slice(bytes),
            (Encoding::Json, Format::Text) => json::write_text(bytes, out)?,
            (Encoding::Avro, Format::Avro) => {
                let definition = definition.ok_or_else(|| record_error("it names no schema"))?;
                let id = self.register(topic, definition)?;
                out.push(0);
                out.extend_from_slice(&id.to_be_bytes());
                out.extend_from_slice(bytes);
            }
            (Encoding::Avro, Format::Text | Format::Json) => {
                let definition = definition.ok_or_else(|| record_error("it names no schema"))?;
                let schema = self.parse(definition)?;
                match (&*schema, self.format) {
                    (Schema::String, Format::Text) => {
                        out.extend_from_slice(json::avro_text(bytes)?);
                    }
                    _ => json::from_avro(&schema, bytes, out)?,
                }
            }
            (encoding, format) => return Err(unsupported(encoding, format)),
        }
        Ok(())
    }

    /// Appends the topic's bytes to `out` in the form that the sink speaks.
    pub(crate) async fn incoming(
        &mut self,
        encoding: Encoding,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Incoming, ConvertError> {
        match (encoding, self.format) {
            (Encoding::Raw, _) => out.extend_from_slice(bytes),
            (Encoding::Json, Format::Json) => {
                json::check(bytes)?;
                out.extend_from_slice(bytes);
            }
            (Encoding::Json, Format::Text) => json::from_text(bytes, out)?,
            (Encoding::Json | Encoding::Avro, Format::Avro) => {
                let (id, body) = split_prefix(bytes)?;
                let known = self.known(id).await?;
                if encoding == Encoding::Avro {
                    out.extend_from_slice(body);
                    return Ok(Incoming { schema_id: Some(id) });
                }
                json::from_avro(&known.schema, body, out)?;
            }
            (encoding, format) => return Err(unsupported(encoding, format)),
        }
        Ok(Incoming { schema_id: None })
    }

    /// A schema that `incoming` has met.
    pub(crate) fn definition(&self, id: u32) -> Option<Arc<str>> {
        self.known.get(&id).map(|known| Arc::clone(&known.definition))
    }

    /// Registers every schema of a batch before its records are converted, so that converting waits
    /// for nothing.
    pub(crate) async fn prepare(
        &mut self,
        topics: &[String],
        definitions: &[Vec<u8>],
    ) -> Result<(), ConvertError> {
        if self.format != Format::Avro {
            return Ok(());
        }
        for topic in topics {
            for definition in definitions {
                let key = (self.subject(topic), definition.clone());
                if self.registered.contains_key(&key) {
                    continue;
                }
                self.parse(definition)?;
                let text = SchemaText::avro(String::from_utf8_lossy(definition));
                let id = self.registry()?.register(&key.0, &text).await;
                let id = id.map_err(|error| {
                    registry_error(&format!("register the schema of {}", key.0), &error)
                })?;
                if SCHEMAS_MAX <= self.registered.len() {
                    self.registered.clear();
                }
                self.registered.insert(key, id.0);
            }
        }
        Ok(())
    }

    fn register(&self, topic: &str, definition: &[u8]) -> Result<u32, ConvertError> {
        let key = (self.subject(topic), definition.to_vec());
        let id = self.registered.get(&key).copied();
        id.ok_or_else(|| record_error(format!("its schema is not registered under {}", key.0)))
    }

    fn subject(&self, topic: &str) -> String {
        match self.part {
            Part::Key => format!("{topic}-key"),
            Part::Value => format!("{topic}-value"),
        }
    }

    fn parse(&mut self, definition: &[u8]) -> Result<Arc<Schema>, ConvertError> {
        if let Some(schema) = self.parsed.get(definition) {
            return Ok(Arc::clone(schema));
        }
        let text =
            std::str::from_utf8(definition).map_err(|_| record_error("schema is no text"))?;
        let schema = Schema::parse_str(text)
            .map_err(|error| record_error(format!("its schema does not parse: {error}")))?;
        if SCHEMAS_MAX <= self.parsed.len() {
            self.parsed.clear();
        }
        let schema = Arc::new(schema);
        self.parsed.insert(definition.to_vec(), Arc::clone(&schema));
        Ok(schema)
    }

    async fn known(&mut self, id: u32) -> Result<Known, ConvertError> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let text = match self.registry()?.by_id(SchemaId(id)).await {
            Ok(text) => text,
            Err(RegistryError::NotFound { .. }) => {
                return Err(record_error(format!("the registry has no schema {id}")));
            }
            Err(error) => return Err(registry_error(&format!("look up schema {id}"), &error)),
        };
        let schema = Schema::parse_str(&text.text)
            .map_err(|error| record_error(format!("schema {id} does not parse: {error}")))?;
        let known = Known { schema: Arc::new(schema), definition: text.text.as_str().into() };
        if SCHEMAS_MAX <= self.known.len() {
            self.known.clear();
        }
        self.known.insert(id, known.clone());
        Ok(known)
    }

    fn registry(&self) -> Result<RegistryClient, ConvertError> {
        self.registry.clone().ok_or_else(|| {
            let text = "the avro converter needs a schema registry, and this worker has none";
            ConvertError::Task(TaskError::lasting(text))
        })
    }
}

/// The registry said no; whether it will say yes later is in its error.
fn registry_error(operation: &str, error: &RegistryError) -> ConvertError {
    let trace = format!("{operation}: {error}");
    ConvertError::Task(TaskError { passing: error.is_retriable(), trace })
}

fn unsupported(encoding: Encoding, format: Format) -> ConvertError {
    ConvertError::Task(TaskError::lasting(format!(
        "the {} converter does not go with a plugin that speaks {encoding:?}",
        format.name()
    )))
}

fn split_prefix(bytes: &[u8]) -> Result<(u32, &[u8]), ConvertError> {
    match bytes {
        [0, a, b, c, d, body @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), body)),
        _ => Err(record_error("it does not begin with magic byte 0 and a schema id")),
    }
}
