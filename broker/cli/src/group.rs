//! `mainstem group`: what consumer groups are there, who is in them and how far they are.

use mainstem_client::{OffsetSpec, TopicPartition};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::arguments::GroupCommand;
use crate::failure::Failure;
use crate::output::{self, Listing};
use crate::topic::connect;

/// Runs one command.
pub(crate) async fn run(command: GroupCommand, json: bool) -> Result<(), Failure> {
    match command {
        GroupCommand::List { cluster } => {
            let admin = connect(&cluster.bootstrap).await?;
            let mut listing = Listing::new(&["group", "type", "state"]);
            for group in admin.list_groups().await? {
                listing.row(vec![
                    json!(group.group_id),
                    json!(group.protocol_type),
                    json!(group.state),
                ]);
            }
            output::listing(&listing, json);
            Ok(())
        }
        GroupCommand::Describe { group, cluster } => {
            describe(&cluster.bootstrap, &group, json).await
        }
    }
}

async fn describe(bootstrap: &str, group: &str, json: bool) -> Result<(), Failure> {
    let admin = connect(bootstrap).await?;
    let mut members = Listing::new(&["member", "client", "host", "partitions"]);
    let mut owners = BTreeMap::new();
    for (name, result) in admin.describe_groups(&[group]).await? {
        let description = result.map_err(|error| Failure::doing(&name, &error))?;
        for member in description.members {
            let partitions: Vec<String> =
                member.assignment.iter().map(ToString::to_string).collect();
            for partition in member.assignment {
                owners.insert(partition, member.member_id.clone());
            }
            members.row(vec![
                json!(member.member_id),
                json!(member.client_id),
                json!(member.client_host),
                json!(partitions.join(" ")),
            ]);
        }
    }
    let committed = admin.group_offsets(group).await?;
    let ask: Vec<(TopicPartition, OffsetSpec)> =
        committed.keys().map(|key| (key.clone(), OffsetSpec::Latest)).collect();
    let ends = admin.list_offsets(&ask).await?;
    let mut offsets = Listing::new(&["topic", "partition", "committed", "end", "lag", "member"]);
    for (key, position) in committed {
        let end = ends.get(&key).copied();
        offsets.row(vec![
            json!(key.topic.as_ref()),
            json!(key.partition),
            json!(position.offset),
            json!(end),
            json!(end.map(|end| (end - position.offset).max(0))),
            owners.get(&key).map_or(Value::Null, |member| json!(member)),
        ]);
    }
    output::sections(&[("members", members), ("offsets", offsets)], json);
    Ok(())
}
