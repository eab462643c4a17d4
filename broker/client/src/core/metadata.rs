//! Who leads which partition: a cache of what brokers tell, and when to ask again.
//!
//! Only topics that somebody wants are asked for. A leader epoch never goes back while the topic
//! keeps its id, since an answer may come from a broker that lags behind (KIP-320).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstem_platform::{Instant, Now};
use mainstem_protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use mainstem_protocol::messages::{MetadataRequest, MetadataResponse};
use mainstem_protocol::{BrokerId, ErrorCode, LeaderEpoch, TopicId};

use super::backoff::Backoff;
use super::earlier;
use super::wire::{Address, Answer, Failure, Lane, Wire};
use crate::limits::{METADATA_AGE_MAX, RETRY_BACKOFF, RETRY_BACKOFF_MAX, TOPICS_MAX};
use crate::records::TopicPartition;

/// Version 13 says only that a broker restarted with other metadata, which is not looked at.
const VERSION_CAP: i16 = 12;

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
    /// `None` for a partition without a leader.
    pub(crate) leaders: Vec<Option<Leader>>,
    /// Never moves back, even while there is no leader.
    epochs: Vec<LeaderEpoch>,
}

impl Topic {
    pub(crate) fn partition_count(&self) -> i32 {
        i32::try_from(self.leaders.len()).unwrap_or(i32::MAX)
    }
}

/// What is known about a topic that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    NotAsked,
    Known(Topic),
    Failed(ErrorCode),
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Metadata {
    topics: BTreeMap<Arc<str>, Entry>,
    names: BTreeMap<TopicId, Arc<str>>,
    auto_create: bool,
    asked: bool,
    in_flight: bool,
    backoff: Backoff,
    refresh_at: Option<Instant>,
    /// Grows with each answer, so that owners see that something may have changed.
    pub(crate) generation: u64,
}

impl Metadata {
    pub(crate) fn new(auto_create: bool) -> Self {
        Self {
            topics: BTreeMap::new(),
            names: BTreeMap::new(),
            auto_create,
            // The first question makes the first connection and finds the brokers.
            asked: true,
            in_flight: false,
            backoff: Backoff::new(RETRY_BACKOFF, RETRY_BACKOFF_MAX),
            refresh_at: None,
            generation: 0,
        }
    }

    /// Follows a topic from now on. False when there are too many.
    pub(crate) fn want(&mut self, topic: &Arc<str>) -> bool {
        if self.topics.contains_key(topic) {
            return true;
        }
        if self.topics.len() >= TOPICS_MAX {
            return false;
        }
        self.topics.insert(topic.clone(), Entry::NotAsked);
        self.asked = true;
        true
    }

