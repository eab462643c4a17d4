//! `/connectors/{name}/offsets`: how far a connector has come, and going back.
//!
//! A source's positions are those of the offsets topic, a sink's those of its consumer group. A
//! sink whose target keeps the positions itself is not moved by changing the group's; therefore
//! only a source's can be changed here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use mainstem_client::{Admin, AdminConfig, ClientError};
use serde_json::{Value, json};

use super::answers::{Answered, object, ok};
use crate::error::Refusal;
use crate::plugin::Direction;
use crate::task::read_topic;
use crate::worker::connector::{Connector, State as RunState};
use crate::worker::records::{OffsetKey, offset_key};
use crate::worker::{Request, Shared};

fn broker_failed(error: &ClientError) -> Refusal {
    Refusal::new(500, format!("read offsets: {error}"))
}

fn direction(shared: &Shared, connector: &Connector) -> Option<Direction> {
    let class = connector.config.get("connector.class")?;
    shared.services.plugins.get(class).ok().map(|plugin| plugin.direction)
}

pub(super) async fn list(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Answered {
    let direction = direction(&shared, shared.machine.lock().connector(&name)?);
    let offsets = match direction {
        Some(Direction::Sink) => group_offsets(&shared, &name).await?,
        _ => source_offsets(&shared, &name).await?,
    };
    Ok(ok(json!({ "offsets": offsets })))
}

/// Every position of a source, by its partition in JSON.
async fn source_positions(shared: &Shared, name: &str) -> Result<BTreeMap<String, Value>, Refusal> {
    let config = &shared.services.config;
    let mut positions = BTreeMap::new();
    let read = read_topic(&config.bootstrap, &config.offset_topic, |key, value| {
        let Some(OffsetKey::Partition { connector, partition }) = OffsetKey::parse(key) else {
            return;
        };
        if connector != name {
            return;
        }
        match value.and_then(|value| serde_json::from_slice(value).ok()) {
            Some(offset) => positions.insert(partition, offset),
            None => positions.remove(&partition),
        };
    });
    read.await.map_err(|error| broker_failed(&error))?;
    Ok(positions)
}

async fn source_offsets(shared: &Shared, name: &str) -> Result<Vec<Value>, Refusal> {
    let positions = source_positions(shared, name).await?;
    let entry = |(partition, offset): (String, Value)| {
        let partition: Value = serde_json::from_str(&partition).unwrap_or(Value::Null);
        json!({ "partition": partition, "offset": offset })
    };
    Ok(positions.into_iter().map(entry).collect())
}

async fn group_offsets(shared: &Shared, name: &str) -> Result<Vec<Value>, Refusal> {
    let settings = AdminConfig::new(&shared.services.config.bootstrap);
    let admin = Admin::connect(settings).await.map_err(|error| broker_failed(&error))?;
    let offsets = admin.group_offsets(&format!("connect-{name}")).await;
    let offsets = offsets.map_err(|error| broker_failed(&error))?;
    let entry = |(partition, offset): (
        mainstem_client::TopicPartition,
        mainstem_client::OffsetAndMetadata,
    )| {
        json!({
            "partition": { "kafka_topic": &*partition.topic, "kafka_partition": partition.partition },
            "offset": { "kafka_offset": offset.offset },
        })
    };
    Ok(offsets.into_iter().map(entry).collect())
}

/// Forgets all positions of a stopped source: it begins anew.
pub(super) async fn reset(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Answered {
    require_stopped_source(&shared, &name)?;
    let positions = source_positions(&shared, &name).await?;
    let changes = positions.into_keys().map(|partition| (partition, None)).collect();
    change(&shared, &name, changes).await?;
    Ok(ok(json!({ "message": "The offsets for this connector have been reset successfully" })))
}

/// Changes some positions of a stopped source; null forgets one.
pub(super) async fn alter(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answered {
    require_stopped_source(&shared, &name)?;
    let body = object(&body)?;
    let Some(entries) = body.get("offsets").and_then(Value::as_array) else {
        return Err(Refusal::new(
            400,
            "Partitions / offsets need to be provided for an alter offsets request",
        ));
    };
    let mut changes = Vec::new();
    for entry in entries {
        let (partition, offset) = (&entry["partition"], &entry["offset"]);
        if !partition.is_object() || !(offset.is_object() || offset.is_null()) {
            return Err(Refusal::new(
                400,
                format!("partition and offset must be JSON objects: {entry}"),
            ));
        }
        changes.push((partition.to_string(), (!offset.is_null()).then(|| offset.to_string())));
    }
    change(&shared, &name, changes).await?;
    Ok(ok(json!({ "message": "The offsets for this connector have been altered successfully" })))
}

fn require_stopped_source(shared: &Shared, name: &str) -> Result<(), Refusal> {
    let machine = shared.machine.lock();
    let connector = machine.connector(name)?;
    if connector.status.state != RunState::Stopped || connector.has_live_task() {
        let message =
            "Connectors must be in the STOPPED state before their offsets can be modified";
        return Err(Refusal::new(400, message));
    }
    if direction(shared, connector) == Some(Direction::Sink) {
        let message = "The positions of a sink are its target's; empty the target to begin anew";
        return Err(Refusal::new(400, message));
    }
    Ok(())
}

async fn change(
    shared: &Shared,
    name: &str,
    changes: Vec<(String, Option<String>)>,
) -> Result<(), Refusal> {
    let mut records = Vec::new();
    for (partition, offset) in changes {
        let key = offset_key(name, &partition);
        records
            .push((key.ok_or_else(|| Refusal::new(400, "partition is no JSON object"))?, offset));
    }
    shared.ask(Request::WriteOffsets(records)).await
}
