//! From the text that a client sends to a checked schema with its references followed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::avro::Avro;
use crate::limits::{REFERENCES_MAX, REFERENCES_RESOLVED_MAX};
use crate::record::AVRO;
use crate::state::{Identity, Registry};
use crate::{Deleted, Reference, RegistryError, SchemaText};

/// A schema that was read, and what makes it the same as another.
pub(super) struct Candidate {
    pub(super) avro: Avro,
    pub(super) identity: Identity,
}

impl Registry {
    pub(super) fn candidate(
        &self,
        schema: &SchemaText,
        normalize: bool,
    ) -> Result<Candidate, RegistryError> {
        let schema_type = schema.schema_type.as_deref().unwrap_or(AVRO);
        if !schema_type.eq_ignore_ascii_case(AVRO) {
            return Err(RegistryError::InvalidSchema(format!(
                "schemas of type {schema_type} are not supported, only {AVRO}"
            )));
        }
        if schema.schema.trim().is_empty() {
            return Err(RegistryError::InvalidSchema("Empty schema".into()));
        }
        let texts = self.follow(&schema.references)?;
        let avro = Avro::parse(&schema.schema, &texts, normalize).map_err(|error| {
            RegistryError::InvalidSchema(format!("{error}, in {}", excerpt(&schema.schema)))
        })?;
        let identity = Identity {
            schema_type: AVRO.into(),
            text: avro.canonical().clone(),
            references: schema.references.clone().into(),
        };
        Ok(Candidate { avro, identity })
    }

    /// Reads a schema that the registry has. A foreign registry may have written something into
    /// the topic that cannot be read here.
    pub(super) fn read(&self, identity: &Identity) -> Result<Avro, RegistryError> {
        if &*identity.schema_type != AVRO {
            return Err(RegistryError::InvalidSchema(format!(
                "an earlier version is of type {}",
                identity.schema_type
            )));
        }
        let texts = self.follow(&identity.references)?;
        Avro::parse(&identity.text, &texts, false)
            .map_err(|error| RegistryError::InvalidSchema(format!("an earlier version: {error}")))
    }

    /// The texts behind references, each after those that it uses itself, none twice.
    fn follow(&self, references: &[Reference]) -> Result<Vec<Arc<str>>, RegistryError> {
        if references.len() > REFERENCES_MAX {
            return Err(RegistryError::InvalidSchema(format!(
                "{} references, at most {REFERENCES_MAX} are taken",
                references.len()
            )));
        }
        let mut texts = Vec::new();
        let mut seen = BTreeSet::new();
        // A reference waits on the stack until the schemas that it uses have been taken.
        let mut stack: Vec<(Reference, bool)> =
            references.iter().rev().map(|reference| (reference.clone(), false)).collect();
        while let Some((reference, is_open)) = stack.pop() {
            let identity = self.referenced(&reference)?;
            if is_open {
                texts.push(identity.text.clone());
                continue;
            }
            if !seen.insert((reference.subject.clone(), reference.version)) {
                continue;
            }
            if seen.len() > REFERENCES_RESOLVED_MAX {
                return Err(RegistryError::InvalidSchema(format!(
                    "references lead to more than {REFERENCES_RESOLVED_MAX} schemas"
                )));
            }
            stack.push((reference, true));
            stack.extend(identity.references.iter().rev().map(|inner| (inner.clone(), false)));
        }
        Ok(texts)
    }

    fn referenced(&self, reference: &Reference) -> Result<&Identity, RegistryError> {
        let found = self
            .subject(&reference.subject, Deleted::Show)
            .ok()
            .and_then(|subject| subject.versions.get(&reference.version))
            .and_then(|entry| self.schemas.get(&entry.id));
        match found {
            Some(schema) => Ok(&schema.identity),
            None => Err(RegistryError::InvalidSchema(format!(
                "No schema reference found for subject \"{}\" and version {}",
                reference.subject, reference.version
            ))),
        }
    }
}

/// The beginning of a text, for a message.
fn excerpt(text: &str) -> String {
    const SHOWN: usize = 200;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into(),
    }
}
