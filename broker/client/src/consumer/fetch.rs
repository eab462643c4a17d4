//! Fetching in the background: each broker has its own connection, session and request in flight,
//! so that a long poll at one never delays the data of another.
//!
//! Invariants:
//! - At most one fetch in flight per broker.
//! - A partition is asked for while less than `max_partition_fetch_bytes` of it are buffered, and
//!   nothing is asked for while `fetch_max_bytes` are buffered in all.
//! - A paused partition is still fetched, up to its limit: resuming finds data at once.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstem_platform::{Instant, Now};
use mainstem_protocol::messages::FetchRequest;
use mainstem_protocol::messages::fetch::PartitionData;
use mainstem_protocol::{BrokerId, ErrorCode, LeaderEpoch, ProducerId};

use super::chunk::{Aborted, Chunk};
use super::machine::Tag;
use super::positions::{Positions, Want};
use super::session::{Session, Spec};
use crate::config::{AutoOffsetReset, ConsumerConfig};
use crate::core::list_offsets::{EARLIEST, LATEST};
use crate::core::metadata::Leader;
use crate::core::wire::Answer;
use crate::core::{Failure, Lane, Metadata, Route, Wire};
use crate::error::{Cause, ClientError};
use crate::records::TopicPartition;

/// Version 18 is for followers.
const VERSION_CAP: i16 = 17;
/// The last version that names topics by name.
const VERSION_OF_NAMES: i16 = 12;

/// A broker may not sleep long over idle partitions while others of its partitions only wait for
/// their buffers to be read.
const WAIT_WHILE_FULL: Duration = Duration::from_millis(20);

/// See the module's text.
pub(crate) struct Fetcher {
    config: ConsumerConfig,
    sessions: BTreeMap<BrokerId, Session>,
    /// For the next poll to report.
    pub(crate) failure: Option<ClientError>,
}

/// What to ask of one broker.
#[derive(Default)]
struct Plan {
    wanted: BTreeMap<TopicPartition, Spec>,
    /// A partition was left out because its buffer is full.
    full: bool,
}

impl Fetcher {
    pub(crate) fn new(config: ConsumerConfig) -> Self {
        Self { config, sessions: BTreeMap::new(), failure: None }
    }

    pub(crate) fn advance(
        &mut self,
        now: Now,
        wire: &mut Wire<Tag>,
        metadata: &mut Metadata,
        positions: &Positions,
    ) {
        if positions.buffered_bytes() >= self.config.fetch_max_bytes {
            return;
        }
        for (broker, plan) in self.plan(now.instant, metadata, positions) {
            let session = self.sessions.entry(broker).or_default();
            if session.in_flight || plan.wanted.is_empty() {
                continue;
            }
            let route = Route::new(broker, Lane::Data);
            if !wire.ready(now.instant, route) {
                continue;
            }
            let named = plan.wanted.values().any(|spec| spec.topic_id.is_none());
            let cap = if named { VERSION_OF_NAMES } else { VERSION_CAP };
            let full = plan.full;
            let wait =
                if full { self.config.max_wait.min(WAIT_WHILE_FULL) } else { self.config.max_wait };
            let mut request = FetchRequest {
                max_wait_ms: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
                min_bytes: i32::try_from(self.config.min_bytes).unwrap_or(i32::MAX),
                max_bytes: i32::try_from(self.config.fetch_max_bytes).unwrap_or(i32::MAX),
                isolation_level: self.config.isolation as i8,
                ..FetchRequest::default()
            };
            session.fill(&mut request, plan.wanted);
            let timeout = self.config.request_timeout + self.config.max_wait;
            wire.send(now.instant, route, &request, cap, timeout, Tag::Fetch(broker));
        }
    }

