//! An idempotent producer with several batches in flight, on the wire.
//!
//! It does what Kafka's clients do: sequences per partition, up to five requests under way, and after
//! a passing error or a lost connection it waits for what is under way, then sends everything that is
//! not acknowledged again, in order, with the same sequences. So any loss, any repetition and any
//! change of order that the broker lets happen shows in the log.
//!
//! Rule that it checks itself: the first batch that is not acknowledged is never out of order.

use super::{INIT_VERSION, RETRY_AFTER, TOPIC, is_passing};
use crate::oracle::{Testimony, Value};
use crate::port::{Actor, Broken, Port, answer};
use bytes::Bytes;
use mainstem_platform::Random as _;
use mainstem_protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use mainstem_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use mainstem_protocol::record::BatchBuilder;
use mainstem_protocol::{ErrorCode, ProducerEpoch, ProducerId};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const PRODUCE_VERSION: i16 = 9;
/// What idempotence allows.
const IN_FLIGHT_MAX: usize = 5;

#[derive(Debug)]
struct Unacknowledged {
    sequence: i32,
    values: Vec<Value>,
    under_way: bool,
}

#[derive(Debug, Default)]
struct Lane {
    next_sequence: i32,
    next_number: u64,
    queue: VecDeque<Unacknowledged>,
    /// The partition knows this producer. Before, it takes any sequence for the first one, so
    /// nothing may follow a first batch whose fate is unknown.
    known: bool,
}

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Producer {
    name: String,
    id: Option<(i64, i16)>,
    lanes: Vec<Lane>,
    /// Requests under way: correlation to partition and sequence; `None` asks for an id.
    in_flight: BTreeMap<i32, Option<(usize, i32)>>,
    /// Something failed: nothing new leaves until everything under way has come back.
    stumbled: bool,
    left: u64,
    acknowledged: Vec<(i32, i64, Value)>,
}

impl Producer {
    pub(crate) fn new(name: String, partitions: i32, records: u64) -> Self {
        Self {
            name,
            id: None,
            lanes: (0..partitions).map(|_| Lane::default()).collect(),
            in_flight: BTreeMap::new(),
            stumbled: false,
            left: records,
            acknowledged: Vec::new(),
        }
    }

    /// Now and then the client gives up its connection, while what it has sent is still on its way.
    /// What arrives late is a repetition then.
    fn lose_patience(&mut self, port: &mut Port) {
        if port.faulty && port.random.one_in(60) {
            self.disconnected(port);
            port.connect_beside();
        }
    }

    /// Sends what may be sent.
    fn advance(&mut self, port: &mut Port) {
        if !port.connected {
            return;
        }
        if self.id.is_none() {
            if self.in_flight.is_empty() {
                let request = InitProducerIdRequest {
                    transactional_id: None,
                    transaction_timeout_ms: 60_000,
                    ..InitProducerIdRequest::default()
                };
                let correlation = port.send(INIT_VERSION, &request);
                self.in_flight.insert(correlation, None);
            }
            return;
        }
        if self.stumbled {
            if !self.in_flight.is_empty() {
                return;
            }
            self.stumbled = false;
        }
        for partition in 0..self.lanes.len() {
            for place in 0..self.lanes[partition].queue.len() {
                if !self.lanes[partition].queue[place].under_way {
                    self.send(port, partition, place);
                }
            }
        }
        while self.left > 0 && self.in_flight.len() < IN_FLIGHT_MAX {
            let partition = port.random.below(self.lanes.len() as u64) as usize;
            if !self.lanes[partition].known && !self.lanes[partition].queue.is_empty() {
                break;
            }
            let count = (1 + port.random.below(3)).min(self.left);
            self.left -= count;
            let lane = &mut self.lanes[partition];
            let group = &self.name;
            let number = lane.next_number..lane.next_number + count;
            let values = number.map(|number| Value { group: group.clone(), number }).collect();
            let sequence = lane.next_sequence;
            lane.next_number += count;
            lane.next_sequence += count as i32;
            lane.queue.push_back(Unacknowledged { sequence, values, under_way: false });
            let place = lane.queue.len() - 1;
            self.send(port, partition, place);
        }
    }

