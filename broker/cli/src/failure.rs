//! What went wrong, said to the person at the terminal: one sentence that names the thing and what to do.
//!
//! Errors of the libraries are turned into text here and nowhere else; no code decides by them any more.

use std::fmt;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure told by a sentence.
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure(text.into())
    }

    /// Puts what was being done before the reason.
    pub(crate) fn doing(action: &str, reason: &impl fmt::Display) -> Failure {
        Failure(format!("{action}: {reason}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! from {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure(error.to_string())
            }
        }
    )*};
}
from!(std::io::Error, serde_json::Error, mainstem_client::ClientError);
