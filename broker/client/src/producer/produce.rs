//! Composing produce requests: which batches leave, in which request, under which sequence.
//!
//! One request holds at most one batch per partition, as brokers demand, and fills up to
//! `max_request_bytes`; the partitions take turns at being first.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstem_platform::{Instant, Now};
use mainstem_protocol::BrokerId;
use mainstem_protocol::compression::Level;
use mainstem_protocol::messages::ProduceRequest;
use mainstem_protocol::messages::produce::{PartitionProduceData, TopicProduceData};

use super::ack::Acknowledged;
use super::batch::Stamp;
use super::flow::{Flow, Next, Ticket};
use super::sender::{Sender, Tag};
use super::transaction::{Identity, Transaction};
use crate::config::Acks;
use crate::core::{Failure, Lane, Route};
use crate::error::Result;
use crate::records::TopicPartition;

/// Version 12 is TV2's; 13 names topics by id, which a topic that is made anew would break.
const PRODUCE_V1_CAP: i16 = 11;
const PRODUCE_V2_CAP: i16 = 12;
/// What a produce request weighs besides its batches, with room to spare.
const REQUEST_OVERHEAD_BYTES: usize = 512;

impl Sender {
    /// Sends what may be sent.
    pub(super) fn produce(&mut self, now: Now) {
        let Some(identity) = self.identity() else { return };
        let mut by_broker = self.sendable(now.instant, identity);
        for (broker, partitions) in &mut by_broker {
            let route = Route::new(*broker, Lane::Data);
            if !self.wire.ready(now.instant, route) {
                continue;
            }
            self.turn = self.turn.wrapping_add(1);
            let turn = self.turn % partitions.len().max(1);
            partitions.rotate_left(turn);
            while self.wire.in_flight(route) < self.config.max_in_flight
                && self.produce_to(now.instant, route, identity, partitions)
            {}
        }
    }

    /// Partitions that may have something to send, by the broker that leads them.
    fn sendable(
        &mut self,
        now: Instant,
        identity: Identity,
    ) -> BTreeMap<BrokerId, Vec<TopicPartition>> {
        let mut candidates: Vec<TopicPartition> =
            self.accumulator.lock().ready(now).cloned().collect();
        let waiting = |flow: &Flow| flow.in_flight() < flow.unacked.len();
        let again = self.flows.iter().filter(|(_, flow)| waiting(flow)).map(|(p, _)| p.clone());
        candidates.extend(again);
        candidates.sort();
        candidates.dedup();
        let mut by_broker: BTreeMap<BrokerId, Vec<TopicPartition>> = BTreeMap::new();
        for partition in candidates {
            if let Some(transaction) = &mut self.transaction
                && !transaction.may_send(&partition)
            {
                continue;
            }
            let flow = self.flows.entry(partition.clone()).or_insert_with(|| Flow::new(identity));
            if flow.next(now, identity) == Next::Nothing {
                continue;
            }
            match self.metadata.leader(&partition) {
                Some(leader) => by_broker.entry(leader.broker).or_default().push(partition),
                None => self.metadata.request_update(),
            }
        }
        by_broker
    }

    /// One request with the next batch of each partition. False when there was nothing.
    fn produce_to(
        &mut self,
        now: Instant,
        route: Route,
        identity: Identity,
        partitions: &[TopicPartition],
    ) -> bool {
        let ticket = Ticket(self.next_ticket);
        let mut left = self.config.max_request_bytes.saturating_sub(REQUEST_OVERHEAD_BYTES);
        let mut chosen: Vec<(TopicPartition, Bytes)> = Vec::new();
        for partition in partitions {
            let Some(flow) = self.flows.get_mut(partition) else { continue };
            let bytes = match flow.next(now, identity) {
                Next::Nothing => continue,
                Next::Again => {
                    self.retries += 1;
                    let Some(first) = flow.unacked.front_mut() else { continue };
                    if !chosen.is_empty() && left < first.bytes.len() {
                        continue;
                    }
                    first.ticket = Some(ticket);
                    first.bytes.clone()
                }
                Next::Fresh => match self.take(now, partition, ticket, left, chosen.is_empty()) {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => continue,
                    Err(error) => {
                        self.fail_fatal(&error);
                        return false;
                    }
                },
            };
            left = left.saturating_sub(bytes.len());
            chosen.push((partition.clone(), bytes));
        }
        if chosen.is_empty() {
            return false;
        }
        self.next_ticket += 1;
        self.send_produce(now, route, ticket, chosen);
        true
    }

