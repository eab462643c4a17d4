//! The configuration of a file sink: its keys, and their checked form.

use mainstem_connect_sdk::{Config, Issue, Key, Kind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    JsonLines,
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub path: String,
    pub format: Format,
    pub header: bool,
    pub delimiter: char,
    pub null_text: String,
    /// Empty: those of the first record, in its order.
    pub columns: Vec<String>,
}

/// The keys as the host shows them.
pub fn keys() -> Vec<Key> {
    vec![
        Key::required(
            "path",
            Kind::Text,
            "File to write; its positions are kept in a file beside it, named .positions.",
        ),
        Key::with_default("format", Kind::Text, "csv", "csv, or json for one JSON text per line.")
            .one_of(&["csv", "json"]),
        Key::with_default(
            "header",
            Kind::Boolean,
            "true",
            "Begin a CSV file with the names of the columns?",
        ),
        Key::with_default(
            "delimiter",
            Kind::Text,
            ",",
            "One character between fields; \\t is a tab.",
        ),
        Key::with_default("null.text", Kind::Text, "", "How null is written in CSV."),
        Key::optional(
            "columns",
            Kind::List,
            "Columns in their order; default are the fields of the first record. A dot goes into a nested record.",
        ),
    ]
}

impl Settings {
    /// The checked form, or everything that is wrong.
    pub fn read(config: &Config) -> Result<Settings, Vec<Issue>> {
        let mut issues = Vec::new();
        let path = config.text("path");
        if !path.starts_with('/') || path.ends_with('/') {
            issues.push(Issue::new("path", "must be the absolute path of a file"));
        }
        if config.get("tasks.max").is_some_and(|tasks| tasks.trim() != "1") {
            issues.push(Issue::new("tasks.max", "must be 1: one file has one writer"));
        }
        let delimiter = match config.text("delimiter") {
            "" => ',',
            "\\t" | "\t" => '\t',
            text => {
                let mut characters = text.chars();
                let first = characters.next().unwrap_or(',');
                if characters.next().is_some() || matches!(first, '"' | '\n' | '\r') {
                    let problem = "must be one character, and no quote or line end";
                    issues.push(Issue::new("delimiter", problem));
                }
                first
            }
        };
        let json = config.text("format") == "json";
        let settings = Settings {
            path: path.to_string(),
            format: if json { Format::JsonLines } else { Format::Csv },
            header: config.get("header").is_none() || config.flag("header"),
            delimiter,
            null_text: config.text("null.text").to_string(),
            columns: config.list("columns").into_iter().map(str::to_string).collect(),
        };
        if issues.is_empty() { Ok(settings) } else { Err(issues) }
    }
}
