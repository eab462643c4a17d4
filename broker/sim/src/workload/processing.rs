//! A processor's transactions: what was read is written to another topic, and how far it was read is
//! committed in the same transaction, fenced by the group (KIP-447).
//!
//! It repeats what was not answered, gives up where the broker refuses, and asks for its id again where
//! it was fenced. The offsets that it read with belong to the generation in which it read: they are
//! committed under that one or not at all.

use super::producer::produce;
use super::{
    ADD_PARTITIONS_VERSION, FIND_VERSION, INIT_VERSION, OUTPUT, Protocol, TOPIC, TRANSACTION_KEY,
    is_fenced, is_passing,
};
use crate::oracle::{SharedBook, Value};
use crate::port::{Broken, Port, answer};
use bytes::Bytes;
use mainstem_platform::{Instant, Random as _};
use mainstem_protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use mainstem_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use mainstem_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, FindCoordinatorRequest,
    InitProducerIdRequest, ProduceRequest, TxnOffsetCommitRequest,
};
use mainstem_protocol::record::BatchBuilder;
use mainstem_protocol::{ErrorCode, ProducerEpoch, ProducerId};
use std::collections::BTreeMap;
use std::time::Duration;

const ADD_OFFSETS_VERSION: i16 = 3;
/// Long enough for a transaction, short enough that one who falls asleep in it is aborted.
const TRANSACTION_TIMEOUT: Duration = Duration::from_millis(900);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    NeedsCoordinator,
    NeedsId,
    Idle,
    AddPartitions,
    AddOffsets,
    Produce,
    CommitOffsets,
    End { commit: bool },
}

#[derive(Debug)]
struct Part {
    partition: i32,
    sequence: i32,
    values: Vec<Value>,
    acknowledged: bool,
}

/// In whose name offsets are committed.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    pub(super) who: String,
    pub(super) member_id: String,
    pub(super) generation: i32,
}

/// One transaction.
#[derive(Debug)]
struct Transaction {
    parts: Vec<Part>,
    offsets: BTreeMap<i32, i64>,
    fence: Fence,
    /// Whether the offsets could be committed, as far as the book knew when they were sent.
    may_commit: bool,
    began_at: Instant,
}

/// What an answer led to.
#[derive(Debug)]
pub(super) enum Progress {
    /// Ask again after a while.
    Later,
    /// The next request can leave.
    Onward,
    /// The transaction is committed, with these offsets.
    Committed(BTreeMap<i32, i64>),
    /// There is no transaction any more: read on from what is committed.
    Lost,
}

/// See the module's words.
#[derive(Debug)]
pub(super) struct Processing {
    transactional_id: String,
    protocol: Protocol,
    book: SharedBook,
    phase: Phase,
    id: (i64, i16),
    /// Next sequence by partition, in this epoch.
    sequences: BTreeMap<i32, i32>,
    open: Option<Transaction>,
}

impl Processing {
    pub(super) fn new(transactional_id: String, protocol: Protocol, book: SharedBook) -> Self {
        Self {
            transactional_id,
            protocol,
            book,
            phase: Phase::NeedsCoordinator,
            id: (-1, -1),
            sequences: BTreeMap::new(),
            open: None,
        }
    }

    /// Whether there is a transaction.
    pub(super) fn is_busy(&self) -> bool {
        self.open.is_some()
    }

    /// Whether it wants something to process.
    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// The process is gone; the next one with its name asks for the id again.
    pub(super) fn die(&mut self) {
        self.open = None;
        if self.phase != Phase::NeedsCoordinator {
            self.phase = Phase::NeedsId;
        }
    }

