//! `mainstem produce`: one record a line, from standard input or a file.
//!
//! The command ends with success only when every record is acknowledged. With a transactional id all lines are one
//! transaction: when a line fails, none of them is visible.

use bytes::Bytes;
use mainstem_client::{Compression, Delivery, Producer, ProducerConfig, ProducerRecord};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

use crate::arguments::{Codec, ProduceArguments};
use crate::failure::Failure;
use crate::output;

/// Deliveries that may be outstanding before the oldest is waited for.
const OUTSTANDING_MAX: usize = 10_000;

/// Runs the command.
pub(crate) async fn run(arguments: ProduceArguments, json: bool) -> Result<(), Failure> {
    let mut config =
        ProducerConfig::new(&arguments.cluster.bootstrap).compression(codec(arguments.compression));
    if let Some(id) = &arguments.transactional_id {
        config = config.transactional_id(id.as_str());
    }
    let producer = Producer::connect(config).await?;
    let transactional = arguments.transactional_id.is_some();
    if transactional {
        producer.init_transactions().await?;
        producer.begin_transaction()?;
    }
    let sent = send_lines(&producer, &arguments).await;
    if transactional {
        match &sent {
            Ok(_) => producer.commit_transaction().await?,
            Err(_) => producer.abort_transaction().await?,
        }
    }
    let sent = sent?;
    producer.close().await?;
    output::fact(&format!("{sent} records written"), &json!({ "records": sent }), json);
    Ok(())
}

/// The protocol's name of a codec.
pub(crate) fn codec(codec: Codec) -> Compression {
    match codec {
        Codec::None => Compression::None,
        Codec::Gzip => Compression::Gzip,
        Codec::Snappy => Compression::Snappy,
        Codec::Lz4 => Compression::Lz4,
        Codec::Zstd => Compression::Zstd,
    }
}

async fn send_lines(producer: &Producer, arguments: &ProduceArguments) -> Result<u64, Failure> {
    let mut reader: Box<dyn AsyncBufRead + Unpin> = match &arguments.file {
        Some(path) => {
            let file = std::fs::File::open(path)
                .map_err(|error| Failure::doing(&path.display().to_string(), &error))?;
            Box::new(BufReader::new(tokio::fs::File::from_std(file)))
        }
        None => Box::new(BufReader::new(tokio::io::stdin())),
    };
    let topic: Arc<str> = Arc::from(arguments.topic.as_str());
    let mut outstanding: VecDeque<Delivery> = VecDeque::new();
    let mut sent = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        let record = record(&topic, &line, arguments.key_delimiter.as_deref());
        outstanding.push_back(producer.send(record).await?);
        sent += 1;
        if outstanding.len() >= OUTSTANDING_MAX
            && let Some(oldest) = outstanding.pop_front()
        {
            oldest.await?;
        }
    }
    producer.flush().await?;
    for delivery in outstanding {
        delivery.await?;
    }
    Ok(sent)
}

fn record(topic: &Arc<str>, line: &[u8], delimiter: Option<&str>) -> ProducerRecord {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let split = delimiter.filter(|text| !text.is_empty()).and_then(|text| {
        let at = line.windows(text.len()).position(|window| window == text.as_bytes())?;
        Some((&line[..at], &line[at + text.len()..]))
    });
    match split {
        Some((key, value)) => ProducerRecord::new(Arc::clone(topic), Bytes::copy_from_slice(value))
            .key(Bytes::copy_from_slice(key)),
        None => ProducerRecord::new(Arc::clone(topic), Bytes::copy_from_slice(line)),
    }
}
