//! The cluster as the applied records describe it.
//!
//! Reads are cheap and the image clones cheaply: topics are shared. [`Image::apply`] is the only
//! writer. A record that does not fit (a partition of an unknown topic) is an error of the log, not
//! of a client, and the owner must stop rather than go on from a wrong image.

mod snapshot;

use crate::name::collision_form;
use crate::{MetadataRecord, config};
use mainstem_protocol::ids::{BrokerId, LeaderEpoch, PartitionIndex, ProducerId, TopicId};
use mainstem_protocol::messages::records::{
    ConfigRecord, PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, RemoveTopicRecord,
    TopicRecord,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// A record contradicts the image: the log is not the one this image was built from. Stop.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the metadata log contradicts itself: {0}")]
pub struct ApplyError(String);

/// One partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionImage {
    pub index: PartitionIndex,
    /// Brokers that hold the partition, in order of preference.
    pub replicas: Vec<BrokerId>,
    /// Brokers whose copy is complete.
    pub isr: Vec<BrokerId>,
    /// -1 when nobody leads.
    pub leader: BrokerId,
    /// Grows with every election.
    pub leader_epoch: LeaderEpoch,
    /// Grows with every change of the partition.
    pub partition_epoch: i32,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    pub name: Arc<str>,
    pub id: TopicId,
    /// Position = partition index.
    pub partitions: Vec<PartitionImage>,
    /// What was set for this topic, as text; see [`crate::config`] for what it means.
    pub configs: BTreeMap<String, String>,
}

impl TopicImage {
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionImage> {
        self.partitions.get(usize::try_from(index.0).ok()?)
    }
}

/// Configurations of one resource as text, by name; see [`crate::config`] for what they mean.
pub type Configs = BTreeMap<String, String>;

/// Of a resource for which nothing was set.
static NO_CONFIGS: Configs = Configs::new();

/// Everything that the controller knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    topics: BTreeMap<Arc<str>, Arc<TopicImage>>,
    names: BTreeMap<TopicId, Arc<str>>,
    /// Collision form -> how many topics have it. More than one is possible only in logs of others.
    collisions: BTreeMap<String, usize>,
    next_producer_id: i64,
    features: BTreeMap<String, i16>,
    partition_count: usize,
    /// Set for brokers while they run: by id, and for all of them under the empty name.
    brokers: BTreeMap<String, Arc<Configs>>,
    /// Groups that have configurations, whether they exist or not.
    groups: BTreeMap<String, Arc<Configs>>,
}

