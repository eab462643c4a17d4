//! Looking up offsets by time, at the leaders of many partitions.
//!
//! A job is a set of partitions, each with a time (or -1 for the end, -2 for the beginning). It is
//! cut into one request per leader; what fails for a passing reason is asked again, and the first
//! final refusal ends the job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mainstem_platform::{Instant, Now};
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::ListOffsetsRequest;
use mainstem_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};

use super::backoff::Backoff;
use super::metadata::{Leader, Metadata};
use super::wire::{Answer, Failure, Lane, Route, Wire};
use crate::config::Isolation;
use crate::error::{Cause, ClientError, Result};
use crate::limits::{RETRY_BACKOFF, RETRY_BACKOFF_MAX};
use crate::records::TopicPartition;

/// Later versions know more special times and local log ends, which are not asked for.
const VERSION_CAP: i16 = 7;

pub(crate) const LATEST: i64 = -1;
pub(crate) const EARLIEST: i64 = -2;

/// What was found: -1 when no record is that late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JobId(u64);

pub(crate) type JobResult = Result<BTreeMap<TopicPartition, Found>>;

#[derive(Debug)]
struct Job {
    wanted: BTreeMap<TopicPartition, i64>,
    in_flight: BTreeSet<TopicPartition>,
    found: BTreeMap<TopicPartition, Found>,
    backoff: Backoff,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ListOffsets {
    isolation: Isolation,
    timeout: Duration,
    next: u64,
    jobs: BTreeMap<JobId, Job>,
}

impl ListOffsets {
    pub(crate) fn new(isolation: Isolation, timeout: Duration) -> Self {
        Self { isolation, timeout, next: 0, jobs: BTreeMap::new() }
    }

    pub(crate) fn start(
        &mut self,
        wanted: impl IntoIterator<Item = (TopicPartition, i64)>,
    ) -> JobId {
        let id = JobId(self.next);
        self.next += 1;
        let job = Job {
            wanted: wanted.into_iter().collect(),
            in_flight: BTreeSet::new(),
            found: BTreeMap::new(),
            backoff: Backoff::new(RETRY_BACKOFF, RETRY_BACKOFF_MAX),
        };
        self.jobs.insert(id, job);
        id
    }

    /// The topics that a job still asks for.
    pub(crate) fn topics(&self, id: JobId) -> impl Iterator<Item = &Arc<str>> {
        self.jobs.get(&id).into_iter().flat_map(|job| job.wanted.keys()).map(|p| &p.topic)
    }

    pub(crate) fn cancel(&mut self, id: JobId) {
        self.jobs.remove(&id);
    }

    /// Sends what can be sent; `tag` names job and partitions of a request.
    pub(crate) fn advance<T>(
        &mut self,
        now: Now,
        wire: &mut Wire<T>,
        metadata: &mut Metadata,
        tag: impl Fn(JobId, Vec<TopicPartition>) -> T,
    ) {
        for (id, job) in &mut self.jobs {
            if !job.backoff.ready(now.instant) {
                continue;
            }
            for (broker, asked) in by_leader(job, metadata) {
                let route = Route::new(broker, Lane::Control);
                if !wire.ready(now.instant, route) {
                    continue;
                }
                let request = ListOffsetsRequest {
                    replica_id: -1,
                    isolation_level: self.isolation as i8,
                    topics: by_topic(&asked),
                    ..ListOffsetsRequest::default()
                };
                let partitions: Vec<TopicPartition> = asked.into_iter().map(|a| a.0).collect();
                job.in_flight.extend(partitions.iter().cloned());
                let tag = tag(*id, partitions);
                wire.send(now.instant, route, &request, VERSION_CAP, self.timeout, tag);
            }
        }
    }

    /// The end of a job, if this was it.
    pub(crate) fn handle_answer<T>(
        &mut self,
        now: Instant,
        wire: &mut Wire<T>,
        metadata: &mut Metadata,
        id: JobId,
        partitions: &[TopicPartition],
        result: Result<Answer, Failure>,
    ) -> Option<JobResult> {
        let job = self.jobs.get_mut(&id)?;
        for partition in partitions {
            job.in_flight.remove(partition);
        }
        let refused = match result.and_then(Answer::decode::<ListOffsetsRequest>) {
            Ok(response) => job.apply(&response),
            Err(failure @ Failure::Unsupported(_)) => Some(failure.into_error()),
            Err(_) => None,
        };
        if refused.is_some() {
            self.jobs.remove(&id);
            return refused.map(Err);
        }
        if partitions.iter().any(|partition| job.wanted.contains_key(partition)) {
            metadata.request_update();
            job.backoff.failed(now, wire.random());
        }
        if job.wanted.is_empty() {
            return self.jobs.remove(&id).map(|job| Ok(job.found));
        }
        None
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        self.jobs.values().filter_map(|job| job.backoff.deadline(now)).min()
    }
}

impl Job {
    /// A refusal that asking again will not change.
    fn apply(
        &mut self,
        response: &mainstem_protocol::messages::ListOffsetsResponse,
    ) -> Option<ClientError> {
        for topic in &response.topics {
            for answer in &topic.partitions {
                let partition = TopicPartition::new(topic.name.as_str(), answer.partition_index);
                match answer.error_code {
                    ErrorCode::NONE => {
                        let (offset, timestamp_ms) = (answer.offset, answer.timestamp);
                        if self.wanted.remove(&partition).is_some() {
                            self.found.insert(partition, Found { offset, timestamp_ms });
                        }
                    }
                    code if code.is_retriable() => {}
                    code => {
                        let cause = Cause::of(format!("offsets of {partition}"), code);
                        return Some(ClientError::Refused(cause));
                    }
                }
            }
        }
        None
    }
}

type Asked = (TopicPartition, i64, Leader);

fn by_leader(
    job: &Job,
    metadata: &mut Metadata,
) -> BTreeMap<mainstem_protocol::BrokerId, Vec<Asked>> {
    let mut leaders: BTreeMap<_, Vec<Asked>> = BTreeMap::new();
    for (partition, time) in &job.wanted {
        if job.in_flight.contains(partition) {
            continue;
        }
        match metadata.leader(partition) {
            Some(leader) => {
                leaders.entry(leader.broker).or_default().push((partition.clone(), *time, leader));
            }
            None => {
                metadata.want(&partition.topic);
                metadata.request_update();
            }
        }
    }
    leaders
}

fn by_topic(asked: &[Asked]) -> Vec<ListOffsetsTopic> {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (partition, time, leader) in asked {
        let entry = ListOffsetsPartition {
            partition_index: partition.partition,
            current_leader_epoch: leader.epoch.0,
            timestamp: *time,
        };
        match topics.last_mut().filter(|topic| *topic.name == *partition.topic) {
            Some(topic) => topic.partitions.push(entry),
            None => topics.push(ListOffsetsTopic {
                name: partition.topic.to_string(),
                partitions: vec![entry],
            }),
        }
    }
    topics
}
