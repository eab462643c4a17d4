//! OffsetCommit and TxnOffsetCommit: who may commit, and what.
//!
//! Members commit under their generation, so that a consumer which has lost its partitions cannot
//! move the offsets of their new owner. Whoever names no member (generation -1) may commit only
//! while the group has none. Inside a transaction the same fencing holds from v3 on (KIP-447);
//! older requests name no member and are let through, as their producer is fenced instead.

use super::append::Then;
use super::change::Change;
use super::consumer::Claim;
use super::coordinator::GroupCoordinator;
use super::offsets::OffsetEntry;
use super::refuse::{commit_error, txn_commit_error};
use super::state::GroupState;
use super::{GroupResponse, TopicDirectory};
use crate::log::{ClientContext, ProducerIdAndEpoch, ReplyTo, TopicPartition};
use mainstem_platform::Now;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::ids::{
    LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, TopicId,
};
use mainstem_protocol::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use mainstem_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use mainstem_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use std::sync::Arc;

/// The request version from which a missing group is said to be missing.
const GROUP_ID_NOT_FOUND_FROM: i16 = 9;
/// The request version from which topics are named by their id.
const TOPIC_IDS_FROM: i16 = 10;

/// In whose name a commit comes.
struct Committer<'a> {
    group_id: &'a str,
    generation: i32,
    member_id: &'a str,
    instance_id: Option<&'a str>,
    is_transactional: bool,
}

