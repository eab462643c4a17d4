//! Forgetting: offsets that nobody has needed for long, and those of topics that are gone.
//!
//! Retention counts from the commit for groups that were never joined, and from the moment the last
//! member left for groups that were. While a group of consumers is stable, offsets of topics that it
//! no longer subscribes to age from their commit; all others are kept. Offsets with a time of their
//! own expire then. What an open transaction may still change stays.

use super::append::Then;
use super::change::Change;
use super::coordinator::{GroupCoordinator, GroupTimer};
use super::offsets::{GroupOffsets, OffsetEntry};
use super::state::{Group, GroupState};
use crate::log::TopicPartition;
use mainstem_platform::Now;
use mainstem_protocol::ids::PartitionIndex;
use mainstem_protocol::messages::records::ConsumerProtocolSubscription;
use mainstem_protocol::{Message, Reader};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Tombstones in one batch: keeps a batch below the usual limit of a message.
const TOMBSTONES_MAX: usize = 5_000;

/// Sees to it that retention is looked at in time.
pub(super) fn arm_retention(coordinator: &mut GroupCoordinator, now: Now) {
    let until = now.instant.plus(coordinator.config.offsets_retention_check_interval);
    coordinator.timers.set(GroupTimer::Retention, until);
}

impl GroupCoordinator {
    pub(super) fn expire_offsets(&mut self, now: Now) {
        let retention_ms =
            i64::try_from(self.config.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        let mut removals: BTreeMap<PartitionIndex, Vec<Change>> = BTreeMap::new();
        // A tombstone would land behind a commit that is under way, and take it down.
        let in_flight = self.offsets_in_flight();
        for (id, offsets) in self.offsets.groups() {
            if self.residency.check(offsets.log_partition).is_err() {
                continue;
            }
            let over = self.expired(now.wall_ms, retention_ms, id, offsets);
            let over = over.into_iter().map(|partition| (Arc::clone(id), partition));
            let over = over.filter(|key| !in_flight.contains(key));
            let removed = |(group, partition)| Change::OffsetRemoved { group, partition };
            removals.entry(offsets.log_partition).or_default().extend(over.map(removed));
        }
        for (id, group) in &self.groups {
            let is_bare = group.state == GroupState::Empty && group.pending_members.is_empty();
            let partition = self.partition_of(id);
            if is_bare
                && self.offsets.group(id).is_none()
                && self.residency.check(partition).is_ok()
            {
                let change = Change::GroupRemoved { group: Arc::clone(id) };
                removals.entry(partition).or_default().push(change);
            }
        }
        for (partition, changes) in removals {
            self.append_removals(partition, &changes);
        }
        self.expire_consumer_groups();
        arm_retention(self, now);
    }

    /// Topics are gone, and so are the offsets in them. A topic of the same name that is made later
    /// begins without.
    pub fn handle_topics_deleted(&mut self, names: &[&str]) {
        let mut gone = self.offsets_in_flight();
        for (id, offsets) in self.offsets.groups() {
            gone.extend(offsets.committed.keys().map(|p| (Arc::clone(id), p.clone())));
        }
        let mut removals: BTreeMap<PartitionIndex, Vec<Change>> = BTreeMap::new();
        for (group, partition) in gone.into_iter().filter(|(_, p)| names.contains(&&*p.topic)) {
            let of = self.partition_of(&group);
            if self.residency.check(of).is_ok() {
                let change = Change::OffsetRemoved { group, partition };
                removals.entry(of).or_default().push(change);
            }
        }
        for (partition, changes) in removals {
            self.append_removals(partition, &changes);
        }
    }

    fn append_removals(&mut self, partition: PartitionIndex, changes: &[Change]) {
        for batch in changes.chunks(TOMBSTONES_MAX) {
            // Nobody waits for it; what cannot be written now is found again by the next look.
            let _ = self.append(partition, batch.to_vec(), None, Then::Nothing);
        }
    }

    fn expired(
        &self,
        now_ms: i64,
        retention_ms: i64,
        id: &Arc<str>,
        offsets: &GroupOffsets,
    ) -> Vec<TopicPartition> {
        let group = self.groups.get(id);
        let subscribed = group.and_then(subscribed_topics);
        let consumer = self.consumer_groups.get(id);
        let is_over = |partition: &TopicPartition, entry: &OffsetEntry| {
            if let Some(expire_ms) = entry.expire_ms {
                return expire_ms <= now_ms;
            }
            if consumer.is_some_and(|group| group.is_subscribed_to(&partition.topic)) {
                return false;
            }
            let since_ms = match group {
                None => entry.commit_ms,
                Some(group) if group.protocol_type.is_none() => entry.commit_ms,
                Some(group) if group.state == GroupState::Empty => {
                    group.state_since_ms.max(entry.commit_ms)
                }
                Some(_) => match &subscribed {
                    Some(topics) if !topics.contains(&*partition.topic) => entry.commit_ms,
                    _ => return false,
                },
            };
            retention_ms <= now_ms.saturating_sub(since_ms)
        };
        let over = offsets.committed.iter().filter(|(partition, entry)| {
            !offsets.unstable.contains_key(*partition) && is_over(partition, entry)
        });
        over.map(|(partition, _)| partition.clone()).collect()
    }
}

/// The topics that a stable group of consumers reads; `None` when that cannot be known.
fn subscribed_topics(group: &Group) -> Option<BTreeSet<String>> {
    if group.state != GroupState::Stable || !group.is_of_consumers() {
        return None;
    }
    let protocol = group.protocol.as_deref()?;
    let mut topics = BTreeSet::new();
    for member in group.members.values() {
        let mut reader = Reader::new(member.metadata(protocol));
        let version = reader.i16().ok()?;
        // A newer version only appends fields.
        let version = version.clamp(0, 3);
        let subscription = ConsumerProtocolSubscription::decode(&mut reader, version).ok()?;
        topics.extend(subscription.topics);
    }
    Some(topics)
}
