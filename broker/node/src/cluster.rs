//! What every shard knows of the cluster: its durable metadata, and who holds which partition.
//!
//! Invariants:
//! - A [`ClusterView`] holds only metadata that is durable under the flush policy, so no client
//!   can come to rely upon a topic that a power cut forgets.
//! - The shard of a partition is a pure function of its key and the number of shards. It is not
//!   stored: a broker may be started with another number of shards at any time.
//! - Partitions of internal topics live on shard zero, beside the machines that read them.

use crate::ask::PartitionKey;
use crate::event::ShardIndex;
use mainstem_metadata::Image;
use std::sync::Arc;

/// The cluster as of some offset of the metadata log.
#[derive(Debug, Clone)]
pub struct ClusterView {
    /// Identity of the cluster, from `meta.properties`.
    pub cluster_id: Arc<str>,
    /// Topics, their partitions and settings.
    pub image: Arc<Image>,
}

/// Topics that the broker itself writes. Clients read them, but may not produce to them.
pub const INTERNAL_TOPICS: [&str; 3] = [GROUP_TOPIC, TRANSACTION_TOPIC, SCHEMA_TOPIC];
/// Consumer groups and their offsets.
pub const GROUP_TOPIC: &str = "__consumer_offsets";
/// State of transactions.
pub const TRANSACTION_TOPIC: &str = "__transaction_state";
/// Schemas of the registry.
pub const SCHEMA_TOPIC: &str = "_schemas";
/// The metadata log. Not a topic of the image: it is where the image comes from.
pub const METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether the broker itself owns a topic of this name.
pub fn is_internal(topic: &str) -> bool {
    topic == METADATA_TOPIC || INTERNAL_TOPICS.contains(&topic)
}

/// The shard that holds a partition.
pub fn shard_of(topic: &str, key: &PartitionKey, shard_count: u16) -> ShardIndex {
    if shard_count < 2 || is_internal(topic) {
        return ShardIndex::FIRST;
    }
    // Partitions of one topic go to consecutive shards, so that a topic with as many partitions
    // as shards uses all of them; the topic's id decides where it begins (FNV-1a of its bytes).
    let start = key.topic.0.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let index = (start >> 16).wrapping_add(key.partition.0.unsigned_abs().into());
    ShardIndex((index % u64::from(shard_count)) as u16)
}
