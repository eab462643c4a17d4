//! The state of the registry, and `apply`, its only writer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::record::{MalformedRecord, Record};
use crate::{CompatibilityLevel, Deleted, Mode, Reference, SchemaId, SchemaVersion, Version};

/// All subjects and schemas. See the crate's essay for how it is driven.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    pub(crate) subjects: BTreeMap<String, Subject>,
    /// Distinct schemas by id, with their uses.
    pub(crate) schemas: BTreeMap<SchemaId, Schema>,
    /// Ids by what makes two schemas the same.
    pub(crate) ids: BTreeMap<Identity, SchemaId>,
    /// The highest id that was ever seen; ids are not given twice.
    pub(crate) last_id: i32,
    pub(crate) compatibility: Option<CompatibilityLevel>,
    pub(crate) mode: Option<Mode>,
    /// Levels and modes of subjects, which may be set before there is a first version.
    pub(crate) subject_compatibility: BTreeMap<String, CompatibilityLevel>,
    pub(crate) subject_mode: BTreeMap<String, Mode>,
    /// How many versions there are in all, and how many bytes of distinct text.
    pub(crate) versions: usize,
    pub(crate) text_bytes: usize,
}

/// Two schemas are the same when these are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) schema_type: Arc<str>,
    pub(crate) text: Arc<str>,
    pub(crate) references: Arc<[Reference]>,
}

/// A distinct schema.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) identity: Identity,
    pub(crate) uses: BTreeSet<(String, Version)>,
}

/// The versions of a subject, softly deleted ones included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) versions: BTreeMap<Version, SubjectVersion>,
}

/// One version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubjectVersion {
    pub(crate) id: SchemaId,
    pub(crate) is_deleted: bool,
}

impl Subject {
    pub(crate) fn select(
        &self,
        deleted: Deleted,
    ) -> impl DoubleEndedIterator<Item = (Version, SubjectVersion)> + '_ {
        self.versions
            .iter()
            .filter(move |(_, entry)| match deleted {
                Deleted::Hide => !entry.is_deleted,
                Deleted::Show => true,
                Deleted::Only => entry.is_deleted,
            })
            .map(|(version, entry)| (*version, *entry))
    }
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record of `_schemas` into the state: at start each one in order, later each one
    /// that was appended. A malformed record changes nothing; the host says it in its log.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), MalformedRecord> {
        match Record::decode(key, value)? {
            Record::Schema { schema, is_deleted } => self.apply_schema(schema, is_deleted),
            Record::SchemaRemoved { subject, version } => self.remove(&subject, version),
            Record::SubjectDeleted { subject, up_to } => {
                let entry = self.subjects.get_mut(&subject);
                for (version, entry) in entry.into_iter().flat_map(|s| s.versions.iter_mut()) {
                    entry.is_deleted |= *version <= up_to;
                }
            }
            Record::Compatibility { subject: None, level } => self.compatibility = level,
            Record::Compatibility { subject: Some(subject), level } => {
                set_or_remove(&mut self.subject_compatibility, subject, level);
            }
            Record::Mode { subject: None, mode } => self.mode = mode,
            Record::Mode { subject: Some(subject), mode } => {
                set_or_remove(&mut self.subject_mode, subject, mode);
            }
            Record::LastId { id } => self.last_id = self.last_id.max(id.0),
            Record::Nothing => {}
        }
        Ok(())
    }

    fn apply_schema(&mut self, schema: SchemaVersion, is_deleted: bool) {
        let SchemaVersion { subject, version, id, schema: text, schema_type, references } = schema;
        // A version that changes its schema gives the old one free first.
        self.remove(&subject, version);
        self.last_id = self.last_id.max(id.0);
        let identity = Identity { schema_type, text, references: references.into() };
        if !self.schemas.contains_key(&id) {
            self.text_bytes += identity.text.len();
            // The first id of a text stays its id, whatever a foreign registry wrote later.
            self.ids.entry(identity.clone()).or_insert(id);
        }
        let entry =
            self.schemas.entry(id).or_insert_with(|| Schema { identity, uses: BTreeSet::new() });
        entry.uses.insert((subject.clone(), version));
        let versions = &mut self.subjects.entry(subject).or_default().versions;
        versions.insert(version, SubjectVersion { id, is_deleted });
        self.versions += 1;
    }

    fn remove(&mut self, subject: &str, version: Version) {
        let Some(entry) = self.subjects.get_mut(subject) else { return };
        let Some(removed) = entry.versions.remove(&version) else { return };
        self.versions -= 1;
        if entry.versions.is_empty() {
            self.subjects.remove(subject);
        }
        let Some(schema) = self.schemas.get_mut(&removed.id) else { return };
        schema.uses.remove(&(subject.to_owned(), version));
        if schema.uses.is_empty() {
            self.text_bytes -= schema.identity.text.len();
            if self.ids.get(&schema.identity) == Some(&removed.id) {
                self.ids.remove(&schema.identity);
            }
            self.schemas.remove(&removed.id);
        }
    }

    /// A version as it is shown.
    pub(crate) fn shown(&self, subject: &str, version: Version, id: SchemaId) -> SchemaVersion {
        let identity = &self.schemas[&id].identity;
        SchemaVersion {
            subject: subject.into(),
            version,
            id,
            schema: identity.text.clone(),
            schema_type: identity.schema_type.clone(),
            references: identity.references.to_vec(),
        }
    }

    /// The level that holds for a subject.
    pub(crate) fn effective_compatibility(&self, subject: &str) -> CompatibilityLevel {
        let own = self.subject_compatibility.get(subject).copied();
        own.or(self.compatibility).unwrap_or(CompatibilityLevel::Backward)
    }

    /// The mode that holds for a subject.
    pub(crate) fn effective_mode(&self, subject: &str) -> Mode {
        let global = self.mode.unwrap_or(Mode::ReadWrite);
        if global == Mode::ReadOnlyOverride {
            return global;
        }
        self.subject_mode.get(subject).copied().unwrap_or(global)
    }
}

fn set_or_remove<T>(map: &mut BTreeMap<String, T>, subject: String, value: Option<T>) {
    match value {
        Some(value) => {
            map.insert(subject, value);
        }
        None => {
            map.remove(&subject);
        }
    }
}