    pub(super) fn begin(
        &mut self,
        rows: BTreeMap<i32, Vec<Value>>,
        offsets: BTreeMap<i32, i64>,
        fence: Fence,
        now: Instant,
    ) {
        let mut parts = Vec::new();
        for (partition, values) in rows.into_iter().filter(|(_, values)| !values.is_empty()) {
            let next = self.sequences.entry(partition).or_insert(0);
            let sequence = *next;
            *next += values.len() as i32;
            parts.push(Part { partition, sequence, values, acknowledged: false });
        }
        self.phase = match (self.protocol, parts.is_empty()) {
            (Protocol::V1, true) => Phase::AddOffsets,
            (Protocol::V1, false) => Phase::AddPartitions,
            (Protocol::V2, true) => Phase::CommitOffsets,
            (Protocol::V2, false) => Phase::Produce,
        };
        self.open = Some(Transaction { parts, offsets, fence, may_commit: true, began_at: now });
    }

    /// Whether the coordinator may say that there is nothing to end. In version 1 it does so for an
    /// abort of nothing; in version 2 for a commit of what it has aborted for its age, which it takes
    /// for the repetition of one that it has never heard.
    fn may_be_over(&self, phase: Phase, now: Instant) -> bool {
        let due = |open: &Transaction| open.began_at.plus(TRANSACTION_TIMEOUT);
        match (self.protocol, phase) {
            (Protocol::V1, Phase::End { commit: false }) => true,
            (Protocol::V2, Phase::End { commit: true }) => {
                self.open.as_ref().is_some_and(|open| due(open) <= now)
            }
            _ => false,
        }
    }

    // ---- requests

    /// Sends what the phase asks for.
    pub(super) fn send(&mut self, port: &mut Port) -> Option<i32> {
        let transactional_id = self.transactional_id.clone();
        let (producer_id, producer_epoch) = self.id;
        Some(match self.phase {
            Phase::Idle => return None,
            Phase::NeedsCoordinator => {
                let request = FindCoordinatorRequest {
                    key: transactional_id,
                    key_type: TRANSACTION_KEY,
                    ..FindCoordinatorRequest::default()
                };
                port.send(FIND_VERSION, &request)
            }
            Phase::NeedsId => {
                let request = InitProducerIdRequest {
                    transactional_id: Some(transactional_id),
                    transaction_timeout_ms: TRANSACTION_TIMEOUT.as_millis() as i32,
                    ..InitProducerIdRequest::default()
                };
                port.send(INIT_VERSION, &request)
            }
            Phase::AddPartitions => {
                let parts = self.open.iter().flat_map(|open| &open.parts);
                let partitions = parts.map(|part| part.partition).collect();
                let topic = AddPartitionsToTxnTopic { name: OUTPUT.to_owned(), partitions };
                let request = AddPartitionsToTxnRequest {
                    v3_and_below_transactional_id: transactional_id,
                    v3_and_below_producer_id: producer_id,
                    v3_and_below_producer_epoch: producer_epoch,
                    v3_and_below_topics: vec![topic],
                    ..AddPartitionsToTxnRequest::default()
                };
                port.send(ADD_PARTITIONS_VERSION, &request)
            }
            Phase::AddOffsets => {
                let group_id = self.book.borrow().name().to_owned();
                let request = AddOffsetsToTxnRequest {
                    transactional_id,
                    producer_id,
                    producer_epoch,
                    group_id,
                };
                port.send(ADD_OFFSETS_VERSION, &request)
            }
            Phase::Produce => self.send_records(port),
            Phase::CommitOffsets => self.send_offsets(port),
            Phase::End { commit } => {
                if let (true, Some(open)) = (commit, &self.open) {
                    let mut book = self.book.borrow_mut();
                    open.offsets.iter().for_each(|(partition, at)| book.offer(*partition, *at));
                }
                let request = EndTxnRequest {
                    transactional_id,
                    producer_id,
                    producer_epoch,
                    committed: commit,
                };
                port.send(self.protocol.end_version(), &request)
            }
        })
    }

