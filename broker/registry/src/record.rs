//! The records of `_schemas`: JSON keys and values, as Confluent's registry writes them.
//!
//! | keytype        | key                            | value                                   |
//! |----------------|--------------------------------|-----------------------------------------|
//! | SCHEMA         | subject, version, magic 1      | subject, version, id, schema, deleted   |
//! | DELETE_SUBJECT | subject, magic 0               | subject, version: deletes up to it      |
//! | CONFIG         | subject or null, magic 0       | compatibilityLevel                      |
//! | MODE           | subject or null, magic 0       | mode                                    |
//! | NOOP           | magic 0                        | none, or lastId                         |
//!
//! The value of NOOP is ours: when the schema with the highest id is removed for good, it keeps
//! that id from being given again after compaction has forgotten the schema. Other registries do
//! not look at it.
//!
//! A record without a value takes back what the key stood for. The order of the JSON members is
//! part of the layout, since compaction compares keys byte by byte.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{CompatibilityLevel, Mode, Reference, SchemaId, SchemaVersion, Version};

/// A record of `_schemas` that says nothing the registry understands; it is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record of the schemas topic is malformed: {0}")]
pub struct MalformedRecord(pub String);

/// The type of schemas that carry none.
pub(crate) const AVRO: &str = "AVRO";

/// A record, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A version of a subject is this, live or softly deleted.
    Schema { schema: SchemaVersion, is_deleted: bool },
    /// A version is gone for good.
    SchemaRemoved { subject: String, version: Version },
    /// All versions of a subject up to this one are softly deleted.
    SubjectDeleted { subject: String, up_to: Version },
    /// A level, `None` when taken back; no subject means the global one.
    Compatibility { subject: Option<String>, level: Option<CompatibilityLevel> },
    /// A mode, `None` when taken back; no subject means the global one.
    Mode { subject: Option<String>, mode: Option<Mode> },
    /// This id has been given, even if no schema has it any more.
    LastId { id: SchemaId },
    /// Nothing, or a kind that this registry does not have.
    Nothing,
}

#[derive(Serialize, Deserialize)]
struct Key {
    keytype: String,
    #[serde(default, skip_serializing_if = "SubjectOf::is_absent")]
    subject: SubjectOf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
    magic: i32,
}

/// Three things that JSON tells apart: no subject at all, null for the global one, a name.
#[derive(Default, Serialize, Deserialize)]
#[serde(untagged)]
enum SubjectOf {
    #[serde(skip)]
    #[default]
    Absent,
    Given(Option<String>),
}

impl SubjectOf {
    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaValue {
    subject: String,
    version: i32,
    id: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    references: Option<Vec<ReferenceValue>>,
    schema: String,
    #[serde(default)]
    deleted: bool,
}

#[derive(Serialize, Deserialize)]
struct ReferenceValue {
    name: String,
    subject: String,
    version: i32,
}

#[derive(Serialize, Deserialize)]
struct DeleteSubjectValue {
    subject: String,
    version: i32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigValue {
    compatibility_level: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LastIdValue {
    last_id: i32,
}

#[derive(Serialize, Deserialize)]
struct ModeValue {
    mode: String,
}

impl Record {
    /// The bytes of key and value.
    pub(crate) fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            Self::Schema { schema, is_deleted } => {
                let value = SchemaValue::new(schema, *is_deleted);
                (schema_key(&schema.subject, schema.version), Some(json(&value)))
            }
            Self::SchemaRemoved { subject, version } => (schema_key(subject, *version), None),
            Self::SubjectDeleted { subject, up_to } => {
                let value = DeleteSubjectValue { subject: subject.clone(), version: up_to.0 };
                (plain_key("DELETE_SUBJECT", Some(Some(subject))), Some(json(&value)))
            }
            Self::Compatibility { subject, level } => {
                let value = level
                    .map(|level| json(&ConfigValue { compatibility_level: level.name().into() }));
                (plain_key("CONFIG", Some(subject.as_ref())), value)
            }
            Self::Mode { subject, mode } => {
                let value = mode.map(|mode| json(&ModeValue { mode: mode.name().into() }));
                (plain_key("MODE", Some(subject.as_ref())), value)
            }
            Self::LastId { id } => {
                (plain_key("NOOP", None), Some(json(&LastIdValue { last_id: id.0 })))
            }
            Self::Nothing => (plain_key("NOOP", None), None),
        }
    }

