//! Administers: a topic, its configuration, who reads it and how far they are behind.
//!
//! `cargo run --example administer [HOST:PORT]`

#![expect(clippy::print_stdout, reason = "a program says how far it is")]

use std::collections::BTreeMap;

use mainstem_client::{Admin, AdminConfig, ClientError, NewTopic, OffsetSpec, TopicPartition};

/// TOPIC_ALREADY_EXISTS
const EXISTS: i16 = 36;

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    let bootstrap = std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    create(&bootstrap, "readings", 4).await?;
    for (group, lag) in lags(&bootstrap, "readings").await? {
        println!("{group} is {lag} records behind");
    }
    Ok(())
}

/// Makes a topic, if it is not there.
pub(crate) async fn create(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
) -> Result<(), ClientError> {
    let admin = Admin::connect(AdminConfig::new(bootstrap)).await?;
    let new = NewTopic::new(topic, partitions).config("retention.ms", "86400000");
    // Each of the topics has an answer of its own.
    for (_, created) in admin.create_topics(&[new]).await? {
        match created {
            Err(error) if error.code() == Some(EXISTS) => {}
            created => created?,
        }
    }
    Ok(())
}

/// How many records of a topic each group has not committed yet.
pub(crate) async fn lags(
    bootstrap: &str,
    topic: &str,
) -> Result<BTreeMap<String, i64>, ClientError> {
    let admin = Admin::connect(AdminConfig::new(bootstrap)).await?;
    let (_, described) = admin.describe_topics(&[topic]).await?.swap_remove(0);
    let partitions = described?.partitions.into_iter();
    let partitions: Vec<_> =
        partitions.map(|it| TopicPartition::new(topic, it.partition)).collect();
    let latest: Vec<_> = partitions.iter().map(|it| (it.clone(), OffsetSpec::Latest)).collect();
    let ends = admin.list_offsets(&latest).await?;
    let mut lags = BTreeMap::new();
    for group in admin.list_groups().await? {
        let committed = admin.group_offsets(&group.group_id).await?;
        let mut lag = None;
        for (partition, offset) in committed.iter().filter(|(it, _)| *it.topic == *topic) {
            let end = ends.get(partition).copied().unwrap_or(offset.offset);
            *lag.get_or_insert(0) += end - offset.offset;
        }
        lags.extend(lag.map(|lag| (group.group_id, lag)));
    }
    Ok(lags)
}
