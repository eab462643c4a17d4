//! `mainstem topic`: create, list, describe, change and delete topics through the admin client.

use mainstem_client::{Admin, AdminConfig, ConfigResource, NewTopic, OffsetSpec, TopicPartition};
use serde_json::{Value, json};

use crate::arguments::TopicCommand;
use crate::config;
use crate::failure::Failure;
use crate::output::{self, Listing};

/// Runs one command.
pub(crate) async fn run(command: TopicCommand, json: bool) -> Result<(), Failure> {
    match command {
        TopicCommand::Create { name, partitions, replication_factor, configs, cluster } => {
            let mut topic = NewTopic::new(name.as_str(), partitions);
            topic.replication_factor = replication_factor;
            for config in &configs {
                let (key, value) = config.split_once('=').ok_or_else(|| {
                    Failure::new(format!("--config {config}: expected NAME=VALUE"))
                })?;
                topic = topic.config(key, value);
            }
            let admin = connect(&cluster.bootstrap).await?;
            for (name, result) in admin.create_topics(&[topic]).await? {
                result.map_err(|error| Failure::doing(&name, &error))?;
                output::fact(&format!("{name}: created"), &json!({ "created": name }), json);
            }
            Ok(())
        }
        TopicCommand::List { internal, cluster } => list(&cluster.bootstrap, internal, json).await,
        TopicCommand::Describe { name, cluster } => describe(&cluster.bootstrap, &name, json).await,
        TopicCommand::Delete { names, cluster } => {
            let admin = connect(&cluster.bootstrap).await?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            for (name, result) in admin.delete_topics(&names).await? {
                result.map_err(|error| Failure::doing(&name, &error))?;
                output::fact(&format!("{name}: deleted"), &json!({ "deleted": name }), json);
            }
            Ok(())
        }
        TopicCommand::Partitions { name, count, cluster } => {
            let admin = connect(&cluster.bootstrap).await?;
            for (name, result) in admin.create_partitions(&[(&name, count)]).await? {
                result.map_err(|error| Failure::doing(&name, &error))?;
                let fact = json!({ "topic": name, "partitions": count });
                output::fact(&format!("{name}: has {count} partitions"), &fact, json);
            }
            Ok(())
        }
        TopicCommand::Config { name, changes, cluster } => {
            let resource = ConfigResource::Topic(name);
            config::show_or_change(&cluster.bootstrap, &resource, &changes, json).await
        }
    }
}

/// An admin client for these brokers.
pub(crate) async fn connect(bootstrap: &str) -> Result<Admin, Failure> {
    Ok(Admin::connect(AdminConfig::new(bootstrap)).await?)
}

async fn list(bootstrap: &str, internal: bool, json: bool) -> Result<(), Failure> {
    let admin = connect(bootstrap).await?;
    let names = admin.list_topics().await?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut listing = Listing::new(&["topic", "partitions", "replicas", "internal"]);
    for (name, result) in admin.describe_topics(&names).await? {
        let topic = result.map_err(|error| Failure::doing(&name, &error))?;
        if topic.internal && !internal {
            continue;
        }
        let replicas = topic.partitions.first().map_or(0, |first| first.replicas.len());
        listing.row(vec![
            json!(name),
            json!(topic.partitions.len()),
            json!(replicas),
            json!(topic.internal),
        ]);
    }
    output::listing(&listing, json);
    Ok(())
}

async fn describe(bootstrap: &str, name: &str, json: bool) -> Result<(), Failure> {
    let admin = connect(bootstrap).await?;
    let mut partitions = Listing::new(&[
        "partition",
        "leader",
        "leader_epoch",
        "replicas",
        "isr",
        "log_start",
        "end",
        "records_max",
    ]);
    for (name, result) in admin.describe_topics(&[name]).await? {
        let topic = result.map_err(|error| Failure::doing(&name, &error))?;
        let ask = |spec: OffsetSpec| -> Vec<(TopicPartition, OffsetSpec)> {
            let each = topic.partitions.iter();
            each.map(|p| (TopicPartition::new(name.as_str(), p.partition), spec)).collect()
        };
        let starts = admin.list_offsets(&ask(OffsetSpec::Earliest)).await?;
        let ends = admin.list_offsets(&ask(OffsetSpec::Latest)).await?;
        for part in &topic.partitions {
            let key = TopicPartition::new(name.as_str(), part.partition);
            let start = starts.get(&key).copied().unwrap_or_default();
            let end = ends.get(&key).copied().unwrap_or_default();
            partitions.row(vec![
                json!(part.partition),
                json!(part.leader),
                json!(part.leader_epoch),
                json!(part.replicas),
                json!(part.isr),
                json!(start),
                json!(end),
                json!(end - start),
            ]);
        }
    }
    let mut configs = Listing::new(&["name", "value", "default"]);
    let resource = ConfigResource::Topic(name.to_owned());
    for entry in admin.describe_configs(&resource).await? {
        let is_default = entry.is_default();
        let value = entry.value.map_or(Value::Null, Value::from);
        configs.row(vec![json!(entry.name), value, json!(is_default)]);
    }
    output::sections(&[("partitions", partitions), ("configuration", configs)], json);
    Ok(())
}
