//! One function per path.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answers::{Answered, config, empty, object, ok, with_status};
use super::views;
use crate::definition::{
    Checked, ConfigMap, EXACTLY_ONCE_SUPPORT, add_issues, check, keys, with_defaults,
};
use crate::error::Refusal;
use crate::plugin::{Plugin, explain};
use crate::sandbox::guest::wit_plugin::ExactlyOnce;
use crate::worker::machine::Command;
use crate::worker::records::Target;
use crate::worker::{Request, Shared};

type Worker = State<Arc<Shared>>;

pub(super) async fn root(State(shared): Worker) -> Answered {
    Ok(ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": "mainstem",
        "kafka_cluster_id": shared.cluster_id,
    })))
}

pub(super) async fn health(State(_): Worker) -> Answered {
    Ok(ok(
        json!({ "status": "healthy", "message": "Worker has completed startup and is ready to handle requests." }),
    ))
}

pub(super) async fn not_found() -> Refusal {
    Refusal::new(404, "HTTP 404 Not Found")
}

pub(super) async fn wrong_method() -> Refusal {
    Refusal::new(405, "HTTP 405 Method Not Allowed")
}

pub(super) async fn list(
    State(shared): Worker,
    Query(query): Query<Vec<(String, String)>>,
) -> Answered {
    let machine = shared.machine.lock();
    let expand: Vec<&str> =
        query.iter().filter(|(key, _)| key == "expand").map(|(_, value)| value.as_str()).collect();
    if expand.is_empty() {
        return Ok(ok(machine.connectors().map(|(name, _)| json!(name)).collect()));
    }
    let mut expanded = Map::new();
    for (name, connector) in machine.connectors() {
        let mut views = Map::new();
        if expand.contains(&"status") {
            views.insert("status".to_string(), views::status(&shared, name, connector));
        }
        if expand.contains(&"info") {
            views.insert("info".to_string(), views::info(&shared, name, connector));
        }
        expanded.insert(name.clone(), Value::Object(views));
    }
    Ok(ok(Value::Object(expanded)))
}

pub(super) async fn create(State(shared): Worker, body: Bytes) -> Answered {
    let body = object(&body)?;
    let Some(Value::Object(wanted)) = body.get("config") else {
        return Err(Refusal::new(400, "config is missing"));
    };
    let mut config = config(wanted)?;
    let name = match (body.get("name").and_then(Value::as_str), config.get("name")) {
        (Some(name), Some(other)) if name != other => {
            return Err(Refusal::new(
                400,
                "Connector name configuration doesn't match connector name in the body",
            ));
        }
        (Some(name), _) => name.to_string(),
        (None, Some(name)) => name.clone(),
        (None, None) => return Err(Refusal::new(400, "name is missing")),
    };
    let target = match body.get("initial_state").and_then(Value::as_str) {
        None | Some("RUNNING") => Target::Running,
        Some("PAUSED") => Target::Paused,
        Some("STOPPED") => Target::Stopped,
        Some(other) => {
            return Err(Refusal::new(
                400,
                format!("initial_state {other} is none of RUNNING, PAUSED, STOPPED"),
            ));
        }
    };
    config.insert("name".to_string(), name.clone());
    require_valid(&shared, &config).await?;
    let command = Command::Create { name: name.clone(), config, target };
    shared.ask(Request::Command(command)).await?;
    let machine = shared.machine.lock();
    let view = views::info(&shared, &name, machine.connector(&name)?);
    let mut answer = with_status(StatusCode::CREATED, view);
    if let Ok(location) = HeaderValue::from_str(&format!("/connectors/{name}")) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    Ok(answer)
}

pub(super) async fn describe(State(shared): Worker, Path(name): Path<String>) -> Answered {
    let machine = shared.machine.lock();
    Ok(ok(views::info(&shared, &name, machine.connector(&name)?)))
}

