//! Parsing and checking configurations' values.

use super::broker::broker_definition;
use super::definition::{Effect, Kind, Rule, Update};
use super::group::{group_definition, out_of_bounds};
use super::table::definition;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Longest value that is stored: no value of a table needs more, whatever blanks or zeros it has.
const VALUE_BYTES_MAX: usize = 1_024;

/// Why one configuration is refused; the text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("Unknown {resource} config name: {}", shown(name))]
    Unknown { resource: &'static str, name: String },
    #[error("Null value not supported for topic configs: {0}")]
    Null(String),
    #[error("Invalid value {value} for configuration {name}: {problem}")]
    Invalid { name: &'static str, value: String, problem: String },
    #[error(
        "Invalid value {value} for configuration {name}: this broker only has {default}; {reason}"
    )]
    Fixed { name: &'static str, value: String, default: &'static str, reason: &'static str },
    #[error("Cannot update these configs dynamically: {0}")]
    ReadOnly(&'static str),
    #[error("Invalid configuration: {0}")]
    Contradiction(String),
}

impl ConfigError {
    /// What is wrong, for somebody who sees the name already.
    pub fn problem(&self) -> String {
        match self {
            Self::Invalid { value, problem, .. } => format!("invalid value `{value}`: {problem}"),
            Self::Fixed { value, default, reason, .. } => {
                format!("invalid value `{value}`: this broker only has {default}; {reason}")
            }
            other => other.to_string(),
        }
    }
}

/// Everything that is wrong with the configurations of one resource; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(ConfigError::to_string).collect();
        f.write_str(&texts.join("; "))
    }
}

impl std::error::Error for ConfigErrors {}

/// Checks what a client wants to set for one topic, each value and all together.
pub fn validate(configs: &BTreeMap<String, String>) -> Result<(), ConfigErrors> {
    let check = |(name, value): (&String, &String)| match definition(name) {
        Some(row) => check(row.rule(), value),
        None => Err(ConfigError::Unknown { resource: "topic", name: name.clone() }),
    };
    let mut errors: Vec<ConfigError> =
        configs.iter().filter_map(|pair| check(pair).err()).collect();
    let long = |name: &str| {
        let value = configs.get(name).map(String::as_str);
        value
            .or_else(|| definition(name).map(|row| row.default))
            .and_then(|v| v.trim().parse().ok())
    };
    let (least, most): (Option<i64>, Option<i64>) =
        (long("min.compaction.lag.ms"), long("max.compaction.lag.ms"));
    if let (Some(least), Some(most)) = (least, most)
        && most < least
    {
        errors.push(ConfigError::Contradiction(
            "conflict topic config setting min.compaction.lag.ms > max.compaction.lag.ms"
                .to_owned(),
        ));
    }
    all_of(errors)
}

/// Checks what a client wants to set for one group of a broker with these settings, by name; one
/// that is missing has its default.
pub fn validate_group(
    configs: &BTreeMap<String, String>,
    broker: &BTreeMap<String, String>,
) -> Result<(), ConfigErrors> {
    let check = |(name, value): (&String, &String)| match group_definition(name) {
        Some(row) => check(row.rule(), value),
        None => Err(ConfigError::Unknown { resource: "group", name: name.clone() }),
    };
    let errors: Vec<ConfigError> = configs.iter().filter_map(|pair| check(pair).err()).collect();
    // Only values that are right for themselves can be compared.
    all_of(if errors.is_empty() { out_of_bounds(configs, broker) } else { errors })
}

/// Checks what a client wants to set for running brokers.
pub fn validate_broker(configs: &BTreeMap<String, String>) -> Result<(), ConfigErrors> {
    let check = |(name, value): (&String, &String)| match broker_definition(name) {
        Some(row) if row.update == Update::ReadOnly => Err(ConfigError::ReadOnly(row.name)),
        Some(row) => check(row.rule(), value),
        None => Err(ConfigError::Unknown { resource: "broker", name: name.clone() }),
    };
    all_of(configs.iter().filter_map(|pair| check(pair).err()).collect())
}

