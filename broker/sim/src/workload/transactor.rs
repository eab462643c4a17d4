//! A transactional producer, by version 1 or 2 of the protocol.
//!
//! Transaction after transaction it sends a batch to some partitions and ends it, mostly with a commit.
//! After a lost connection it goes on where it was, with the same sequences and the same epoch, or
//! gives up and asks for its id again, which ends what was open. It notes what it knows of each
//! transaction: an end that was asked for and not answered before it gave up is unknown to it.
//!
//! In version 2 it makes trouble. It gives up connections on which requests are still on their way, so
//! that an end, a batch or a call for the id of the past arrives among those of the present. It repeats
//! the marker of its last transaction while the next one is open, as a marker that was delayed in the
//! network. Version 1 has no defence against such requests, in Kafka neither.
//!
//! Two transactors may have the same id: each new call for the id fences the other.

use super::producer::produce;
use super::{
    ADD_PARTITIONS_VERSION, FIND_VERSION, INIT_VERSION, Protocol, RETRY_AFTER, TOPIC,
    TRANSACTION_KEY, is_fenced, is_passing,
};
use crate::oracle::{Ending, Testimony, Transactions, Value};
use crate::port::{Actor, Broken, Port, answer};
use bytes::Bytes;
use mainstem_platform::Random as _;
use mainstem_protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use mainstem_protocol::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic};
use mainstem_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest,
    ProduceRequest, WriteTxnMarkersRequest,
};
use mainstem_protocol::record::BatchBuilder;
use mainstem_protocol::{ErrorCode, ProducerEpoch, ProducerId};
use std::collections::BTreeMap;

const MARKERS_VERSION: i16 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    NeedsCoordinator,
    NeedsId,
    Idle,
    Adding,
    Producing,
    /// Some partitions have their records; the marker of before comes again.
    Meddling,
    Ending {
        commit: bool,
    },
}

#[derive(Debug)]
struct Part {
    partition: i32,
    sequence: i32,
    values: Vec<Value>,
    acknowledged: bool,
}

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Transactor {
    name: String,
    transactional_id: String,
    protocol: Protocol,
    /// Another may take over the id, or a late call of our own.
    may_be_fenced: bool,
    /// Producer, epoch and outcome of the last marker, as far as it is known.
    last_marker: Option<(i64, i16, bool)>,
    has_meddled: bool,
    partitions: i32,
    phase: Phase,
    id: (i64, i16),
    /// Next sequence by partition, in this epoch.
    sequences: BTreeMap<i32, i32>,
    parts: Vec<Part>,
    /// Requests under way, by correlation; the part for a produce.
    in_flight: BTreeMap<i32, (Phase, usize)>,
    number: u64,
    left: u32,
    /// The broker refused a batch in a way that calls for an abort.
    must_abort: bool,
    ended: Transactions,
}

impl Transactor {
    pub(crate) fn new(name: String, protocol: Protocol, partitions: i32, count: u32) -> Self {
        Self {
            transactional_id: name.clone(),
            name,
            protocol,
            may_be_fenced: false,
            last_marker: None,
            has_meddled: false,
            partitions,
            phase: Phase::NeedsCoordinator,
            id: (-1, -1),
            sequences: BTreeMap::new(),
            parts: Vec::new(),
            in_flight: BTreeMap::new(),
            number: 0,
            left: count,
            must_abort: false,
            ended: Transactions::new(),
        }
    }

    /// Shares its id with another.
    pub(crate) fn with_id(self, transactional_id: &str) -> Self {
        let transactional_id = transactional_id.to_owned();
        Self { transactional_id, may_be_fenced: true, ..self }
    }

    fn group(&self) -> String {
        format!("{}.{}", self.name, self.number)
    }

    /// Sends what the phase asks for and is not under way.
    fn advance(&mut self, port: &mut Port) {
        if !port.connected || !self.in_flight.is_empty() {
            return;
        }
        if self.must_abort {
            self.must_abort = false;
            self.phase = Phase::Ending { commit: false };
        }
        match self.phase {
            Phase::NeedsCoordinator => {
                let request = FindCoordinatorRequest {
                    key: self.transactional_id.clone(),
                    key_type: TRANSACTION_KEY,
                    ..FindCoordinatorRequest::default()
                };
                self.sent(port.send(FIND_VERSION, &request), 0);
            }
            Phase::NeedsId => {
                let request = InitProducerIdRequest {
                    transactional_id: Some(self.transactional_id.clone()),
                    transaction_timeout_ms: 60_000,
                    ..InitProducerIdRequest::default()
                };
                self.sent(port.send(INIT_VERSION, &request), 0);
            }
            Phase::Idle if self.left > 0 => {
                self.begin(port);
                self.advance(port);
            }
            Phase::Idle => {}
            Phase::Adding => {
                let partitions = self.parts.iter().map(|part| part.partition).collect();
                let topic = AddPartitionsToTxnTopic { name: TOPIC.to_owned(), partitions };
                let request = AddPartitionsToTxnRequest {
                    v3_and_below_transactional_id: self.transactional_id.clone(),
                    v3_and_below_producer_id: self.id.0,
                    v3_and_below_producer_epoch: self.id.1,
                    v3_and_below_topics: vec![topic],
                    ..AddPartitionsToTxnRequest::default()
                };
                self.sent(port.send(ADD_PARTITIONS_VERSION, &request), 0);
            }
            Phase::Producing => {
                for place in 0..self.parts.len() {
                    if !self.parts[place].acknowledged {
                        self.send_part(port, place);
                    }
                }
            }
            Phase::Meddling => self.meddle(port),
            Phase::Ending { commit } => {
                let request = EndTxnRequest {
                    transactional_id: self.transactional_id.clone(),
                    producer_id: self.id.0,
                    producer_epoch: self.id.1,
                    committed: commit,
                };
                self.sent(port.send(self.protocol.end_version(), &request), 0);
            }
        }
    }

