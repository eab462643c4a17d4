//! What every shard knows of the cluster: its durable metadata, and who holds which partition.
//!
//! Invariants:
//! - A [`ClusterView`] holds only metadata that is durable under the flush policy, so no client
//!   can come to rely upon a topic that a power cut forgets.
//! - The shard of a partition is a pure function of its name and the number of shards. It is not
//!   stored: a broker may be started with another number of shards at any time. It does not depend
//!   upon the topic's id: a topic that is made anew has the folders of the one before, and shards
//!   take views over at their own pace. Whoever opens a folder must be the one who removes it.
//! - Partitions of internal topics live on shard zero, beside the machines that read them.

use crate::ask::PartitionKey;
use crate::event::ShardIndex;
use crate::placement::Placement;
use mainstem_metadata::Image;
use mainstem_protocol::{Offset, TopicId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The cluster as of some offset of the metadata log.
#[derive(Debug, Clone)]
pub struct ClusterView {
    /// Identity of the cluster, from `meta.properties`.
    pub cluster_id: Arc<str>,
    /// Which start of the log directory this is.
    pub run: i32,
    /// Topics, their partitions and settings.
    pub image: Arc<Image>,
    /// Everything before this offset of the metadata log is in the image.
    pub offset: Offset,
    /// Where the partitions are.
    pub(crate) placement: Placement,
    /// By log directory: folders of partitions that the last run closed cleanly.
    pub(crate) closed_cleanly: Arc<Vec<BTreeSet<String>>>,
}

impl ClusterView {
    /// Name and id of a topic.
    pub(crate) fn topic(&self, name: &str) -> Option<(Arc<str>, TopicId)> {
        self.image.topic(name).map(|topic| (Arc::clone(&topic.name), topic.id))
    }

    /// Name and id of a topic.
    pub(crate) fn topic_by_id(&self, id: TopicId) -> Option<(Arc<str>, TopicId)> {
        self.image.topic_by_id(id).map(|topic| (Arc::clone(&topic.name), topic.id))
    }

    /// Whether the partition exists.
    pub(crate) fn has_partition(&self, key: &PartitionKey) -> bool {
        let topic = self.image.topic_by_id(key.topic);
        topic.is_some_and(|topic| topic.partition(key.partition).is_some())
    }
}

/// Topics that the broker itself writes. Clients read them, but may not produce to them.
pub(crate) const INTERNAL_TOPICS: [&str; 3] = [GROUP_TOPIC, TRANSACTION_TOPIC, SCHEMA_TOPIC];
/// Consumer groups and their offsets.
pub(crate) const GROUP_TOPIC: &str = "__consumer_offsets";
/// State of transactions.
pub(crate) const TRANSACTION_TOPIC: &str = "__transaction_state";
/// Schemas of the registry.
pub(crate) const SCHEMA_TOPIC: &str = "_schemas";
/// The metadata log. Not a topic of the image: it is where the image comes from.
pub(crate) const METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether the broker itself owns a topic of this name.
pub(crate) fn is_internal(topic: &str) -> bool {
    topic == METADATA_TOPIC || INTERNAL_TOPICS.contains(&topic)
}

/// The shard that holds a partition.
pub(crate) fn shard_of(topic: &str, key: &PartitionKey, shard_count: u16) -> ShardIndex {
    if shard_count < 2 || is_internal(topic) {
        return ShardIndex::FIRST;
    }
    // Partitions of one topic go to consecutive shards, so that a topic with as many partitions
    // as shards uses all of them; the topic's name decides where it begins (FNV-1a of its bytes).
    let start = topic.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let index = (start >> 16).wrapping_add(key.partition.0.unsigned_abs().into());
    ShardIndex((index % u64::from(shard_count)) as u16)
}
