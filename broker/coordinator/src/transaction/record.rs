//! The layout of `__transaction_state`, as Kafka has it.
//!
//! Key: version (i16) 0, transactional id. Value: version (i16) 1, producer id and epoch, timeout,
//! state as a number, partitions, times; the previous and the next producer id and the client's
//! version are tagged fields. A tombstone forgets the id.

use super::state::{ClientVersion, Metadata, TransactionState};
use crate::log::{CoordinatorRecord, TopicPartition};
use bytes::Bytes;
use mainstem_protocol::ids::{ProducerEpoch, ProducerId};
use mainstem_protocol::messages::records::transaction_log_value::PartitionsSchema;
use mainstem_protocol::messages::records::{TransactionLogKey, TransactionLogValue};
use mainstem_protocol::{Data, DecodeError, EncodeError, Message, Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 1;

/// The record of an id's state; `None` forgets it.
pub(super) fn encode(
    transactional_id: &str,
    metadata: Option<&Metadata>,
) -> Result<CoordinatorRecord, EncodeError> {
    let key = TransactionLogKey { transactional_id: transactional_id.to_owned() };
    let value = metadata.map(|metadata| with_version(&value(metadata), VALUE_VERSION));
    Ok(CoordinatorRecord { key: with_version(&key, KEY_VERSION)?, value: value.transpose()? })
}

/// Reads a record; `None` when its key is of a kind that is not ours.
pub(super) fn decode(
    key: &Bytes,
    value: Option<&Bytes>,
) -> Result<Option<(String, Option<Metadata>)>, DecodeError> {
    let mut reader = Reader::new(key.clone());
    let version = reader.i16()?;
    if version != KEY_VERSION {
        return Ok(None);
    }
    let key = TransactionLogKey::decode(&mut reader, version)?;
    let metadata = value.map(read_value).transpose()?.flatten();
    Ok(Some((key.transactional_id, metadata)))
}

fn with_version<D: Data>(data: &D, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.i16(version);
    data.encode(&mut writer, version)?;
    writer.into_bytes()
}

fn value(metadata: &Metadata) -> TransactionLogValue {
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &metadata.partitions {
        by_topic.entry(&partition.topic).or_default().push(partition.partition.0);
    }
    let partitions = by_topic
        .into_iter()
        .map(|(topic, partition_ids)| PartitionsSchema { topic: topic.to_owned(), partition_ids });
    TransactionLogValue {
        producer_id: metadata.producer_id.0,
        previous_producer_id: metadata.previous_producer_id.0,
        next_producer_id: metadata.next_producer_id.0,
        producer_epoch: metadata.producer_epoch.0,
        transaction_timeout_ms: metadata.timeout_ms,
        transaction_status: metadata.state.number(),
        // Null tells "no transaction" from "none yet".
        transaction_partitions: (metadata.state != TransactionState::Empty)
            .then(|| partitions.collect()),
        transaction_last_update_timestamp_ms: metadata.update_ms,
        transaction_start_timestamp_ms: metadata.start_ms,
        client_transaction_version: metadata.client_version.number(),
    }
}

/// `None` for the state "dead", which forgets like a tombstone.
fn read_value(value: &Bytes) -> Result<Option<Metadata>, DecodeError> {
    let mut reader = Reader::new(value.clone());
    let version = reader.i16()?;
    let value = TransactionLogValue::decode(&mut reader, version)?;
    let Some(state) = TransactionState::of_number(value.transaction_status) else {
        return Ok(None);
    };
    let mut partitions = BTreeSet::new();
    for topic in value.transaction_partitions.iter().flatten() {
        let ids = topic.partition_ids.iter();
        partitions.extend(ids.map(|id| TopicPartition::new(&topic.topic, *id)));
    }
    Ok(Some(Metadata {
        producer_id: ProducerId(value.producer_id),
        previous_producer_id: ProducerId(value.previous_producer_id),
        next_producer_id: ProducerId(value.next_producer_id),
        producer_epoch: ProducerEpoch(value.producer_epoch),
        last_producer_epoch: ProducerEpoch::NONE,
        timeout_ms: value.transaction_timeout_ms,
        state,
        partitions,
        start_ms: value.transaction_start_timestamp_ms,
        update_ms: value.transaction_last_update_timestamp_ms,
        client_version: ClientVersion::of_number(value.client_transaction_version),
    }))
}
