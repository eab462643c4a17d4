//! Levels and modes, global and of single subjects.

use super::{Outcome, check_subject};
use crate::record::Record;
use crate::state::Registry;
use crate::{CompatibilityLevel, Mode, RegistryError, Reply, Response};

impl Registry {
    pub(super) fn get_compatibility(
        &self,
        subject: Option<String>,
        default_to_global: bool,
    ) -> Reply {
        let global = self.compatibility.unwrap_or(CompatibilityLevel::Backward);
        let Some(subject) = subject else { return Ok(Response::Compatibility(global)) };
        match self.subject_compatibility.get(&subject) {
            Some(level) => Ok(Response::Compatibility(*level)),
            None if default_to_global => Ok(Response::Compatibility(global)),
            None => Err(RegistryError::CompatibilityNotConfigured(subject)),
        }
    }

    pub(super) fn set_compatibility(&self, subject: Option<String>, level: &str) -> Outcome {
        subject.as_deref().map_or(Ok(()), check_subject)?;
        let level =
            CompatibilityLevel::from_name(level).ok_or(RegistryError::InvalidCompatibility)?;
        let record = Record::Compatibility { subject, level: Some(level) };
        Ok((vec![record], Response::CompatibilitySet(level)))
    }

    pub(super) fn delete_compatibility(&self, subject: Option<String>) -> Outcome {
        let held = match &subject {
            None => self.compatibility.unwrap_or(CompatibilityLevel::Backward),
            Some(name) => match self.subject_compatibility.get(name) {
                Some(level) => *level,
                None => return Err(RegistryError::CompatibilityNotConfigured(name.clone())),
            },
        };
        let record = Record::Compatibility { subject, level: None };
        Ok((vec![record], Response::Compatibility(held)))
    }

    pub(super) fn get_mode(&self, subject: Option<String>, default_to_global: bool) -> Reply {
        let global = self.mode.unwrap_or(Mode::ReadWrite);
        let Some(subject) = subject else { return Ok(Response::Mode(global)) };
        match self.subject_mode.get(&subject) {
            Some(mode) => Ok(Response::Mode(*mode)),
            None if default_to_global => Ok(Response::Mode(self.effective_mode(&subject))),
            None => Err(RegistryError::ModeNotConfigured(subject)),
        }
    }

    pub(super) fn set_mode(&self, subject: Option<String>, mode: &str) -> Outcome {
        subject.as_deref().map_or(Ok(()), check_subject)?;
        let mode = Mode::from_name(mode).ok_or(RegistryError::InvalidMode)?;
        let record = Record::Mode { subject, mode: Some(mode) };
        Ok((vec![record], Response::Mode(mode)))
    }

    pub(super) fn delete_mode(&self, subject: Option<String>) -> Outcome {
        let held = match &subject {
            None => self.mode.unwrap_or(Mode::ReadWrite),
            Some(name) => match self.subject_mode.get(name) {
                Some(mode) => *mode,
                None => return Err(RegistryError::ModeNotConfigured(name.clone())),
            },
        };
        let record = Record::Mode { subject, mode: None };
        Ok((vec![record], Response::Mode(held)))
    }
}