impl Image {
    /// Nothing yet: the image before the first record.
    pub fn new() -> Self {
        Self::default()
    }

    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(name)
    }

    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.names.get(&id)?)
    }

    /// All topics by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.values()
    }

    /// Partitions in all topics together.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// The first producer id that no block has taken.
    pub fn next_producer_id(&self) -> ProducerId {
        ProducerId(self.next_producer_id)
    }

    /// What was set for one broker while it ran.
    pub fn broker_configs(&self, broker: BrokerId) -> &Configs {
        self.brokers.get(&broker.to_string()).map_or(&NO_CONFIGS, |configs| configs)
    }

    /// What was set for all brokers while they ran.
    pub fn all_brokers_configs(&self) -> &Configs {
        self.brokers.get("").map_or(&NO_CONFIGS, |configs| configs)
    }

    /// What was set for a group.
    pub fn group_configs(&self, group: &str) -> &Configs {
        self.groups.get(group).map_or(&NO_CONFIGS, |configs| configs)
    }

    /// Groups for which something was set, by name.
    pub fn configured_groups(&self) -> impl ExactSizeIterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// The finalized level of a feature such as `metadata.version`.
    pub fn feature_level(&self, name: &str) -> Option<i16> {
        self.features.get(name).copied()
    }

    /// The name of a topic that differs from `name` only in dots and underscores.
    pub(crate) fn colliding_topic(&self, name: &str) -> Option<&str> {
        let form = collision_form(name);
        self.collisions.get(&form)?;
        self.topics.keys().find(|other| collision_form(other) == form).map(|other| &**other)
    }

    /// Takes one record over into the image.
    pub fn apply(&mut self, record: &MetadataRecord) -> Result<(), ApplyError> {
        match record {
            MetadataRecord::Topic(record) => self.apply_topic(record),
            MetadataRecord::Partition(record) => self.apply_partition(record),
            MetadataRecord::PartitionChange(record) => self.apply_partition_change(record),
            MetadataRecord::RemoveTopic(record) => self.apply_remove_topic(record),
            MetadataRecord::Config(record) => self.apply_config(record),
            MetadataRecord::ProducerIds(record) => self.apply_producer_ids(record),
            MetadataRecord::FeatureLevel(record) => {
                self.features.insert(record.name.clone(), record.feature_level);
                Ok(())
            }
        }
    }

    fn apply_topic(&mut self, record: &TopicRecord) -> Result<(), ApplyError> {
        if self.topics.contains_key(record.name.as_str()) {
            return Err(ApplyError(format!("topic {} is made twice", record.name)));
        }
        if self.names.contains_key(&record.topic_id) {
            return Err(ApplyError(format!("topic id {} is used twice", record.topic_id)));
        }
        let name: Arc<str> = Arc::from(record.name.as_str());
        let topic = TopicImage {
            name: Arc::clone(&name),
            id: record.topic_id,
            partitions: Vec::new(),
            configs: BTreeMap::new(),
        };
        *self.collisions.entry(collision_form(&name)).or_default() += 1;
        self.names.insert(record.topic_id, Arc::clone(&name));
        self.topics.insert(name, Arc::new(topic));
        Ok(())
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut TopicImage, ApplyError> {
        let name = self.names.get(&id);
        let topic = name.and_then(|name| self.topics.get_mut(name));
        topic.map(Arc::make_mut).ok_or_else(|| ApplyError(format!("topic id {id} is unknown")))
    }

    fn apply_partition(&mut self, record: &PartitionRecord) -> Result<(), ApplyError> {
        let topic = self.topic_mut(record.topic_id)?;
        if usize::try_from(record.partition_id) != Ok(topic.partitions.len()) {
            return Err(ApplyError(format!(
                "partition {} of {} comes after {} partitions",
                record.partition_id,
                topic.name,
                topic.partitions.len()
            )));
        }
        topic.partitions.push(PartitionImage {
            index: PartitionIndex(record.partition_id),
            replicas: record.replicas.iter().copied().map(BrokerId).collect(),
            isr: record.isr.iter().copied().map(BrokerId).collect(),
            leader: BrokerId(record.leader),
            leader_epoch: LeaderEpoch(record.leader_epoch),
            partition_epoch: record.partition_epoch,
        });
        self.partition_count += 1;
        Ok(())
    }

    fn apply_partition_change(&mut self, record: &PartitionChangeRecord) -> Result<(), ApplyError> {
        /// In a change record: the leader stays, and so does its epoch.
        const NO_LEADER_CHANGE: i32 = -2;
        let topic = self.topic_mut(record.topic_id)?;
        let index = usize::try_from(record.partition_id).unwrap_or(usize::MAX);
        let Some(partition) = topic.partitions.get_mut(index) else {
            return Err(ApplyError(format!(
                "partition {} of {} is unknown",
                record.partition_id, topic.name
            )));
        };
        if let Some(isr) = &record.isr {
            partition.isr = isr.iter().copied().map(BrokerId).collect();
        }
        if let Some(replicas) = &record.replicas {
            partition.replicas = replicas.iter().copied().map(BrokerId).collect();
        }
        if record.leader != NO_LEADER_CHANGE {
            partition.leader = BrokerId(record.leader);
            partition.leader_epoch = LeaderEpoch(partition.leader_epoch.0 + 1);
        }
        partition.partition_epoch += 1;
        Ok(())
    }

    fn apply_remove_topic(&mut self, record: &RemoveTopicRecord) -> Result<(), ApplyError> {
        let removed = self.names.remove(&record.topic_id).and_then(|n| self.topics.remove(&n));
        let Some(topic) = removed else {
            return Err(ApplyError(format!("topic id {} is unknown", record.topic_id)));
        };
        self.partition_count -= topic.partitions.len();
        let form = collision_form(&topic.name);
        if let Some(count) = self.collisions.get_mut(&form) {
            *count -= 1;
            if *count == 0 {
                self.collisions.remove(&form);
            }
        }
        Ok(())
    }

    fn apply_config(&mut self, record: &ConfigRecord) -> Result<(), ApplyError> {
        match record.resource_type {
            config::RESOURCE_TOPIC => {
                let Some(topic) = self.topics.get_mut(record.resource_name.as_str()) else {
                    let name = &record.resource_name;
                    return Err(ApplyError(format!("topic {name} is unknown")));
                };
                set(&mut Arc::make_mut(topic).configs, record);
            }
            config::RESOURCE_BROKER => set_of(&mut self.brokers, record),
            config::RESOURCE_GROUP => set_of(&mut self.groups, record),
            // Another release's, such as client metrics.
            _ => {}
        }
        Ok(())
    }

    fn apply_producer_ids(&mut self, record: &ProducerIdsRecord) -> Result<(), ApplyError> {
        if record.next_producer_id <= self.next_producer_id {
            return Err(ApplyError(format!(
                "producer ids go back from {} to {}",
                self.next_producer_id, record.next_producer_id
            )));
        }
        self.next_producer_id = record.next_producer_id;
        Ok(())
    }
}

fn set(configs: &mut Configs, record: &ConfigRecord) {
    match &record.value {
        Some(value) => configs.insert(record.name.clone(), value.clone()),
        None => configs.remove(&record.name),
    };
}

/// Sets a configuration of a resource that is known by its configurations alone.
fn set_of(resources: &mut BTreeMap<String, Arc<Configs>>, record: &ConfigRecord) {
    let configs = resources.entry(record.resource_name.clone()).or_default();
    set(Arc::make_mut(configs), record);
    if configs.is_empty() {
        resources.remove(&record.resource_name);
    }
}
