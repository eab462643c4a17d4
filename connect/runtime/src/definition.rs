//! What a connector's configuration may hold: the keys that the worker knows, those of the plugin,
//! and the check of both.
//!
//! The answer has one entry per key, as Kafka Connect's `validate` gives it, so one text serves the
//! check before a connector is created, the REST answer, and the defaults that a plugin is given.

use std::collections::BTreeMap;

use crate::convert::Format;
use crate::limits;
use crate::plugin::{Direction, Plugin};
use crate::sandbox::bindings::capabilities::mainstem::connect::types::Encoding;
use crate::sandbox::guest::wit_plugin::{self, Kind};

/// Says whether less than exactly once is good enough.
pub(crate) const EXACTLY_ONCE_SUPPORT: &str = "exactly.once.support";

/// A connector's configuration as the user wrote it.
pub(crate) type ConfigMap = BTreeMap<String, String>;

/// One key and its meaning.
#[derive(Debug, Clone)]
pub(crate) struct KeyDefinition {
    pub name: String,
    pub kind: Kind,
    pub default: Option<String>,
    pub required: bool,
    pub importance: String,
    pub doc: String,
    pub group: String,
    pub order: u32,
    pub allowed: Vec<String>,
}

/// One key, its value, and what is wrong with it.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub definition: KeyDefinition,
    pub value: Option<String>,
    pub errors: Vec<String>,
    pub recommended: Vec<String>,
    pub visible: bool,
}

/// The name of a kind in Kafka Connect's answers.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "BOOLEAN",
        Kind::Int32 => "INT",
        Kind::Int64 | Kind::DurationMs | Kind::BytesSize => "LONG",
        Kind::Double => "DOUBLE",
        Kind::Text => "STRING",
        Kind::List => "LIST",
        Kind::Password => "PASSWORD",
    }
}

/// All keys of connectors made from this plugin, the worker's first.
pub(crate) fn keys(plugin: &Plugin) -> Vec<KeyDefinition> {
    let mut keys = common_keys(plugin);
    keys.extend(plugin.keys.iter().map(from_plugin));
    keys
}

fn from_plugin(key: &wit_plugin::Key) -> KeyDefinition {
    KeyDefinition {
        name: key.name.clone(),
        kind: key.kind,
        default: key.default.clone(),
        required: key.required,
        importance: key.importance.clone(),
        doc: key.doc.clone(),
        group: key.group.clone(),
        order: key.order,
        allowed: key.allowed.clone(),
    }
}

/// Name, kind, default (none: it must be given) and words of a key that all plugins have.
type Row<'a> = (&'static str, Kind, Option<&'a str>, &'static str);

fn common_keys(plugin: &Plugin) -> Vec<KeyDefinition> {
    let of_direction = match plugin.direction {
        Direction::Source => SOURCE_KEYS,
        Direction::Sink => SINK_KEYS,
    };
    let rows = rows_of_both(plugin);
    (1..).zip(rows.iter().chain(of_direction)).map(common_key).collect()
}

