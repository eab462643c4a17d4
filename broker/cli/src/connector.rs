//! `mainstem connector`: deploy and watch connectors over Connect's REST API.
//!
//! Works against any Kafka Connect worker.

use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;

use crate::arguments::ConnectorCommand;
use crate::failure::Failure;
use crate::http::{call, segment};
use crate::output::{self, Listing};

/// Runs one command.
pub(crate) async fn run(command: ConnectorCommand, json: bool) -> Result<(), Failure> {
    match command {
        ConnectorCommand::List { connect } => list(&connect.connect, json).await,
        ConnectorCommand::Plugins { connect } => plugins(&connect.connect, json).await,
        ConnectorCommand::Apply { name, file, connect } => {
            apply(&connect.connect, &name, &file, json).await
        }
        ConnectorCommand::Status { name, connect } => status(&connect.connect, &name, json).await,
        ConnectorCommand::Restart { name, connect } => {
            let path = format!("connectors/{}/restart?includeTasks=true", segment(&name));
            let answer = call(Method::POST, &connect.connect, &path, None).await?;
            output::fact(&format!("{name}: restarting"), &answer, json);
            Ok(())
        }
        ConnectorCommand::Delete { name, connect } => {
            let path = format!("connectors/{}", segment(&name));
            let answer = call(Method::DELETE, &connect.connect, &path, None).await?;
            output::fact(&format!("{name}: deleted"), &answer, json);
            Ok(())
        }
    }
}

async fn list(connect: &str, json: bool) -> Result<(), Failure> {
    let all = call(Method::GET, connect, "connectors?expand=status", None).await?;
    let mut listing = Listing::new(&["connector", "type", "state", "tasks_running", "tasks"]);
    for (name, entry) in all.as_object().into_iter().flatten() {
        let status = &entry["status"];
        let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
        let running = tasks.iter().filter(|task| task["state"] == json!("RUNNING")).count();
        listing.row(vec![
            json!(name),
            status["type"].clone(),
            status["connector"]["state"].clone(),
            json!(running),
            json!(tasks.len()),
        ]);
    }
    output::listing(&listing, json);
    Ok(())
}

async fn plugins(connect: &str, json: bool) -> Result<(), Failure> {
    let all = call(Method::GET, connect, "connector-plugins", None).await?;
    let mut listing = Listing::new(&["class", "type", "version"]);
    for plugin in all.as_array().into_iter().flatten() {
        listing.row(vec![
            plugin["class"].clone(),
            plugin["type"].clone(),
            plugin["version"].clone(),
        ]);
    }
    output::listing(&listing, json);
    Ok(())
}

async fn apply(connect: &str, name: &str, file: &Path, json: bool) -> Result<(), Failure> {
    let place = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| Failure::doing(&place, &error))?;
    let mut config: Value =
        serde_json::from_str(&text).map_err(|error| Failure::doing(&place, &error))?;
    // Both forms that people keep in files: the bare configuration, and the body of a POST.
    if let Some(inner) = config.get_mut("config") {
        config = inner.take();
    }
    let path = format!("connectors/{}/config", segment(name));
    let answer = call(Method::PUT, connect, &path, Some(&config)).await?;
    output::fact(&format!("{name}: applied"), &answer, json);
    Ok(())
}

async fn status(connect: &str, name: &str, json: bool) -> Result<(), Failure> {
    let path = format!("connectors/{}/status", segment(name));
    let answer = call(Method::GET, connect, &path, None).await?;
    if json {
        output::fact("", &answer, true);
        return Ok(());
    }
    let mut listing = Listing::new(&["part", "state", "worker", "trace"]);
    let connector = &answer["connector"];
    listing.row(vec![
        json!("connector"),
        connector["state"].clone(),
        connector["worker_id"].clone(),
        connector.get("trace").cloned().unwrap_or(Value::Null),
    ]);
    for task in answer["tasks"].as_array().into_iter().flatten() {
        listing.row(vec![
            json!(format!("task {}", task["id"])),
            task["state"].clone(),
            task["worker_id"].clone(),
            task.get("trace").cloned().unwrap_or(Value::Null),
        ]);
    }
    output::listing(&listing, false);
    Ok(())
}
