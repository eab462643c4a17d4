//! Elections of partition leaders on request (KIP-183, KIP-460).

use mainstem_protocol::messages::ElectLeadersRequest;
use mainstem_protocol::messages::elect_leaders::TopicPartitions;

use super::machine::Target;
use super::routing::Answers;
use super::{Admin, refused};
use crate::error::Result;
use crate::records::{TopicPartition, by_topic};

/// Who is to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// The first of the replicas, if it is in sync.
    Preferred,
    /// Any live replica, where none that is in sync can: records may be lost.
    Unclean,
}

impl Admin {
    /// Elects leaders of partitions; `None` for all partitions that need it. One answer for each that
    /// the controller speaks of; one whose leader is the right one already is refused with
    /// `ELECTION_NOT_NEEDED`.
    pub async fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Answers<()>> {
        let request = ElectLeadersRequest {
            election_type: match election {
                Election::Preferred => 0,
                Election::Unclean => 1,
            },
            topic_partitions: partitions.map(|partitions| {
                by_topic(partitions, |topic, of_topic| TopicPartitions {
                    topic,
                    partitions: of_topic.iter().map(|it| it.partition).collect(),
                })
            }),
            timeout_ms: self.timeout_ms(),
        };
        let response = self.call(Target::Any, i16::MAX, move |_| request).await?;
        refused("elect leaders", response.error_code, None)?;
        let mut answers = Vec::new();
        for topic in response.replica_election_results {
            for row in topic.partition_result {
                let partition = TopicPartition::new(topic.topic.as_str(), row.partition_id);
                let what = partition.to_string();
                answers.push((partition, refused(&what, row.error_code, row.error_message)));
            }
        }
        Ok(answers)
    }
}
