//! What the controller can be told to do, and what it answers.

use crate::MetadataRecord;
use mainstem_protocol::ids::{BrokerId, ProducerId};
use mainstem_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, CreatePartitionsRequest, CreatePartitionsResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, UpdateFeaturesRequest,
    UpdateFeaturesResponse,
};
use std::collections::BTreeMap;

/// A wish. Requests are as they came from the wire, already authorized.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Also serves auto-creation and the internal topics: the node writes the request itself.
    CreateTopics(CreateTopicsRequest),
    DeleteTopics(DeleteTopicsRequest),
    CreatePartitions(CreatePartitionsRequest),
    /// Replaces all configurations of the resources.
    AlterConfigs(AlterConfigsRequest),
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest),
    UpdateFeatures(UpdateFeaturesRequest),
    /// Take the next block of producer ids for a broker.
    AllocateProducerIds {
        broker: BrokerId,
    },
    /// A broker has started with its logs as they are on disk. Every partition that it leads gets a
    /// new leader epoch, so that an epoch never names two different histories.
    RestartBroker {
        broker: BrokerId,
    },
}

/// The answer to the command of the same name, to be given when the records are durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    CreateTopics(CreateTopicsResponse),
    DeleteTopics(DeleteTopicsResponse),
    CreatePartitions(CreatePartitionsResponse),
    AlterConfigs(AlterConfigsResponse),
    IncrementalAlterConfigs(IncrementalAlterConfigsResponse),
    UpdateFeatures(UpdateFeaturesResponse),
    /// `count` ids from `first` on belong to the broker that asked.
    ProducerIds {
        first: ProducerId,
        count: i32,
    },
    /// The ids are used up; there are 2^63 of them.
    NoProducerIdsLeft,
    /// How many partitions got a new leader epoch.
    BrokerRestarted {
        partitions: usize,
    },
}

/// The outcome of [`crate::decide`].
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// To append as one atomic batch, and to apply in order. Empty when nothing changes.
    pub records: Vec<MetadataRecord>,
    pub reply: Reply,
}

/// What the controller has to know about the cluster beside its image.
#[derive(Debug, Clone)]
pub struct ControllerSettings {
    /// Live brokers, ascending; replicas are placed on these. Never empty.
    pub brokers: Vec<BrokerId>,
    /// Partitions of a topic that does not say (-1); `num.partitions`.
    pub default_partitions: i32,
    /// Replicas of a topic that does not say (-1); `default.replication.factor`.
    pub default_replication_factor: i16,
    /// Partitions of one topic. Bounds what one request can make us allocate.
    pub partitions_per_topic_max: i32,
    /// Partitions in the whole cluster.
    pub partitions_max: usize,
    /// Topics that one request may name.
    pub topics_per_request_max: usize,
    /// Resources whose configurations one request may alter.
    pub resources_per_request_max: usize,
    /// Groups that may have configurations. They need not exist, so nothing else bounds them.
    pub configured_groups_max: usize,
    /// Topic configs set in the broker's own configuration file, by topic config name; the broker's
    /// `flush` setting is here as `flush.policy`.
    pub broker_defaults: BTreeMap<String, String>,
    /// The broker's settings of groups as it was started, by name; they bound what a group may have.
    /// One that is missing has its default.
    pub group_settings: BTreeMap<String, String>,
    /// The broker's own topics. Their number of partitions and their cleanup policy stay as they
    /// are: what they hold is found by the one and kept by the other.
    pub internal_topics: &'static [&'static str],
}

impl Default for ControllerSettings {
    fn default() -> Self {
        Self {
            brokers: vec![BrokerId(0)],
            default_partitions: 1,
            default_replication_factor: 1,
            partitions_per_topic_max: 10_000,
            partitions_max: 50_000,
            topics_per_request_max: 10_000,
            resources_per_request_max: 10_000,
            configured_groups_max: 10_000,
            internal_topics: &[],
            broker_defaults: BTreeMap::new(),
            group_settings: BTreeMap::new(),
        }
    }
}