    fn sent(&mut self, correlation: i32, place: usize) {
        self.in_flight.insert(correlation, (self.phase, place));
    }

    fn begin(&mut self, port: &mut Port) {
        self.left -= 1;
        self.number += 1;
        let group = self.group();
        let mut number = 0;
        self.parts.clear();
        let only = port.random.below(self.partitions as u64) as i32;
        for partition in 0..self.partitions {
            if partition != only && !port.random.one_in(2) {
                continue;
            }
            let mut values = Vec::new();
            for _ in 0..1 + port.random.below(3) {
                values.push(Value { group: group.clone(), number });
                number += 1;
            }
            let next = self.sequences.entry(partition).or_insert(0);
            let sequence = *next;
            *next += values.len() as i32;
            self.parts.push(Part { partition, sequence, values, acknowledged: false });
        }
        self.phase = if self.protocol == Protocol::V1 { Phase::Adding } else { Phase::Producing };
    }

    fn send_part(&mut self, port: &mut Port, place: usize) {
        let part = &self.parts[place];
        let (id, epoch) = self.id;
        let mut builder = BatchBuilder::new()
            .producer(ProducerId(id), ProducerEpoch(epoch), part.sequence)
            .transactional();
        for value in &part.values {
            builder.push(port.now.wall_ms, None, Some(value.text().as_bytes()), &[]);
        }
        let records = builder.finish().expect("a small batch can be built");
        let request = produce(TOPIC, Some(&self.transactional_id), part.partition, records);
        let correlation = port.send(self.protocol.produce_version(), &request);
        self.sent(correlation, place);
    }

    /// Sends the marker of the last transaction once more, to all partitions, the other way round: if
    /// it ends anything, the harm is seen.
    fn meddle(&mut self, port: &mut Port) {
        let Some((producer_id, producer_epoch, committed)) = self.last_marker else { return };
        let topic = WritableTxnMarkerTopic {
            name: TOPIC.to_owned(),
            partition_indexes: self.parts.iter().map(|part| part.partition).collect(),
        };
        let marker = WritableTxnMarker {
            producer_id,
            producer_epoch,
            transaction_result: !committed,
            topics: vec![topic],
            coordinator_epoch: 0,
            transaction_version: 2,
        };
        let request = WriteTxnMarkersRequest { markers: vec![marker] };
        self.has_meddled = true;
        self.sent(port.send(MARKERS_VERSION, &request), 0);
    }

    fn note_ending(&mut self, ending: Ending) {
        let parts = self.parts.iter();
        let values = parts.flat_map(|part| part.values.iter().map(|v| (part.partition, v.clone())));
        self.ended.insert(self.group(), (ending, values.collect()));
        self.parts.clear();
        self.has_meddled = false;
    }

    /// Ends what is open by asking for the id again.
    fn give_up(&mut self) {
        self.must_abort = false;
        match self.phase {
            Phase::Ending { commit: true } => self.note_ending(Ending::Unknown),
            Phase::Adding
            | Phase::Producing
            | Phase::Meddling
            | Phase::Ending { commit: false } => {
                self.note_ending(Ending::Aborted);
            }
            Phase::NeedsCoordinator => return,
            Phase::NeedsId | Phase::Idle => {}
        }
        self.phase = Phase::NeedsId;
    }

    fn take_id(&mut self, id: (i64, i16)) {
        if id != self.id {
            self.id = id;
            self.sequences.clear();
            self.last_marker = None;
        }
    }

