//! Topics: waiting for those from outside, making those of the application's own.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstem_client::{Admin, NewTopic};
use tokio::time::Instant;

use super::{Config, client_error};
use crate::error::StreamsError;
use crate::task::Application;
use crate::topology::{InternalKind, InternalTopic, Topology};

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Kafka's code for a topic that exists already.
const TOPIC_ALREADY_EXISTS: i16 = 36;

/// Partition counts of all topics from outside; waits for those that do not exist yet.
pub(super) async fn external_counts(
    admin: &Admin,
    topology: &Topology,
    config: &Config,
) -> Result<BTreeMap<String, i32>, StreamsError> {
    let deadline = Instant::now() + config.topic_wait;
    let names: Vec<String> = topology.external_topics().into_iter().collect();
    let mut is_told = false;
    loop {
        let counts = describe(admin, &names).await?;
        let missing: Vec<&String> =
            names.iter().filter(|name| !counts.contains_key(*name)).collect();
        if missing.is_empty() {
            return Ok(counts);
        }
        if Instant::now() >= deadline {
            let missing = missing.iter().map(|name| format!("source topic {name} does not exist"));
            return Err(StreamsError::Topology(missing.collect()));
        }
        if !is_told {
            tracing::info!(?missing, "waiting for source topics");
            is_told = true;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Makes the internal topics that do not exist, and checks those that do.
pub(super) async fn create_internal(
    admin: &Admin,
    application: &Application,
    config: &Config,
) -> Result<(), StreamsError> {
    let topology = &application.topology;
    let topics = topology.internal_topics(&application.application_id, &application.counts);
    if topics.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let existing = describe(admin, &names).await?;
    let mistakes = topics.iter().filter_map(|topic| disagreement(topic, &existing));
    let mistakes: Vec<String> = mistakes.collect();
    if !mistakes.is_empty() {
        return Err(StreamsError::Topology(mistakes));
    }
    let missing = topics.iter().filter(|topic| !existing.contains_key(&topic.name));
    let missing: Vec<NewTopic> = missing.map(|topic| new_topic(topic, config)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let answers = admin
        .create_topics(&missing)
        .await
        .map_err(|error| client_error("create internal topics", error))?;
    for (name, answer) in answers {
        match answer {
            Ok(()) => tracing::info!(topic = name, "created an internal topic"),
            // Another instance was faster.
            Err(error) if error.code() == Some(TOPIC_ALREADY_EXISTS) => {}
            Err(error) => return Err(client_error(&format!("create topic {name}"), error)),
        }
    }
    Ok(())
}

fn disagreement(topic: &InternalTopic, existing: &BTreeMap<String, i32>) -> Option<String> {
    let count = existing.get(&topic.name)?;
    (*count != topic.partitions).then(|| {
        format!("internal topic {} has {count} partitions, not {}", topic.name, topic.partitions)
    })
}

fn new_topic(topic: &InternalTopic, config: &Config) -> NewTopic {
    let mut new = NewTopic::new(topic.name.clone(), topic.partitions);
    new.replication_factor = config.replication_factor;
    match topic.kind {
        InternalKind::Repartition => {
            new.config("cleanup.policy", "delete").config("retention.ms", "-1")
        }
        InternalKind::Changelog => new.config("cleanup.policy", "compact"),
    }
}

async fn describe(admin: &Admin, names: &[String]) -> Result<BTreeMap<String, i32>, StreamsError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let described = admin
        .describe_topics(&names)
        .await
        .map_err(|error| client_error("describe topics", error))?;
    let mut counts = BTreeMap::new();
    for (name, answer) in described {
        match answer {
            Ok(topic) => {
                counts.insert(name, i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX));
            }
            Err(error) => tracing::debug!(topic = name, %error, "the topic is not there"),
        }
    }
    Ok(counts)
}
