//! Records: deleting those before an offset (KIP-107).

use std::collections::BTreeMap;

use mainstem_protocol::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use mainstem_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::Admin;
use super::routing::{Answers, Row};
use crate::error::Result;
use crate::records::{TopicPartition, by_topic};

impl Admin {
    /// Deletes what lies before an offset in each of these partitions; -1 stands for the high
    /// watermark, that is for all acknowledged records. One answer per partition, in the order
    /// given: the offset where its log begins now. Disk space comes back by whole segments, when
    /// the broker next looks.
    ///
    /// Safe to repeat. Refused with `OFFSET_OUT_OF_RANGE` past the high watermark, and with
    /// `POLICY_VIOLATION` for topics that are compacted only.
    pub async fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<Answers<i64>> {
        let timeout_ms = self.timeout_ms();
        let offsets: BTreeMap<_, _> = before.iter().map(|(it, offset)| (it, *offset)).collect();
        let build = |partitions: &[TopicPartition]| DeleteRecordsRequest {
            topics: by_topic(partitions, |name, partitions| DeleteRecordsTopic {
                name,
                partitions: partitions
                    .iter()
                    .map(|it| DeleteRecordsPartition {
                        partition_index: it.partition,
                        offset: offsets[it],
                    })
                    .collect(),
            }),
            timeout_ms,
        };
        let read = |response: DeleteRecordsResponse| {
            let mut rows = Vec::new();
            for topic in response.topics {
                rows.extend(topic.partitions.into_iter().map(|row| Row {
                    partition: TopicPartition::new(topic.name.as_str(), row.partition_index),
                    code: row.error_code,
                    content: row.low_watermark,
                }));
            }
            rows
        };
        let partitions = before.iter().map(|(partition, _)| partition.clone()).collect();
        self.ask_leaders(partitions, build, read).await
    }
}
