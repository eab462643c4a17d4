//! `mainstem consume`: prints records as they come; committed transactions only, unless asked otherwise.
//!
//! One line a record: the value as text, with a tab and the key before it when there is one; with `--json`, one JSON
//! object a line that loses nothing (bytes that are not UTF-8 appear in hexadecimal).
#![allow(clippy::print_stdout, reason = "printing records is what this file is for")]

use mainstem_client::typed::avro::AvroDecoder;
use mainstem_client::{
    AutoOffsetReset, Consumer, ConsumerConfig, ConsumerRecord, Isolation, OffsetAndMetadata,
    TopicPartition,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::arguments::{ConsumeArguments, From};
use crate::failure::Failure;

/// How long a poll waits before the ends are looked at again.
const POLL: Duration = Duration::from_millis(500);

/// Runs the command.
pub(crate) async fn run(arguments: ConsumeArguments, json: bool) -> Result<(), Failure> {
    let isolation = if arguments.read_uncommitted {
        Isolation::ReadUncommitted
    } else {
        Isolation::ReadCommitted
    };
    let reset = match arguments.from {
        From::Beginning => AutoOffsetReset::Earliest,
        From::End => AutoOffsetReset::Latest,
    };
    let mut config = ConsumerConfig::new(&arguments.cluster.bootstrap)
        .isolation(isolation)
        .auto_offset_reset(reset);
    if let Some(group) = &arguments.group {
        config = config.group_id(group.as_str());
    }
    let consumer = Consumer::connect(config).await?;
    let count = consumer.partitions_for(&arguments.topic).await?;
    let partitions: Vec<TopicPartition> =
        (0..count).map(|index| TopicPartition::new(arguments.topic.as_str(), index)).collect();
    let ends = consumer.end_offsets(&partitions).await?;
    if arguments.group.is_some() {
        consumer.subscribe(&[arguments.topic.as_str()])?;
    } else {
        consumer.assign(&partitions)?;
    }
    let mut printer = Printer::new(&arguments, json);
    let result = follow(&consumer, &arguments, &ends, &mut printer).await;
    consumer.close().await?;
    result
}

async fn follow(
    consumer: &Consumer,
    arguments: &ConsumeArguments,
    ends: &BTreeMap<TopicPartition, i64>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let mut left = arguments.count.unwrap_or(u64::MAX);
    while left > 0 {
        let polled = consumer.poll(POLL).await?;
        let mut positions = BTreeMap::new();
        'batches: for batch in &polled.batches {
            for record in &batch.records {
                if left == 0 {
                    break 'batches;
                }
                printer.print(record).await?;
                left -= 1;
                positions.insert(batch.topic_partition.clone(), record.offset + 1);
            }
        }
        if arguments.group.is_some() && !positions.is_empty() {
            let positions: Vec<(TopicPartition, OffsetAndMetadata)> = positions
                .into_iter()
                .map(|(key, offset)| (key, OffsetAndMetadata::new(offset)))
                .collect();
            consumer.commit(&positions).await?;
        }
        if arguments.exit && is_at_end(consumer, arguments, ends) {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether all that this consumer reads has been read up to where it ended at the start.
fn is_at_end(
    consumer: &Consumer,
    arguments: &ConsumeArguments,
    ends: &BTreeMap<TopicPartition, i64>,
) -> bool {
    let assigned = consumer.assignment();
    let joined = arguments.group.is_none() || !assigned.is_empty();
    joined
        && assigned.iter().all(|partition| {
            let end = ends.get(partition).copied().unwrap_or_default();
            end == 0 || consumer.position(partition).is_some_and(|position| position >= end)
        })
}

/// Turns records into lines.
struct Printer {
    json: bool,
    avro: Option<AvroDecoder>,
}

impl Printer {
    fn new(arguments: &ConsumeArguments, json: bool) -> Printer {
        let avro = arguments.registry.as_deref().map(AvroDecoder::new);
        Printer { json, avro }
    }

    async fn print(&mut self, record: &ConsumerRecord) -> Result<(), Failure> {
        let value = match (&self.avro, &record.value) {
            (Some(avro), Some(bytes)) if bytes.first() == Some(&0) => {
                avro.to_json(bytes).await.map_err(|error| Failure::doing("decode Avro", &error))?
            }
            (_, Some(bytes)) => text(bytes),
            (_, None) => Value::Null,
        };
        if self.json {
            let headers: Vec<Value> = record
                .headers
                .iter()
                .map(|header| json!({ "key": header.key, "value": header.value.as_deref().map(text) }))
                .collect();
            let line = json!({
                "topic": record.topic.as_ref(),
                "partition": record.partition,
                "offset": record.offset,
                "timestamp_ms": record.timestamp_ms,
                "key": record.key.as_deref().map(text),
                "value": value,
                "headers": headers,
            });
            println!("{line}");
            return Ok(());
        }
        let shown = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        match &record.key {
            Some(key) => println!("{}\t{shown}", plain(key)),
            None => println!("{shown}"),
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Value {
    Value::String(plain(bytes))
}

fn plain(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
