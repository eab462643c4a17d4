//! The leader of a classic group: it reads the members' subscriptions, waits until it knows how many
//! partitions their topics have, runs the assignor that the group agreed on, and calls for a
//! rebalance when the topics change.
//!
//! A leader does not believe its assignor: in a cooperative group an assignment that gives away
//! what somebody still owns would make two owners, and fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use mainstem_protocol::consumer_protocol::{
    ConsumerProtocolAssignment, decode_subscription, encode_assignment,
};
use mainstem_protocol::messages::JoinGroupResponse;
use mainstem_protocol::messages::records::consumer_protocol_assignment as assignment_parts;

use super::assignor::{Member, MemberAssignment};
use super::cooperative_sticky::moving;
use super::joining::{BLOB_VERSION, Classic};
use super::membership::{Membership, Phase};
use crate::core::Metadata;
use crate::error::{Cause, ClientError};
use crate::records::TopicPartition;

impl Membership {
    pub(super) fn lead(&mut self, metadata: &mut Metadata, response: JoinGroupResponse) {
        for member in response.members {
            let subscription = decode_subscription(&member.metadata).unwrap_or_default();
            let mut topics = subscription.topics;
            topics.sort();
            topics.dedup();
            if !topics.iter().all(|topic| metadata.want(&Arc::from(topic.as_str()))) {
                self.leave("its leader cannot follow so many topics");
                let text = "the members subscribe to more topics than this client follows";
                return self.fail(ClientError::Refused(Cause::text(text)));
            }
            let owned = subscription.owned_partitions.into_iter().flat_map(|owned| {
                let name: Arc<str> = owned.topic.as_str().into();
                let named = move |p| TopicPartition { topic: name.clone(), partition: p };
                owned.partitions.into_iter().map(named)
            });
            self.classic.members.push(Member {
                id: member.member_id,
                group_instance_id: member.group_instance_id,
                topics,
                owned: owned.collect(),
                generation: subscription.generation_id,
                user_data: subscription.user_data.unwrap_or_default(),
            });
        }
        self.phase = Phase::Assigning;
        self.try_assign(metadata);
    }

    /// Topics of the group and their partitions; 0 for one that does not exist, `None` while it
    /// is not known whether it does.
    fn group_counts(&self, metadata: &Metadata) -> Option<BTreeMap<String, i32>> {
        let topics: BTreeSet<&String> =
            self.classic.members.iter().flat_map(|m| &m.topics).collect();
        let count = |topic: &&String| match metadata.topic(topic) {
            Some(known) => Some(known.partition_count()),
            None => metadata.failure(topic).map(|_| 0),
        };
        topics.into_iter().map(|topic| Some((topic.clone(), count(&topic)?))).collect()
    }

    pub(super) fn try_assign(&mut self, metadata: &Metadata) {
        let Some(counts) = self.group_counts(metadata) else { return };
        let existing = counts.iter().filter(|(_, count)| **count > 0);
        let existing: BTreeMap<String, i32> = existing.map(|(t, c)| (t.clone(), *c)).collect();
        match self.assign(&existing) {
            Ok(assigned) => {
                self.classic.counts = counts;
                self.classic.counted_at = metadata.generation;
                let encode = |(id, a): (String, MemberAssignment)| Some((id, encode_member(&a)?));
                self.phase = Phase::Syncing(assigned.into_iter().filter_map(encode).collect());
            }
            Err(text) => {
                self.leave("the assignor failed");
                self.fail(ClientError::Fatal(Cause::text(format!("assignor: {text}"))));
            }
        }
    }

    fn assign(
        &self,
        existing: &BTreeMap<String, i32>,
    ) -> Result<BTreeMap<String, MemberAssignment>, String> {
        let Classic { protocol, members, is_cooperative, .. } = &self.classic;
        let assignor = self.config.assignors.iter().find(|a| a.name() == protocol);
        let assignor =
            assignor.ok_or(format!("the group chose {protocol:?}, which is not ours"))?;
        let assigned = assignor.assign(existing, members)?;
        match moving(members, &assigned).first() {
            Some((id, partition)) if *is_cooperative => Err(format!(
                "{protocol} gives {partition} to {id} while another member still owns it"
            )),
            _ => Ok(assigned),
        }
    }

    /// Whether this member, as the leader, has to know how many partitions the topic has.
    pub(super) fn leads_with(&self, topic: &str) -> bool {
        let wants = |member: &Member| {
            member.topics.binary_search_by(|name| name.as_str().cmp(topic)).is_ok()
        };
        self.classic.members.iter().any(wants)
    }

    /// The leader calls for a rebalance when topics of the group appear, go or grow.
    pub(super) fn watch_metadata(&mut self, metadata: &Metadata) {
        if self.phase != Phase::Member || self.classic.counts.is_empty() || self.classic.rejoins {
            return;
        }
        if self.classic.counted_at == metadata.generation {
            return;
        }
        self.classic.counted_at = metadata.generation;
        if self.group_counts(metadata).is_some_and(|counts| counts != self.classic.counts) {
            self.rebalance();
        }
    }
}

fn encode_member(assignment: &MemberAssignment) -> Option<Bytes> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &assignment.partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let part = |(topic, partitions): (&str, Vec<i32>)| assignment_parts::TopicPartition {
        topic: topic.to_owned(),
        partitions,
    };
    let blob = ConsumerProtocolAssignment {
        assigned_partitions: topics.into_iter().map(part).collect(),
        user_data: Some(assignment.user_data.clone()).filter(|data| !data.is_empty()),
    };
    encode_assignment(&blob, BLOB_VERSION).ok()
}
