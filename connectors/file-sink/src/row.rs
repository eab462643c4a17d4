//! A JSON value as one line of the file.
//!
//! Numbers are copied as they are written in the JSON, so a sum is not rounded on its way through a
//! float. A CSV field is quoted when it holds the delimiter, a quote or a line end, or when it
//! would otherwise read as null.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::settings::{Format, Settings};

pub struct RowWriter {
    format: Format,
    header: bool,
    delimiter: char,
    null_text: String,
    columns: Vec<String>,
    header_written: bool,
}

impl RowWriter {
    /// `written` are the columns that the file already has, none for a new file.
    pub fn new(settings: &Settings, written: &[String]) -> RowWriter {
        let known = !written.is_empty();
        RowWriter {
            format: settings.format,
            header: settings.header && settings.format == Format::Csv,
            delimiter: settings.delimiter,
            null_text: settings.null_text.clone(),
            columns: if known { written.to_vec() } else { settings.columns.clone() },
            header_written: known,
        }
    }

    /// The columns of the file, once there are any.
    pub fn columns(&self) -> &[String] {
        if self.header_written { &self.columns } else { &[] }
    }

    /// Appends one line, or nothing and a sentence.
    pub fn write(&mut self, json: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        if self.format == Format::JsonLines {
            let text: &RawValue = serde_json::from_slice(json).map_err(|e| not_json(&e))?;
            // A line end may stand between the tokens of a JSON text, but not within one.
            out.extend(text.get().bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')));
            out.push(b'\n');
            return Ok(());
        }
        let value: Value = serde_json::from_slice(json).map_err(|e| not_json(&e))?;
        let Value::Object(fields) = value else {
            return Err("a CSV row is made of a record, and the value is none".to_string());
        };
        if !self.header_written {
            self.begin(&fields, out);
        }
        let mut line = String::with_capacity(json.len());
        for (index, column) in self.columns.iter().enumerate() {
            if 0 < index {
                line.push(self.delimiter);
            }
            match find(&fields, column) {
                None | Some(Value::Null) => line.push_str(&self.null_text),
                Some(Value::String(text)) => self.push_field(text, &mut line),
                Some(other) => self.push_field(&other.to_string(), &mut line),
            }
        }
        line.push('\n');
        out.extend_from_slice(line.as_bytes());
        Ok(())
    }

    fn begin(&mut self, fields: &Map<String, Value>, out: &mut Vec<u8>) {
        if self.columns.is_empty() {
            self.columns = fields.keys().cloned().collect();
        }
        self.header_written = true;
        if self.header {
            let mut line = String::new();
            for (index, column) in self.columns.iter().enumerate() {
                if 0 < index {
                    line.push(self.delimiter);
                }
                self.push_field(column, &mut line);
            }
            line.push('\n');
            out.extend_from_slice(line.as_bytes());
        }
    }

    fn push_field(&self, text: &str, line: &mut String) {
        let special = |c: char| c == self.delimiter || matches!(c, '"' | '\n' | '\r');
        if text.contains(special) || text == self.null_text {
            line.push('"');
            line.push_str(&text.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(text);
        }
    }
}

fn not_json(error: &serde_json::Error) -> String {
    format!("the value is not JSON: {error}")
}

fn find<'a>(fields: &'a Map<String, Value>, column: &str) -> Option<&'a Value> {
    if let Some(value) = fields.get(column) {
        return Some(value);
    }
    let (outer, inner) = column.split_once('.')?;
    find(fields.get(outer)?.as_object()?, inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(format: Format, columns: &[&str]) -> Settings {
        Settings {
            path: "/x".to_string(),
            format,
            header: true,
            delimiter: ',',
            null_text: String::new(),
            columns: columns.iter().map(ToString::to_string).collect(),
        }
    }

    fn written(format: Format, columns: &[&str], values: &[&str]) -> String {
        let mut rows = RowWriter::new(&settings(format, columns), &[]);
        let mut out = Vec::new();
        for value in values {
            if let Err(problem) = rows.write(value.as_bytes(), &mut out) {
                out.extend_from_slice(format!("! {problem}\n").as_bytes());
            }
        }
        String::from_utf8(out).expect("rows are text")
    }

    #[test]
    fn values_become_lines() {
        let table: [(Format, &[&str], &[&str], &str); 6] = [
            (
                Format::Csv,
                &[],
                &["{\"b\":1,\"a\":\"x\"}", "{\"a\":null,\"b\":2.50}"],
                "b,a\n1,x\n2.50,\n",
            ),
            (Format::Csv, &["a"], &["{\"b\":1,\"a\":\"x,\\\"y\\\"\"}"], "a\n\"x,\"\"y\"\"\"\n"),
            (Format::Csv, &["a.b"], &["{\"a\":{\"b\":true}}"], "a.b\ntrue\n"),
            (Format::Csv, &["a"], &["{\"a\":\"\"}", "{}"], "a\n\"\"\n\n"),
            (
                Format::Csv,
                &["a"],
                &["7"],
                "! a CSV row is made of a record, and the value is none\n",
            ),
            (Format::JsonLines, &[], &["{\"a\":\n 1}", "7"], "{\"a\": 1}\n7\n"),
        ];
        for (format, columns, values, expected) in table {
            assert_eq!(written(format, columns, values), expected, "{values:?}");
        }
    }
}
