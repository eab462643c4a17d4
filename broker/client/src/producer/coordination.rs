//! The requests of the transaction machine and what their answers mean.
//!
//! One function asks and one listens per kind of request; the order of requests is decided in
//! [`super::transaction`].

use mainstem_platform::{Instant, Now};
use mainstem_protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use mainstem_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use mainstem_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest,
    TxnOffsetCommitRequest,
};
use mainstem_protocol::{ErrorCode, ProducerEpoch, ProducerId};

use super::sender::Tag;
use super::transaction::{Ask, Identity, OffsetsJob, Phase, Transaction};
use crate::core::wire::Answer;
use crate::core::{Failure, Route, Wire};
use crate::error::{Cause, ClientError};
use crate::records::{OffsetAndMetadata, TopicPartition, by_topic};

/// The highest versions that mean TV1, and those that mean TV2.
const ADD_PARTITIONS_CAP: i16 = 3;
const END_TXN_V1_CAP: i16 = 4;
const END_TXN_V2_CAP: i16 = 5;
const TXN_OFFSET_COMMIT_V1_CAP: i16 = 4;
const TXN_OFFSET_COMMIT_V2_CAP: i16 = 5;
const INIT_PRODUCER_ID_CAP: i16 = 5;
const ADD_OFFSETS_CAP: i16 = 4;

type Reply = Result<Answer, Failure>;

impl Transaction {
    pub(super) fn ask(&mut self, now: Instant, wire: &mut Wire<Tag>, route: Route, ask: Ask) {
        let identity = self.identity.unwrap_or(Identity::NONE);
        let (id, epoch) = (identity.id.0, identity.epoch.0);
        let timeout = self.request_timeout;
        let tag = Tag::Transaction(ask);
        match ask {
            Ask::InitProducerId => {
                let request = InitProducerIdRequest {
                    transactional_id: Some(self.id.clone()),
                    transaction_timeout_ms: self.timeout_ms,
                    producer_id: id,
                    producer_epoch: epoch,
                };
                wire.send(now, route, &request, INIT_PRODUCER_ID_CAP, timeout, tag);
            }
            Ask::AddPartitions => {
                self.adding = std::mem::take(&mut self.pending);
                // An answer may be lost after the coordinator has begun the transaction.
                self.started = true;
                let request = AddPartitionsToTxnRequest {
                    v3_and_below_transactional_id: self.id.clone(),
                    v3_and_below_producer_id: id,
                    v3_and_below_producer_epoch: epoch,
                    v3_and_below_topics: by_topic(&self.adding, |name, of| {
                        AddPartitionsToTxnTopic {
                            name,
                            partitions: of.iter().map(|it| it.partition).collect(),
                        }
                    }),
                    ..AddPartitionsToTxnRequest::default()
                };
                wire.send(now, route, &request, ADD_PARTITIONS_CAP, timeout, tag);
            }
            Ask::AddOffsets => {
                self.started = true;
                let group = self.offsets.as_ref().map(|job| job.group.group_id.clone());
                let request = AddOffsetsToTxnRequest {
                    transactional_id: self.id.clone(),
                    producer_id: id,
                    producer_epoch: epoch,
                    group_id: group.unwrap_or_default(),
                };
                wire.send(now, route, &request, ADD_OFFSETS_CAP, timeout, tag);
            }
            Ask::EndTxn => {
                let cap = if self.v2 { END_TXN_V2_CAP } else { END_TXN_V1_CAP };
                let request = EndTxnRequest {
                    transactional_id: self.id.clone(),
                    producer_id: id,
                    producer_epoch: epoch,
                    committed: matches!(self.phase, Phase::Ending { commit: true, .. }),
                };
                wire.send(now, route, &request, cap, timeout, tag);
            }
            Ask::FindCoordinator | Ask::FindGroup | Ask::CommitOffsets => {}
        }
    }