pub(super) async fn delete(State(shared): Worker, Path(name): Path<String>) -> Answered {
    shared.ask(Request::Command(Command::Delete { name })).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(super) async fn get_config(State(shared): Worker, Path(name): Path<String>) -> Answered {
    let machine = shared.machine.lock();
    Ok(ok(json!(machine.connector(&name)?.config)))
}

pub(super) async fn put_config(
    State(shared): Worker,
    Path(name): Path<String>,
    body: Bytes,
) -> Answered {
    let config = config(&object(&body)?)?;
    store_config(&shared, name, config).await
}

/// Null removes a key.
pub(super) async fn patch_config(
    State(shared): Worker,
    Path(name): Path<String>,
    body: Bytes,
) -> Answered {
    let patch = object(&body)?;
    let mut merged = shared.machine.lock().connector(&name)?.config.clone();
    for (key, _) in patch.iter().filter(|(_, value)| value.is_null()) {
        merged.remove(key);
    }
    merged.extend(config(&patch)?);
    store_config(&shared, name, merged).await
}

async fn store_config(shared: &Arc<Shared>, name: String, mut config: ConfigMap) -> Answered {
    if config.get("name").is_some_and(|other| *other != name) {
        return Err(Refusal::new(
            400,
            "Connector name configuration doesn't match connector name in the URL",
        ));
    }
    config.insert("name".to_string(), name.clone());
    require_valid(shared, &config).await?;
    let exists = shared.machine.lock().connector(&name).is_ok();
    let (command, status) = if exists {
        (Command::Put { name: name.clone(), config }, StatusCode::OK)
    } else {
        let target = Target::Running;
        (Command::Create { name: name.clone(), config, target }, StatusCode::CREATED)
    };
    shared.ask(Request::Command(command)).await?;
    let machine = shared.machine.lock();
    Ok(with_status(status, views::info(shared, &name, machine.connector(&name)?)))
}

pub(super) async fn status(State(shared): Worker, Path(name): Path<String>) -> Answered {
    let machine = shared.machine.lock();
    Ok(ok(views::status(&shared, &name, machine.connector(&name)?)))
}

pub(super) async fn tasks(State(shared): Worker, Path(name): Path<String>) -> Answered {
    let machine = shared.machine.lock();
    Ok(ok(views::tasks(&name, machine.connector(&name)?)))
}

pub(super) async fn task_status(
    State(shared): Worker,
    Path((name, task)): Path<(String, u32)>,
) -> Answered {
    let machine = shared.machine.lock();
    Ok(ok(views::task_status(&shared, &name, machine.connector(&name)?, task)?))
}

pub(super) async fn restart_task(
    State(shared): Worker,
    Path((name, task)): Path<(String, u32)>,
) -> Answered {
    let task = Some(task);
    let request = Request::Restart { name, task, include_tasks: false, only_failed: false };
    shared.ask(request).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

#[derive(Deserialize)]
pub(super) struct RestartQuery {
    #[serde(default, rename = "includeTasks")]
    include_tasks: bool,
    #[serde(default, rename = "onlyFailed")]
    only_failed: bool,
}

pub(super) async fn restart(
    State(shared): Worker,
    Path(name): Path<String>,
    Query(query): Query<RestartQuery>,
) -> Answered {
    let RestartQuery { include_tasks, only_failed } = query;
    let request = Request::Restart { name: name.clone(), task: None, include_tasks, only_failed };
    shared.ask(request).await?;
    if !include_tasks && !only_failed {
        return Ok(empty(StatusCode::NO_CONTENT));
    }
    let machine = shared.machine.lock();
    let view = views::status(&shared, &name, machine.connector(&name)?);
    Ok(with_status(StatusCode::ACCEPTED, view))
}

async fn set_target(shared: &Shared, name: String, target: Target, status: StatusCode) -> Answered {
    shared.ask(Request::Command(Command::SetTarget { name, target })).await?;
    Ok(empty(status))
}

pub(super) async fn pause(State(shared): Worker, Path(name): Path<String>) -> Answered {
    set_target(&shared, name, Target::Paused, StatusCode::ACCEPTED).await
}

pub(super) async fn resume(State(shared): Worker, Path(name): Path<String>) -> Answered {
    set_target(&shared, name, Target::Running, StatusCode::ACCEPTED).await
}

pub(super) async fn stop(State(shared): Worker, Path(name): Path<String>) -> Answered {
    set_target(&shared, name, Target::Stopped, StatusCode::NO_CONTENT).await
}

pub(super) async fn topics(State(shared): Worker, Path(name): Path<String>) -> Answered {
    let machine = shared.machine.lock();
    let connector = machine.connector(&name)?;
    // A sink's topics are in its configuration; a source's are what its live tasks have written to.
    let listed = connector.config.get("topics").map(String::as_str).unwrap_or_default();
    let mut topics: Vec<String> =
        listed.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_string).collect();
    for ((connector, _), task) in shared.live.lock().iter() {
        if *connector == name {
            topics.extend(task.numbers.topics.lock().iter().cloned());
        }
    }
    topics.sort();
    topics.dedup();
    let mut body = Map::new();
    body.insert(name, json!({ "topics": topics }));
    Ok(ok(Value::Object(body)))
}

pub(super) async fn plugins(State(shared): Worker) -> Answered {
    let rescanned = Arc::clone(&shared);
    let scan = tokio::task::spawn_blocking(move || rescanned.services.plugins.scan());
    let _ = scan.await;
    Ok(ok(shared.services.plugins.list().iter().map(|plugin| views::plugin(plugin)).collect()))
}

pub(super) async fn plugin_keys(State(shared): Worker, Path(class): Path<String>) -> Answered {
    let plugin = find_plugin(&shared, &class, 404).await?;
    Ok(ok(keys(&plugin).iter().map(views::key).collect()))
}

pub(super) async fn validate(
    State(shared): Worker,
    Path(class): Path<String>,
    body: Bytes,
) -> Answered {
    let config = config(&object(&body)?)?;
    if config.get("connector.class").is_some_and(|other| *other != class) {
        return Err(Refusal::new(400, "connector.class doesn't match the class in the URL"));
    }
    let plugin = find_plugin(&shared, &class, 404).await?;
    let checked = check_all(&shared, plugin, config).await?;
    Ok(ok(views::validation(&class, &checked)).into_response())
}

async fn find_plugin(
    shared: &Arc<Shared>,
    class: &str,
    missing: u16,
) -> Result<Arc<Plugin>, Refusal> {
    let (searched, class) = (Arc::clone(shared), class.to_string());
    // A plugin that was just put there is compiled first.
    let found = tokio::task::spawn_blocking(move || searched.services.plugins.get(&class));
    let found = found.await.map_err(|error| Refusal::new(500, error.to_string()))?;
    found.map_err(|message| Refusal::new(missing, message))
}

/// The worker's and the plugin's opinion about a configuration.
async fn check_all(
    shared: &Arc<Shared>,
    plugin: Arc<Plugin>,
    config: ConfigMap,
) -> Result<Vec<Checked>, Refusal> {
    let shared = Arc::clone(shared);
    let checking = tokio::task::spawn_blocking(move || {
        let mut checked = check(&plugin, &config);
        let mut guest = shared.services.plugins.describe(&plugin)?;
        let full = with_defaults(&plugin, &config);
        let issues = guest.validate(&full).map_err(|error| explain(&error))?;
        let promise = guest.exactly_once(&full).map_err(|error| explain(&error))?;
        let required = config.get(EXACTLY_ONCE_SUPPORT).is_some_and(|text| text == "required");
        if required && promise == ExactlyOnce::Unsupported {
            for key in checked.iter_mut().filter(|key| key.definition.name == EXACTLY_ONCE_SUPPORT)
            {
                key.errors.push(format!("{} delivers at least once", plugin.class));
            }
        }
        // A key that the worker has found wrong already needs no second sentence.
        let new = issues.into_iter().filter(|issue| {
            !checked.iter().any(|key| key.definition.name == issue.key && !key.errors.is_empty())
        });
        let new = new.collect();
        add_issues(&mut checked, new);
        Ok(checked)
    });
    let checked = checking.await.map_err(|error| Refusal::new(500, error.to_string()))?;
    checked.map_err(|error: String| Refusal::new(500, format!("validate: {error}")))
}

async fn require_valid(shared: &Arc<Shared>, config: &ConfigMap) -> Result<(), Refusal> {
    let Some(class) = config.get("connector.class") else {
        let message = "Connector configuration is invalid and contains the following 1 error(s):\n\
            connector.class: Missing required configuration \"connector.class\" which has no default value.";
        return Err(Refusal::new(400, message));
    };
    let plugin = find_plugin(shared, class, 400).await?;
    let checked = check_all(shared, plugin, config.clone()).await?;
    let mut problems = Vec::new();
    for key in &checked {
        let name = &key.definition.name;
        problems.extend(key.errors.iter().map(|error| format!("{name}: {error}")));
    }
    if problems.is_empty() {
        return Ok(());
    }
    let (count, list) = (problems.len(), problems.join("\n"));
    Err(Refusal::new(
        400,
        format!(
            "Connector configuration is invalid and contains the following {count} error(s):\n{list}"
        ),
    ))
}