    /// All records that are not acknowledged, in one request.
    fn send_records(&self, port: &mut Port) -> i32 {
        let (id, epoch) = self.id;
        let mut request: Option<ProduceRequest> = None;
        let parts = self.open.iter().flat_map(|open| &open.parts);
        for part in parts.filter(|part| !part.acknowledged) {
            let mut builder = BatchBuilder::new()
                .producer(ProducerId(id), ProducerEpoch(epoch), part.sequence)
                .transactional();
            for value in &part.values {
                builder.push(port.now.wall_ms, None, Some(value.text().as_bytes()), &[]);
            }
            let records = builder.finish().expect("a small batch can be built");
            let one = produce(OUTPUT, Some(&self.transactional_id), part.partition, records);
            match &mut request {
                None => request = Some(one),
                Some(all) => {
                    let data = one.topic_data.into_iter().flat_map(|topic| topic.partition_data);
                    all.topic_data[0].partition_data.extend(data);
                }
            }
        }
        let request = request.expect("this phase is over when all is acknowledged");
        port.send(self.protocol.produce_version(), &request)
    }

    fn send_offsets(&mut self, port: &mut Port) -> i32 {
        let book = self.book.borrow();
        let open = self.open.as_mut().expect("offsets belong to a transaction");
        open.may_commit = book.may_commit(&open.fence.who, open.offsets.keys());
        let partition = |(partition, offset): (&i32, &i64)| TxnOffsetCommitRequestPartition {
            partition_index: *partition,
            committed_offset: *offset,
            ..TxnOffsetCommitRequestPartition::default()
        };
        let topic = TxnOffsetCommitRequestTopic {
            name: TOPIC.to_owned(),
            partitions: open.offsets.iter().map(partition).collect(),
        };
        let request = TxnOffsetCommitRequest {
            transactional_id: self.transactional_id.clone(),
            group_id: book.name().to_owned(),
            producer_id: self.id.0,
            producer_epoch: self.id.1,
            generation_id_or_member_epoch: open.fence.generation,
            member_id: open.fence.member_id.clone(),
            topics: vec![topic],
            ..TxnOffsetCommitRequest::default()
        };
        port.send(self.protocol.offset_commit_version(), &request)
    }

    // ---- answers

    pub(super) fn answered(&mut self, port: &mut Port, frame: Bytes) -> Result<Progress, Broken> {
        let phase = self.phase;
        let error = self.judge(frame);
        port.remark(format_args!("{phase:?} {error:?}"));
        match error {
            ErrorCode::NONE => self.go_on(phase, port),
            error if is_fenced(error) => {
                self.die();
                Ok(Progress::Lost)
            }
            error if is_passing(error) => Ok(Progress::Later),
            error if may_refuse(phase, error) => {
                self.phase = Phase::End { commit: false };
                Ok(Progress::Onward)
            }
            ErrorCode::INVALID_TXN_STATE if self.may_be_over(phase, port.now.instant) => {
                self.die();
                Ok(Progress::Lost)
            }
            error => {
                let text =
                    format!("{} {:?} {phase:?}: {error:?}", self.transactional_id, self.protocol);
                Err(Broken::protocol(text))
            }
        }
    }

    /// What the answer says; of several partitions the worst.
    fn judge(&mut self, frame: Bytes) -> ErrorCode {
        match self.phase {
            Phase::Idle => ErrorCode::UNKNOWN_SERVER_ERROR,
            Phase::NeedsCoordinator => {
                answer::<FindCoordinatorRequest>(FIND_VERSION, frame).error_code
            }
            Phase::NeedsId => {
                let response = answer::<InitProducerIdRequest>(INIT_VERSION, frame);
                if response.error_code == ErrorCode::NONE {
                    self.take_id((response.producer_id, response.producer_epoch));
                }
                response.error_code
            }
            Phase::AddPartitions => {
                let response = answer::<AddPartitionsToTxnRequest>(ADD_PARTITIONS_VERSION, frame);
                let topics = response.results_by_topic_v3_and_below.into_iter();
                let parts = topics.flat_map(|topic| topic.results_by_partition);
                worst(parts.map(|part| part.partition_error_code))
            }
            Phase::AddOffsets => {
                answer::<AddOffsetsToTxnRequest>(ADD_OFFSETS_VERSION, frame).error_code
            }
            Phase::Produce => {
                let response = answer::<ProduceRequest>(self.protocol.produce_version(), frame);
                let mut codes = Vec::new();
                for answer in response.responses.iter().flat_map(|t| &t.partition_responses) {
                    codes.push(answer.error_code);
                    let mut parts = self.open.iter_mut().flat_map(|open| &mut open.parts);
                    let part = parts.find(|part| part.partition == answer.index);
                    if let (Some(part), ErrorCode::NONE) = (part, answer.error_code) {
                        part.acknowledged = true;
                    }
                }
                worst(codes.into_iter())
            }
            Phase::CommitOffsets => {
                let version = self.protocol.offset_commit_version();
                let response = answer::<TxnOffsetCommitRequest>(version, frame);
                let parts = response.topics.into_iter().flat_map(|topic| topic.partitions);
                worst(parts.map(|part| part.error_code))
            }
            Phase::End { .. } => {
                let response = answer::<EndTxnRequest>(self.protocol.end_version(), frame);
                if response.error_code == ErrorCode::NONE && self.protocol == Protocol::V2 {
                    self.take_id((response.producer_id, response.producer_epoch));
                }
                response.error_code
            }
        }
    }

