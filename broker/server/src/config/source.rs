//! Where settings come from, brought to one shape: dotted keys with texts.

use std::collections::BTreeMap;
use std::path::Path;

use mainstem_node::ConfigProblem;

/// The file may not be larger: it is read as a whole.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Environment variables that are not settings.
const NOT_SETTINGS: [&str; 3] = ["MAINSTEM_CACHE", "MAINSTEM_LOG", "MAINSTEM_CONFIG"];

/// A value and where it came from, when that is not obvious.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) value: String,
    pub(super) source: Option<String>,
}

impl Given {
    pub(super) fn problem(&self, key: &str, problem: String) -> ConfigProblem {
        let problem = match &self.source {
            Some(source) => format!("{problem} (from {source})"),
            None => problem,
        };
        ConfigProblem { key: key.into(), problem }
    }
}

/// All values, later sources over earlier ones, and what could not be read.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) given: BTreeMap<String, Given>,
    pub(super) problems: Vec<ConfigProblem>,
}

impl Sources {
    pub(super) fn add_file(&mut self, path: &Path) {
        let shown = path.display().to_string();
        match read_file(path) {
            Ok(values) => {
                for (key, value) in values {
                    self.given.insert(key, Given { value, source: Some(shown.clone()) });
                }
            }
            Err(problem) => self.problems.push(ConfigProblem { key: shown, problem }),
        }
    }

    /// `MAINSTEM_LOG_DIRS` is `log.dirs`; two underscores stand for one that belongs to the key.
    pub(super) fn add_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) {
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix("MAINSTEM_") else { continue };
            if NOT_SETTINGS.contains(&name.as_str()) {
                continue;
            }
            let key = rest.to_ascii_lowercase().replace("__", "\0").replace('_', ".");
            let key = key.replace('\0', "_");
            self.given.insert(key, Given { value, source: Some(name) });
        }
    }

    pub(super) fn add_overrides(&mut self, overrides: impl IntoIterator<Item = (String, String)>) {
        for (key, value) in overrides {
            self.given.insert(key, Given { value, source: None });
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<(String, String)>, String> {
    let size = std::fs::metadata(path).map_err(|e| format!("read the file: {e}"))?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("has {size} bytes, at most {FILE_BYTES_MAX} are read"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| format!("read the file: {e}"))?;
    if path.extension().is_some_and(|extension| extension == "properties") {
        properties(&text)
    } else {
        toml_values(&text)
    }
}

/// Kafka's format: `key=value` lines, `#` and `!` begin comments, a backslash at the end goes on.
fn properties(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut values = Vec::new();
    let mut held = String::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if held.is_empty() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        if let Some(begun) = line.strip_suffix('\\') {
            held.push_str(begun);
            continue;
        }
        held.push_str(line);
        let whole = std::mem::take(&mut held);
        let Some((key, value)) = whole.split_once(['=', ':']) else {
            return Err(format!("line {} is not key=value", index + 1));
        };
        values.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(values)
}

fn toml_values(text: &str) -> Result<Vec<(String, String)>, String> {
    let table: toml::Table = text.parse().map_err(|error| format!("is no TOML: {error}"))?;
    let mut values = Vec::new();
    flatten("", &toml::Value::Table(table), &mut values)?;
    Ok(values)
}

/// Tables become dotted keys, lists become texts with commas.
fn flatten(
    key: &str,
    value: &toml::Value,
    values: &mut Vec<(String, String)>,
) -> Result<(), String> {
    match value {
        toml::Value::Table(table) => {
            for (name, inner) in table {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&key, inner, values)?;
            }
        }
        toml::Value::Array(list) => {
            let texts = list.iter().map(|item| match item {
                toml::Value::String(text) => Ok(text.clone()),
                toml::Value::Integer(number) => Ok(number.to_string()),
                _ => Err(format!("{key}: a list may hold texts and numbers only")),
            });
            let texts = texts.collect::<Result<Vec<_>, _>>()?;
            values.push((key.into(), texts.join(",")));
        }
        toml::Value::String(text) => values.push((key.into(), text.clone())),
        other => values.push((key.into(), other.to_string())),
    }
    Ok(())
}
