//! `AvroSchema`: a parsed schema together with those that it refers to.

use super::shape::Shape;
use super::{AvroError, Value};
use crate::typed::registry::{RegistryClient, SchemaKind, SchemaText};
use apache_avro::Schema;
use apache_avro::{from_avro_datum_reader_schemata, to_avro_datum_schemata, write_avro_datum_ref};
use serde::Serialize;

/// A schema that is ready to write and read values.
#[derive(Clone, Debug)]
pub struct AvroSchema {
    text: SchemaText,
    schema: Schema,
    /// The schemas that `schema` refers to.
    others: Vec<Schema>,
    shape: Shape,
}

impl PartialEq for AvroSchema {
    fn eq(&self, other: &AvroSchema) -> bool {
        self.text == other.text
    }
}

impl AvroSchema {
    /// Parses a schema that refers to no other.
    pub fn parse(text: &str) -> Result<AvroSchema, AvroError> {
        AvroSchema::parse_with(SchemaText::avro(text), &[])
    }

    /// Parses a schema from the registry, asking it for the schemas that this one refers to.
    pub async fn load(
        registry: &RegistryClient,
        text: &SchemaText,
    ) -> Result<AvroSchema, AvroError> {
        let others = registry.referenced(text).await?;
        AvroSchema::parse_with(text.clone(), &others)
    }

    /// Parses a schema, given the texts of all that it refers to.
    pub fn parse_with(text: SchemaText, others: &[String]) -> Result<AvroSchema, AvroError> {
        let bad = |error: apache_avro::Error| AvroError::BadSchema(error.to_string());
        if text.kind != SchemaKind::Avro {
            return Err(AvroError::BadSchema(format!("it is in {:?}", text.kind)));
        }
        let (schema, others) = match others {
            [] => (Schema::parse_str(&text.text).map_err(bad)?, Vec::new()),
            others => Schema::parse_str_with_list(&text.text, others).map_err(bad)?,
        };
        let shape = Shape::of(&schema, &others).map_err(AvroError::BadSchema)?;
        Ok(AvroSchema { text, schema, others, shape })
    }

    /// The schema as it was parsed.
    pub fn text(&self) -> &SchemaText {
        &self.text
    }

    /// The schema in the form of the Avro library.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Appends the Avro bytes of a value of serde.
    pub(super) fn write<T: Serialize>(
        &self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), AvroError> {
        if self.shape.is_plain() {
            // Straight from serde to bytes: several times faster, and maps keep their order.
            return match write_avro_datum_ref(&self.schema, value, out) {
                Ok(_) => Ok(()),
                Err(error) => Err(unwritable(&error)),
            };
        }
        let value = apache_avro::to_value(value).map_err(|error| unwritable(&error))?;
        self.write_value(value, out)
    }

    /// Appends the Avro bytes of a value of Avro.
    pub(super) fn write_value(&self, value: Value, out: &mut Vec<u8>) -> Result<(), AvroError> {
        let others: Vec<&Schema> = self.others.iter().collect();
        let written =
            value.resolve_schemata(&self.schema, self.all()).and_then(|value| {
                match others.is_empty() {
                    true => apache_avro::to_avro_datum(&self.schema, value),
                    false => to_avro_datum_schemata(&self.schema, self.all(), value),
                }
            });
        out.extend_from_slice(&written.map_err(|error| unwritable(&error))?);
        Ok(())
    }

    /// Reads Avro bytes that were written with this schema, as a value of the reader's.
    pub(super) fn read(
        &self,
        mut bytes: &[u8],
        reader: Option<&AvroSchema>,
    ) -> Result<Value, AvroError> {
        self.shape.check(bytes).map_err(|reason| AvroError::Malformed(reason.to_string()))?;
        let reader = reader.filter(|reader| reader.text != self.text);
        let value = from_avro_datum_reader_schemata(
            &self.schema,
            self.all(),
            &mut bytes,
            reader.map(|reader| &reader.schema),
            reader.map_or_else(Vec::new, AvroSchema::all),
        );
        value.map_err(|error| AvroError::Malformed(error.to_string()))
    }

    /// This schema and those that it refers to.
    fn all(&self) -> Vec<&Schema> {
        self.others.iter().chain([&self.schema]).collect()
    }
}

fn unwritable(error: &apache_avro::Error) -> AvroError {
    AvroError::Unwritable(error.to_string())
}