    fn plan(
        &self,
        now: Instant,
        metadata: &mut Metadata,
        positions: &Positions,
    ) -> BTreeMap<BrokerId, Plan> {
        let mut plans: BTreeMap<BrokerId, Plan> = BTreeMap::new();
        for (name, partition) in &positions.partitions {
            if !partition.can_fetch(now) {
                continue;
            }
            let (Some(leader), Some(topic)) = (metadata.leader(name), metadata.topic(&name.topic))
            else {
                metadata.want(&name.topic);
                metadata.request_update();
                continue;
            };
            let topic_id = topic.id;
            let plan = plans.entry(leader.broker).or_default();
            if partition.buffered_bytes >= self.config.max_partition_fetch_bytes {
                plan.full |= !partition.paused;
                continue;
            }
            let bytes_max = self.config.max_partition_fetch_bytes;
            let spec = Spec {
                topic_id,
                offset: partition.fetch_offset,
                leader_epoch: leader.epoch,
                bytes_max: i32::try_from(bytes_max).unwrap_or(i32::MAX),
            };
            plan.wanted.insert(name.clone(), spec);
        }
        plans
    }

    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        metadata: &mut Metadata,
        positions: &mut Positions,
        broker: BrokerId,
        result: Result<Answer, Failure>,
    ) {
        let Some(session) = self.sessions.get_mut(&broker) else { return };
        let response = match result.and_then(Answer::decode::<FetchRequest>) {
            Ok(response) => response,
            Err(failure) => {
                session.failed();
                metadata.request_update();
                if let Failure::Unsupported(_) = failure {
                    self.failure = Some(failure.into_error());
                }
                return;
            }
        };
        if response.error_code.is_error() {
            // The session is lost or was never made; the next request is full.
            session.failed();
            if !response.error_code.is_retriable() {
                let cause = Cause::of("fetch", response.error_code);
                self.failure = Some(ClientError::Refused(cause));
            }
            return;
        }
        let mut taken = Vec::new();
        for topic in response.responses {
            let name = match topic.topic_id.is_some() {
                true => metadata.name_of(topic.topic_id).cloned(),
                false => Some(topic.topic.as_str().into()),
            };
            let Some(name) = name else { continue };
            for data in topic.partitions {
                let partition =
                    TopicPartition { topic: name.clone(), partition: data.partition_index };
                let asked = session.asked(&partition).map(|spec| spec.offset);
                taken.push((partition, asked, data));
            }
        }
        session.answered(response.session_id);
        for (partition, asked, data) in taken {
            // While a partition looks for a new position its old fetch offset means nothing: what
            // was asked before a seek must not be delivered after it.
            let known = positions.partitions.get(&partition).filter(|p| p.position.is_some());
            let current = known.map(|p| p.fetch_offset);
            // The partition is no longer ours, or the position was moved meanwhile.
            if asked.is_some() && asked == current {
                self.handle_partition(now, metadata, positions, &partition, data);
            }
        }
    }

    fn handle_partition(
        &mut self,
        now: Instant,
        metadata: &mut Metadata,
        positions: &mut Positions,
        name: &TopicPartition,
        data: PartitionData,
    ) {
        let Some(partition) = positions.partitions.get_mut(name) else { return };
        match data.error_code {
            ErrorCode::NONE if data.diverging_epoch.end_offset >= 0 => {
                // The log was cut behind us: what was read beyond is no longer part of it.
                partition.go_to(data.diverging_epoch.end_offset.min(partition.fetch_offset));
            }
            ErrorCode::NONE => self.buffer(positions, name, data),
            ErrorCode::OFFSET_OUT_OF_RANGE => {
                // What is buffered is still good; its end is looked at when it was read.
                if partition.has_buffer() {
                    return partition.rest(now);
                }
                match self.config.auto_offset_reset {
                    AutoOffsetReset::Earliest => partition.look_for(Want::Time(EARLIEST)),
                    AutoOffsetReset::Latest => partition.look_for(Want::Time(LATEST)),
                    AutoOffsetReset::None => {
                        let at = partition.fetch_offset;
                        partition.rest(now);
                        let what = format!("{name} at offset {at}");
                        let cause = Cause::of(what, data.error_code);
                        self.failure = Some(ClientError::Refused(cause));
                    }
                }
            }
            code => {
                partition.rest(now);
                metadata.request_update();
                let leader = Leader {
                    broker: BrokerId(data.current_leader.leader_id),
                    epoch: LeaderEpoch(data.current_leader.leader_epoch),
                };
                metadata.learn_leader(name, leader);
                if !code.is_retriable() && code != ErrorCode::UNKNOWN_SERVER_ERROR {
                    let cause = Cause::of(format!("fetch from {name}"), code);
                    self.failure = Some(ClientError::Refused(cause));
                }
            }
        }
    }

    fn buffer(&mut self, positions: &mut Positions, name: &TopicPartition, data: PartitionData) {
        let Some(partition) = positions.partitions.get_mut(name) else { return };
        partition.high_watermark = data.high_watermark;
        partition.last_stable_offset = data.last_stable_offset;
        let bytes = data.records.as_ref().and_then(|records| records.bytes()).cloned();
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else { return };
        let Some(next) = Chunk::end_of(&bytes).filter(|next| *next > partition.fetch_offset) else {
            let text = format!("{name}: the broker sent no whole batch");
            self.failure = Some(ClientError::Retriable(Cause::text(text)));
            return;
        };
        let aborted = data.aborted_transactions.unwrap_or_default().into_iter();
        let aborted = aborted.map(|transaction| Aborted {
            first_offset: transaction.first_offset,
            producer_id: ProducerId(transaction.producer_id),
        });
        let from = partition.fetch_offset;
        let chunk = Chunk::new(&bytes, from, self.config.isolation, aborted.collect());
        partition.buffer(chunk, next);
    }
}