    /// Takes the next batch from the accumulator and stamps it. The lock is not held meanwhile:
    /// compression takes long.
    fn take(
        &mut self,
        now: Instant,
        partition: &TopicPartition,
        ticket: Ticket,
        left: usize,
        first: bool,
    ) -> Result<Option<Bytes>> {
        let taken = {
            let mut accumulator = self.accumulator.lock();
            let fits = accumulator.next_size(partition).is_some_and(|size| size <= left);
            let due = accumulator.is_due(now, partition);
            if due && (fits || first) { accumulator.take(partition) } else { None }
        };
        let (Some(mut batch), Some(flow)) = (taken, self.flows.get_mut(partition)) else {
            return Ok(None);
        };
        assert!(batch.topic_partition() == partition, "a batch never leaves for another partition");
        let stamp = Stamp {
            identity: flow.identity,
            sequence: flow.next_sequence,
            transactional: self.transaction.is_some(),
            compression: self.config.compression,
            level: self.config.compression_level.map_or(Level::DEFAULT, Level::of),
        };
        match batch.encode(&stamp) {
            Ok(bytes) => {
                flow.push(batch, bytes.clone(), ticket);
                Ok(Some(bytes))
            }
            Err(error) => {
                self.finish(&batch, Err(error.clone()));
                Err(error)
            }
        }
    }

    fn send_produce(
        &mut self,
        now: Instant,
        route: Route,
        ticket: Ticket,
        mut chosen: Vec<(TopicPartition, Bytes)>,
    ) {
        chosen.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut topic_data: Vec<TopicProduceData> = Vec::new();
        for (partition, bytes) in &chosen {
            let data =
                PartitionProduceData { index: partition.partition, records: Some(bytes.clone()) };
            match topic_data.last_mut().filter(|topic| *topic.name == *partition.topic) {
                Some(topic) => topic.partition_data.push(data),
                None => topic_data.push(TopicProduceData {
                    name: partition.topic.to_string(),
                    partition_data: vec![data],
                    ..TopicProduceData::default()
                }),
            }
        }
        let timeout = self.config.request_timeout;
        let request = ProduceRequest {
            transactional_id: self.config.transactional_id.clone(),
            acks: match self.config.acks {
                Acks::All => -1,
                Acks::Leader => 1,
                Acks::None => 0,
            },
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data,
        };
        let v2 = self.transaction.as_ref().is_some_and(Transaction::is_v2);
        let cap = if v2 { PRODUCE_V2_CAP } else { PRODUCE_V1_CAP };
        let partitions: Vec<TopicPartition> = chosen.into_iter().map(|(p, _)| p).collect();
        if self.config.acks == Acks::None {
            let result = self.wire.send_unanswered(route, &request, cap);
            self.finish_unanswered(ticket, &partitions, &result);
        } else {
            let tag = Tag::Produce(ticket, partitions);
            self.wire.send(now, route, &request, cap, timeout, tag);
        }
    }

    fn finish_unanswered(
        &mut self,
        ticket: Ticket,
        partitions: &[TopicPartition],
        result: &Result<(), Failure>,
    ) {
        let acknowledged = Acknowledged { base_offset: -1, log_append_time_ms: None };
        for partition in partitions {
            let Some(flow) = self.flows.get_mut(partition) else { continue };
            let Some(index) = flow.find(ticket) else { continue };
            if let Some(sent) = flow.acknowledged(index) {
                let result = result.clone().map(|()| acknowledged).map_err(Failure::into_error);
                self.finish(&sent.batch, result);
            }
        }
    }
}
