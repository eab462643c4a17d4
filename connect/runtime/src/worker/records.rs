//! Kafka Connect's layout of its three topics, as far as a worker of ours writes and reads it.
//!
//! | topic   | key                              | value                                               |
//! |---------|----------------------------------|-----------------------------------------------------|
//! | configs | `connector-{name}`               | `{"properties": {...}}`                             |
//! | configs | `target-state-{name}`            | `{"state": "STARTED"\|"PAUSED", "state.v2": ...}`   |
//! | configs | `task-{name}-{index}`            | `{"properties": {...}}`                             |
//! | configs | `commit-{name}`                  | `{"tasks": n}`, behind its n tasks                  |
//! | status  | `status-connector-{name}`        | `{"state", "trace", "worker_id", "generation"}`     |
//! | status  | `status-task-{name}-{index}`     | the same                                            |
//! | offsets | `["name", {partition}]`          | `{offset}`                                          |
//! | offsets | `["name", {"mainstem.task": i, "mainstem.state": key}]` | `{"value": hex}`: a task's private state |
//!
//! A null value removes the key.

use serde_json::{Value, json};

use crate::definition::ConfigMap;

/// What a connector is meant to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Target {
    #[default]
    Running,
    Paused,
    Stopped,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Target::Running => "STARTED",
            Target::Paused => "PAUSED",
            Target::Stopped => "STOPPED",
        }
    }

    fn parse(name: &str) -> Option<Target> {
        match name {
            "STARTED" | "RUNNING" => Some(Target::Running),
            "PAUSED" => Some(Target::Paused),
            "STOPPED" => Some(Target::Stopped),
            _ => None,
        }
    }
}

/// One record of the config topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConfigRecord {
    Connector {
        name: String,
        config: Option<ConfigMap>,
    },
    TargetState {
        name: String,
        target: Option<Target>,
    },
    Task {
        name: String,
        index: u32,
        config: Option<ConfigMap>,
    },
    /// The tasks before it are complete.
    Commit {
        name: String,
        tasks: u32,
    },
}

impl ConfigRecord {
    pub(crate) fn key(&self) -> String {
        match self {
            ConfigRecord::Connector { name, .. } => format!("connector-{name}"),
            ConfigRecord::TargetState { name, .. } => format!("target-state-{name}"),
            ConfigRecord::Task { name, index, .. } => format!("task-{name}-{index}"),
            ConfigRecord::Commit { name, .. } => format!("commit-{name}"),
        }
    }

    pub(crate) fn value(&self) -> Option<String> {
        let value = match self {
            ConfigRecord::Connector { config, .. } | ConfigRecord::Task { config, .. } => {
                json!({ "properties": config.as_ref()? })
            }
            // A worker that knows only the old field takes STOPPED for PAUSED.
            ConfigRecord::TargetState { target, .. } => {
                let old = if (*target)? == Target::Running { "STARTED" } else { "PAUSED" };
                json!({ "state": old, "state.v2": (*target)?.name() })
            }
            ConfigRecord::Commit { tasks, .. } => json!({ "tasks": tasks }),
        };
        Some(value.to_string())
    }

    /// Reads a record; `None` for keys that this version does not know.
    pub(crate) fn parse(key: &str, value: Option<&[u8]>) -> Option<ConfigRecord> {
        let value: Option<Value> = value.and_then(|value| serde_json::from_slice(value).ok());
        let properties = || -> Option<ConfigMap> {
            let properties = value.as_ref()?.get("properties")?.as_object()?;
            let text = |value: &Value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            Some(properties.iter().map(|(key, value)| (key.clone(), text(value))).collect())
        };
        if let Some(name) = key.strip_prefix("connector-") {
            return Some(ConfigRecord::Connector { name: name.to_string(), config: properties() });
        }
        if let Some(name) = key.strip_prefix("target-state-") {
            let state = |field: &str| value.as_ref()?.get(field)?.as_str().and_then(Target::parse);
            let target = state("state.v2").or_else(|| state("state"));
            return Some(ConfigRecord::TargetState { name: name.to_string(), target });
        }
        if let Some(rest) = key.strip_prefix("task-") {
            let (name, index) = rest.rsplit_once('-')?;
            let (name, index) = (name.to_string(), index.parse().ok()?);
            return Some(ConfigRecord::Task { name, index, config: properties() });
        }
        let name = key.strip_prefix("commit-")?.to_string();
        let tasks = value.as_ref().and_then(|value| value.get("tasks")?.as_u64()).unwrap_or(0);
        Some(ConfigRecord::Commit { name, tasks: u32::try_from(tasks).ok()? })
    }
}

/// The key of a source partition in the offsets topic; `None` when the partition is no JSON object.
pub(crate) fn offset_key(connector: &str, partition: &str) -> Option<String> {
    let partition: Value = serde_json::from_str(partition).ok()?;
    partition.is_object().then(|| json!([connector, partition]).to_string())
}

/// The key of a task's private state in the offsets topic.
pub(crate) fn state_key(connector: &str, task: u32, key: &str) -> String {
    json!([connector, { "mainstem.task": task, "mainstem.state": key }]).to_string()
}

/// The value of a task's private state.
pub(crate) fn state_value(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        hex.push_str(&format!("{byte:02x}"));
    }
    json!({ "value": hex }).to_string()
}

/// What a key of the offsets topic speaks of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OffsetKey {
    /// A source partition, in JSON.
    Partition {
        connector: String,
        partition: String,
    },
    State {
        connector: String,
        task: u32,
        key: String,
    },
}

impl OffsetKey {
    pub(crate) fn parse(key: &[u8]) -> Option<OffsetKey> {
        let (connector, partition): (String, Value) = serde_json::from_slice(key).ok()?;
        match (partition.get("mainstem.task"), partition.get("mainstem.state")) {
            (Some(task), Some(key)) => Some(OffsetKey::State {
                connector,
                task: u32::try_from(task.as_u64()?).ok()?,
                key: key.as_str()?.to_string(),
            }),
            _ => Some(OffsetKey::Partition { connector, partition: partition.to_string() }),
        }
    }
}

/// Reads what [`state_value`] wrote.
pub(crate) fn parse_state_value(value: &[u8]) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let hex = value.get("value")?.as_str()?.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    hex.chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}
