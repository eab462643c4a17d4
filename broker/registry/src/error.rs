//! What can be wrong with a command, with the error codes and the words that clients of a schema
//! registry know.

use crate::Version;

/// A refusal. Nothing was changed; `Display` is the message for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Ask for a subject that exists.
    #[error("Subject '{0}' not found.")]
    SubjectNotFound(String),
    /// Ask for a version that exists.
    #[error("Version {0} not found.")]
    VersionNotFound(String),
    /// Ask for an id that exists.
    #[error("Schema {0} not found")]
    IdNotFound(i32),
    /// Register the schema first.
    #[error("Schema not found")]
    SchemaNotFound,
    /// Delete permanently, it is softly deleted already.
    #[error("Subject '{0}' was soft deleted. Set permanent=true to delete permanently")]
    SubjectSoftDeleted(String),
    /// Delete softly first.
    #[error("Subject '{0}' was not deleted first before being permanently deleted")]
    SubjectNotSoftDeleted(String),
    /// Delete permanently, it is softly deleted already.
    #[error("Subject '{0}' Version {1} was soft deleted. Set permanent=true to delete permanently")]
    VersionSoftDeleted(String, Version),
    /// Delete softly first.
    #[error("Subject '{0}' Version {1} was not deleted first before being permanently deleted")]
    VersionNotSoftDeleted(String, Version),
    /// Set a level for the subject, or ask with `defaultToGlobal`.
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    CompatibilityNotConfigured(String),
    /// Set a mode for the subject, or ask with `defaultToGlobal`.
    #[error("Subject '{0}' does not have subject-level mode configured")]
    ModeNotConfigured(String),
    /// Change the schema so that it fits, or the level.
    #[error(
        "Schema being registered is incompatible with an earlier schema for subject \
         \"{subject}\", details: [{}]", messages.join(", ")
    )]
    Incompatible { subject: String, messages: Vec<String> },
    /// Mend the schema.
    #[error("Invalid schema: {0}")]
    InvalidSchema(String),
    /// Use a number from 1 on, or `latest`.
    #[error(
        "The specified version '{0}' is not a valid version id. Allowed values are between \
         [1, 2^31-1] and the string \"latest\""
    )]
    InvalidVersion(String),
    /// Use one of the seven levels.
    #[error(
        "Invalid compatibility level. Valid values are none, backward, forward, full, \
         backward_transitive, forward_transitive, and full_transitive"
    )]
    InvalidCompatibility,
    /// Use one of the modes.
    #[error("Invalid mode. Valid values are READWRITE, READONLY and READONLY_OVERRIDE")]
    InvalidMode,
    /// The subject may not be changed now.
    #[error("{0}")]
    OperationNotPermitted(String),
    /// Remove the schemas that use this one first.
    #[error(
        "One or more references exist to the schema {{magic=1,keytype=SCHEMA,subject={0},version={1}}}"
    )]
    ReferenceExists(String, Version),
    /// Use a shorter, non-empty name without control characters.
    #[error("The specified subject '{0}' is not a valid subject")]
    InvalidSubject(String),
    /// The registry is full; delete what is not needed, permanently.
    #[error("The registry is full: {0}")]
    Full(String),
}

impl RegistryError {
    /// The code in the body of the answer.
    pub fn code(&self) -> i32 {
        match self {
            Self::SubjectNotFound(_) => 40401,
            Self::VersionNotFound(_) => 40402,
            Self::IdNotFound(_) | Self::SchemaNotFound => 40403,
            Self::SubjectSoftDeleted(_) => 40404,
            Self::SubjectNotSoftDeleted(_) => 40405,
            Self::VersionSoftDeleted(..) => 40406,
            Self::VersionNotSoftDeleted(..) => 40407,
            Self::CompatibilityNotConfigured(_) => 40408,
            Self::ModeNotConfigured(_) => 40409,
            Self::Incompatible { .. } => 409,
            Self::InvalidSchema(_) => 42201,
            Self::InvalidVersion(_) => 42202,
            Self::InvalidCompatibility => 42203,
            Self::InvalidMode => 42204,
            Self::OperationNotPermitted(_) => 42205,
            Self::ReferenceExists(..) => 42206,
            Self::InvalidSubject(_) => 42208,
            Self::Full(_) => 50001,
        }
    }

    /// The status of the HTTP answer.
    pub fn http_status(&self) -> u16 {
        match self.code() {
            409 => 409,
            // A code is the status with two more digits.
            code => u16::try_from(code / 100).unwrap_or(500),
        }
    }
}