    fn take_id(&mut self, id: (i64, i16)) {
        if id != self.id {
            self.id = id;
            self.sequences.clear();
        }
    }

    /// The phase was passed.
    fn go_on(&mut self, phase: Phase, port: &mut Port) -> Result<Progress, Broken> {
        let nothing_to_write = self.open.as_ref().is_none_or(|open| open.parts.is_empty());
        self.phase = match phase {
            Phase::NeedsCoordinator => Phase::NeedsId,
            Phase::NeedsId | Phase::Idle => Phase::Idle,
            Phase::AddPartitions => Phase::AddOffsets,
            Phase::AddOffsets if nothing_to_write => Phase::CommitOffsets,
            Phase::AddOffsets => Phase::Produce,
            Phase::Produce => Phase::CommitOffsets,
            Phase::CommitOffsets => {
                if let Some(open) = self.open.as_ref().filter(|open| !open.may_commit) {
                    let book = self.book.borrow();
                    return book.not_fenced(&open.fence.who, "a transactional commit");
                }
                Phase::End { commit: !(port.faulty && port.random.one_in(8)) }
            }
            Phase::End { commit } => return Ok(self.ended(commit)),
        };
        Ok(Progress::Onward)
    }

    fn ended(&mut self, commit: bool) -> Progress {
        let Some(open) = self.open.take() else { return Progress::Lost };
        self.phase = Phase::Idle;
        if commit {
            let mut book = self.book.borrow_mut();
            open.offsets.iter().for_each(|(partition, at)| book.acknowledge(*partition, *at));
            book.transactions += 1;
            return Progress::Committed(open.offsets);
        }
        let all_written = open.parts.iter().all(|part| part.acknowledged);
        if self.protocol == Protocol::V1 && !all_written {
            // The sequences of what was not written are missing in this epoch: take the next one.
            self.phase = Phase::NeedsId;
        }
        Progress::Lost
    }
}

/// Whether the broker may refuse so, and the transaction is to be aborted.
fn may_refuse(phase: Phase, error: ErrorCode) -> bool {
    let of_group = [ErrorCode::ILLEGAL_GENERATION, ErrorCode::UNKNOWN_MEMBER_ID];
    match phase {
        Phase::CommitOffsets => of_group.contains(&error) || error == ErrorCode::INVALID_TXN_STATE,
        Phase::Produce | Phase::AddPartitions | Phase::AddOffsets => {
            error == ErrorCode::INVALID_TXN_STATE
        }
        _ => false,
    }
}

/// An error that ends more than others, if there is any.
fn worst(codes: impl Iterator<Item = ErrorCode>) -> ErrorCode {
    let weight = |code: &ErrorCode| match *code {
        ErrorCode::NONE => 0,
        code if is_passing(code) => 1,
        code if is_fenced(code) => 3,
        _ => 2,
    };
    codes.max_by_key(weight).unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR)
}
