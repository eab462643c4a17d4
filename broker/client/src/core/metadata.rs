//! Who leads which partition: a cache of what brokers tell, and when to ask again.
//!
//! Only topics that somebody wants are asked for: by name, by id where a group's coordinator names
//! them so, or all of them while a pattern is followed ([`pattern`]). What is known of one topic is
//! in [`topic`].

mod pattern;
mod topic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mainstem_platform::{Instant, Now};
use mainstem_protocol::messages::metadata::MetadataRequestTopic;
use mainstem_protocol::messages::{MetadataRequest, MetadataResponse};
use mainstem_protocol::{BrokerId, ErrorCode, TopicId};
use regex::Regex;

use super::backoff::Backoff;
use super::earlier;
use super::wire::{Address, Answer, Failure, Lane, Wire};
use crate::limits::{METADATA_AGE_MAX, RETRY_BACKOFF, RETRY_BACKOFF_MAX, TOPICS_MAX};
use crate::records::TopicPartition;
pub(crate) use topic::{Leader, Topic};

/// Version 13 says only that a broker restarted with other metadata, which is not looked at.
const VERSION_CAP: i16 = 12;
/// The version from which topics can be asked for by id.
const BY_ID_FROM: i16 = 12;

/// What is known about a topic that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    NotAsked,
    Known(Topic),
    Failed(ErrorCode),
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Names,
    Ids,
    All,
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
    age_max: Duration,
    /// Ids whose names are not known. They are asked for apart: brokers answer a request that has
    /// an id by its ids alone.
    ids: BTreeSet<TopicId>,
    last_asked: Question,
    pattern: Option<Regex>,
    /// Topics that are followed for the pattern alone; `None` until it was answered.
    matched: Option<BTreeSet<Arc<str>>>,
    /// More topics match than there is room for.
    pub(crate) is_full: bool,
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
            age_max: METADATA_AGE_MAX,
            ids: BTreeSet::new(),
            last_asked: Question::Names,
            pattern: None,
            matched: None,
            is_full: false,
            generation: 0,
        }
    }

    /// Asks again without a reason at this age.
    pub(crate) fn with_age_max(mut self, age_max: Duration) -> Self {
        self.age_max = age_max;
        self
    }

    /// The ids whose topics have to be found; others are not looked for any more.
    pub(crate) fn want_ids(&mut self, ids: BTreeSet<TopicId>) {
        self.ids = ids;
    }

    /// Follows a topic from now on. False when there are too many.
    pub(crate) fn want(&mut self, topic: &Arc<str>) -> bool {
        if self.topics.contains_key(topic) {
            if let Some(matched) = &mut self.matched {
                matched.remove(topic);
            }
            return true;
        }
        if self.topics.len() >= TOPICS_MAX {
            return false;
        }
        self.topics.insert(topic.clone(), Entry::NotAsked);
        self.asked = true;
        true
    }

    /// Stops following every topic that is not to be kept and does not match the pattern.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Arc<str>) -> bool) {
        let matched = self.matched.as_ref();
        let stays = |topic: &Arc<str>| keep(topic) || matched.is_some_and(|m| m.contains(topic));
        self.topics.retain(|topic, _| stays(topic));
        self.names.retain(|_, topic| stays(topic));
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
        if let Some(Entry::Known(topic)) = self.topics.get_mut(&partition.topic) {
            topic.learn_leader(partition.partition, leader);
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
        let by_name = self.asked || aged;
        let asks = by_name || !self.ids.is_empty();
        if self.in_flight || !asks || !self.backoff.ready(now.instant) {
            return;
        }
        let Some(route) = wire.any_ready(now.instant, Lane::Control) else { return };
        let knows_ids =
            wire.version::<MetadataRequest>(route, VERSION_CAP).is_some_and(|v| BY_ID_FROM <= v);
        // In turn, so that neither waits for the other for ever.
        let ids_turn = !(by_name && self.last_asked == Question::Ids);
        self.last_asked = match (&self.pattern, self.ids.is_empty()) {
            (_, false) if knows_ids && ids_turn => Question::Ids,
            (Some(_), _) => Question::All,
            (None, _) => Question::Names,
        };
        let by_id = self.last_asked == Question::Ids;
        let topics = match self.last_asked {
            Question::Ids => Some(self.ids.iter().map(id_wanted).collect()),
            Question::Names => Some(self.topics.keys().map(name_wanted).collect()),
            Question::All => None,
        };
        let request = MetadataRequest {
            topics,
            allow_auto_topic_creation: self.auto_create && !by_id,
            ..MetadataRequest::default()
        };
        self.in_flight = true;
        self.asked &= by_id;
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
                if self.last_asked == Question::Ids {
                    return self.ids_answered(now, wire);
                }
                self.refresh_at = Some(now.plus(self.age_max));
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
            self.refresh_at = Some(now.plus(self.age_max));
        }
    }

    /// Ids that are still unknown are of topics that were just made, or deleted since.
    fn ids_answered<T>(&mut self, now: Instant, wire: &mut Wire<T>) {
        if self.ids.is_empty() {
            self.backoff.succeeded();
        } else {
            self.backoff.failed(now, wire.random());
        }
    }

    fn apply<T>(&mut self, wire: &mut Wire<T>, response: MetadataResponse) {
        for broker in response.brokers {
            let Ok(port) = u16::try_from(broker.port) else { continue };
            wire.learn_broker(BrokerId(broker.node_id), Address { host: broker.host, port });
        }
        if self.last_asked == Question::All {
            self.apply_pattern(&response.topics);
        }
        for answer in response.topics {
            let Some(name) = answer.name.clone() else { continue };
            let is_new = !self.topics.contains_key(name.as_str());
            if answer.error_code.is_ok() && self.ids.contains(&answer.topic_id) {
                // One that finds no room stays unknown, and is asked for again after a pause.
                if is_new && self.topics.len() < TOPICS_MAX {
                    self.topics.insert(Arc::from(name.as_str()), Entry::NotAsked);
                }
                if self.topics.contains_key(name.as_str()) {
                    self.ids.remove(&answer.topic_id);
                }
            }
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
            let topic = Topic::merge(&name, before, &answer);
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
        let wants = self.asked || !self.ids.is_empty();
        let asked = wants.then(|| self.backoff.deadline(now)).flatten();
        earlier(asked, self.refresh_at)
    }
}

fn name_wanted(name: &Arc<str>) -> MetadataRequestTopic {
    MetadataRequestTopic { name: Some(name.to_string()), ..MetadataRequestTopic::default() }
}

fn id_wanted(id: &TopicId) -> MetadataRequestTopic {
    MetadataRequestTopic { topic_id: *id, name: None }
}
