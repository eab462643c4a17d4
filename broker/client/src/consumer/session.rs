//! A fetch session with one broker (KIP-227): after a first full request, only what changed is
//! named in a request, and only what has news is named in an answer.
//!
//! The session's epoch is 0 for a full request that asks for a new session, and counts the
//! incremental ones. Whatever goes wrong, the next request is full again.

use std::collections::BTreeMap;

use mainstem_protocol::messages::FetchRequest;
use mainstem_protocol::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use mainstem_protocol::{LeaderEpoch, TopicId};

use crate::records::TopicPartition;

/// What is asked for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) topic_id: TopicId,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) bytes_max: i32,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Session {
    id: i32,
    /// Of the next request.
    epoch: i32,
    /// What the broker believes that is asked for.
    known: BTreeMap<TopicPartition, Spec>,
    pub(crate) in_flight: bool,
}

impl Session {
    /// Fills in the partitions of a request that asks for `wanted`.
    pub(crate) fn fill(
        &mut self,
        request: &mut FetchRequest,
        wanted: BTreeMap<TopicPartition, Spec>,
    ) {
        let renamed = |(name, spec): (&TopicPartition, &Spec)| {
            wanted.get(name).is_some_and(|new| new.topic_id != spec.topic_id)
        };
        if self.id == 0 || self.known.iter().any(renamed) {
            self.reset();
        }
        request.session_id = self.id;
        request.session_epoch = self.epoch;
        if self.epoch == 0 {
            request.topics = by_topic(wanted.iter());
        } else {
            let changed = wanted.iter().filter(|(name, spec)| self.known.get(*name) != Some(spec));
            request.topics = by_topic(changed);
            let gone = self.known.iter().filter(|(name, _)| !wanted.contains_key(*name));
            request.forgotten_topics_data = forgotten(gone);
        }
        self.known = wanted;
        self.in_flight = true;
    }

    /// What was asked in the request that is being answered.
    pub(crate) fn asked(&self, partition: &TopicPartition) -> Option<&Spec> {
        self.known.get(partition)
    }

    pub(crate) fn answered(&mut self, session_id: i32) {
        self.in_flight = false;
        if session_id == 0 {
            // The broker keeps no session for us; try again with every request.
            return self.reset();
        }
        self.id = session_id;
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
    }

    pub(crate) fn failed(&mut self) {
        self.in_flight = false;
        self.reset();
    }

    fn reset(&mut self) {
        self.id = 0;
        self.epoch = 0;
        self.known.clear();
    }
}

fn by_topic<'a>(
    partitions: impl Iterator<Item = (&'a TopicPartition, &'a Spec)>,
) -> Vec<FetchTopic> {
    let mut topics: Vec<FetchTopic> = Vec::new();
    for (name, spec) in partitions {
        let entry = FetchPartition {
            partition: name.partition,
            current_leader_epoch: spec.leader_epoch.0,
            fetch_offset: spec.offset,
            partition_max_bytes: spec.bytes_max,
            ..FetchPartition::default()
        };
        match topics.last_mut().filter(|topic| *topic.topic == *name.topic) {
            Some(topic) => topic.partitions.push(entry),
            None => topics.push(FetchTopic {
                topic: name.topic.to_string(),
                topic_id: spec.topic_id,
                partitions: vec![entry],
            }),
        }
    }
    topics
}

fn forgotten<'a>(
    partitions: impl Iterator<Item = (&'a TopicPartition, &'a Spec)>,
) -> Vec<ForgottenTopic> {
    let mut topics: Vec<ForgottenTopic> = Vec::new();
    for (name, spec) in partitions {
        match topics.last_mut().filter(|topic| *topic.topic == *name.topic) {
            Some(topic) => topic.partitions.push(name.partition),
            None => topics.push(ForgottenTopic {
                topic: name.topic.to_string(),
                topic_id: spec.topic_id,
                partitions: vec![name.partition],
            }),
        }
    }
    topics
}