    /// Understands a record.
    pub(crate) fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, MalformedRecord> {
        let key: Key = parse("key", key)?;
        let subject = match key.subject {
            SubjectOf::Absent => None,
            SubjectOf::Given(subject) => subject,
        };
        match key.keytype.as_str() {
            "SCHEMA" => {
                let subject = subject.ok_or_else(|| MalformedRecord("no subject".into()))?;
                let version = key.version.ok_or_else(|| MalformedRecord("no version".into()))?;
                let version = Version(version);
                let Some(value) = value else {
                    return Ok(Self::SchemaRemoved { subject, version });
                };
                let value: SchemaValue = parse("value", value)?;
                if value.subject != subject || value.version != version.0 {
                    return Err(MalformedRecord("key and value disagree".into()));
                }
                if value.id < 0 || value.version < 1 {
                    return Err(MalformedRecord("negative id or version".into()));
                }
                let is_deleted = value.deleted;
                Ok(Self::Schema { schema: value.into_schema(), is_deleted })
            }
            "DELETE_SUBJECT" => match value {
                Some(value) => {
                    let value: DeleteSubjectValue = parse("value", value)?;
                    let up_to = Version(value.version);
                    Ok(Self::SubjectDeleted { subject: value.subject, up_to })
                }
                None => Ok(Self::Nothing),
            },
            "CONFIG" => {
                let value: Option<ConfigValue> = parse_optional(value)?;
                let level =
                    value.and_then(|v| CompatibilityLevel::from_name(&v.compatibility_level));
                Ok(Self::Compatibility { subject, level })
            }
            "MODE" => {
                let value: Option<ModeValue> = parse_optional(value)?;
                let mode = value.and_then(|value| Mode::from_name(&value.mode));
                Ok(Self::Mode { subject, mode })
            }
            "NOOP" => {
                let value: Option<LastIdValue> = parse_optional(value)?;
                Ok(value
                    .map_or(Self::Nothing, |value| Self::LastId { id: SchemaId(value.last_id) }))
            }
            _ => Ok(Self::Nothing),
        }
    }
}

impl SchemaValue {
    fn new(schema: &SchemaVersion, deleted: bool) -> Self {
        let references = schema
            .references
            .iter()
            .map(|reference| ReferenceValue {
                name: reference.name.clone(),
                subject: reference.subject.clone(),
                version: reference.version.0,
            })
            .collect::<Vec<_>>();
        Self {
            subject: schema.subject.clone(),
            version: schema.version.0,
            id: schema.id.0,
            schema_type: (&*schema.schema_type != AVRO).then(|| schema.schema_type.to_string()),
            references: (!references.is_empty()).then_some(references),
            schema: schema.schema.to_string(),
            deleted,
        }
    }

    fn into_schema(self) -> SchemaVersion {
        let references = self.references.unwrap_or_default().into_iter();
        SchemaVersion {
            subject: self.subject,
            version: Version(self.version),
            id: SchemaId(self.id),
            schema: self.schema.into(),
            schema_type: self.schema_type.unwrap_or_else(|| AVRO.into()).into(),
            references: references
                .map(|reference| Reference {
                    name: reference.name,
                    subject: reference.subject,
                    version: Version(reference.version),
                })
                .collect(),
        }
    }
}

fn schema_key(subject: &str, version: Version) -> Bytes {
    json(&Key {
        keytype: "SCHEMA".into(),
        subject: SubjectOf::Given(Some(subject.into())),
        version: Some(version.0),
        magic: 1,
    })
}

fn plain_key(keytype: &str, subject: Option<Option<&String>>) -> Bytes {
    let subject = match subject {
        Some(subject) => SubjectOf::Given(subject.cloned()),
        None => SubjectOf::Absent,
    };
    json(&Key { keytype: keytype.into(), subject, version: None, magic: 0 })
}

fn json<T: Serialize>(value: &T) -> Bytes {
    // Only maps with keys that are no texts can fail, and there are none here.
    serde_json::to_vec(value).expect("structs of texts and numbers become JSON").into()
}

fn parse<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, MalformedRecord> {
    serde_json::from_slice(bytes).map_err(|error| MalformedRecord(format!("{what}: {error}")))
}

fn parse_optional<'a, T: Deserialize<'a>>(
    value: Option<&'a [u8]>,
) -> Result<Option<T>, MalformedRecord> {
    value.map(|value| parse("value", value)).transpose()
}
