//! A broker that starts again leads its partitions under a new epoch.
//!
//! What it acknowledged before may be gone from its page cache. A new epoch keeps two histories of
//! one offset apart: whoever has seen the lost tail can tell by the epoch that it was cut off.

use crate::{Decision, Image, MetadataRecord, Reply};
use mainstem_protocol::BrokerId;
use mainstem_protocol::messages::records::PartitionChangeRecord;

pub(super) fn decide(image: &Image, broker: BrokerId) -> Decision {
    let mut records = Vec::new();
    for topic in image.topics() {
        for partition in topic.partitions.iter().filter(|p| p.leader == broker) {
            records.push(MetadataRecord::PartitionChange(PartitionChangeRecord {
                partition_id: partition.index.0,
                topic_id: topic.id,
                leader: broker.0,
                ..PartitionChangeRecord::default()
            }));
        }
    }
    let partitions = records.len();
    Decision { records, reply: Reply::BrokerRestarted { partitions } }
}
