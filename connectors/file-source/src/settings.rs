//! The configuration of a file source: its keys, and their checked form.
//!
//! Everything that can be known without opening the file is checked here, all problems at once.

use mainstem_connect_sdk::{Config, Issue, Key, Kind, avro};

use crate::columns::Column;

/// Longest raw row: a quote that is never closed must not swallow the memory of the task.
pub const ROW_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Csv,
    Lines,
}

/// Where the columns come from.
#[derive(Debug, Clone)]
pub enum Columns {
    Listed(Vec<Column>),
    /// Every column of the header, typed by looking at this many rows.
    Inferred(usize),
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub path: String,
    pub topic: String,
    pub format: Format,
    pub delimiter: u8,
    pub header: bool,
    pub null_text: String,
    pub columns: Columns,
    pub schema_name: String,
    pub key_column: Option<String>,
    pub timestamp_column: Option<String>,
    pub order_by: Option<String>,
    pub end_of_stream: bool,
    pub follow: bool,
}

/// The keys as the host shows them.
pub fn keys() -> Vec<Key> {
    vec![
        Key::required("path", Kind::Text, "File to read; gzip is recognised by its content."),
        Key::required("topic", Kind::Text, "Topic to write to."),
        Key::with_default(
            "format",
            Kind::Text,
            "csv",
            "csv: one record per row, as Avro; lines: one text per line.",
        )
        .one_of(&["csv", "lines"]),
        Key::with_default("header", Kind::Boolean, "true", "Does the first row name the columns?"),
        Key::with_default(
            "delimiter",
            Kind::Text,
            ",",
            "One character between fields; \\t is a tab.",
        ),
        Key::with_default(
            "null.text",
            Kind::Text,
            "",
            "Text that means null in columns that may be null.",
        ),
        Key::optional(
            "columns",
            Kind::List,
            "Columns of the record in their order, as name:type. Types: string, int, long, float, double, boolean, \
             timestamp (ISO-8601 text, stored as timestamp-millis); a question mark behind the type allows null. \
             Columns that are not listed are left out. Without this key every column is taken and its type inferred.",
        ),
        Key::with_default(
            "columns.infer.rows",
            Kind::Int32,
            "1000",
            "Rows to look at for types of columns.",
        ),
        Key::optional(
            "schema.name",
            Kind::Text,
            "Full name of the Avro record; default is made of the topic.",
        ),
        Key::optional("key.column", Kind::Text, "Column that becomes the record's key."),
        Key::optional(
            "timestamp.column",
            Kind::Text,
            "Timestamp column that becomes the record's timestamp.",
        ),
        Key::optional(
            "order.by",
            Kind::Text,
            "Timestamp column to sort the rows by. The whole file is read into memory before its \
             first record is written.",
        ),
        Key::with_default(
            "end.of.stream",
            Kind::Boolean,
            "false",
            "Behind the last row write one end-of-stream record into every partition, so that readers know that no \
             earlier record will follow.",
        ),
        Key::with_default(
            "follow",
            Kind::Boolean,
            "false",
            "Keep reading when the file grows; not with gzip.",
        ),
    ]
}

impl Settings {
    /// The checked form, or everything that is wrong.
    pub fn read(config: &Config) -> Result<Settings, Vec<Issue>> {
        let mut issues = Vec::new();
        let csv = config.text("format") != "lines";
        let topic = config.text("topic").to_string();
        let settings = Settings {
            path: config.text("path").to_string(),
            format: if csv { Format::Csv } else { Format::Lines },
            delimiter: read_delimiter(config, &mut issues),
            header: csv && config.flag("header"),
            null_text: config.text("null.text").to_string(),
            columns: read_columns(config, &mut issues),
            schema_name: read_schema_name(config, &topic, &mut issues),
            key_column: present(config, "key.column"),
            timestamp_column: present(config, "timestamp.column"),
            order_by: present(config, "order.by"),
            end_of_stream: config.flag("end.of.stream"),
            follow: config.flag("follow"),
            topic,
        };
        settings.check(csv, &mut issues);
        if issues.is_empty() { Ok(settings) } else { Err(issues) }
    }

    fn check(&self, csv: bool, issues: &mut Vec<Issue>) {
        if !self.path.starts_with('/') {
            issues.push(Issue::new("path", "must be an absolute path"));
        }
        if self.follow && self.order_by.is_some() {
            issues.push(Issue::new("follow", "a file that is followed cannot be sorted"));
        }
        if self.follow && self.end_of_stream {
            issues.push(Issue::new("follow", "a file that is followed has no end of stream"));
        }
        if !csv {
            for (key, set) in [
                ("order.by", &self.order_by),
                ("key.column", &self.key_column),
                ("timestamp.column", &self.timestamp_column),
            ] {
                if set.is_some() {
                    issues.push(Issue::new(key, "lines have no columns"));
                }
            }
            return;
        }
        let Columns::Listed(columns) = &self.columns else {
            if !self.header {
                issues.push(Issue::new("columns", "must be listed when the file has no header"));
            }
            return;
        };
        for (key, name) in [
            ("order.by", &self.order_by),
            ("key.column", &self.key_column),
            ("timestamp.column", &self.timestamp_column),
        ] {
            let Some(name) = name else { continue };
            if !columns.iter().any(|column| column.name == *name) {
                issues.push(Issue::new(key, format!("{name} is not among the columns")));
            }
        }
    }
}

fn present(config: &Config, key: &str) -> Option<String> {
    config.get(key).filter(|value| !value.is_empty()).map(str::to_string)
}

fn read_delimiter(config: &Config, issues: &mut Vec<Issue>) -> u8 {
    match config.text("delimiter") {
        "" => b',',
        "\\t" | "\t" => b'\t',
        text if text.len() == 1 && !matches!(text, "\"" | "\n" | "\r") => text.as_bytes()[0],
        _ => {
            issues.push(Issue::new(
                "delimiter",
                "must be one ASCII character, and no quote or line end",
            ));
            b','
        }
    }
}

fn read_columns(config: &Config, issues: &mut Vec<Issue>) -> Columns {
    let listed = config.list("columns");
    if listed.is_empty() {
        let rows = config.text("columns.infer.rows").parse().unwrap_or(1000_usize);
        return Columns::Inferred(rows.clamp(1, 100_000));
    }
    let mut columns: Vec<Column> = Vec::new();
    for entry in listed {
        match Column::parse(entry) {
            Ok(column) if columns.iter().any(|known| known.name == column.name) => {
                issues.push(Issue::new("columns", format!("{} is listed twice", column.name)));
            }
            Ok(column) => columns.push(column),
            Err(problem) => issues.push(Issue::new("columns", problem)),
        }
    }
    Columns::Listed(columns)
}

fn read_schema_name(config: &Config, topic: &str, issues: &mut Vec<Issue>) -> String {
    if let Some(name) = present(config, "schema.name") {
        if !name.split('.').all(avro::is_name) {
            issues.push(Issue::new("schema.name", "must be Avro names with dots between them"));
        }
        return name;
    }
    let mut name: String =
        topic.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !avro::is_name(&name) {
        name.insert(0, '_');
    }
    name
}
