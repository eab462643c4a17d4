//! Questions about what is there.

use crate::state::Registry;
use crate::{Deleted, RegistryError, Reply, Response, SchemaId, Version, VersionSelector};

impl Registry {
    pub(super) fn show_subjects(&self, prefix: &str, deleted: Deleted) -> Response {
        let names = self
            .subjects
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .filter(|(_, subject)| match deleted {
                // A subject counts as deleted when nothing of it is live.
                Deleted::Only => subject.versions.values().all(|entry| entry.is_deleted),
                Deleted::Hide | Deleted::Show => subject.select(deleted).next().is_some(),
            })
            .map(|(name, _)| name.clone());
        Response::Subjects(names.collect())
    }

    pub(super) fn show_versions(&self, subject: &str, deleted: Deleted) -> Reply {
        let entry = self.subject(subject, deleted)?;
        let versions: Vec<Version> = entry.select(deleted).map(|(version, _)| version).collect();
        Ok(Response::Versions(versions))
    }

    pub(super) fn show_version(
        &self,
        subject: &str,
        selector: &VersionSelector,
        deleted: Deleted,
    ) -> Reply {
        let version = self.resolve(subject, selector, deleted)?;
        let id = self.subjects[subject].versions[&version].id;
        Ok(Response::Schema(self.shown(subject, version, id)))
    }

    pub(super) fn show_users(&self, subject: &str, selector: &VersionSelector) -> Reply {
        let version = self.resolve(subject, selector, Deleted::Show)?;
        Ok(Response::Ids(self.users(subject, version)))
    }

    /// The ids of live schemas that refer to this version.
    pub(super) fn users(&self, subject: &str, version: Version) -> Vec<SchemaId> {
        let refers = |id: &SchemaId| {
            let references = &self.schemas[id].identity.references;
            references.iter().any(|used| used.subject == subject && used.version == version)
        };
        let is_live = |id: &SchemaId| {
            self.schemas[id]
                .uses
                .iter()
                .any(|(subject, version)| !self.subjects[subject].versions[version].is_deleted)
        };
        self.schemas.keys().filter(|id| refers(id) && is_live(id)).copied().collect()
    }

    pub(super) fn show_id(&self, id: SchemaId) -> Reply {
        // Data with this id may still be read when its subject is softly deleted.
        let schema = self.schemas.get(&id).ok_or(RegistryError::IdNotFound(id.0))?;
        let (subject, version) = schema.uses.first().ok_or(RegistryError::IdNotFound(id.0))?;
        Ok(Response::SchemaById(self.shown(subject, *version, id)))
    }

    pub(super) fn show_uses(&self, id: SchemaId, deleted: Deleted) -> Reply {
        let schema = self.schemas.get(&id).ok_or(RegistryError::IdNotFound(id.0))?;
        let uses = schema.uses.iter().filter(|(subject, version)| {
            let is_deleted = self.subjects[subject].versions[version].is_deleted;
            match deleted {
                Deleted::Hide => !is_deleted,
                Deleted::Show => true,
                Deleted::Only => is_deleted,
            }
        });
        Ok(Response::SubjectVersions(uses.cloned().collect()))
    }
}
