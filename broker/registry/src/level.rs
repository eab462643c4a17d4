//! Compatibility levels and modes, with the names that the REST interface and the records use.

use std::fmt;

/// What a new version of a subject must be able to do with the versions before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompatibilityLevel {
    /// Anything may follow anything.
    None,
    /// The new schema reads what the latest version wrote.
    Backward,
    /// The new schema reads what every version wrote.
    BackwardTransitive,
    /// The latest version reads what the new schema writes.
    Forward,
    /// Every version reads what the new schema writes.
    ForwardTransitive,
    /// Backward and forward towards the latest version.
    Full,
    /// Backward and forward towards every version.
    FullTransitive,
}

impl CompatibilityLevel {
    const NAMES: [(CompatibilityLevel, &'static str); 7] = [
        (CompatibilityLevel::None, "NONE"),
        (CompatibilityLevel::Backward, "BACKWARD"),
        (CompatibilityLevel::BackwardTransitive, "BACKWARD_TRANSITIVE"),
        (CompatibilityLevel::Forward, "FORWARD"),
        (CompatibilityLevel::ForwardTransitive, "FORWARD_TRANSITIVE"),
        (CompatibilityLevel::Full, "FULL"),
        (CompatibilityLevel::FullTransitive, "FULL_TRANSITIVE"),
    ];

    /// Reads a level by its name in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(level, _)| *level)
    }

    /// The name in capitals, as it is stored and shown.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(level, _)| *level == self).map_or("NONE", |(_, name)| name)
    }

    pub(crate) fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    pub(crate) fn asks_backward(self) -> bool {
        !matches!(self, Self::None | Self::Forward | Self::ForwardTransitive)
    }

    pub(crate) fn asks_forward(self) -> bool {
        !matches!(self, Self::None | Self::Backward | Self::BackwardTransitive)
    }
}

impl fmt::Display for CompatibilityLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who may change a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everybody reads and writes.
    ReadWrite,
    /// Nobody registers or deletes.
    ReadOnly,
    /// Nobody registers or deletes, whatever the mode of the single subject says.
    ReadOnlyOverride,
}

impl Mode {
    /// Reads a mode by its name in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::ReadWrite, Self::ReadOnly, Self::ReadOnlyOverride]
            .into_iter()
            .find(|mode| mode.name().eq_ignore_ascii_case(name))
    }

    /// The name in capitals, as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadWrite => "READWRITE",
            Self::ReadOnly => "READONLY",
            Self::ReadOnlyOverride => "READONLY_OVERRIDE",
        }
    }
}
