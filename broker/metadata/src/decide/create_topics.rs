//! Making topics.
//!
//! Each topic of a request succeeds or fails for itself. A name that is asked for twice in one
//! request fails both times, because nobody can say which one was meant.

use super::Refusal;
use super::partitions::{Placement, check_assignment, partition_record, place_automatically};
use crate::config::{self, RESOURCE_TOPIC};
use crate::name::{METADATA_TOPIC, collision_form, validate_topic_name};
use crate::{ControllerSettings, Decision, Image, MetadataRecord, Reply};
use mainstem_platform::Random;
use mainstem_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult,
};
use mainstem_protocol::messages::records::{ConfigRecord, TopicRecord};
use mainstem_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use mainstem_protocol::{ErrorCode, TopicId};
use std::collections::{BTreeMap, BTreeSet};

/// What one topic will be.
struct Plan {
    id: TopicId,
    placement: Placement,
    configs: BTreeMap<String, String>,
}

pub(super) fn decide(
    image: &Image,
    settings: &ControllerSettings,
    random: &mut dyn Random,
    request: &CreateTopicsRequest,
) -> Decision {
    let mut response = CreateTopicsResponse::default();
    let mut records = Vec::new();
    let mut session = Session { image, settings, made: BTreeSet::new(), partitions: 0 };
    let twice = named_twice(request);
    for (position, topic) in request.topics.iter().enumerate() {
        let plan = if settings.topics_per_request_max <= position {
            Err(Refusal::new(ErrorCode::POLICY_VIOLATION, "Too many topics in one request."))
        } else if twice.contains(topic.name.as_str()) {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else {
            session.plan(random, topic)
        };
        match plan {
            Ok(plan) => {
                response.topics.push(made(image, settings, topic, &plan));
                if !request.validate_only {
                    write(&mut records, topic, &plan);
                }
            }
            Err(refusal) => response.topics.push(refused(topic, refusal)),
        }
    }
    Decision { records, reply: Reply::CreateTopics(response) }
}

fn named_twice(request: &CreateTopicsRequest) -> BTreeSet<&str> {
    let mut seen = BTreeSet::new();
    request.topics.iter().map(|t| t.name.as_str()).filter(|name| !seen.insert(*name)).collect()
}

/// The image as it will be after the topics of this request that were planned so far.
struct Session<'a> {
    image: &'a Image,
    settings: &'a ControllerSettings,
    /// Collision forms of the planned names.
    made: BTreeSet<String>,
    /// Partitions of the planned topics.
    partitions: usize,
}

impl Session<'_> {
    fn plan(&mut self, random: &mut dyn Random, topic: &CreatableTopic) -> Result<Plan, Refusal> {
        self.check_name(&topic.name)?;
        let placement = self.place(random, topic)?;
        let total = self.image.partition_count() + self.partitions + placement.len();
        if self.settings.partitions_max < total {
            return Err(Refusal::new(
                ErrorCode::POLICY_VIOLATION,
                format!(
                    "The cluster may have at most {} partitions.",
                    self.settings.partitions_max
                ),
            ));
        }
        let configs = read_configs(topic)?;
        let id = self.fresh_id(random);
        self.made.insert(collision_form(&topic.name));
        self.partitions += placement.len();
        Ok(Plan { id, placement, configs })
    }

    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        let refuse = |message| Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message);
        validate_topic_name(name).map_err(refuse)?;
        if name == METADATA_TOPIC {
            return Err(refuse(format!("Creation of internal topic {name} is prohibited.")));
        }
        if self.image.topic(name).is_some() {
            return Err(Refusal::new(
                ErrorCode::TOPIC_ALREADY_EXISTS,
                format!("Topic '{name}' already exists."),
            ));
        }
        let existing = self.image.colliding_topic(name);
        if existing.is_some() || self.made.contains(&collision_form(name)) {
            let other = existing.unwrap_or("another topic of this request");
            return Err(refuse(format!("Topic '{name}' collides with existing topic: {other}")));
        }
        Ok(())
    }

    fn place(&self, random: &mut dyn Random, topic: &CreatableTopic) -> Result<Placement, Refusal> {
        if topic.assignments.is_empty() {
            let (count, factor) = (topic.num_partitions, topic.replication_factor);
            return place_automatically(self.settings, random, count, factor);
        }
        if topic.replication_factor != -1 {
            return Err(Refusal::new(
                ErrorCode::INVALID_REQUEST,
                "A manual partition assignment was specified, but replication factor was not set \
                 to -1.",
            ));
        }
        if topic.num_partitions != -1 {
            return Err(Refusal::new(
                ErrorCode::INVALID_REQUEST,
                "A manual partition assignment was specified, but numPartitions was not set to -1.",
            ));
        }
        self.place_manually(topic)
    }

    fn place_manually(&self, topic: &CreatableTopic) -> Result<Placement, Refusal> {
        let refuse =
            |message: &str| Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message.to_owned());
        let limit = usize::try_from(self.settings.partitions_per_topic_max).unwrap_or(usize::MAX);
        if limit < topic.assignments.len() {
            return Err(Refusal::new(ErrorCode::INVALID_PARTITIONS, "Too many partitions."));
        }
        let mut by_index = BTreeMap::new();
        let mut factor = None;
        for assignment in &topic.assignments {
            let replicas = check_assignment(self.settings, &assignment.broker_ids, factor)?;
            factor = Some(replicas.len());
            if by_index.insert(assignment.partition_index, replicas).is_some() {
                return Err(refuse("Found multiple manual partition assignments for a partition."));
            }
        }
        let consecutive = by_index.keys().copied().eq(0..by_index.len() as i32);
        if !consecutive {
            return Err(refuse("partitions should be a consecutive 0-based integer sequence"));
        }
        Ok(by_index.into_values().collect())
    }

    fn fresh_id(&self, random: &mut dyn Random) -> TopicId {
        loop {
            let (high, low) = (random.next_u64(), random.next_u64());
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&high.to_be_bytes());
            bytes[8..].copy_from_slice(&low.to_be_bytes());
            // A version 4 UUID; ids with a leading dash confuse command lines, as Kafka found.
            bytes[6] = bytes[6] & 0x0F | 0x40;
            bytes[8] = bytes[8] & 0x3F | 0x80;
            let id = TopicId(bytes);
            if self.image.topic_by_id(id).is_none() && !id.to_string().starts_with('-') {
                return id;
            }
        }
    }
}

