//! `mainstem txn`: transactions, the producers behind them, and the end of one that hangs.

use mainstem_client::{
    AbortTransaction, Admin, PartitionProducer, TopicPartition, TransactionFilter,
};
use serde_json::{Value, json};
use std::time::Duration;

use crate::arguments::TxnCommand;
use crate::failure::Failure;
use crate::output::{self, Listing};
use crate::topic::connect;

/// Runs one command.
pub(crate) async fn run(command: TxnCommand, json: bool) -> Result<(), Failure> {
    match command {
        TxnCommand::List { states, producer_ids, open_longer_than_ms, pattern, cluster } => {
            let filter = TransactionFilter {
                states,
                producer_ids,
                open_longer_than: open_longer_than_ms.map(Duration::from_millis),
                pattern,
            };
            list(&connect(&cluster.bootstrap).await?, &filter, json).await
        }
        TxnCommand::Describe { transactional_id, cluster } => {
            describe(&connect(&cluster.bootstrap).await?, &transactional_id, json).await
        }
        TxnCommand::Producers { topic, partition, cluster } => {
            let partition = TopicPartition::new(topic.as_str(), partition);
            producers(&connect(&cluster.bootstrap).await?, &partition, json).await
        }
        TxnCommand::Abort { topic, partition, start_offset, cluster } => {
            let partition = TopicPartition::new(topic.as_str(), partition);
            abort(&connect(&cluster.bootstrap).await?, partition, start_offset, json).await
        }
    }
}

async fn list(admin: &Admin, filter: &TransactionFilter, json: bool) -> Result<(), Failure> {
    let mut listing = Listing::new(&["transactional_id", "coordinator", "producer_id", "state"]);
    for it in admin.list_transactions(filter).await? {
        listing.row(vec![
            json!(it.transactional_id),
            json!(it.coordinator),
            json!(it.producer_id),
            json!(it.state),
        ]);
    }
    output::listing(&listing, json);
    Ok(())
}

async fn describe(admin: &Admin, id: &str, json: bool) -> Result<(), Failure> {
    let mut listing = Listing::new(&[
        "transactional_id",
        "producer_id",
        "producer_epoch",
        "state",
        "timeout_ms",
        "start_time_ms",
        "partitions",
    ]);
    for (name, result) in admin.describe_transactions(&[id]).await? {
        let it = result.map_err(|error| Failure::doing(&name, &error))?;
        let partitions: Vec<String> = it.partitions.iter().map(ToString::to_string).collect();
        listing.row(vec![
            json!(it.transactional_id),
            json!(it.producer_id),
            json!(it.producer_epoch),
            json!(it.state),
            json!(it.timeout_ms),
            it.start_time_ms.map_or(Value::Null, |ms| json!(ms)),
            json!(partitions.join(" ")),
        ]);
    }
    output::listing(&listing, json);
    Ok(())
}

async fn producers(admin: &Admin, partition: &TopicPartition, json: bool) -> Result<(), Failure> {
    let mut listing = Listing::new(&[
        "producer_id",
        "producer_epoch",
        "last_sequence",
        "last_timestamp_ms",
        "coordinator_epoch",
        "open_since_offset",
    ]);
    for it in admin.describe_producers(partition).await? {
        listing.row(vec![
            json!(it.producer_id),
            json!(it.producer_epoch),
            json!(it.last_sequence),
            json!(it.last_timestamp_ms),
            it.coordinator_epoch.map_or(Value::Null, |epoch| json!(epoch)),
            it.transaction_start.map_or(Value::Null, |offset| json!(offset)),
        ]);
    }
    output::listing(&listing, json);
    Ok(())
}

/// Aborts the transaction that is open since `start_offset`, whoever writes it.
async fn abort(
    admin: &Admin,
    partition: TopicPartition,
    start_offset: i64,
    json: bool,
) -> Result<(), Failure> {
    let producers = admin.describe_producers(&partition).await?;
    let is_it = |it: &&PartitionProducer| it.transaction_start == Some(start_offset);
    let producer = producers.iter().find(is_it).ok_or_else(|| {
        Failure::new(format!("{partition}: no transaction is open since offset {start_offset}"))
    })?;
    let abort = AbortTransaction::of(partition.clone(), producer);
    admin.abort_transaction(&abort).await?;
    let id = producer.producer_id;
    output::fact(
        &format!("{partition}: the transaction of producer {id} is aborted"),
        &json!({ "aborted": { "partition": partition.to_string(), "producer_id": id } }),
        json,
    );
    Ok(())
}
