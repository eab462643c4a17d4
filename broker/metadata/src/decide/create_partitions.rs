//! Adding partitions to topics. A topic never loses partitions.
//!
//! A name that is asked for twice in one request is refused, and answered once.

use super::Refusal;
use super::partitions::{Placement, check_assignment, partition_record, place_automatically};
use crate::{ControllerSettings, Decision, Image, MetadataRecord, Reply, TopicImage};
use mainstem_platform::Random;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::create_partitions::{
    CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use mainstem_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use std::collections::BTreeSet;

pub(super) fn decide(
    image: &Image,
    settings: &ControllerSettings,
    random: &mut dyn Random,
    request: &CreatePartitionsRequest,
) -> Decision {
    let mut response = CreatePartitionsResponse::default();
    let mut records = Vec::new();
    let twice = named_twice(request);
    let mut seen = BTreeSet::new();
    let mut total = image.partition_count();
    for (position, wish) in request.topics.iter().enumerate() {
        if !seen.insert(wish.name.as_str()) {
            continue;
        }
        let plan = if settings.topics_per_request_max <= position {
            Err(Refusal::new(ErrorCode::POLICY_VIOLATION, "Too many topics in one request."))
        } else if twice.contains(wish.name.as_str()) {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else {
            plan(image, settings, random, wish, total)
        };
        let mut result =
            CreatePartitionsTopicResult { name: wish.name.clone(), ..Default::default() };
        match plan {
            Ok((topic, placement)) => {
                total += placement.len();
                let first = topic.partitions.len() as i32;
                let new = (first..).zip(&placement);
                if !request.validate_only {
                    records.extend(new.map(|(index, replicas)| {
                        MetadataRecord::Partition(partition_record(topic.id, index, replicas))
                    }));
                }
            }
            Err(refusal) => {
                result.error_code = refusal.code;
                result.error_message = Some(refusal.message);
            }
        }
        response.results.push(result);
    }
    Decision { records, reply: Reply::CreatePartitions(response) }
}

fn named_twice(request: &CreatePartitionsRequest) -> BTreeSet<&str> {
    let mut seen = BTreeSet::new();
    request.topics.iter().map(|t| t.name.as_str()).filter(|name| !seen.insert(*name)).collect()
}

fn plan<'a>(
    image: &'a Image,
    settings: &ControllerSettings,
    random: &mut dyn Random,
    wish: &CreatePartitionsTopic,
    total: usize,
) -> Result<(&'a TopicImage, Placement), Refusal> {
    let topic = image.topic(&wish.name).ok_or_else(|| {
        Refusal::new(
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            "This server does not host this topic-partition.",
        )
    })?;
    if settings.internal_topics.contains(&&*wish.name) {
        return Err(Refusal::new(
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            format!("The broker keeps the number of partitions of {} itself.", wish.name),
        ));
    }
    let refuse = |message: String| Refusal::new(ErrorCode::INVALID_PARTITIONS, message);
    let existing = topic.partitions.len() as i32;
    if wish.count <= existing {
        return Err(refuse(if wish.count == existing {
            format!("Topic already has {existing} partition(s).")
        } else {
            format!(
                "The topic {} currently has {existing} partition(s); {} would not be an increase.",
                wish.name, wish.count
            )
        }));
    }
    if settings.partitions_per_topic_max < wish.count {
        let most = settings.partitions_per_topic_max;
        return Err(refuse(format!("A topic may have at most {most} partitions.")));
    }
    let added = wish.count - existing;
    if settings.partitions_max < total.saturating_add(added as usize) {
        let most = settings.partitions_max;
        return Err(Refusal::new(
            ErrorCode::POLICY_VIOLATION,
            format!("The cluster may have at most {most} partitions."),
        ));
    }
    let factor = topic.partitions[0].replicas.len();
    let placement = match &wish.assignments {
        None => place_automatically(settings, random, added, factor as i16)?,
        Some(assignments) if assignments.len() == added as usize => assignments
            .iter()
            .map(|assignment| check_assignment(settings, &assignment.broker_ids, Some(factor)))
            .collect::<Result<_, _>>()?,
        Some(assignments) => {
            let given = assignments.len();
            return Err(Refusal::new(
                ErrorCode::INVALID_REPLICA_ASSIGNMENT,
                format!(
                    "Attempted to add {added} additional partition(s), but only {given} \
                     assignment(s) were specified."
                ),
            ));
        }
    };
    Ok((topic, placement))
}
