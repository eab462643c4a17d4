//! The partitions of a new topic, or those added to one: counts, factors and placements.

use super::Refusal;
use crate::ControllerSettings;
use crate::placement::place;
use mainstem_platform::Random;
use mainstem_protocol::messages::records::PartitionRecord;
use mainstem_protocol::{BrokerId, ErrorCode, TopicId};

/// Replicas of each new partition, leader first.
pub(super) type Placement = Vec<Vec<BrokerId>>;

/// Places `count` partitions by the book; -1 means the default.
pub(super) fn place_automatically(
    settings: &ControllerSettings,
    random: &mut dyn Random,
    count: i32,
    replication_factor: i16,
) -> Result<Placement, Refusal> {
    let count = if count == -1 { settings.default_partitions } else { count };
    let factor = match replication_factor {
        -1 => settings.default_replication_factor,
        factor => factor,
    };
    let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
        Refusal::new(
            ErrorCode::INVALID_PARTITIONS,
            "Number of partitions was set to an invalid non-positive value.",
        )
    })?;
    if i32::try_from(count).map_or(true, |count| settings.partitions_per_topic_max < count) {
        return Err(Refusal::new(
            ErrorCode::INVALID_PARTITIONS,
            format!("A topic may have at most {} partitions.", settings.partitions_per_topic_max),
        ));
    }
    let brokers = settings.brokers.len();
    match usize::try_from(factor) {
        Ok(factor) if 1 <= factor && factor <= brokers => {
            let start = usize::try_from(random.below(brokers as u64)).unwrap_or(0);
            Ok(place(&settings.brokers, count, factor, start))
        }
        Ok(factor) if brokers < factor => Err(Refusal::new(
            ErrorCode::INVALID_REPLICATION_FACTOR,
            format!(
                "Unable to replicate the partition {factor} time(s): The target replication \
                 factor of {factor} cannot be reached because only {brokers} broker(s) are \
                 registered."
            ),
        )),
        _ => Err(Refusal::new(
            ErrorCode::INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )),
    }
}

/// Checks the replicas that a client chose for one partition.
pub(super) fn check_assignment(
    settings: &ControllerSettings,
    replicas: &[i32],
    factor: Option<usize>,
) -> Result<Vec<BrokerId>, Refusal> {
    let refuse = |message: String| Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message);
    if replicas.is_empty() {
        return Err(refuse(
            "The manual partition assignment includes an empty replica list.".to_owned(),
        ));
    }
    let mut seen: Vec<BrokerId> = Vec::new();
    // The list is not trusted to be short; more than the number of brokers has a duplicate.
    for id in replicas.iter().take(settings.brokers.len() + 1).copied().map(BrokerId) {
        if !settings.brokers.contains(&id) {
            return Err(refuse(format!(
                "The manual partition assignment includes broker {}, but no such broker is \
                 registered.",
                id.0
            )));
        }
        if seen.contains(&id) {
            return Err(refuse(format!(
                "The manual partition assignment includes the broker {} more than once.",
                id.0
            )));
        }
        seen.push(id);
    }
    if factor.is_some_and(|factor| factor != seen.len()) {
        return Err(refuse(
            "The manual partition assignment includes partitions with different numbers of \
             replicas."
                .to_owned(),
        ));
    }
    Ok(seen)
}

/// The record of a new partition: every replica is in sync with nothing.
pub(super) fn partition_record(
    topic_id: TopicId,
    index: i32,
    replicas: &[BrokerId],
) -> PartitionRecord {
    let replicas: Vec<i32> = replicas.iter().map(|broker| broker.0).collect();
    PartitionRecord {
        partition_id: index,
        topic_id,
        isr: replicas.clone(),
        leader: replicas[0],
        replicas,
        leader_epoch: 0,
        partition_epoch: 0,
        ..PartitionRecord::default()
    }
}