fn read_configs(topic: &CreatableTopic) -> Result<BTreeMap<String, String>, Refusal> {
    let mut configs = BTreeMap::new();
    let mut errors = Vec::new();
    for entry in &topic.configs {
        match &entry.value {
            Some(value) => {
                configs.insert(entry.name.clone(), value.trim().to_owned());
            }
            None => errors.push(config::ConfigError::Null(entry.name.clone())),
        }
    }
    errors.extend(config::validate(&configs).err().into_iter().flat_map(|errors| errors.0));
    if errors.is_empty() {
        return Ok(configs);
    }
    let message = config::ConfigErrors(errors).to_string();
    Err(Refusal::new(ErrorCode::INVALID_CONFIG, message))
}

fn write(records: &mut Vec<MetadataRecord>, topic: &CreatableTopic, plan: &Plan) {
    records
        .push(MetadataRecord::Topic(TopicRecord { name: topic.name.clone(), topic_id: plan.id }));
    for (name, value) in &plan.configs {
        records.push(MetadataRecord::Config(ConfigRecord {
            resource_type: RESOURCE_TOPIC,
            resource_name: topic.name.clone(),
            name: name.clone(),
            value: Some(value.clone()),
        }));
    }
    for (index, replicas) in (0..).zip(&plan.placement) {
        records.push(MetadataRecord::Partition(partition_record(plan.id, index, replicas)));
    }
}

fn made(
    image: &Image,
    settings: &ControllerSettings,
    topic: &CreatableTopic,
    plan: &Plan,
) -> CreatableTopicResult {
    // A topic is described as its first leader does it.
    let layers = config::BrokerLayers {
        broker: image.broker_configs(plan.placement[0][0]),
        all_brokers: image.all_brokers_configs(),
        file: &settings.broker_defaults,
    };
    let described = config::describe(&plan.configs, layers);
    let configs = described.into_iter().map(|config| CreatableTopicConfigs {
        name: config.name.to_owned(),
        value: config.value,
        read_only: config.read_only,
        config_source: config.source as i8,
        is_sensitive: false,
    });
    CreatableTopicResult {
        name: topic.name.clone(),
        topic_id: plan.id,
        error_message: None,
        num_partitions: i32::try_from(plan.placement.len()).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(plan.placement[0].len()).unwrap_or(i16::MAX),
        configs: Some(configs.collect()),
        ..CreatableTopicResult::default()
    }
}

fn refused(topic: &CreatableTopic, refusal: Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic.name.clone(),
        error_code: refusal.code,
        error_message: Some(refusal.message),
        ..CreatableTopicResult::default()
    }
}