fn common_key((order, (name, kind, default, doc)): (u32, &Row<'_>)) -> KeyDefinition {
    let allowed: &[&str] = match *name {
        "errors.tolerance" => &["none", "all"],
        EXACTLY_ONCE_SUPPORT => &["requested", "required"],
        _ => &[],
    };
    KeyDefinition {
        name: (*name).to_string(),
        kind: *kind,
        default: default.map(str::to_string),
        required: default.is_none(),
        importance: if default.is_none() { "HIGH" } else { "MEDIUM" }.to_string(),
        doc: (*doc).to_string(),
        group: "Common".to_string(),
        order,
        allowed: allowed.iter().map(|value| (*value).to_string()).collect(),
    }
}

fn rows_of_both(plugin: &Plugin) -> [Row<'_>; 10] {
    use Kind::{Boolean, Int32, Text};
    [
        ("name", Text, None, "Name of the connector, unique in its cluster."),
        ("connector.class", Text, None, "Name of the plugin."),
        ("tasks.max", Int32, Some("1"), "Most tasks to split the work into."),
        (
            "key.converter",
            Text,
            Some("string"),
            "What keys are in the topic: string, json, bytes or avro.",
        ),
        (
            "value.converter",
            Text,
            Some(plugin.value_converter.as_str()),
            "What values are in the topic: string, json, bytes or avro.",
        ),
        (
            "key.converter.schema.registry.url",
            Text,
            Some(""),
            "Another registry than the worker's, for keys.",
        ),
        (
            "value.converter.schema.registry.url",
            Text,
            Some(""),
            "Another registry than the worker's, for values.",
        ),
        (
            "errors.tolerance",
            Text,
            Some("none"),
            "none: a bad record fails the task; all: it is counted and skipped.",
        ),
        (
            "errors.log.enable",
            Boolean,
            Some("true"),
            "Write a line to the log for every skipped record.",
        ),
        (
            EXACTLY_ONCE_SUPPORT,
            Text,
            Some("requested"),
            "required: refuse a configuration with which the plugin cannot deliver exactly once.",
        ),
    ]
}

const SOURCE_KEYS: &[Row<'static>] = &[
    (
        "transaction.boundary.interval.ms",
        Kind::DurationMs,
        Some("200"),
        "Records and positions are committed together, at the latest after this time.",
    ),
    (
        "topic.creation.default.partitions",
        Kind::Int32,
        Some("-1"),
        "Partitions of a topic that is not there yet; -1 is the broker's default.",
    ),
    (
        "topic.creation.default.replication.factor",
        Kind::Int32,
        Some("-1"),
        "Its replicas; -1 is the broker's default.",
    ),
];

const SINK_KEYS: &[Row<'static>] = &[
    ("topics", Kind::List, None, "Topics to read, separated by commas."),
    (
        "flush.interval.ms",
        Kind::DurationMs,
        Some("500"),
        "The target is flushed and positions are committed at least this often.",
    ),
];

/// Checks a configuration against the keys; the plugin's own opinion comes on top with
/// [`add_issues`].
pub(crate) fn check(plugin: &Plugin, config: &ConfigMap) -> Vec<Checked> {
    let mut checked: Vec<Checked> = keys(plugin)
        .into_iter()
        .map(|definition| {
            let value = config.get(&definition.name).or(definition.default.as_ref()).cloned();
            let errors = check_value(&definition, value.as_deref());
            Checked { definition, value, errors, recommended: Vec::new(), visible: true }
        })
        .collect();
    for key in &mut checked {
        let problem = match (key.definition.name.as_str(), key.value.as_deref()) {
            ("tasks.max", Some(text)) => check_tasks_max(text),
            ("name", Some(name)) => check_name(name),
            ("key.converter", Some(text)) => {
                check_converter(text, plugin.key_encoding, plugin.direction)
            }
            ("value.converter", Some(text)) => {
                check_converter(text, plugin.value_encoding, plugin.direction)
            }
            _ => None,
        };
        key.errors.extend(problem);
    }
    checked
}

/// Adds what the plugin says about a configuration.
pub(crate) fn add_issues(checked: &mut [Checked], issues: Vec<wit_plugin::Issue>) {
    for issue in issues {
        let at = checked.iter().position(|key| key.definition.name == issue.key);
        // A plugin may speak of a key that it has not described; its sentence must not be lost.
        let Some(key) = checked.get_mut(at.unwrap_or(0)) else { continue };
        if at.is_some() {
            key.errors.extend(issue.errors);
            key.recommended = issue.recommended;
            key.visible = issue.visible;
        } else {
            key.errors.extend(issue.errors.iter().map(|error| format!("{}: {error}", issue.key)));
        }
    }
}

/// The configuration as a plugin is given it: all values, defaults filled in.
pub(crate) fn with_defaults(plugin: &Plugin, config: &ConfigMap) -> Vec<(String, String)> {
    let mut full = config.clone();
    for key in keys(plugin) {
        if let Some(default) = key.default {
            full.entry(key.name).or_insert(default);
        }
    }
    full.into_iter().collect()
}

fn check_value(key: &KeyDefinition, value: Option<&str>) -> Vec<String> {
    let name = &key.name;
    let Some(text) = value.filter(|text| !text.is_empty()) else {
        if key.required {
            return vec![format!(
                "Missing required configuration \"{name}\" which has no default value."
            )];
        }
        return Vec::new();
    };
    let trimmed = text.trim();
    let expected = match key.kind {
        Kind::Boolean => {
            let known =
                trimmed.eq_ignore_ascii_case("true") || trimmed.eq_ignore_ascii_case("false");
            (!known).then_some("Expected value to be either true or false")
        }
        Kind::Int32 => trimmed.parse::<i32>().err().map(|_| "Not a number of type INT"),
        Kind::Int64 | Kind::BytesSize => {
            trimmed.parse::<i64>().err().map(|_| "Not a number of type LONG")
        }
        Kind::DurationMs => match trimmed.parse::<i64>() {
            Ok(duration) if 0 <= duration => None,
            _ => Some("Not a duration in milliseconds"),
        },
        Kind::Double => trimmed.parse::<f64>().err().map(|_| "Not a number of type DOUBLE"),
        Kind::Text | Kind::List | Kind::Password => None,
    };
    let shown = if key.kind == Kind::Password { "[hidden]" } else { text };
    let mut errors = Vec::new();
    if let Some(expected) = expected {
        errors.push(format!("Invalid value {shown} for configuration {name}: {expected}"));
    }
    if !key.allowed.is_empty() && !key.allowed.iter().any(|allowed| allowed == text) {
        let allowed = key.allowed.join(", ");
        errors.push(format!(
            "Invalid value {shown} for configuration {name}: must be one of {allowed}"
        ));
    }
    errors
}

fn check_tasks_max(text: &str) -> Option<String> {
    let tasks: u32 = text.trim().parse().ok().filter(|tasks| 1 <= *tasks).unwrap_or(0);
    if tasks == 0 {
        return Some(format!(
            "Invalid value {text} for configuration tasks.max: Value must be at least 1"
        ));
    }
    let most = limits::TASKS_PER_CONNECTOR_MAX;
    (most < tasks)
        .then(|| format!("Invalid value {text} for configuration tasks.max: at most {most}"))
}

fn check_name(name: &str) -> Option<String> {
    let bad = name.chars().any(char::is_control) || name.contains('/') || name.trim() != name;
    bad.then(|| {
        "Invalid value for configuration name: no slash, control character or outer blank"
            .to_string()
    })
}

fn check_converter(text: &str, encoding: Encoding, direction: Direction) -> Option<String> {
    let Some(format) = Format::parse(text) else {
        return Some(format!("{text} is no converter; choose string, json, bytes or avro"));
    };
    let fits = match direction {
        Direction::Source => format.takes_from(encoding),
        Direction::Sink => format.gives_to(encoding),
    };
    (!fits)
        .then(|| format!("the {text} converter does not go with a plugin that speaks {encoding:?}"))
}
