//! Avro with the schemas of a registry: magic byte 0, schema id (u32 big-endian), Avro binary.
//!
//! The codec writes with its own schema and reads what was written with any other one that resolves
//! to it. Maps have no order in Avro, so a type with a map makes no key.

use std::sync::Arc;

use bytes::Bytes;
use mainstem_client::typed::avro::{AvroCodec, AvroError};
use mainstem_client::typed::registry;
use serde::{Serialize, de::DeserializeOwned};

use super::{Codec, CodecError, SchemaId, SchemaUse};

/// The Avro codec of `T`.
pub struct Avro<T>(Arc<AvroCodec<T>>);

impl<T> Avro<T> {
    /// A codec that writes with the schema in `definition`.
    pub fn new(definition: &str) -> Result<Avro<T>, CodecError> {
        match AvroCodec::parse(definition) {
            Ok(codec) => Ok(Avro(Arc::new(codec))),
            Err(error) => Err(CodecError::Malformed(error.to_string())),
        }
    }

    /// The same for a schema that stands in the program. Panics if it is no Avro schema.
    pub fn of(definition: &str) -> Avro<T> {
        match Avro::new(definition) {
            Ok(codec) => codec,
            Err(error) => panic!("the Avro schema of {}: {error}", std::any::type_name::<T>()),
        }
    }
}

impl<T> Clone for Avro<T> {
    fn clone(&self) -> Self {
        Avro(self.0.clone())
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Codec<T> for Avro<T> {
    fn encode(&self, value: &T) -> Result<Option<Bytes>, CodecError> {
        self.0.encode(value).map(Some).map_err(codec_error)
    }

    fn decode(&self, bytes: Option<&Bytes>) -> Result<T, CodecError> {
        self.0.decode(bytes.ok_or(CodecError::Null)?).map_err(codec_error)
    }

    fn schema(&self) -> Option<Arc<dyn SchemaUse>> {
        Some(Arc::new(self.clone()))
    }
}

impl<T: 'static> SchemaUse for Avro<T> {
    fn definition(&self) -> String {
        self.0.definition().to_owned()
    }

    fn registered(&self, id: SchemaId) {
        self.0.registered(registry::SchemaId(id.0));
    }

    fn missing(&self, bytes: &[u8]) -> Option<SchemaId> {
        self.0.missing(bytes).map(|id| SchemaId(id.0))
    }

    fn learn(&self, id: SchemaId, definition: &str) -> Result<(), CodecError> {
        self.0.learn(registry::SchemaId(id.0), definition).map_err(codec_error)
    }
}

fn codec_error(error: AvroError) -> CodecError {
    match error {
        AvroError::UnknownSchema(id) => CodecError::UnknownSchema(SchemaId(id.0)),
        error => CodecError::Malformed(error.to_string()),
    }
}