    fn send(&mut self, port: &mut Port, partition: usize, place: usize) {
        // After a reconnection more than five may wait; the rest follows as answers come.
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            return;
        }
        let Some((id, epoch)) = self.id else { return };
        let batch = &mut self.lanes[partition].queue[place];
        batch.under_way = true;
        let sequence = batch.sequence;
        let mut builder =
            BatchBuilder::new().producer(ProducerId(id), ProducerEpoch(epoch), sequence);
        for value in &batch.values {
            builder.push(port.now.wall_ms, None, Some(value.text().as_bytes()), &[]);
        }
        let records = builder.finish().expect("a small batch can be built");
        let request = produce(TOPIC, None, partition as i32, records);
        let correlation = port.send(PRODUCE_VERSION, &request);
        self.in_flight.insert(correlation, Some((partition, sequence)));
    }

    fn produced(
        &mut self,
        partition: usize,
        sequence: i32,
        error: ErrorCode,
        base_offset: i64,
    ) -> Result<(), Broken> {
        let lane = &mut self.lanes[partition];
        let place = lane.queue.iter().position(|batch| batch.sequence == sequence);
        let Some(place) = place else {
            let text = format!("{}: an answer nobody waits for", self.name);
            return Err(Broken::protocol(text));
        };
        let batch = &mut lane.queue[place];
        batch.under_way = false;
        if error == ErrorCode::NONE {
            if base_offset < 0 {
                let text = format!("{}: {partition} #{sequence} has no offset", self.name);
                return Err(Broken::protocol(text));
            }
            for (delta, value) in batch.values.iter().enumerate() {
                let offset = base_offset + delta as i64;
                self.acknowledged.push((partition as i32, offset, value.clone()));
            }
            lane.queue.remove(place);
            lane.known = true;
            return Ok(());
        }
        let follows_failure = place > 0 && error == ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER;
        if !follows_failure && !is_passing(error) {
            let name = &self.name;
            let text = format!("{name}: {partition} #{sequence} is refused: {error:?}");
            return Err(Broken::protocol(text));
        }
        self.stumbled = true;
        Ok(())
    }
}

/// A request with one batch for one partition.
pub(super) fn produce(
    topic: &str,
    transactional_id: Option<&str>,
    index: i32,
    records: Bytes,
) -> ProduceRequest {
    let partition_data = vec![PartitionProduceData { index, records: Some(records) }];
    let name = topic.to_owned();
    ProduceRequest {
        transactional_id: transactional_id.map(str::to_owned),
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData { name, partition_data, ..TopicProduceData::default() }],
    }
}

impl Actor for Producer {
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
        self.advance(port);
        Ok(())
    }

    fn disconnected(&mut self, _: &mut Port) {
        self.in_flight.clear();
        for batch in self.lanes.iter_mut().flat_map(|lane| &mut lane.queue) {
            batch.under_way = false;
        }
    }

    fn answered(&mut self, port: &mut Port, correlation: i32, frame: Bytes) -> Result<(), Broken> {
        match self.in_flight.remove(&correlation) {
            None => return Err(Broken::protocol(format!("{}: no such request", self.name))),
            Some(None) => {
                let response = answer::<InitProducerIdRequest>(INIT_VERSION, frame);
                match response.error_code {
                    ErrorCode::NONE => {
                        self.id = Some((response.producer_id, response.producer_epoch));
                    }
                    error if is_passing(error) => return Ok(()),
                    error => {
                        let text = format!("{}: no id: {error:?}", self.name);
                        return Err(Broken::protocol(text));
                    }
                }
            }
            Some(Some((partition, sequence))) => {
                let response = answer::<ProduceRequest>(PRODUCE_VERSION, frame);
                let answers =
                    response.responses.iter().flat_map(|topic| &topic.partition_responses);
                for part in answers {
                    self.produced(partition, sequence, part.error_code, part.base_offset)?;
                }
            }
        }
        if port.random.one_in(4) {
            // Let the pipeline run dry now and then.
            let pause_ms = 1 + port.random.below(30);
            port.wake_after(Duration::from_millis(pause_ms));
        } else {
            self.advance(port);
            self.lose_patience(port);
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.left == 0 && self.lanes.iter().all(|lane| lane.queue.is_empty())
    }

    fn testimony(&self) -> Testimony {
        Testimony::Sent { acknowledged: self.acknowledged.clone() }
    }
}
