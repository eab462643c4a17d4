//! Deleting: softly first, which hides, then permanently, which forgets.

use super::Outcome;
use crate::record::Record;
use crate::state::{Registry, SubjectVersion};
use crate::{Deleted, RegistryError, Response, SchemaId, Version, VersionSelector};

impl Registry {
    pub(super) fn delete_subject(&self, subject: String) -> Outcome {
        self.check_writable(&subject)?;
        let Some(entry) = self.subjects.get(&subject) else {
            return Err(RegistryError::SubjectNotFound(subject));
        };
        let live: Vec<Version> = entry.select(Deleted::Hide).map(|(version, _)| version).collect();
        let Some(last) = live.last().copied() else {
            return Err(RegistryError::SubjectSoftDeleted(subject));
        };
        for version in &live {
            self.check_unused(&subject, *version)?;
        }
        // A new beginning under the old name is not bound by the old level and mode.
        let mut records = Vec::new();
        if self.subject_mode.contains_key(&subject) {
            records.push(Record::Mode { subject: Some(subject.clone()), mode: None });
        }
        if self.subject_compatibility.contains_key(&subject) {
            records.push(Record::Compatibility { subject: Some(subject.clone()), level: None });
        }
        records.push(Record::SubjectDeleted { subject, up_to: last });
        Ok((records, Response::Versions(live)))
    }

    pub(super) fn remove_subject(&self, subject: String) -> Outcome {
        self.check_writable(&subject)?;
        let Some(entry) = self.subjects.get(&subject) else {
            return Err(RegistryError::SubjectNotFound(subject));
        };
        if entry.select(Deleted::Hide).next().is_some() {
            return Err(RegistryError::SubjectNotSoftDeleted(subject));
        }
        let all: Vec<(Version, SubjectVersion)> = entry.select(Deleted::Only).collect();
        let mut records = Vec::new();
        for (version, entry) in &all {
            records.extend(self.removal(&subject, *version, entry.id));
        }
        let versions = all.into_iter().map(|(version, _)| version);
        Ok((records, Response::Versions(versions.collect())))
    }

    pub(super) fn delete_version(&self, subject: &str, selector: &VersionSelector) -> Outcome {
        self.check_writable(subject)?;
        let (version, entry) = self.entry(subject, selector)?;
        if entry.is_deleted {
            return Err(RegistryError::VersionSoftDeleted(subject.into(), version));
        }
        self.check_unused(subject, version)?;
        let schema = self.shown(subject, version, entry.id);
        let record = Record::Schema { schema, is_deleted: true };
        Ok((vec![record], Response::VersionDeleted(version)))
    }

    pub(super) fn remove_version(&self, subject: &str, selector: &VersionSelector) -> Outcome {
        self.check_writable(subject)?;
        let (version, entry) = self.entry(subject, selector)?;
        if !entry.is_deleted {
            return Err(RegistryError::VersionNotSoftDeleted(subject.into(), version));
        }
        let records = self.removal(subject, version, entry.id);
        Ok((records, Response::VersionDeleted(version)))
    }

    /// `latest` means the latest live one; a number also finds a deleted one.
    fn entry(
        &self,
        subject: &str,
        selector: &VersionSelector,
    ) -> Result<(Version, SubjectVersion), RegistryError> {
        let version = match super::read_version(selector)? {
            None => self.resolve(subject, selector, Deleted::Hide)?,
            Some(_) => self.resolve(subject, selector, Deleted::Show)?,
        };
        Ok((version, self.subjects[subject].versions[&version]))
    }

    fn removal(&self, subject: &str, version: Version, id: SchemaId) -> Vec<Record> {
        let mut records = Vec::new();
        if id.0 == self.last_id {
            records.push(Record::LastId { id });
        }
        records.push(Record::SchemaRemoved { subject: subject.into(), version });
        records
    }

    fn check_unused(&self, subject: &str, version: Version) -> Result<(), RegistryError> {
        if self.users(subject, version).is_empty() {
            return Ok(());
        }
        Err(RegistryError::ReferenceExists(subject.into(), version))
    }
}
