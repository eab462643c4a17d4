//! Parsing and checking a configuration's value.

use super::definition::{Definition, Effect, Kind};
use super::table::definition;
use std::collections::BTreeMap;
use std::str::FromStr;
use thiserror::Error;

/// Why a topic's configuration is refused; the text is for the client (INVALID_CONFIG).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("Unknown topic config name: {0}")]
    Unknown(String),
    #[error("Null value not supported for topic configs: {0}")]
    Null(String),
    #[error("Invalid value {value} for configuration {name}: {problem}")]
    Invalid { name: &'static str, value: String, problem: String },
    #[error(
        "Invalid value {value} for configuration {name}: this broker only has {default}; {reason}"
    )]
    Fixed { name: &'static str, value: String, default: &'static str, reason: &'static str },
    #[error("Invalid configuration: {0}")]
    Contradiction(String),
}

/// Checks what a client wants to set for one topic, each value and all together.
pub fn validate(configs: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    for (name, value) in configs {
        let row = definition(name).ok_or_else(|| ConfigError::Unknown(name.clone()))?;
        check(row, value)?;
    }
    let long = |name: &str| {
        let value = configs.get(name).map(String::as_str);
        value
            .or_else(|| definition(name).map(|row| row.default))
            .and_then(|v| v.trim().parse().ok())
    };
    let (least, most): (Option<i64>, Option<i64>) =
        (long("min.compaction.lag.ms"), long("max.compaction.lag.ms"));
    if least > most {
        return Err(ConfigError::Contradiction(
            "conflict topic config setting min.compaction.lag.ms > max.compaction.lag.ms"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Checks one value against its row.
pub(super) fn check(row: &'static Definition, value: &str) -> Result<(), ConfigError> {
    let invalid = |problem: String| ConfigError::Invalid {
        name: row.name,
        value: value.chars().take(200).collect(),
        problem,
    };
    let value = value.trim();
    let same = match row.kind {
        Kind::Boolean => match value.to_ascii_lowercase().as_str() {
            word @ ("true" | "false") => word == row.default,
            _ => return Err(invalid("Expected value to be either true or false".to_owned())),
        },
        Kind::Int { min } => {
            number::<i32>(value, "int", min, i32::MAX).map_err(invalid)? == default_number(row)
        }
        Kind::Long { min } => {
            number::<i64>(value, "long", min, i64::MAX).map_err(invalid)? == default_number(row)
        }
        Kind::Double { min, max } => {
            number::<f64>(value, "double", min, max).map_err(invalid)? == default_number(row)
        }
        Kind::Choice(words) => {
            if !words.contains(&value) {
                return Err(invalid(format!("String must be one of: {}", words.join(", "))));
            }
            value == row.default
        }
        Kind::List(words) => {
            check_list(value, words).map_err(invalid)?;
            value == row.default
        }
    };
    match row.effect {
        Effect::Fixed(reason) if !same => Err(ConfigError::Fixed {
            name: row.name,
            value: value.chars().take(200).collect(),
            default: row.default,
            reason,
        }),
        _ => Ok(()),
    }
}

fn number<T: FromStr + PartialOrd + Copy + std::fmt::Display>(
    value: &str,
    kind: &str,
    min: T,
    max: T,
) -> Result<T, String> {
    let number: T = value.parse().map_err(|_| format!("Not a number of type {kind}"))?;
    if number < min {
        Err(format!("Value must be at least {min}"))
    } else if number <= max {
        Ok(number)
    } else {
        Err(format!("Value must be no more than {max}"))
    }
}

fn default_number<T: FromStr>(row: &'static Definition) -> T {
    row.default.parse().ok().expect("the defaults of the table are of their type")
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
