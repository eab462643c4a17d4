//! What the registry is asked and what it answers.
//!
//! The variants follow the REST interface one to one, so that the HTTP shell only translates
//! names. Texts that may be wrong (a level, a mode, a version) arrive as text: what is said about
//! a wrong one is decided here and not in the shell.

use std::fmt;
use std::sync::Arc;

use crate::{CompatibilityLevel, Mode, RegistryError};

/// The number of a schema in the whole registry; it goes into the header of every Avro record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub i32);

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a version within its subject, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub i32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A schema that another one uses by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The full name of the type as the using schema writes it.
    pub name: String,
    /// The subject that holds the used schema.
    pub subject: String,
    /// The version of that subject.
    pub version: Version,
}

/// A schema as a client sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaText {
    /// The schema itself; for Avro its JSON.
    pub schema: String,
    /// `AVRO` when absent; every other type is refused.
    pub schema_type: Option<String>,
    /// What the schema uses from other subjects.
    pub references: Vec<Reference>,
    /// An id that the client wants to give itself; refused, since there is no IMPORT mode.
    pub id: Option<i32>,
    /// A version that the client wants to give itself; only the next one is taken.
    pub version: Option<i32>,
}

/// Which of the deleted versions an answer shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deleted {
    /// Live versions only.
    #[default]
    Hide,
    /// Live and softly deleted versions.
    Show,
    /// Softly deleted versions only.
    Only,
}

/// A version as the path names it: a number, `latest` or -1. Kept as text, see the module essay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionSelector(pub String);

impl VersionSelector {
    /// The newest version that is not deleted.
    pub fn latest() -> Self {
        Self("latest".into())
    }
}

impl From<i32> for VersionSelector {
    fn from(version: i32) -> Self {
        Self(version.to_string())
    }
}

/// A question or a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Names of subjects that start with `prefix`.
    Subjects { prefix: String, deleted: Deleted },
    /// Version numbers of a subject.
    Versions { subject: String, deleted: Deleted },
    /// One version of a subject.
    SchemaByVersion { subject: String, version: VersionSelector, deleted: Deleted },
    /// The ids of schemas that use this version.
    ReferencedBy { subject: String, version: VersionSelector },
    /// A schema by its id.
    SchemaById { id: SchemaId },
    /// The subjects and versions that use an id.
    VersionsById { id: SchemaId, deleted: Deleted },
    /// Adds a version to a subject, or finds the one that is there already.
    Register { subject: String, schema: SchemaText, normalize: bool },
    /// Finds the version of a subject that has this schema.
    Lookup { subject: String, schema: SchemaText, normalize: bool, deleted: Deleted },
    /// Deletes a subject with all its versions.
    DeleteSubject { subject: String, permanent: bool },
    /// Deletes one version.
    DeleteVersion { subject: String, version: VersionSelector, permanent: bool },
    /// The level of a subject, or the global one.
    GetCompatibility { subject: Option<String>, default_to_global: bool },
    /// Sets the level of a subject, or the global one.
    SetCompatibility { subject: Option<String>, level: String },
    /// Takes back the level of a subject, or the global one.
    DeleteCompatibility { subject: Option<String> },
    /// The mode of a subject, or the global one.
    GetMode { subject: Option<String>, default_to_global: bool },
    /// Sets the mode of a subject, or the global one.
    SetMode { subject: Option<String>, mode: String },
    /// Takes back the mode of a subject, or the global one.
    DeleteMode { subject: Option<String> },
    /// Would this schema be accepted? Against one version, or against all that the level asks for.
    TestCompatibility {
        subject: String,
        version: Option<VersionSelector>,
        schema: SchemaText,
        normalize: bool,
    },
}

/// One version of a subject with its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The subject's name.
    pub subject: String,
    /// The version within the subject.
    pub version: Version,
    /// The schema's id in the registry.
    pub id: SchemaId,
    /// The canonical text.
    pub schema: Arc<str>,
    /// `AVRO`, or what a foreign registry once wrote into the topic.
    pub schema_type: Arc<str>,
    /// What the schema uses from other subjects.
    pub references: Vec<Reference>,
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// Names of subjects, sorted.
    Subjects(Vec<String>),
    /// Version numbers, ascending: those that exist, or those just deleted.
    Versions(Vec<Version>),
    /// One version with its schema.
    Schema(SchemaVersion),
    /// A schema by its id; subject and version are one of its uses.
    SchemaById(SchemaVersion),
    /// Ids of schemas, ascending.
    Ids(Vec<SchemaId>),
    /// Uses of an id, sorted.
    SubjectVersions(Vec<(String, Version)>),
    /// The id that a registered schema has.
    Registered { id: SchemaId },
    /// The version that was deleted.
    VersionDeleted(Version),
    /// The level that holds, or held before it was taken back.
    Compatibility(CompatibilityLevel),
    /// The level that was set.
    CompatibilitySet(CompatibilityLevel),
    /// The mode that holds, or held before it was taken back, or was set.
    Mode(Mode),
    /// Whether a schema fits, and if not, why.
    CompatibilityTested { is_compatible: bool, messages: Vec<String> },
}

/// The answer to a command.
pub type Reply = Result<Response, RegistryError>;
