//! `decide`: from a command to records and a reply, without changing anything.

mod delete;
mod register;
mod schema;
mod settings;
mod show;

use bytes::Bytes;

use crate::limits::SUBJECT_BYTES_MAX;
use crate::record::Record;
use crate::state::{Registry, Subject};
use crate::{Command, Deleted, Mode, RegistryError, Reply, Response, Version, VersionSelector};

/// A record to append to `_schemas`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// The JSON key.
    pub key: Bytes,
    /// The JSON value; none takes back what the key stood for.
    pub value: Option<Bytes>,
}

/// What follows from a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// To be appended in this order, as one batch.
    pub records: Vec<TopicRecord>,
    /// To be given when the records, and all before them, are durable.
    pub reply: Reply,
}

/// Records to write with the answer to give, or a refusal.
type Outcome = Result<(Vec<Record>, Response), RegistryError>;

impl Registry {
    /// Says what `command` leads to. Nothing changes until the records come back by
    /// [`Registry::apply`].
    pub fn decide(&self, command: Command) -> Decision {
        match self.outcome(command) {
            Ok((records, response)) => {
                let records = records.iter().map(|record| {
                    let (key, value) = record.encode();
                    TopicRecord { key, value }
                });
                Decision { records: records.collect(), reply: Ok(response) }
            }
            Err(error) => Decision { records: Vec::new(), reply: Err(error) },
        }
    }

    fn outcome(&self, command: Command) -> Outcome {
        match command {
            Command::Register { subject, schema, normalize } => {
                self.register(subject, &schema, normalize)
            }
            Command::DeleteSubject { subject, permanent: false } => self.delete_subject(subject),
            Command::DeleteSubject { subject, permanent: true } => self.remove_subject(subject),
            Command::DeleteVersion { subject, version, permanent: false } => {
                self.delete_version(&subject, &version)
            }
            Command::DeleteVersion { subject, version, permanent: true } => {
                self.remove_version(&subject, &version)
            }
            Command::SetCompatibility { subject, level } => self.set_compatibility(subject, &level),
            Command::DeleteCompatibility { subject } => self.delete_compatibility(subject),
            Command::SetMode { subject, mode } => self.set_mode(subject, &mode),
            Command::DeleteMode { subject } => self.delete_mode(subject),
            question => Ok((Vec::new(), self.answer(question)?)),
        }
    }

    /// Commands that write nothing.
    fn answer(&self, question: Command) -> Reply {
        match question {
            Command::Subjects { prefix, deleted } => Ok(self.show_subjects(&prefix, deleted)),
            Command::Versions { subject, deleted } => self.show_versions(&subject, deleted),
            Command::SchemaByVersion { subject, version, deleted } => {
                self.show_version(&subject, &version, deleted)
            }
            Command::ReferencedBy { subject, version } => self.show_users(&subject, &version),
            Command::SchemaById { id } => self.show_id(id),
            Command::VersionsById { id, deleted } => self.show_uses(id, deleted),
            Command::Lookup { subject, schema, normalize, deleted } => {
                self.lookup(&subject, &schema, normalize, deleted)
            }
            Command::GetCompatibility { subject, default_to_global } => {
                self.get_compatibility(subject, default_to_global)
            }
            Command::GetMode { subject, default_to_global } => {
                self.get_mode(subject, default_to_global)
            }
            Command::TestCompatibility { subject, version, schema, normalize } => {
                self.test_compatibility(&subject, version.as_ref(), &schema, normalize)
            }
            writing => unreachable!("{writing:?} is decided by outcome()"),
        }
    }

    /// The subject, if a version of it may be seen.
    fn subject(&self, name: &str, deleted: Deleted) -> Result<&Subject, RegistryError> {
        self.subjects
            .get(name)
            .filter(|subject| subject.select(deleted).next().is_some())
            .ok_or_else(|| RegistryError::SubjectNotFound(name.into()))
    }

    /// Finds the version that a selector means among those that may be seen.
    fn resolve(
        &self,
        subject: &str,
        selector: &VersionSelector,
        deleted: Deleted,
    ) -> Result<Version, RegistryError> {
        let wanted = read_version(selector)?;
        let subject = self.subject(subject, deleted)?;
        let found = match wanted {
            Some(wanted) => subject.select(deleted).find(|(version, _)| *version == wanted),
            None => subject.select(deleted).next_back(),
        };
        match found {
            Some((version, _)) => Ok(version),
            None => Err(RegistryError::VersionNotFound(selector.0.clone())),
        }
    }

    fn check_writable(&self, subject: &str) -> Result<(), RegistryError> {
        match self.effective_mode(subject) {
            Mode::ReadWrite => Ok(()),
            Mode::ReadOnly | Mode::ReadOnlyOverride => Err(RegistryError::OperationNotPermitted(
                format!("Subject {subject} is in read-only mode"),
            )),
        }
    }
}

/// `None` stands for the latest version.
fn read_version(selector: &VersionSelector) -> Result<Option<Version>, RegistryError> {
    let text = selector.0.as_str();
    if text == "latest" || text == "-1" {
        return Ok(None);
    }
    match text.parse::<i32>() {
        Ok(number) if number >= 1 => Ok(Some(Version(number))),
        _ => Err(RegistryError::InvalidVersion(text.into())),
    }
}

fn check_subject(subject: &str) -> Result<(), RegistryError> {
    let is_fine = !subject.is_empty()
        && subject.len() <= SUBJECT_BYTES_MAX
        && !subject.chars().any(char::is_control)
        && !["__GLOBAL", "__EMPTY"].contains(&subject);
    if is_fine { Ok(()) } else { Err(RegistryError::InvalidSubject(subject.into())) }
}
