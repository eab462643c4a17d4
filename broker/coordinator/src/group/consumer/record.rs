//! The layout of consumer groups in `__consumer_offsets`, as Kafka has it. A key starts with its
//! version (i16), which also tells its kind:
//!
//! | key version | key | value |
//! |---|---|---|
//! | 3 | group | group epoch, hash of the topics |
//! | 4 | group | topics, as before 4.1; here only taken away |
//! | 5 | group, member | what the member says of itself |
//! | 6 | group | epoch of the target assignment, when it was computed |
//! | 7 | group, member | target assignment |
//! | 8 | group, member | current assignment, with the epoch of each partition |
//! | 16 | group, regular expression | topics that it matches |
//!
//! All values are of version 0.

use super::change::{ConsumerChange, GroupEpoch, ResolvedRegex, TargetEpoch};
use super::member::{ClassicPart, Current, MemberMetadata, MemberState};
use super::partitions::{PartitionEpochs, Partitions};
use crate::group::member::{MemberId, Protocol};
use crate::group::record::{versioned, with_version};
use crate::log::CoordinatorRecord;
use bytes::Bytes;
use mainstem_protocol::ids::PartitionIndex;
use mainstem_protocol::messages::records::consumer_group_current_member_assignment_value as cur;
use mainstem_protocol::messages::records::consumer_group_member_metadata_value as meta;
use mainstem_protocol::messages::records::consumer_group_target_assignment_member_value as tgt;
use mainstem_protocol::messages::records::*;
use mainstem_protocol::{Data, DecodeError, EncodeError, Message, Reader};
use std::sync::Arc;

const VALUE_VERSION: i16 = 0;

/// Whether keys of this version are of consumer groups.
pub(crate) fn is_consumer_key(version: i16) -> bool {
    matches!(version, 3..=8 | 16)
}

/// The record of a change.
pub(crate) fn encode(
    group: &str,
    change: &ConsumerChange,
) -> Result<CoordinatorRecord, EncodeError> {
    let group_id = group.to_owned();
    match change {
        ConsumerChange::Epoch(epoch) => record(
            &ConsumerGroupMetadataKey { group_id },
            epoch.map(|epoch| ConsumerGroupMetadataValue {
                epoch: epoch.epoch,
                metadata_hash: epoch.metadata_hash,
            }),
        ),
        ConsumerChange::PartitionMetadata { present } => record(
            &ConsumerGroupPartitionMetadataKey { group_id },
            present.then(ConsumerGroupPartitionMetadataValue::default),
        ),
        ConsumerChange::Member(id, metadata) => record(
            &ConsumerGroupMemberMetadataKey { group_id, member_id: id.to_string() },
            metadata.as_ref().map(metadata_value),
        ),
        ConsumerChange::TargetEpoch(epoch) => record(
            &ConsumerGroupTargetAssignmentMetadataKey { group_id },
            epoch.map(|epoch| ConsumerGroupTargetAssignmentMetadataValue {
                assignment_epoch: epoch.epoch,
                assignment_timestamp: epoch.computed_ms,
            }),
        ),
        ConsumerChange::Target(id, target) => record(
            &ConsumerGroupTargetAssignmentMemberKey { group_id, member_id: id.to_string() },
            target.as_ref().map(target_value),
        ),
        ConsumerChange::Current(id, current) => record(
            &ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id: id.to_string() },
            current.as_ref().map(current_value),
        ),
        ConsumerChange::Regex(regex, resolved) => record(
            &ConsumerGroupRegularExpressionKey { group_id, regular_expression: regex.clone() },
            resolved.as_ref().map(|resolved| ConsumerGroupRegularExpressionValue {
                topics: resolved.topics.iter().cloned().collect(),
                version: resolved.version,
                timestamp: resolved.resolved_ms,
            }),
        ),
    }
}

fn record<K: Data, V: Data>(key: &K, value: Option<V>) -> Result<CoordinatorRecord, EncodeError> {
    let key = with_version(key, K::MAX_VERSION)?;
    let value = value.map(|value| with_version(&value, VALUE_VERSION)).transpose()?;
    Ok(CoordinatorRecord { key, value })
}

/// The group and the change that a record stands for.
pub(crate) fn decode(
    key: &Bytes,
    value: Option<&Bytes>,
) -> Result<(Arc<str>, ConsumerChange), DecodeError> {
    let mut reader = Reader::new(key.clone());
    let version = reader.i16()?;
    let of_group = |group: String, change| Ok((Arc::from(group), change));
    match version {
        3 => {
            let key = ConsumerGroupMetadataKey::decode(&mut reader, version)?;
            let value: Option<ConsumerGroupMetadataValue> = value.map(versioned).transpose()?;
            let epoch = value
                .map(|value| GroupEpoch { epoch: value.epoch, metadata_hash: value.metadata_hash });
            of_group(key.group_id, ConsumerChange::Epoch(epoch))
        }
        4 => {
            let key = ConsumerGroupPartitionMetadataKey::decode(&mut reader, version)?;
            let present = value.is_some();
            of_group(key.group_id, ConsumerChange::PartitionMetadata { present })
        }
        5 => {
            let key = ConsumerGroupMemberMetadataKey::decode(&mut reader, version)?;
            let value = value.map(versioned).transpose()?.map(metadata);
            of_group(key.group_id, ConsumerChange::Member(member_id(key.member_id), value))
        }
        6 => {
            let key = ConsumerGroupTargetAssignmentMetadataKey::decode(&mut reader, version)?;
            let value: Option<ConsumerGroupTargetAssignmentMetadataValue> =
                value.map(versioned).transpose()?;
            let epoch = value.map(|value| TargetEpoch {
                epoch: value.assignment_epoch,
                computed_ms: value.assignment_timestamp,
            });
            of_group(key.group_id, ConsumerChange::TargetEpoch(epoch))
        }
        7 => {
            let key = ConsumerGroupTargetAssignmentMemberKey::decode(&mut reader, version)?;
            let value = value.map(versioned).transpose()?.map(target);
            of_group(key.group_id, ConsumerChange::Target(member_id(key.member_id), value))
        }
        8 => {
            let key = ConsumerGroupCurrentMemberAssignmentKey::decode(&mut reader, version)?;
            let value = value.map(versioned).transpose()?.map(current);
            of_group(key.group_id, ConsumerChange::Current(member_id(key.member_id), value))
        }
        _ => {
            let key = ConsumerGroupRegularExpressionKey::decode(&mut reader, version)?;
            let value: Option<ConsumerGroupRegularExpressionValue> =
                value.map(versioned).transpose()?;
            let resolved = value.map(|value| ResolvedRegex {
                topics: value.topics.into_iter().collect(),
                version: value.version,
                resolved_ms: value.timestamp,
            });
            of_group(key.group_id, ConsumerChange::Regex(key.regular_expression, resolved))
        }
    }
}

