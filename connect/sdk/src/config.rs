//! Describing a connector's configuration, and reading it.
//!
//! A [`Key`] says name, kind, default and meaning once; the host derives validation, documentation
//! and the REST answers from it. [`Config`] reads values and knows no defaults: the host fills them
//! in before the plugin sees the configuration.

use crate::connector::{Encoding, Error};

/// What a connector says about itself.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub doc: String,
    pub keys: Vec<Key>,
    pub key_encoding: Encoding,
    pub value_encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Int32,
    Int64,
    Double,
    Text,
    List,
    Password,
    DurationMs,
    BytesSize,
}

/// One configuration key.
#[derive(Debug, Clone)]
pub struct Key {
    pub name: String,
    pub kind: Kind,
    pub default: Option<String>,
    pub required: bool,
    pub importance: &'static str,
    pub doc: String,
    pub group: String,
    pub allowed: Vec<String>,
}

impl Key {
    fn new(name: &str, kind: Kind, doc: &str) -> Key {
        Key {
            name: name.to_string(),
            kind,
            default: None,
            required: false,
            importance: "MEDIUM",
            doc: doc.to_string(),
            group: "Connector".to_string(),
            allowed: Vec::new(),
        }
    }

    /// A key that must be given.
    pub fn required(name: &str, kind: Kind, doc: &str) -> Key {
        Key { required: true, importance: "HIGH", ..Key::new(name, kind, doc) }
    }

    /// A key that may be left out, and then is not there.
    pub fn optional(name: &str, kind: Kind, doc: &str) -> Key {
        Key::new(name, kind, doc)
    }

    /// A key that may be left out, and then has this value.
    pub fn with_default(name: &str, kind: Kind, default: &str, doc: &str) -> Key {
        Key { default: Some(default.to_string()), ..Key::new(name, kind, doc) }
    }

    /// Only these values.
    #[must_use]
    pub fn one_of(mut self, allowed: &[&str]) -> Key {
        self.allowed = allowed.iter().map(ToString::to_string).collect();
        self
    }
}

/// A configuration in the order in which the host gave it.
#[derive(Debug, Clone, Default)]
pub struct Config(pub Vec<(String, String)>);

impl Config {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The value, or an empty text.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    pub fn require(&self, key: &str) -> Result<&str, Error> {
        self.get(key)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Error::config(format!("{key} is missing")))
    }

    pub fn flag(&self, key: &str) -> bool {
        self.text(key).eq_ignore_ascii_case("true")
    }

    pub fn number(&self, key: &str) -> Result<i64, Error> {
        let text = self.require(key)?;
        text.trim().parse().map_err(|_| Error::config(format!("{key} is not a number: {text}")))
    }

    /// Comma separated, trimmed, without empty entries.
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.text(key).split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
    }
}