    /// Offsets go to the group's coordinator, independently of the transaction's.
    pub(super) fn advance_offsets(&mut self, now: Now, wire: &mut Wire<Tag>) {
        let (v2, timeout) = (self.v2, self.request_timeout);
        let identity = self.identity.unwrap_or(Identity::NONE);
        if !self.backoff.ready(now.instant) {
            return;
        }
        let Some(job) = &mut self.offsets else { return };
        if job.busy || !(v2 || job.added) {
            return;
        }
        let tag = || Tag::Transaction(Ask::FindGroup);
        let Some(route) = job.coordinator.route(now, wire, timeout, tag) else { return };
        job.busy = true;
        self.started = true;
        let request = TxnOffsetCommitRequest {
            transactional_id: self.id.clone(),
            group_id: job.group.group_id.clone(),
            producer_id: identity.id.0,
            producer_epoch: identity.epoch.0,
            generation_id_or_member_epoch: job.group.generation_id,
            member_id: job.group.member_id.clone(),
            group_instance_id: job.group.group_instance_id.clone(),
            topics: offsets_by_topic(job),
        };
        let cap = if v2 { TXN_OFFSET_COMMIT_V2_CAP } else { TXN_OFFSET_COMMIT_V1_CAP };
        let tag = Tag::Transaction(Ask::CommitOffsets);
        wire.send(now.instant, route, &request, cap, timeout, tag);
    }

    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        ask: Ask,
        reply: Reply,
    ) {
        match ask {
            Ask::FindCoordinator => {
                if let Err(error) = self.coordinator.handle_found(now, wire, reply) {
                    self.fail_fatal(error);
                }
                return;
            }
            Ask::FindGroup => {
                let found = self
                    .offsets
                    .as_mut()
                    .map_or(Ok(()), |job| job.coordinator.handle_found(now, wire, reply));
                if let Err(error) = found {
                    self.fail_abortable(Cause::text(error.to_string()));
                }
                return;
            }
            Ask::CommitOffsets => return self.handle_offsets(now, wire, reply),
            Ask::InitProducerId | Ask::AddPartitions | Ask::AddOffsets | Ask::EndTxn => {}
        }
        self.busy = false;
        let reply = match reply {
            Ok(answer) => answer,
            Err(Failure::Unsupported(text)) => {
                return self.fail_fatal(ClientError::Fatal(Cause { code: 35, text }));
            }
            Err(Failure::Disconnected(_) | Failure::Malformed(_)) => {
                self.coordinator.disconnected(now, wire);
                self.pending.append(&mut self.adding);
                self.request_in_doubt();
                return;
            }
        };
        let understood = match ask {
            Ask::InitProducerId => self.handle_init(now, wire, reply),
            Ask::AddPartitions => self.handle_added(now, wire, reply),
            Ask::AddOffsets => self.handle_offsets_added(now, wire, reply),
            _ => self.handle_ended(now, wire, reply),
        };
        if let Err(failure) = understood {
            self.fail_fatal(ClientError::Fatal(Cause::text(failure.text())));
        }
    }

    fn handle_init(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        answer: Answer,
    ) -> Result<(), Failure> {
        let response = answer.decode::<InitProducerIdRequest>()?;
        let code = response.error_code;
        if code == ErrorCode::NONE {
            self.identity = Some(Identity {
                id: ProducerId(response.producer_id),
                epoch: ProducerEpoch(response.producer_epoch),
            });
            self.backoff.succeeded();
            self.finish();
        } else if !self.handle_code(now, wire, "InitProducerId", code) {
            self.fail_fatal(ClientError::Fatal(Cause::of("InitProducerId", code)));
        }
        Ok(())
    }

    fn handle_added(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        answer: Answer,
    ) -> Result<(), Failure> {
        let response = answer.decode::<AddPartitionsToTxnRequest>()?;
        let mut asked = std::mem::take(&mut self.adding);
        let mut refused: Option<(String, ErrorCode)> = None;
        for topic in &response.results_by_topic_v3_and_below {
            for result in &topic.results_by_partition {
                let partition = TopicPartition::new(topic.name.as_str(), result.partition_index);
                let code = result.partition_error_code;
                if code == ErrorCode::NONE && asked.remove(&partition) {
                    self.added.insert(partition);
                } else if code.is_error() && code != ErrorCode::OPERATION_NOT_ATTEMPTED {
                    refused = Some((format!("AddPartitionsToTxn {partition}"), code));
                }
            }
        }
        self.pending.append(&mut asked);
        match refused {
            None if self.pending.is_empty() => self.backoff.succeeded(),
            None => self.backoff.failed(now, wire.random()),
            Some((operation, code)) => {
                if !self.handle_code(now, wire, &operation, code) {
                    self.fail_abortable(Cause::of(operation, code));
                    self.bump = true;
                }
            }
        }
        Ok(())
    }

    fn handle_offsets_added(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        answer: Answer,
    ) -> Result<(), Failure> {
        let code = answer.decode::<AddOffsetsToTxnRequest>()?.error_code;
        if code == ErrorCode::NONE {
            self.backoff.succeeded();
            if let Some(job) = &mut self.offsets {
                job.added = true;
            }
        } else if !self.handle_code(now, wire, "AddOffsetsToTxn", code) {
            self.fail_abortable(Cause::of("AddOffsetsToTxn", code));
        }
        Ok(())
    }

    fn handle_ended(
        &mut self,
        now: Instant,
        wire: &mut Wire<Tag>,
        answer: Answer,
    ) -> Result<(), Failure> {
        let response = answer.decode::<EndTxnRequest>()?;
        let code = response.error_code;
        if code == ErrorCode::NONE {
            self.backoff.succeeded();
            if self.v2 && response.producer_id >= 0 {
                self.identity = Some(Identity {
                    id: ProducerId(response.producer_id),
                    epoch: ProducerEpoch(response.producer_epoch),
                });
            } else if self.bump {
                // The next request is InitProducerId; its answer finishes the transaction.
                self.ended = true;
                return Ok(());
            }
            self.finish();
        } else if !self.handle_code(now, wire, "EndTxn", code) {
            if self.is_aborting() {
                self.fail_fatal(ClientError::Fatal(Cause::of("EndTxn", code)));
            } else {
                self.fail_abortable(Cause::of("EndTxn", code));
            }
        }
        Ok(())
    }

    fn handle_offsets(&mut self, now: Instant, wire: &mut Wire<Tag>, reply: Reply) {
        let Some(mut job) = self.offsets.take() else { return };
        job.busy = false;
        if self.is_aborting() || self.failure().is_some() {
            let error = self.failure().cloned().unwrap_or_else(super::transaction::aborted);
            self.results.push((job.operation, Err(error)));
            return;
        }
        let response = match reply.and_then(Answer::decode::<TxnOffsetCommitRequest>) {
            Ok(response) => response,
            Err(Failure::Unsupported(text)) => {
                self.offsets = Some(job);
                return self.fail_abortable(Cause { code: 35, text });
            }
            Err(_) => {
                job.coordinator.disconnected(now, wire);
                self.offsets = Some(job);
                self.request_in_doubt();
                return;
            }
        };
        let mut worst = None;
        for topic in &response.topics {
            for result in &topic.partitions {
                if result.error_code.is_ok() {
                    let name = topic.name.as_str();
                    job.left.remove(&TopicPartition::new(name, result.partition_index));
                } else {
                    worst = Some(result.error_code);
                }
            }
        }
        if job.left.is_empty() {
            self.results.push((job.operation, Ok(())));
            return;
        }
        self.offsets = Some(job);
        self.handle_offsets_code(now, wire, worst.unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR));
    }

    fn handle_offsets_code(&mut self, now: Instant, wire: &mut Wire<Tag>, code: ErrorCode) {
        let Some(job) = &mut self.offsets else { return };
        let cause = Cause::of(format!("TxnOffsetCommit of {}", job.group.group_id), code);
        match code {
            ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                job.coordinator.disconnected(now, wire);
            }
            ErrorCode::PRODUCER_FENCED | ErrorCode::INVALID_PRODUCER_EPOCH => {
                self.fail_fatal(ClientError::Fenced(cause));
            }
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            | ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT => {
                self.fail_fatal(ClientError::Fatal(cause));
            }
            code if code.is_retriable() => self.backoff.failed(now, wire.random()),
            // A member that the group left behind, a group that may not be read, ...
            _ => self.fail_abortable(cause),
        }
    }
}

fn offsets_by_topic(job: &OffsetsJob) -> Vec<TxnOffsetCommitRequestTopic> {
    let mut topics: Vec<TxnOffsetCommitRequestTopic> = Vec::new();
    for (partition, offset) in &job.left {
        let entry = offset_entry(partition, offset);
        match topics.last_mut().filter(|topic| *topic.name == *partition.topic) {
            Some(topic) => topic.partitions.push(entry),
            None => topics.push(TxnOffsetCommitRequestTopic {
                name: partition.topic.to_string(),
                partitions: vec![entry],
            }),
        }
    }
    topics
}

fn offset_entry(
    partition: &TopicPartition,
    offset: &OffsetAndMetadata,
) -> TxnOffsetCommitRequestPartition {
    TxnOffsetCommitRequestPartition {
        partition_index: partition.partition,
        committed_offset: offset.offset,
        committed_leader_epoch: offset.leader_epoch.unwrap_or(-1),
        committed_metadata: Some(offset.metadata.clone()),
    }
}