    /// What an answer says, and the step after it when it is good.
    fn judge(&mut self, phase: Phase, place: usize, frame: Bytes) -> Result<ErrorCode, Broken> {
        Ok(match phase {
            Phase::NeedsCoordinator => {
                let response = answer::<FindCoordinatorRequest>(FIND_VERSION, frame);
                if response.error_code == ErrorCode::NONE {
                    self.phase = Phase::NeedsId;
                }
                response.error_code
            }
            Phase::NeedsId => {
                let response = answer::<InitProducerIdRequest>(INIT_VERSION, frame);
                if response.error_code == ErrorCode::NONE {
                    self.take_id((response.producer_id, response.producer_epoch));
                    self.phase = Phase::Idle;
                }
                response.error_code
            }
            Phase::Adding => {
                let response = answer::<AddPartitionsToTxnRequest>(ADD_PARTITIONS_VERSION, frame);
                let results = response.results_by_topic_v3_and_below.iter();
                let mut codes = results.flat_map(|topic| &topic.results_by_partition);
                let wrong = codes.find(|part| part.partition_error_code != ErrorCode::NONE);
                if wrong.is_none() {
                    self.phase = Phase::Producing;
                }
                wrong.map_or(ErrorCode::NONE, |part| part.partition_error_code)
            }
            Phase::Producing => {
                let version = self.protocol.produce_version();
                let response = answer::<ProduceRequest>(version, frame);
                let mut parts = response.responses.iter().flat_map(|t| &t.partition_responses);
                let error = parts.next().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |p| p.error_code);
                if error == ErrorCode::NONE {
                    self.parts[place].acknowledged = true;
                }
                error
            }
            Phase::Ending { commit } => {
                let response = answer::<EndTxnRequest>(self.protocol.end_version(), frame);
                if response.error_code == ErrorCode::NONE {
                    let ending = if commit { Ending::Committed } else { Ending::Aborted };
                    self.note_ending(ending);
                    if self.protocol == Protocol::V2 {
                        // The marker carries the epoch that the next transaction has, unless the
                        // producer got another id.
                        let id = (response.producer_id, response.producer_epoch);
                        let same_producer = id.0 == self.id.0;
                        self.take_id(id);
                        self.last_marker = same_producer.then_some((id.0, id.1, commit));
                    }
                    self.phase = Phase::Idle;
                }
                response.error_code
            }
            Phase::Meddling => {
                self.phase = Phase::Producing;
                ErrorCode::NONE
            }
            Phase::Idle => {
                return Err(Broken::protocol(format!("{}: an answer to nothing", self.name)));
            }
        })
    }
}

impl Actor for Transactor {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn timer(&mut self, port: &mut Port) -> Result<(), Broken> {
        if self.is_done() {
            return Ok(());
        }
        if port.connected {
            self.advance(port);
        } else {
            port.connect();
        }
        port.wake_after(RETRY_AFTER);
        Ok(())
    }

    fn connected(&mut self, port: &mut Port) -> Result<(), Broken> {
        if port.random.one_in(3) {
            self.give_up();
        }
        self.advance(port);
        Ok(())
    }

    fn disconnected(&mut self, _: &mut Port) {
        self.in_flight.clear();
    }

    fn answered(&mut self, port: &mut Port, correlation: i32, frame: Bytes) -> Result<(), Broken> {
        let Some((phase, place)) = self.in_flight.remove(&correlation) else {
            // Of before it was fenced.
            return Ok(());
        };
        let error = self.judge(phase, place, frame)?;
        port.remark(format_args!("transaction {} {phase:?} {error:?}", self.number));
        if is_fenced(error) && self.may_be_fenced {
            self.in_flight.clear();
            self.give_up();
            return Ok(());
        }
        // The coordinator takes a commit under the epoch before for the repetition of one that it has
        // heard. When another owner of the id had the transaction aborted, there was none, and there
        // will be none.
        let aborted_by_another = phase == (Phase::Ending { commit: true })
            && error == ErrorCode::INVALID_TXN_STATE
            && self.protocol == Protocol::V2;
        if aborted_by_another && self.may_be_fenced {
            self.in_flight.clear();
            self.note_ending(Ending::Aborted);
            self.phase = Phase::NeedsId;
            return Ok(());
        }
        if phase == Phase::Producing && error == ErrorCode::INVALID_TXN_STATE {
            // Clients answer this with an abort, whatever the reason was.
            self.must_abort = true;
        } else if is_passing(error) {
            // The timer sends it again.
            return Ok(());
        } else if error != ErrorCode::NONE {
            let text = format!("{} {:?} {phase:?}: {error:?}", self.group(), self.protocol);
            return Err(Broken::protocol(text));
        }
        if self.phase == Phase::Producing
            && !self.must_abort
            && self.parts.iter().all(|part| part.acknowledged)
        {
            let meddles = !self.has_meddled && self.last_marker.is_some() && port.random.one_in(4);
            let end = Phase::Ending { commit: !port.random.one_in(3) };
            self.phase = if meddles { Phase::Meddling } else { end };
        }
        self.advance(port);
        let goes_on = port.faulty && !self.is_done();
        if self.protocol == Protocol::V2 && goes_on && port.random.one_in(40) {
            // What is under way goes on its way without us.
            self.may_be_fenced = true;
            self.disconnected(port);
            port.connect_beside();
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.left == 0 && self.phase == Phase::Idle
    }

    fn testimony(&self) -> Testimony {
        Testimony::Transactions(self.ended.clone())
    }
}