fn member_id(text: String) -> MemberId {
    Arc::from(text)
}

fn metadata_value(of: &MemberMetadata) -> ConsumerGroupMemberMetadataValue {
    let protocol = |protocol: &Protocol| meta::ClassicProtocol {
        name: protocol.name.clone(),
        metadata: protocol.metadata.clone(),
    };
    ConsumerGroupMemberMetadataValue {
        instance_id: of.instance_id.clone(),
        rack_id: of.rack_id.clone(),
        client_id: of.client_id.clone(),
        client_host: of.client_host.clone(),
        subscribed_topic_names: of.topics.iter().cloned().collect(),
        // Kafka writes no pattern as an empty one.
        subscribed_topic_regex: Some(of.regex.clone().unwrap_or_default()),
        rebalance_timeout_ms: of.rebalance_timeout_ms,
        server_assignor: of.server_assignor.clone(),
        classic_member_metadata: of.classic.as_ref().map(|classic| meta::ClassicMemberMetadata {
            session_timeout_ms: classic.session_timeout_ms,
            supported_protocols: classic.protocols.iter().map(protocol).collect(),
        }),
    }
}

fn metadata(value: ConsumerGroupMemberMetadataValue) -> MemberMetadata {
    let protocol = |protocol: meta::ClassicProtocol| Protocol {
        name: protocol.name,
        metadata: protocol.metadata,
    };
    MemberMetadata {
        instance_id: value.instance_id,
        rack_id: value.rack_id,
        client_id: value.client_id,
        client_host: value.client_host,
        topics: value.subscribed_topic_names.into_iter().collect(),
        regex: value.subscribed_topic_regex.filter(|regex| !regex.is_empty()),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        server_assignor: value.server_assignor,
        classic: value.classic_member_metadata.map(|classic| ClassicPart {
            session_timeout_ms: classic.session_timeout_ms,
            protocols: classic.supported_protocols.into_iter().map(protocol).collect(),
        }),
    }
}

fn target_value(of: &Partitions) -> ConsumerGroupTargetAssignmentMemberValue {
    let topic = |(topic_id, partitions): (&_, &std::collections::BTreeSet<PartitionIndex>)| {
        let partitions = partitions.iter().map(|partition| partition.0).collect();
        tgt::TopicPartition { topic_id: *topic_id, partitions }
    };
    ConsumerGroupTargetAssignmentMemberValue { topic_partitions: of.iter().map(topic).collect() }
}

fn target(value: ConsumerGroupTargetAssignmentMemberValue) -> Partitions {
    let topic = |topic: tgt::TopicPartition| {
        (topic.topic_id, topic.partitions.into_iter().map(PartitionIndex).collect())
    };
    value.topic_partitions.into_iter().map(topic).collect()
}

fn current_value(of: &Current) -> ConsumerGroupCurrentMemberAssignmentValue {
    let topics = |of: &PartitionEpochs| {
        let topic = |(topic_id, partitions): (&_, &std::collections::BTreeMap<_, _>)| {
            cur::TopicPartitions {
                topic_id: *topic_id,
                partitions: partitions.keys().map(|p: &PartitionIndex| p.0).collect(),
                assignment_epochs: Some(partitions.values().copied().collect()),
            }
        };
        of.iter().map(topic).collect()
    };
    ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: of.epoch,
        previous_member_epoch: of.previous_epoch,
        state: of.state as i8,
        assigned_partitions: topics(&of.assigned),
        partitions_pending_revocation: topics(&of.revoking),
    }
}

fn current(value: ConsumerGroupCurrentMemberAssignmentValue) -> Current {
    // Before 4.3 partitions had no epoch: they are as old as the member's.
    let otherwise = value.member_epoch.max(0);
    let epochs = |topics: Vec<cur::TopicPartitions>| {
        let mut all = PartitionEpochs::new();
        for topic in topics {
            let told = topic.assignment_epochs.unwrap_or_default();
            let count = topic.partitions.len();
            let epoch = |at: usize| if told.len() == count { told[at] } else { otherwise };
            let of = all.entry(topic.topic_id).or_default();
            of.extend((0..count).map(|at| (PartitionIndex(topic.partitions[at]), epoch(at))));
        }
        all.retain(|_, partitions| !partitions.is_empty());
        all
    };
    Current {
        epoch: value.member_epoch,
        previous_epoch: value.previous_member_epoch,
        state: match value.state {
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            // A state of a later broker: the member is taken towards the target from what it has.
            _ => MemberState::Stable,
        },
        assigned: epochs(value.assigned_partitions),
        revoking: epochs(value.partitions_pending_revocation),
    }
}
