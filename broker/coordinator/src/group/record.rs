//! The layout of `__consumer_offsets`, as Kafka has it.
//!
//! A key starts with its version (i16), which also tells its kind:
//!
//! | key version | key | value |
//! |---|---|---|
//! | 0, 1 | group, topic, partition | offset, leader epoch, metadata, commit time |
//! | 2 | group | protocol type, generation, protocol, leader, time, members |
//!
//! A value starts with its own version (i16). We write offset values at v3, or at v1 when an old
//! client chose a retention time, and group values at v3. Keys 3 to 8 and 16 are of consumer groups
//! (`consumer::record`). Keys of other kinds (share and streams groups) may stand in logs of others;
//! they are skipped.

use super::change::{Change, GroupSnapshot, MemberSnapshot};
use super::consumer;
use super::offsets::OffsetEntry;
use crate::log::{CoordinatorRecord, TopicPartition};
use bytes::Bytes;
use mainstem_protocol::ids::{LeaderEpoch, Offset};
use mainstem_protocol::messages::records::group_metadata_value::MemberMetadata;
use mainstem_protocol::messages::records::{
    GroupMetadataKey, GroupMetadataValue, OffsetCommitKey, OffsetCommitValue,
};
use mainstem_protocol::{Data, DecodeError, EncodeError, Message, Reader, Writer};
use std::sync::Arc;

const OFFSET_KEY_VERSION: i16 = 1;
const OFFSET_VALUE_VERSION: i16 = 3;
/// The last version that has an expiry time of its own.
const OFFSET_VALUE_VERSION_WITH_EXPIRY: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
const GROUP_VALUE_VERSION: i16 = 3;

/// The record of a change.
pub(super) fn encode(change: &Change) -> Result<CoordinatorRecord, EncodeError> {
    let (key, value) = match change {
        Change::Offset { group, partition, entry } => {
            (offset_key(group, partition)?, Some(offset_value(entry)?))
        }
        Change::OffsetRemoved { group, partition } => (offset_key(group, partition)?, None),
        Change::Group { group, snapshot } => (group_key(group)?, Some(group_value(snapshot)?)),
        Change::GroupRemoved { group } => (group_key(group)?, None),
        Change::Consumer { group, change } => return consumer::encode(group, change),
    };
    Ok(CoordinatorRecord { key, value })
}

/// The change that a record stands for; `None` for kinds that are not ours.
pub(super) fn decode(
    offset: Offset,
    key: &Bytes,
    value: Option<&Bytes>,
) -> Result<Option<Change>, DecodeError> {
    let mut reader = Reader::new(key.clone());
    let version = reader.i16()?;
    if version <= OFFSET_KEY_VERSION {
        let key = OffsetCommitKey::decode(&mut reader, version)?;
        let group = Arc::from(key.group.as_str());
        let partition = TopicPartition::new(&key.topic, key.partition);
        return Ok(Some(match value {
            Some(value) => Change::Offset { group, partition, entry: offset_entry(offset, value)? },
            None => Change::OffsetRemoved { group, partition },
        }));
    }
    if consumer::is_consumer_key(version) {
        let (group, change) = consumer::decode(key, value)?;
        return Ok(Some(Change::Consumer { group, change }));
    }
    if version != GROUP_KEY_VERSION {
        return Ok(None);
    }
    let key = GroupMetadataKey::decode(&mut reader, version)?;
    let group = Arc::from(key.group.as_str());
    Ok(Some(match value {
        Some(value) => Change::Group { group, snapshot: snapshot(versioned(value)?) },
        None => Change::GroupRemoved { group },
    }))
}

pub(super) fn versioned<D: Data>(value: &Bytes) -> Result<D, DecodeError> {
    let mut reader = Reader::new(value.clone());
    let version = reader.i16()?;
    D::decode(&mut reader, version)
}

pub(super) fn with_version<D: Data>(data: &D, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.i16(version);
    data.encode(&mut writer, version)?;
    writer.into_bytes()
}

fn offset_key(group: &str, partition: &TopicPartition) -> Result<Bytes, EncodeError> {
    let key = OffsetCommitKey {
        group: group.to_owned(),
        topic: partition.topic.to_string(),
        partition: partition.partition.0,
    };
    with_version(&key, OFFSET_KEY_VERSION)
}

fn offset_value(entry: &OffsetEntry) -> Result<Bytes, EncodeError> {
    let value = OffsetCommitValue {
        offset: entry.offset.0,
        leader_epoch: entry.leader_epoch.0,
        metadata: entry.metadata.to_string(),
        commit_timestamp: entry.commit_ms,
        expire_timestamp: entry.expire_ms.unwrap_or(-1),
    };
    match entry.expire_ms {
        Some(_) => with_version(&value, OFFSET_VALUE_VERSION_WITH_EXPIRY),
        None => with_version(&value, OFFSET_VALUE_VERSION),
    }
}

fn offset_entry(record_offset: Offset, value: &Bytes) -> Result<OffsetEntry, DecodeError> {
    let value: OffsetCommitValue = versioned(value)?;
    Ok(OffsetEntry {
        offset: Offset(value.offset),
        leader_epoch: LeaderEpoch(value.leader_epoch),
        metadata: Arc::from(value.metadata.as_str()),
        commit_ms: value.commit_timestamp,
        expire_ms: Some(value.expire_timestamp).filter(|at| 0 <= *at),
        record_offset,
    })
}

fn group_key(group: &str) -> Result<Bytes, EncodeError> {
    with_version(&GroupMetadataKey { group: group.to_owned() }, GROUP_KEY_VERSION)
}

fn group_value(snapshot: &GroupSnapshot) -> Result<Bytes, EncodeError> {
    let member = |member: &MemberSnapshot| MemberMetadata {
        member_id: member.member_id.clone(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.subscription.clone(),
        assignment: member.assignment.clone(),
    };
    let value = GroupMetadataValue {
        protocol_type: snapshot.protocol_type.clone(),
        generation: snapshot.generation,
        protocol: snapshot.protocol.clone(),
        leader: snapshot.leader.clone(),
        current_state_timestamp: snapshot.state_since_ms,
        members: snapshot.members.iter().map(member).collect(),
    };
    with_version(&value, GROUP_VALUE_VERSION)
}

fn snapshot(value: GroupMetadataValue) -> GroupSnapshot {
    let member = |member: MemberMetadata| MemberSnapshot {
        member_id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        // Before v1 there was only the session timeout.
        rebalance_timeout_ms: match member.rebalance_timeout {
            -1 => member.session_timeout,
            timeout => timeout,
        },
        session_timeout_ms: member.session_timeout,
        subscription: member.subscription,
        assignment: member.assignment,
    };
    GroupSnapshot {
        protocol_type: value.protocol_type,
        generation: value.generation,
        protocol: value.protocol,
        leader: value.leader,
        state_since_ms: value.current_state_timestamp,
        members: value.members.into_iter().map(member).collect(),
    }
}
