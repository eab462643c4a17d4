//! OffsetFetch: what was committed.
//!
//! Up to v7 a request names one group, from v8 many. A partition without a committed offset is
//! answered with -1 and no error. Whoever asks for stable offsets is told to come again while a
//! transaction may still change the answer.

use super::coordinator::GroupCoordinator;
use super::{GroupResponse, TopicDirectory};
use crate::log::{ClientContext, ReplyTo, TopicPartition};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::TopicId;
use mainstem_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use mainstem_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use std::collections::BTreeMap;

/// The request version from which topics are named by their id.
const TOPIC_IDS_FROM: i16 = 10;
/// The request version from which a group's error has a place of its own.
const GROUP_ERROR_FROM: i16 = 2;

/// How a reader wants to be answered.
struct Reader<'a> {
    topics: &'a dyn TopicDirectory,
    by_id: bool,
    only_stable: bool,
}

impl GroupCoordinator {
    pub(super) fn offset_fetch(
        &mut self,
        context: &ClientContext,
        topics: &dyn TopicDirectory,
        request: &OffsetFetchRequest,
        to: ReplyTo,
    ) {
        let reader = Reader {
            topics,
            by_id: TOPIC_IDS_FROM <= context.api_version,
            only_stable: request.require_stable,
        };
        let response = if 8 <= context.api_version {
            let groups = request.groups.iter().map(|group| self.fetch_group(&reader, group));
            OffsetFetchResponse { groups: groups.collect(), ..OffsetFetchResponse::default() }
        } else {
            self.fetch_one(context, &reader, request)
        };
        self.reply(to, GroupResponse::OffsetFetch(response));
    }

    /// Up to v7: the same answer in an older dress.
    fn fetch_one(
        &self,
        context: &ClientContext,
        reader: &Reader<'_>,
        request: &OffsetFetchRequest,
    ) -> OffsetFetchResponse {
        let topics = request.topics.as_ref().map(|topics| {
            let topic = |name: &String, partitions: &Vec<i32>| OffsetFetchRequestTopics {
                name: name.clone(),
                partition_indexes: partitions.clone(),
                ..OffsetFetchRequestTopics::default()
            };
            topics.iter().map(|t| topic(&t.name, &t.partition_indexes)).collect()
        });
        let asked = OffsetFetchRequestGroup {
            group_id: request.group_id.clone(),
            member_id: None,
            member_epoch: -1,
            topics,
        };
        let group = self.fetch_group(reader, &asked);
        let has_no_place = context.api_version < GROUP_ERROR_FROM && group.error_code.is_error();
        let partition = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
            partition_index: partition.partition_index,
            committed_offset: partition.committed_offset,
            committed_leader_epoch: partition.committed_leader_epoch,
            metadata: partition.metadata,
            error_code: partition.error_code,
        };
        let mut topics: Vec<OffsetFetchResponseTopic> = group
            .topics
            .into_iter()
            .map(|topic| OffsetFetchResponseTopic {
                name: topic.name,
                partitions: topic.partitions.into_iter().map(partition).collect(),
            })
            .collect();
        if has_no_place {
            let asked = request.topics.iter().flatten();
            topics = asked
                .map(|topic| OffsetFetchResponseTopic {
                    name: topic.name.clone(),
                    partitions: topic
                        .partition_indexes
                        .iter()
                        .map(|index| partition(nothing(*index, group.error_code)))
                        .collect(),
                })
                .collect();
        }
        OffsetFetchResponse { topics, error_code: group.error_code, ..Default::default() }
    }

    fn fetch_group(
        &self,
        reader: &Reader<'_>,
        asked: &OffsetFetchRequestGroup,
    ) -> OffsetFetchResponseGroup {
        let group = asked.group_id.as_str();
        let mut response =
            OffsetFetchResponseGroup { group_id: group.to_owned(), ..Default::default() };
        if let Err(code) = self.residency.check(self.partition_of(group)) {
            response.error_code = code;
            return response;
        }
        if let Some(consumer) = self.consumer_groups.get(group)
            && let Err(code) = consumer.check_fetch(asked.member_id.as_deref(), asked.member_epoch)
        {
            response.error_code = code;
            return response;
        }
        response.topics = match &asked.topics {
            Some(topics) => topics.iter().map(|t| self.fetch_topic(reader, group, t)).collect(),
            None => self.fetch_all(reader, group),
        };
        response
    }

    fn fetch_topic(
        &self,
        reader: &Reader<'_>,
        group: &str,
        asked: &OffsetFetchRequestTopics,
    ) -> OffsetFetchResponseTopics {
        let name = if reader.by_id {
            reader.topics.topic_name(asked.topic_id)
        } else {
            Some(asked.name.as_str())
        };
        let partition = |index: &i32| match name {
            Some(name) => self.fetch_partition(reader, group, &TopicPartition::new(name, *index)),
            None => nothing(*index, ErrorCode::UNKNOWN_TOPIC_ID),
        };
        OffsetFetchResponseTopics {
            name: asked.name.clone(),
            topic_id: asked.topic_id,
            partitions: asked.partition_indexes.iter().map(partition).collect(),
        }
    }

    fn fetch_all(&self, reader: &Reader<'_>, group: &str) -> Vec<OffsetFetchResponseTopics> {
        let Some(offsets) = self.offsets.group(group) else { return Vec::new() };
        let mut by_topic: BTreeMap<&str, Vec<OffsetFetchResponsePartitions>> = BTreeMap::new();
        for partition in offsets.committed.keys() {
            let answer = self.fetch_partition(reader, group, partition);
            by_topic.entry(&partition.topic).or_default().push(answer);
        }
        let topic = |(name, partitions): (&str, Vec<_>)| {
            let id = reader.topics.topic_id(name);
            // A topic that has gone has no id to be named by.
            let is_named = !reader.by_id || id.is_some();
            is_named.then(|| OffsetFetchResponseTopics {
                name: name.to_owned(),
                topic_id: id.unwrap_or(TopicId::NONE),
                partitions,
            })
        };
        by_topic.into_iter().filter_map(topic).collect()
    }

    fn fetch_partition(
        &self,
        reader: &Reader<'_>,
        group: &str,
        partition: &TopicPartition,
    ) -> OffsetFetchResponsePartitions {
        let index = partition.partition.0;
        if reader.only_stable && self.offsets.is_unstable(group, partition) {
            return nothing(index, ErrorCode::UNSTABLE_OFFSET_COMMIT);
        }
        match self.offsets.get(group, partition) {
            None => nothing(index, ErrorCode::NONE),
            Some(entry) => OffsetFetchResponsePartitions {
                partition_index: index,
                committed_offset: entry.offset.0,
                committed_leader_epoch: entry.leader_epoch.0,
                metadata: Some(entry.metadata.to_string()),
                error_code: ErrorCode::NONE,
            },
        }
    }
}

fn nothing(index: i32, code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: code,
    }
}
