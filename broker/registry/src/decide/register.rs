//! Registering a schema, looking it up, and asking whether it would be accepted.

use super::schema::Candidate;
use super::{Outcome, check_subject, read_version};
use crate::limits::{TEXT_BYTES_MAX, VERSIONS_MAX};
use crate::record::Record;
use crate::state::Registry;
use crate::{
    CompatibilityLevel, Deleted, RegistryError, Reply, Response, SchemaId, SchemaText,
    SchemaVersion, Version, VersionSelector,
};

impl Registry {
    pub(super) fn register(
        &self,
        subject: String,
        schema: &SchemaText,
        normalize: bool,
    ) -> Outcome {
        check_subject(&subject)?;
        self.check_writable(&subject)?;
        let candidate = self.candidate(schema, normalize)?;
        let known = self.ids.get(&candidate.identity).copied();
        if let Some(id) = known.filter(|id| self.live_version_of(&subject, *id).is_some()) {
            return Ok((Vec::new(), Response::Registered { id }));
        }
        let version = self.next_version(&subject);
        check_wishes(&subject, schema, version)?;

        let live = self.live_versions(&subject);
        let level = self.effective_compatibility(&subject);
        let messages = self.compare(level, &candidate, &subject, &live)?;
        if !messages.is_empty() {
            return Err(RegistryError::Incompatible { subject, messages });
        }
        let is_new_text = known.is_none();
        self.check_room(is_new_text, candidate.identity.text.len())?;
        let id = match known {
            Some(id) => id,
            None => self.next_id()?,
        };
        let identity = candidate.identity;
        let schema = SchemaVersion {
            subject,
            version,
            id,
            schema: identity.text,
            schema_type: identity.schema_type,
            references: identity.references.to_vec(),
        };
        let record = Record::Schema { schema, is_deleted: false };
        Ok((vec![record], Response::Registered { id }))
    }

    pub(super) fn lookup(
        &self,
        subject: &str,
        schema: &SchemaText,
        normalize: bool,
        deleted: Deleted,
    ) -> Reply {
        // A subject whose versions are all deleted does not exist for somebody who cannot see them.
        let entry = self.subject(subject, deleted)?;
        let candidate = self.candidate(schema, normalize)?;
        let id = self.ids.get(&candidate.identity).copied();
        let id = id.ok_or(RegistryError::SchemaNotFound)?;
        // The newest version that has it is the one that counts.
        let found = entry.select(deleted).rev().find(|(_, entry)| entry.id == id);
        let (version, _) = found.ok_or(RegistryError::SchemaNotFound)?;
        Ok(Response::Schema(self.shown(subject, version, id)))
    }

    pub(super) fn test_compatibility(
        &self,
        subject: &str,
        selector: Option<&VersionSelector>,
        schema: &SchemaText,
        normalize: bool,
    ) -> Reply {
        let candidate = self.candidate(schema, normalize)?;
        let level = self.effective_compatibility(subject);
        let against = match selector {
            None => self.live_versions(subject),
            Some(selector) => match read_version(selector)? {
                // Before the first version, everything fits.
                None => self.live_versions(subject).into_iter().rev().take(1).collect(),
                Some(_) => vec![self.resolve(subject, selector, Deleted::Hide)?],
            },
        };
        let messages = self.compare(level, &candidate, subject, &against)?;
        Ok(Response::CompatibilityTested { is_compatible: messages.is_empty(), messages })
    }

    /// What speaks against the candidate beside these versions, in ascending order.
    fn compare(
        &self,
        level: CompatibilityLevel,
        candidate: &Candidate,
        subject: &str,
        versions: &[Version],
    ) -> Result<Vec<String>, RegistryError> {
        if level == CompatibilityLevel::None {
            return Ok(Vec::new());
        }
        let count = if level.is_transitive() { versions.len() } else { 1 };
        for version in versions.iter().rev().take(count) {
            let id = self.subjects[subject].versions[version].id;
            let identity = &self.schemas[&id].identity;
            let earlier = self.read(identity)?;
            let mut differences = Vec::new();
            if level.asks_backward() {
                differences.extend(candidate.avro.differences(&earlier));
            }
            if level.asks_forward() {
                differences.extend(earlier.differences(&candidate.avro));
            }
            if !differences.is_empty() {
                let mut messages = differences.iter().map(ToString::to_string).collect::<Vec<_>>();
                messages.push(format!("{{oldSchemaVersion: {version}}}"));
                messages.push(format!("{{oldSchema: '{}'}}", identity.text));
                messages.push(format!("{{compatibility: '{level}'}}"));
                return Ok(messages);
            }
        }
        Ok(Vec::new())
    }
}

impl Registry {
    fn live_versions(&self, subject: &str) -> Vec<Version> {
        let subject = self.subjects.get(subject);
        let live = subject.into_iter().flat_map(|subject| subject.select(Deleted::Hide));
        live.map(|(version, _)| version).collect()
    }

    fn live_version_of(&self, subject: &str, id: SchemaId) -> Option<Version> {
        let mut live = self.subjects.get(subject)?.select(Deleted::Hide);
        live.find(|(_, entry)| entry.id == id).map(|(version, _)| version)
    }

    fn next_version(&self, subject: &str) -> Version {
        let subject = self.subjects.get(subject);
        let last = subject.and_then(|subject| subject.versions.keys().next_back());
        Version(last.map_or(1, |last| last.0.saturating_add(1)))
    }

    fn next_id(&self) -> Result<SchemaId, RegistryError> {
        let next = self.last_id.checked_add(1);
        next.map(SchemaId).ok_or_else(|| RegistryError::Full("no id is left".into()))
    }

    fn check_room(&self, is_new_text: bool, text_bytes: usize) -> Result<(), RegistryError> {
        if self.versions >= VERSIONS_MAX {
            return Err(RegistryError::Full(format!("{VERSIONS_MAX} versions are kept")));
        }
        if is_new_text && self.text_bytes + text_bytes > TEXT_BYTES_MAX {
            return Err(RegistryError::Full(format!("{TEXT_BYTES_MAX} bytes of schemas are kept")));
        }
        Ok(())
    }
}

/// Ids and versions are given by the registry; a client may at most say what it would get anyway.
fn check_wishes(subject: &str, schema: &SchemaText, next: Version) -> Result<(), RegistryError> {
    if schema.id.is_some_and(|id| id >= 0) {
        return Err(RegistryError::OperationNotPermitted(format!(
            "Subject {subject} is not in import mode"
        )));
    }
    match schema.version {
        Some(version) if version > 0 && version != next.0 => Err(RegistryError::InvalidSchema(
            format!("the version {version} is not the next one, which is {next}"),
        )),
        _ => Ok(()),
    }
}
