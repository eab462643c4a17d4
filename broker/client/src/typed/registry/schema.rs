//! What the registry keeps, as it writes it in JSON.

use super::RegistryError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;

/// The number of a schema, the same wherever the registry is copied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SchemaId(pub u32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The language of a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SchemaKind {
    /// What is meant when nothing is said.
    #[default]
    Avro,
    Json,
    Protobuf,
}

/// A named use of another schema.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SchemaReference {
    pub name: String,
    pub subject: String,
    pub version: i32,
}

/// A schema as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SchemaText {
    pub kind: SchemaKind,
    pub text: String,
    pub references: Vec<SchemaReference>,
}

impl SchemaText {
    /// An Avro schema that refers to no other.
    pub fn avro(text: impl Into<String>) -> SchemaText {
        SchemaText { text: text.into(), ..SchemaText::default() }
    }

    /// The body of a request about this schema.
    pub(super) fn to_json(&self) -> Value {
        let mut body = json!({ "schema": self.text });
        // Older registries know only Avro and refuse the words for more.
        if self.kind != SchemaKind::Avro {
            body["schemaType"] = json!(self.kind);
        }
        if !self.references.is_empty() {
            body["references"] = json!(self.references);
        }
        body
    }
}

/// A schema in its place in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    pub subject: String,
    pub version: i32,
    pub id: SchemaId,
    pub schema: SchemaText,
}

#[derive(Debug, Deserialize)]
pub(super) struct IdAnswer {
    pub(super) id: SchemaId,
}

/// All that the registry says about a schema; which parts are there depends on the question.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaAnswer {
    subject: Option<String>,
    version: Option<i32>,
    id: Option<SchemaId>,
    schema: Option<String>,
    #[serde(default)]
    schema_type: SchemaKind,
    #[serde(default)]
    references: Vec<SchemaReference>,
}

impl SchemaAnswer {
    pub(super) fn into_text(self) -> Result<SchemaText, RegistryError> {
        let text = self.schema.ok_or_else(|| missing("schema"))?;
        Ok(SchemaText { kind: self.schema_type, text, references: self.references })
    }

    pub(super) fn into_registered(mut self) -> Result<RegisteredSchema, RegistryError> {
        Ok(RegisteredSchema {
            subject: self.subject.take().ok_or_else(|| missing("subject"))?,
            version: self.version.ok_or_else(|| missing("version"))?,
            id: self.id.ok_or_else(|| missing("id"))?,
            schema: self.into_text()?,
        })
    }
}

fn missing(field: &str) -> RegistryError {
    RegistryError::Malformed(format!("the field {field} is missing"))
}
