//! The image as records: what a snapshot of the metadata log holds.
//!
//! Invariant: applying the records to an empty image gives this image. Every field is named below,
//! so that a new one cannot be forgotten without the compiler saying so.

use super::{Configs, Image, PartitionImage, TopicImage};
use crate::MetadataRecord;
use crate::config::{RESOURCE_BROKER, RESOURCE_GROUP, RESOURCE_TOPIC};
use mainstem_protocol::ids::BrokerId;
use mainstem_protocol::messages::records::{
    ConfigRecord, FeatureLevelRecord, PartitionRecord, ProducerIdsRecord, TopicRecord,
};

impl Image {
    /// Records that make this image out of nothing.
    pub fn records(&self) -> Vec<MetadataRecord> {
        // What is not read here follows from what is.
        let Image {
            topics,
            names: _,
            collisions: _,
            next_producer_id,
            features,
            partition_count: _,
            brokers,
            groups,
        } = self;
        let feature = |(name, level): (&String, &i16)| {
            MetadataRecord::FeatureLevel(FeatureLevelRecord {
                name: name.clone(),
                feature_level: *level,
            })
        };
        let mut records: Vec<MetadataRecord> = features.iter().map(feature).collect();
        for topic in topics.values() {
            write_topic(&mut records, topic);
        }
        for (kind, resources) in [(RESOURCE_BROKER, brokers), (RESOURCE_GROUP, groups)] {
            for (name, configs) in resources {
                write_configs(&mut records, kind, name, configs);
            }
        }
        if 0 < *next_producer_id {
            records.push(MetadataRecord::ProducerIds(ProducerIdsRecord {
                next_producer_id: *next_producer_id,
                ..ProducerIdsRecord::default()
            }));
        }
        records
    }
}

fn write_configs(records: &mut Vec<MetadataRecord>, kind: i8, resource: &str, configs: &Configs) {
    for (key, value) in configs {
        records.push(MetadataRecord::Config(ConfigRecord {
            resource_type: kind,
            resource_name: resource.to_owned(),
            name: key.clone(),
            value: Some(value.clone()),
        }));
    }
}

fn write_topic(records: &mut Vec<MetadataRecord>, topic: &TopicImage) {
    let TopicImage { name, id, partitions, configs } = topic;
    records.push(MetadataRecord::Topic(TopicRecord { name: name.to_string(), topic_id: *id }));
    write_configs(records, RESOURCE_TOPIC, name, configs);
    for partition in partitions {
        let PartitionImage { index, replicas, isr, leader, leader_epoch, partition_epoch } =
            partition;
        let numbers =
            |brokers: &[BrokerId]| -> Vec<i32> { brokers.iter().map(|broker| broker.0).collect() };
        records.push(MetadataRecord::Partition(PartitionRecord {
            partition_id: index.0,
            topic_id: *id,
            replicas: numbers(replicas),
            isr: numbers(isr),
            leader: leader.0,
            leader_epoch: leader_epoch.0,
            partition_epoch: *partition_epoch,
            ..PartitionRecord::default()
        }));
    }
}
