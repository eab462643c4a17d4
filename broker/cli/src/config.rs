//! `mainstem config` and `mainstem topic config`: show and change configurations.

use mainstem_client::{ConfigChange, ConfigResource, ConfigSource};
use serde_json::{Value, json};

use crate::arguments::{ConfigChanges, ConfigCommand};
use crate::failure::Failure;
use crate::output::{self, Listing};
use crate::topic::connect;

/// Runs one command.
pub(crate) async fn run(command: ConfigCommand, json: bool) -> Result<(), Failure> {
    let (resource, changes, cluster) = match command {
        ConfigCommand::Brokers { changes, cluster } => {
            (ConfigResource::AllBrokers, changes, cluster)
        }
        ConfigCommand::Broker { id, changes, cluster } => {
            (ConfigResource::Broker(id), changes, cluster)
        }
        ConfigCommand::Group { group, changes, cluster } => {
            (ConfigResource::Group(group), changes, cluster)
        }
    };
    show_or_change(&cluster.bootstrap, &resource, &changes, json).await
}

/// Makes the changes, or shows the configuration when there are none.
pub(crate) async fn show_or_change(
    bootstrap: &str,
    resource: &ConfigResource,
    arguments: &ConfigChanges,
    json: bool,
) -> Result<(), Failure> {
    let changes = changes(arguments)?;
    let admin = connect(bootstrap).await?;
    if changes.is_empty() {
        let mut listing = Listing::new(&["name", "value", "source", "read_only"]);
        for entry in admin.describe_configs(resource).await? {
            if entry.source == ConfigSource::Default && !arguments.all {
                continue;
            }
            let value = entry.value.map_or(Value::Null, Value::from);
            let source = source(entry.source);
            listing.row(vec![json!(entry.name), value, json!(source), json!(entry.read_only)]);
        }
        output::listing(&listing, json);
        return Ok(());
    }
    let count = changes.len();
    if arguments.dry_run {
        admin.validate_configs(resource, &changes).await?;
        output::fact("the changes are valid", &json!({ "valid": count }), json);
    } else {
        admin.alter_configs(resource, &changes).await?;
        output::fact("the changes are made", &json!({ "changed": count }), json);
    }
    Ok(())
}

fn changes(arguments: &ConfigChanges) -> Result<Vec<ConfigChange>, Failure> {
    let mut changes = Vec::new();
    for text in &arguments.set {
        let (name, value) = pair("--set", text)?;
        changes.push(ConfigChange::Set { name, value });
    }
    for name in &arguments.delete {
        changes.push(ConfigChange::Delete { name: name.clone() });
    }
    for text in &arguments.append {
        let (name, value) = pair("--append", text)?;
        changes.push(ConfigChange::Append { name, value });
    }
    for text in &arguments.subtract {
        let (name, value) = pair("--subtract", text)?;
        changes.push(ConfigChange::Subtract { name, value });
    }
    Ok(changes)
}

fn pair(flag: &str, text: &str) -> Result<(String, String), Failure> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Failure::new(format!("{flag} {text}: expected NAME=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "topic",
        ConfigSource::Group => "group",
        ConfigSource::Broker => "broker",
        ConfigSource::AllBrokers => "all brokers",
        ConfigSource::BrokerFile => "file",
        ConfigSource::Default => "default",
        ConfigSource::Other(_) => "other",
    }
}