impl GroupCoordinator {
    pub(super) fn offset_commit(
        &mut self,
        now: Now,
        context: &ClientContext,
        topics: &dyn TopicDirectory,
        request: &OffsetCommitRequest,
        to: ReplyTo,
    ) {
        let committer = Committer {
            group_id: &request.group_id,
            generation: request.generation_id_or_member_epoch,
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            is_transactional: false,
        };
        let mut named = request.topics.iter().flat_map(|topic| {
            let id = match context.api_version {
                TOPIC_IDS_FROM.. => Some(topic.topic_id),
                _ => topics.topic_id(&topic.name),
            };
            let partitions = topic.partitions.iter().map(|p| PartitionIndex(p.partition_index));
            partitions.filter_map(move |partition| Some((id?, partition)))
        });
        let checked = self.check_committer(&committer, context.api_version, &mut named);
        if let Err(code) = checked {
            let response = commit_error(request, code);
            return self.reply(to, GroupResponse::OffsetCommit(response));
        }
        self.count_as_heartbeat(now, &committer);
        let expire_ms = match request.retention_time_ms {
            -1 => None,
            retention_ms => Some(now.wall_ms.saturating_add(retention_ms)),
        };
        let group: Arc<str> = Arc::from(request.group_id.as_str());
        let mut changes = Vec::new();
        let mut response = OffsetCommitResponse::default();
        for topic in &request.topics {
            let (name, missing) = if TOPIC_IDS_FROM <= context.api_version {
                (topics.topic_name(topic.topic_id), ErrorCode::UNKNOWN_TOPIC_ID)
            } else {
                let exists = topics.topic_id(&topic.name).is_some();
                let name = exists.then_some(topic.name.as_str());
                (name, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            };
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let entry = name.ok_or(missing).and_then(|name| {
                    let entry = self.entry(now, partition, expire_ms)?;
                    Ok((TopicPartition::new(name, partition.partition_index), entry))
                });
                partitions.push(OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: entry.as_ref().err().copied().unwrap_or(ErrorCode::NONE),
                });
                changes.extend(entry.ok().map(|(partition, entry)| Change::Offset {
                    group: Arc::clone(&group),
                    partition,
                    entry,
                }));
            }
            response.topics.push(OffsetCommitResponseTopic {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partitions,
            });
        }
        if changes.is_empty() {
            return self.reply(to, GroupResponse::OffsetCommit(response));
        }
        let partition = self.partition_of(&group);
        let then = Then::Committed { to, response };
        if let Err((code, _)) = self.append(partition, changes, None, then) {
            self.reply(to, GroupResponse::OffsetCommit(commit_error(request, code)));
        }
    }

    pub(super) fn txn_offset_commit(
        &mut self,
        now: Now,
        context: &ClientContext,
        topics: &dyn TopicDirectory,
        request: &TxnOffsetCommitRequest,
        to: ReplyTo,
    ) {
        let committer = Committer {
            group_id: &request.group_id,
            generation: request.generation_id_or_member_epoch,
            member_id: &request.member_id,
            instance_id: request.group_instance_id.as_deref(),
            is_transactional: true,
        };
        let mut named = request.topics.iter().flat_map(|topic| {
            let id = topics.topic_id(&topic.name);
            let partitions = topic.partitions.iter().map(|p| PartitionIndex(p.partition_index));
            partitions.filter_map(move |partition| Some((id?, partition)))
        });
        let checked = self.check_committer(&committer, context.api_version, &mut named);
        if let Err(code) = checked {
            let response = txn_commit_error(request, code);
            return self.reply(to, GroupResponse::TxnOffsetCommit(response));
        }
        self.count_as_heartbeat(now, &committer);
        let group: Arc<str> = Arc::from(request.group_id.as_str());
        let mut changes = Vec::new();
        let mut response = TxnOffsetCommitResponse::default();
        for topic in &request.topics {
            let exists = topics.topic_id(&topic.name).is_some();
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let wire = OffsetCommitRequestPartition {
                    partition_index: partition.partition_index,
                    committed_offset: partition.committed_offset,
                    committed_leader_epoch: partition.committed_leader_epoch,
                    committed_metadata: partition.committed_metadata.clone(),
                };
                let entry = if exists {
                    self.entry(now, &wire, None)
                } else {
                    Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
                };
                partitions.push(TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: entry.as_ref().err().copied().unwrap_or(ErrorCode::NONE),
                });
                changes.extend(entry.ok().map(|entry| Change::Offset {
                    group: Arc::clone(&group),
                    partition: TopicPartition::new(&topic.name, partition.partition_index),
                    entry,
                }));
            }
            response
                .topics
                .push(TxnOffsetCommitResponseTopic { name: topic.name.clone(), partitions });
        }
        if changes.is_empty() {
            return self.reply(to, GroupResponse::TxnOffsetCommit(response));
        }
        let producer = ProducerIdAndEpoch {
            id: ProducerId(request.producer_id),
            epoch: ProducerEpoch(request.producer_epoch),
        };
        self.append_pending(request, producer, changes, to, response);
    }

    /// From here until the marker, readers of stable offsets must wait: also while the append is
    /// under way, because the transaction may end before we hear of it.
    fn append_pending(
        &mut self,
        request: &TxnOffsetCommitRequest,
        producer: ProducerIdAndEpoch,
        changes: Vec<Change>,
        to: ReplyTo,
        response: TxnOffsetCommitResponse,
    ) {
        let partition = self.partition_of(&request.group_id);
        let marks: Vec<(Arc<str>, TopicPartition)> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Offset { group, partition, .. } => {
                    Some((Arc::clone(group), partition.clone()))
                }
                _ => None,
            })
            .collect();
        let then = Then::TxnCommitted { to, response };
        match self.append(partition, changes, Some(producer), then) {
            Ok(_) => {
                for (group, of) in marks {
                    self.offsets.mark_unstable(partition, &group, of);
                }
            }
            Err((code, _)) => {
                let response = txn_commit_error(request, code);
                self.reply(to, GroupResponse::TxnOffsetCommit(response));
            }
        }
    }

    fn entry(
        &self,
        now: Now,
        partition: &OffsetCommitRequestPartition,
        expire_ms: Option<i64>,
    ) -> Result<OffsetEntry, ErrorCode> {
        let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
        if self.config.offset_metadata_bytes_max < metadata.len() {
            return Err(ErrorCode::OFFSET_METADATA_TOO_LARGE);
        }
        Ok(OffsetEntry {
            offset: Offset(partition.committed_offset),
            leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
            metadata: Arc::from(metadata),
            commit_ms: now.wall_ms,
            expire_ms,
            record_offset: Offset::NONE,
        })
    }

    fn check_committer(
        &self,
        who: &Committer<'_>,
        api_version: i16,
        partitions: &mut dyn Iterator<Item = (TopicId, PartitionIndex)>,
    ) -> Result<(), ErrorCode> {
        if let Some(group) = self.consumer_groups.get(who.group_id) {
            let claim = Claim {
                member_id: who.member_id,
                instance_id: who.instance_id,
                epoch: who.generation,
                is_transactional: who.is_transactional,
                api_version,
            };
            return group.check_commit(&claim, partitions);
        }
        let Some(group) = self.groups.get(who.group_id) else {
            // Without members there is nothing to fence: a group of offsets only.
            return if who.generation < 0 {
                Ok(())
            } else if !who.is_transactional && GROUP_ID_NOT_FOUND_FROM <= api_version {
                Err(ErrorCode::GROUP_ID_NOT_FOUND)
            } else {
                Err(ErrorCode::ILLEGAL_GENERATION)
            };
        };
        if who.generation < 0 && group.state == GroupState::Empty {
            return Ok(());
        }
        if 0 <= who.generation || !who.member_id.is_empty() || who.instance_id.is_some() {
            group.check_member(who.member_id, who.instance_id)?;
            if who.generation != group.generation {
                return Err(ErrorCode::ILLEGAL_GENERATION);
            }
        } else if !who.is_transactional {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        if !who.is_transactional && group.state == GroupState::CompletingRebalance {
            // The member has joined and does not know its new partitions yet.
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }

    fn count_as_heartbeat(&mut self, now: Now, who: &Committer<'_>) {
        let Some(group) = self.groups.get(who.group_id) else { return };
        let is_live = matches!(group.state, GroupState::Stable | GroupState::PreparingRebalance);
        let Some(member) = group.members.get(who.member_id) else { return };
        // Before its first join is answered a member has the longer deadline of a newcomer.
        if is_live && !member.is_new {
            let (group_id, id) = (Arc::clone(&group.id), Arc::clone(&member.id));
            self.arm_session(now, &group_id, &id);
        }
    }
}
