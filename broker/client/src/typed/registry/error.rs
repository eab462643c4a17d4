//! Why the registry did not do what it was asked.

/// Sorted by what the caller does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// No answer came, or the registry failed. Ask again later.
    #[error("the schema registry is not available: {0}")]
    Unavailable(String),
    /// There is no such subject, version, schema or id.
    #[error("{message} (code {code})")]
    NotFound { code: i32, message: String },
    /// The schema does not fit the earlier ones of its subject. Change the schema, or the
    /// compatibility of the subject.
    #[error("the schema is not compatible: {message} (code {code})")]
    Incompatible { code: i32, message: String },
    /// The schema or another argument is wrong. Mend it.
    #[error("the schema registry refused: {message} (code {code})")]
    Refused { code: i32, message: String },
    /// The answer cannot be understood: what answered is no schema registry.
    #[error("the answer of the schema registry makes no sense: {0}")]
    Malformed(String),
}

impl RegistryError {
    /// Whether the same call may succeed later.
    pub fn is_retriable(&self) -> bool {
        matches!(self, RegistryError::Unavailable(_))
    }
}