/// Checks one value that is given to a broker at its start.
pub fn validate_at_start(name: &str, value: &str) -> Result<(), ConfigError> {
    match broker_definition(name) {
        Some(row) => check(row.rule(), value),
        None => Err(ConfigError::Unknown { resource: "broker", name: name.to_owned() }),
    }
}

fn all_of(errors: Vec<ConfigError>) -> Result<(), ConfigErrors> {
    if errors.is_empty() { Ok(()) } else { Err(ConfigErrors(errors)) }
}

/// As much of a client's text as is repeated to it.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Checks one value against its row.
fn check(rule: Rule, value: &str) -> Result<(), ConfigError> {
    let (name, default) = (rule.name, rule.default);
    let invalid = |problem: String| ConfigError::Invalid { name, value: shown(value), problem };
    if VALUE_BYTES_MAX < value.len() {
        return Err(invalid(format!("Value must have at most {VALUE_BYTES_MAX} bytes")));
    }
    let value = value.trim();
    match rule.kind {
        Kind::Boolean if !["true", "false"].contains(&value.to_ascii_lowercase().as_str()) => {
            return Err(invalid("Expected value to be either true or false".to_owned()));
        }
        Kind::Boolean | Kind::Text => {}
        Kind::Int { min } => number(value, "INT", min, i32::MAX).map_err(invalid)?,
        Kind::IntWithin { min, max } => number(value, "INT", min, max).map_err(invalid)?,
        Kind::Long { min } => number(value, "LONG", min, i64::MAX).map_err(invalid)?,
        Kind::LongWithin { min, max } => number(value, "LONG", min, max).map_err(invalid)?,
        Kind::Double { min, max } => number(value, "DOUBLE", min, max).map_err(invalid)?,
        Kind::Choice(words) if !words.contains(&value) => {
            return Err(invalid(format!("String must be one of: {}", words.join(", "))));
        }
        Kind::Choice(_) => {}
        Kind::List(words) => check_list(value, words).map_err(invalid)?,
    }
    match rule.effect {
        Effect::Fixed(reason) if !same(rule.kind, value, default) => {
            Err(ConfigError::Fixed { name, value: shown(value), default, reason })
        }
        _ => Ok(()),
    }
}

/// Whether two valid values mean the same.
fn same(kind: Kind, value: &str, default: &str) -> bool {
    match kind {
        Kind::Boolean => value.eq_ignore_ascii_case(default),
        Kind::Int { .. } | Kind::IntWithin { .. } | Kind::Long { .. } | Kind::LongWithin { .. } => {
            value.parse::<i64>() == default.parse::<i64>()
        }
        Kind::Double { .. } => value.parse::<f64>() == default.parse::<f64>(),
        Kind::Choice(_) | Kind::List(_) | Kind::Text => value == default,
    }
}

fn number<T: FromStr + PartialOrd + Copy + fmt::Display>(
    value: &str,
    kind: &str,
    min: T,
    max: T,
) -> Result<(), String> {
    let number: T = value.parse().map_err(|_| format!("Not a number of type {kind}"))?;
    if number < min {
        Err(format!("Value must be at least {min}"))
    } else if number <= max {
        Ok(())
    } else {
        Err(format!("Value must be no more than {max}"))
    }
}

fn check_list(value: &str, words: &[&str]) -> Result<(), String> {
    if value.is_empty() {
        let may_be_empty = words.is_empty();
        return if may_be_empty { Ok(()) } else { Err("The list must not be empty".to_owned()) };
    }
    let mut seen: Vec<&str> = Vec::new();
    for word in value.split(',').map(str::trim) {
        if !words.is_empty() && !words.contains(&word) {
            return Err(format!("Valid list values are: {}", words.join(", ")));
        }
        if seen.contains(&word) {
            return Err(format!("'{word}' is named twice"));
        }
        seen.push(word);
    }
    Ok(())
}
