//! The wire forms of committed offsets: asking for them, reading the answer, committing.

use std::collections::BTreeMap;

use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::OffsetFetchRequest;
use mainstem_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use mainstem_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};

use super::wire::{Answer, Failure};
use crate::records::{OffsetAndMetadata, TopicPartition, by_topic};

/// Version 10 of both names topics by id.
pub(crate) const OFFSET_FETCH_CAP: i16 = 9;
pub(crate) const OFFSET_COMMIT_CAP: i16 = 9;

/// What a coordinator answered. Partitions without a committed offset are absent.
#[derive(Debug)]
pub(crate) struct Committed {
    /// Of the whole request, or of its first partition that has one.
    pub(crate) error: ErrorCode,
    pub(crate) offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
}

/// `member`: who asks, with its epoch, in the consumer protocol. `partitions`: `None` for all that
/// the group has. `stable`: wait for transactions in progress.
pub(crate) fn request(
    group: &str,
    member: Option<(String, i32)>,
    partitions: Option<&[TopicPartition]>,
    stable: bool,
    version: i16,
) -> OffsetFetchRequest {
    let topics = partitions.map(named);
    if version < 8 {
        let topic = |(name, partition_indexes)| OffsetFetchRequestTopic { name, partition_indexes };
        return OffsetFetchRequest {
            group_id: group.to_owned(),
            topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
            require_stable: stable && version >= 7,
            ..OffsetFetchRequest::default()
        };
    }
    let topic = |(name, partition_indexes)| OffsetFetchRequestTopics {
        name,
        partition_indexes,
        ..OffsetFetchRequestTopics::default()
    };
    let (member_id, member_epoch) = member.filter(|_| version >= 9).unzip();
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            member_id,
            member_epoch: member_epoch.unwrap_or(-1),
            topics: topics.map(|topics| topics.into_iter().map(topic).collect()),
        }],
        require_stable: stable,
        ..OffsetFetchRequest::default()
    }
}

fn named(partitions: &[TopicPartition]) -> Vec<(String, Vec<i32>)> {
    by_topic(partitions, |name, of| (name, of.iter().map(|it| it.partition).collect()))
}

/// Offsets as a commit names them.
pub(crate) fn commit_topics(
    offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
) -> Vec<OffsetCommitRequestTopic> {
    let entry = |partition: &TopicPartition| OffsetCommitRequestPartition {
        partition_index: partition.partition,
        committed_offset: offsets[partition].offset,
        committed_leader_epoch: offsets[partition].leader_epoch.unwrap_or(-1),
        committed_metadata: Some(offsets[partition].metadata.clone()),
    };
    by_topic(offsets.keys(), |name, of| OffsetCommitRequestTopic {
        name,
        partitions: of.iter().map(|it| entry(it)).collect(),
        ..OffsetCommitRequestTopic::default()
    })
}

pub(crate) fn read(answer: Answer) -> Result<Committed, Failure> {
    let version = answer.version();
    let response = answer.decode::<OffsetFetchRequest>()?;
    let mut committed = Committed { error: response.error_code, offsets: BTreeMap::new() };
    if version < 8 {
        for topic in response.topics {
            for p in topic.partitions {
                let partition = TopicPartition::new(topic.name.as_str(), p.partition_index);
                let epoch = p.committed_leader_epoch;
                committed.add(partition, p.error_code, p.committed_offset, epoch, p.metadata);
            }
        }
        return Ok(committed);
    }
    let Some(group) = response.groups.into_iter().next() else {
        return Err(Failure::Malformed("OffsetFetch: an answer without a group".to_owned()));
    };
    committed.error = group.error_code;
    for topic in group.topics {
        for p in topic.partitions {
            let partition = TopicPartition::new(topic.name.as_str(), p.partition_index);
            let epoch = p.committed_leader_epoch;
            committed.add(partition, p.error_code, p.committed_offset, epoch, p.metadata);
        }
    }
    Ok(committed)
}

impl Committed {
    fn add(
        &mut self,
        partition: TopicPartition,
        error: ErrorCode,
        offset: i64,
        leader_epoch: i32,
        metadata: Option<String>,
    ) {
        if error.is_error() && self.error.is_ok() {
            self.error = error;
        }
        if offset >= 0 {
            let leader_epoch = Some(leader_epoch).filter(|epoch| *epoch >= 0);
            let metadata = metadata.unwrap_or_default();
            self.offsets.insert(partition, OffsetAndMetadata { offset, leader_epoch, metadata });
        }
    }
}
