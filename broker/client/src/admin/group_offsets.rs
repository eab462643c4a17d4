//! The committed offsets of a group: reading them, and changing them while nobody reads.

use std::collections::BTreeMap;

use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::offset_commit::OffsetCommitResponsePartition;
use mainstem_protocol::messages::offset_delete::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use mainstem_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest,
};

use super::machine::Target;
use super::routing::{Answers, in_order};
use super::{Admin, refused};
use crate::core::committed::{self, OFFSET_COMMIT_CAP, OFFSET_FETCH_CAP};
use crate::error::{Cause, ClientError, Result};
use crate::records::{OffsetAndMetadata, TopicPartition, by_topic};

impl Admin {
    /// All committed offsets of a group.
    pub async fn group_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        let target = Target::group(group);
        let build = |version| committed::request(group, None, None, false, version);
        loop {
            let answer = self.raw::<OffsetFetchRequest>(&target, OFFSET_FETCH_CAP, build).await?;
            let committed = committed::read(answer).map_err(|failure| failure.into_error())?;
            match committed.error {
                ErrorCode::NONE => return Ok(committed.offsets),
                code if code.is_retriable() => self.coordinator_moved(&target).await?,
                code => return Err(ClientError::Refused(Cause::of("group offsets", code))),
            }
        }
    }

    /// Commits offsets in the name of a group, which is made if there is none. One answer per
    /// partition, in the order given. A group with members refuses with `UNKNOWN_MEMBER_ID`: stop
    /// them first. Safe to repeat.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, OffsetAndMetadata)],
    ) -> Result<Answers<()>> {
        let partitions: Vec<TopicPartition> = offsets.iter().map(|(it, _)| it.clone()).collect();
        let topics = committed::commit_topics(&offsets.iter().cloned().collect());
        let build = |_| OffsetCommitRequest {
            group_id: group.to_owned(),
            topics: topics.clone(),
            ..OffsetCommitRequest::default()
        };
        let read = |response: OffsetCommitResponse| {
            let rows = response.topics.into_iter().flat_map(|topic| {
                let name = topic.name;
                let row = move |row: OffsetCommitResponsePartition| {
                    (TopicPartition::new(name.as_str(), row.partition_index), row.error_code)
                };
                topic.partitions.into_iter().map(row)
            });
            let rows: Vec<_> = rows.collect();
            // The coordinator has no place to speak of itself, and says it of every partition.
            let moved = rows.iter().map(|(_, code)| *code).find(|code| code.is_retriable());
            (moved.unwrap_or_default(), rows)
        };
        let rows = self.ask_group(group, OFFSET_COMMIT_CAP, build, read).await?;
        Ok(in_order(partitions, answers(rows)))
    }

    /// Forgets the offsets of a group in these partitions. One answer per partition, in the order
    /// given. A topic that a member subscribes to refuses with `GROUP_SUBSCRIBED_TO_TOPIC`.
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Answers<()>> {
        let index =
            |it: &&TopicPartition| OffsetDeleteRequestPartition { partition_index: it.partition };
        let build = |_| OffsetDeleteRequest {
            group_id: group.to_owned(),
            topics: by_topic(partitions, |name, of_topic| OffsetDeleteRequestTopic {
                name,
                partitions: of_topic.iter().map(index).collect(),
            }),
        };
        let read = |response: OffsetDeleteResponse| {
            let mut rows = Vec::new();
            for topic in response.topics {
                let of = |index| TopicPartition::new(topic.name.as_str(), index);
                let row =
                    topic.partitions.iter().map(|row| (of(row.partition_index), row.error_code));
                rows.extend(row);
            }
            (response.error_code, rows)
        };
        let rows = self.ask_group(group, i16::MAX, build, read).await?;
        Ok(in_order(partitions.to_vec(), answers(rows)))
    }
}

fn answers(
    rows: Vec<(TopicPartition, ErrorCode)>,
) -> BTreeMap<TopicPartition, Result<(), ClientError>> {
    let answer = |(partition, code): (TopicPartition, ErrorCode)| {
        let answer = refused(&partition.to_string(), code, None);
        (partition, answer)
    };
    rows.into_iter().map(answer).collect()
}