    /// Stops following every topic that is not to be kept.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Arc<str>) -> bool) {
        self.topics.retain(|topic, _| keep(topic));
        self.names.retain(|_, topic| keep(topic));
    }

    /// Something is out of date: ask as soon as the backoff allows.
    pub(crate) fn request_update(&mut self) {
        self.asked = true;
    }

    pub(crate) fn topic(&self, topic: &str) -> Option<&Topic> {
        match self.topics.get(topic)? {
            Entry::Known(topic) => Some(topic),
            Entry::NotAsked | Entry::Failed(_) => None,
        }
    }

    /// Why a wanted topic is not known.
    pub(crate) fn failure(&self, topic: &str) -> Option<ErrorCode> {
        match self.topics.get(topic)? {
            Entry::Failed(code) => Some(*code),
            Entry::NotAsked | Entry::Known(_) => None,
        }
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values().filter_map(|entry| match entry {
            Entry::Known(topic) => Some(topic),
            Entry::NotAsked | Entry::Failed(_) => None,
        })
    }

    pub(crate) fn name_of(&self, id: TopicId) -> Option<&Arc<str>> {
        self.names.get(&id)
    }

    pub(crate) fn leader(&self, partition: &TopicPartition) -> Option<Leader> {
        let index = usize::try_from(partition.partition).ok()?;
        *self.topic(&partition.topic)?.leaders.get(index)?
    }

    /// A broker that answered with "not me" often says who.
    pub(crate) fn learn_leader(&mut self, partition: &TopicPartition, leader: Leader) {
        let Some(Entry::Known(topic)) = self.topics.get_mut(&partition.topic) else { return };
        let Ok(index) = usize::try_from(partition.partition) else { return };
        let (Some(slot), Some(epoch)) = (topic.leaders.get_mut(index), topic.epochs.get_mut(index))
        else {
            return;
        };
        if leader.broker.is_some() && *epoch < leader.epoch {
            *epoch = leader.epoch;
            *slot = Some(leader);
        }
    }

    /// Asks when there is a reason to and nothing stands against it.
    pub(crate) fn advance<T>(
        &mut self,
        now: Now,
        wire: &mut Wire<T>,
        timeout: Duration,
        tag: impl FnOnce() -> T,
    ) {
        let aged = self.refresh_at.is_some_and(|at| at <= now.instant);
        if self.in_flight || !(self.asked || aged) || !self.backoff.ready(now.instant) {
            return;
        }
        let Some(route) = wire.any_ready(now.instant, Lane::Control) else { return };
        let topics = self.topics.keys().map(|name| MetadataRequestTopic {
            name: Some(name.to_string()),
            ..MetadataRequestTopic::default()
        });
        let request = MetadataRequest {
            topics: Some(topics.collect()),
            allow_auto_topic_creation: self.auto_create,
            ..MetadataRequest::default()
        };
        self.in_flight = true;
        self.asked = false;
        wire.send(now.instant, route, &request, VERSION_CAP, timeout, tag());
    }

    pub(crate) fn handle_answer<T>(
        &mut self,
        now: Instant,
        wire: &mut Wire<T>,
        result: Result<Answer, Failure>,
    ) {
        self.in_flight = false;
        match result.and_then(Answer::decode::<MetadataRequest>) {
            Ok(response) => {
                self.apply(wire, response);
                self.generation += 1;
                self.refresh_at = Some(now.plus(METADATA_AGE_MAX));
            }
            Err(_) => self.asked = true,
        }
        // An answer that does not settle everything is a failure for the backoff: it grows.
        if self.asked || self.incomplete() {
            self.asked = true;
            self.backoff.failed(now, wire.random());
        } else {
            self.backoff.succeeded();
            // Two reasons in quick succession are still asked about one by one.
            self.refresh_at = Some(now.plus(METADATA_AGE_MAX));
        }
    }

    fn apply<T>(&mut self, wire: &mut Wire<T>, response: MetadataResponse) {
        for broker in response.brokers {
            let Ok(port) = u16::try_from(broker.port) else { continue };
            wire.learn_broker(BrokerId(broker.node_id), Address { host: broker.host, port });
        }
        for answer in response.topics {
            let Some(name) = answer.name.clone() else { continue };
            let Some(entry) = self.topics.get_mut(name.as_str()) else { continue };
            if answer.error_code.is_error() {
                // A topic that is known stays known while its answer is "not now".
                if !matches!(entry, Entry::Known(_)) || !answer.error_code.is_retriable() {
                    *entry = Entry::Failed(answer.error_code);
                }
                continue;
            }
            let before = match entry {
                Entry::Known(topic) if topic.id == answer.topic_id => Some(&*topic),
                _ => None,
            };
            let topic = merge(&name, before, &answer);
            if topic.id.is_some() {
                self.names.insert(topic.id, topic.name.clone());
            }
            *entry = Entry::Known(topic);
        }
        let current = |id: &TopicId, name: &Arc<str>| {
            matches!(
                self.topics.get(name), Some(Entry::Known(topic)) if topic.id == *id
            )
        };
        self.names.retain(|id, name| current(id, name));
    }

    /// Whether a topic has no answer yet, or a partition no leader.
    fn incomplete(&self) -> bool {
        self.topics.values().any(|entry| match entry {
            Entry::NotAsked => true,
            Entry::Failed(code) => code.is_retriable(),
            Entry::Known(topic) => topic.leaders.iter().any(Option::is_none),
        })
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.in_flight {
            return None;
        }
        let asked = self.asked.then(|| self.backoff.deadline(now)).flatten();
        earlier(asked, self.refresh_at)
    }
}

fn merge(name: &str, before: Option<&Topic>, answer: &MetadataResponseTopic) -> Topic {
    let count = answer
        .partitions
        .iter()
        .filter_map(|p| usize::try_from(p.partition_index).ok())
        .max()
        .map_or(0, |highest| highest.saturating_add(1))
        // An answer with holes has at most as many partitions as it has elements.
        .min(answer.partitions.len());
    let mut topic = Topic {
        name: before.map_or_else(|| name.into(), |topic| topic.name.clone()),
        id: answer.topic_id,
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
        let known = before.and_then(|b| b.epochs.get(index)).copied().unwrap_or(LeaderEpoch::NONE);
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
