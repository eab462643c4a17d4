//! What the API shows of connectors, tasks and plugins.

use serde_json::{Map, Value, json};

use crate::definition::{Checked, KeyDefinition, kind_name};
use crate::error::Refusal;
use crate::plugin::Plugin;
use crate::sandbox::guest::wit_plugin::Kind;
use crate::worker::Shared;
use crate::worker::connector::{Connector, Status};

/// `GET /connectors/{name}`.
pub(super) fn info(shared: &Shared, name: &str, connector: &Connector) -> Value {
    json!({
        "name": name,
        "config": connector.config,
        "tasks": task_ids(name, connector),
        "type": direction(shared, connector),
    })
}

fn task_ids(name: &str, connector: &Connector) -> Vec<Value> {
    let ids = connector.tasks.keys().map(|index| json!({ "connector": name, "task": index }));
    ids.collect()
}

/// `GET /connectors/{name}/tasks`.
pub(super) fn tasks(name: &str, connector: &Connector) -> Value {
    let task = |(index, task): (&u32, &crate::worker::connector::Task)| {
        let id = json!({ "connector": name, "task": index });
        json!({ "id": id, "config": task.config })
    };
    connector.tasks.iter().map(task).collect()
}

/// `GET /connectors/{name}/status`.
pub(super) fn status(shared: &Shared, name: &str, connector: &Connector) -> Value {
    let tasks = connector.tasks.iter().map(|(index, task)| {
        let mut view = Map::new();
        view.insert("id".to_string(), json!(index));
        fill_task(shared, name, *index, &task.status, &mut view);
        Value::Object(view)
    });
    let mut own = Map::new();
    fill(shared, &connector.status, &mut own);
    json!({
        "name": name,
        "connector": own,
        "tasks": tasks.collect::<Vec<Value>>(),
        "type": direction(shared, connector),
    })
}

/// `GET /connectors/{name}/tasks/{task}/status`.
pub(super) fn task_status(
    shared: &Shared,
    name: &str,
    connector: &Connector,
    index: u32,
) -> Result<Value, Refusal> {
    let task = connector.tasks.get(&index);
    let task =
        task.ok_or_else(|| Refusal::new(404, format!("No status found for task {name}-{index}")))?;
    let mut view = Map::new();
    view.insert("id".to_string(), json!(index));
    fill_task(shared, name, index, &task.status, &mut view);
    Ok(Value::Object(view))
}

fn fill(shared: &Shared, status: &Status, view: &mut Map<String, Value>) {
    view.insert("state".to_string(), json!(status.state.name()));
    view.insert("worker_id".to_string(), json!(shared.worker_id));
    if let Some(trace) = &status.trace {
        view.insert("trace".to_string(), json!(trace));
    }
}

fn fill_task(
    shared: &Shared,
    name: &str,
    index: u32,
    status: &Status,
    view: &mut Map<String, Value>,
) {
    fill(shared, status, view);
    if let Some(task) = shared.live.lock().get(&(name.to_string(), index)) {
        view.insert("metrics".to_string(), json!(task.metrics()));
    }
}

fn direction(shared: &Shared, connector: &Connector) -> &'static str {
    let class = connector.config.get("connector.class").map(String::as_str).unwrap_or_default();
    let plugin = shared.services.plugins.list().into_iter().find(|plugin| plugin.class == class);
    plugin.map_or("unknown", |plugin| plugin.direction.name())
}

/// One entry of `GET /connector-plugins`.
pub(super) fn plugin(plugin: &Plugin) -> Value {
    json!({
        "class": plugin.class,
        "type": plugin.direction.name(),
        "version": plugin.version,
    })
}

/// One key, as `GET /connector-plugins/{class}/config` shows it.
pub(super) fn key(key: &KeyDefinition) -> Value {
    json!({
        "name": key.name,
        "type": kind_name(key.kind),
        "required": key.required,
        "default_value": key.default,
        "importance": key.importance,
        "documentation": key.doc,
        "group": key.group,
        "width": "MEDIUM",
        "display_name": key.name,
        "dependents": [],
        "order": key.order,
    })
}

/// The answer of `validate`.
pub(super) fn validation(class: &str, checked: &[Checked]) -> Value {
    let configs = checked.iter().map(|entry| {
        let hidden = entry.definition.kind == Kind::Password && entry.value.is_some();
        let value = if hidden { Some("[hidden]") } else { entry.value.as_deref() };
        let mut recommended = entry.recommended.clone();
        recommended.extend(entry.definition.allowed.iter().cloned());
        json!({
            "definition": key(&entry.definition),
            "value": {
                "name": entry.definition.name,
                "value": value,
                "recommended_values": recommended,
                "errors": entry.errors,
                "visible": entry.visible,
            },
        })
    });
    let mut groups: Vec<&str> = Vec::new();
    for entry in checked {
        if !groups.contains(&entry.definition.group.as_str()) {
            groups.push(&entry.definition.group);
        }
    }
    json!({
        "name": class,
        "error_count": checked.iter().map(|entry| entry.errors.len()).sum::<usize>(),
        "groups": groups,
        "configs": configs.collect::<Vec<Value>>(),
    })
}
