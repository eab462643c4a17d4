//! One topic as metadata know it. A leader epoch never goes back while the topic keeps its id, since
//! an answer may come from a broker that lags behind (KIP-320).

use std::sync::Arc;

use mainstem_protocol::messages::metadata::MetadataResponseTopic;
use mainstem_protocol::{BrokerId, LeaderEpoch, TopicId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) broker: BrokerId,
    pub(crate) epoch: LeaderEpoch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    /// Zero when the broker does not know ids.
    pub(crate) id: TopicId,
    pub(super) is_internal: bool,
    /// `None` for a partition without a leader.
    pub(crate) leaders: Vec<Option<Leader>>,
    /// Never moves back, even while there is no leader.
    epochs: Vec<LeaderEpoch>,
}

impl Topic {
    pub(crate) fn partition_count(&self) -> i32 {
        i32::try_from(self.leaders.len()).unwrap_or(i32::MAX)
    }

    pub(super) fn learn_leader(&mut self, partition: i32, leader: Leader) {
        let Ok(index) = usize::try_from(partition) else { return };
        let (Some(slot), Some(epoch)) = (self.leaders.get_mut(index), self.epochs.get_mut(index))
        else {
            return;
        };
        if leader.broker.is_some() && *epoch < leader.epoch {
            *epoch = leader.epoch;
            *slot = Some(leader);
        }
    }

    /// What is known after an answer.
    pub(super) fn merge(name: &str, before: Option<&Self>, answer: &MetadataResponseTopic) -> Self {
        let count = answer
            .partitions
            .iter()
            .filter_map(|p| usize::try_from(p.partition_index).ok())
            .max()
            .map_or(0, |highest| highest.saturating_add(1))
            // An answer with holes has at most as many partitions as it has elements.
            .min(answer.partitions.len());
        let mut topic = Self {
            name: before.map_or_else(|| name.into(), |topic| topic.name.clone()),
            id: answer.topic_id,
            is_internal: answer.is_internal,
            leaders: vec![None; count],
            epochs: vec![LeaderEpoch::NONE; count],
        };
        for partition in &answer.partitions {
            let Ok(index) = usize::try_from(partition.partition_index) else { continue };
            let (Some(leader), Some(epoch)) =
                (topic.leaders.get_mut(index), topic.epochs.get_mut(index))
            else {
                continue;
            };
            let known =
                before.and_then(|b| b.epochs.get(index)).copied().unwrap_or(LeaderEpoch::NONE);
            let told = LeaderEpoch(partition.leader_epoch);
            if told < known && told.is_some() {
                *leader = before.and_then(|b| b.leaders.get(index)).copied().flatten();
                *epoch = known;
                continue;
            }
            *epoch = told;
            if partition.leader_id >= 0 {
                *leader = Some(Leader { broker: BrokerId(partition.leader_id), epoch: told });
            }
        }
        topic
    }
}
