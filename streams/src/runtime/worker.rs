//! One thread of an application: poll, process, send, commit.
//!
//! A life of a worker lasts from connecting to the first error. Errors that another life may not
//! meet (a fenced producer, a lost broker, an aborted transaction) end it without a commit, and the
//! next life begins from what is committed. The others end the worker, and with it the application.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstem_client::{
    AutoOffsetReset, ClientError, Consumer, ConsumerConfig, Isolation, OffsetAndMetadata,
    PartitionBatch, Polled, Rebalance, TopicPartition,
};
use mainstem_platform::Clock;
use mainstem_platform::os::OsClock;
use mainstem_protocol::ids::Offset;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::restore::Restorer;
use super::sender::{Sender, offset_behind};
use super::{Guarantee, Shared, client_error};
use crate::assignment::{Standing, TaskAssignor};
use crate::codec::CodecError;
use crate::error::StreamsError;
use crate::record::{Header, InputRecord};
use crate::state::SlotWrites;
use crate::task::{Commit, Idle, Step, Task, TaskId};
use crate::topology::Reset;

/// The longest wait for records; also how soon a stop is noticed.
const POLL_MAX: Duration = Duration::from_millis(100);

/// Records buffered per input before its partition is paused, and under which it is resumed.
const BUFFERED_MAX: usize = 10_000;
const BUFFERED_RESUME: usize = BUFFERED_MAX / 2;

/// Batches that each task may process before the worker polls again.
const BATCHES_PER_ROUND: usize = 4;

/// Between two lives.
const BACKOFF: Duration = Duration::from_millis(250);

/// How long saying good-bye may take when a life has ended by an error.
const FAREWELL: Duration = Duration::from_secs(2);

/// Lives without a commit or a rest in between that are believed to make sense.
type Progress = Instant;

/// Runs a worker until the application stops or an error ends it.
pub(super) async fn run(shared: Arc<Shared>, index: usize) -> Result<(), StreamsError> {
    let standing = Standing { process: shared.directory.process, tasks: shared.at_home.clone() };
    let standing = Arc::new(Mutex::new(standing));
    let mut progress: Progress = Instant::now();
    loop {
        let error = match Worker::live(&shared, index, &standing, &mut progress).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let is_passing = error.is_recoverable() || resolve_schema(&shared, &error).await;
        if !is_passing || progress.elapsed() > shared.config.recovery_timeout {
            tracing::error!(%error, index, "the worker has failed");
            *shared.failure.lock() = Some(error.to_string());
            shared.is_stopping.store(true, Ordering::Release);
            shared.changed.notify_waiters();
            return Err(error);
        }
        if shared.is_stopping.load(Ordering::Acquire) {
            return Ok(());
        }
        tracing::warn!(%error, index, "beginning anew from the last commit");
        tokio::time::sleep(BACKOFF).await;
    }
}

/// A schema that was met in the state, where it could not be seen before: fetches it.
async fn resolve_schema(shared: &Shared, error: &StreamsError) -> bool {
    let StreamsError::Codec { source: CodecError::UnknownSchema(id), .. } = error else {
        return false;
    };
    match &shared.registry {
        Some(registry) => registry.resolve_everywhere(*id).await.is_ok(),
        None => false,
    }
}

struct Worker {
    shared: Arc<Shared>,
    index: usize,
    standing: Arc<Mutex<Standing>>,
    consumer: Consumer,
    sender: Sender,
    restorer: Restorer,
    tasks: BTreeMap<TaskId, Task>,
    /// Sub-topologies by source topic.
    subs: BTreeMap<String, usize>,
    /// Ends of partitions as last heard.
    ends: BTreeMap<TopicPartition, i64>,
    paused: BTreeSet<TopicPartition>,
    last_commit: Instant,
}

impl Worker {
    async fn live(
        shared: &Arc<Shared>,
        index: usize,
        standing: &Arc<Mutex<Standing>>,
        progress: &mut Progress,
    ) -> Result<(), StreamsError> {
        let mut worker = Worker::connect(shared, index, standing).await?;
        let result = worker.work(progress).await;
        let ended = match &result {
            Ok(()) => Ok(()),
            Err(_) => tokio::time::timeout(FAREWELL, worker.sender.abort()).await,
        };
        if ended.is_err() {
            tracing::debug!("the abort was not answered in time");
        }
        worker.tasks.clear();
        worker.count();
        let farewell = async {
            worker.sender.close().await;
            if let Err(error) = worker.consumer.close().await {
                tracing::debug!(%error, "the consumer did not close in good order");
            }
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        result
    }

    async fn connect(
        shared: &Arc<Shared>,
        index: usize,
        standing: &Arc<Mutex<Standing>>,
    ) -> Result<Worker, StreamsError> {
        let config = &shared.config;
        let process = shared.directory.process_text();
        let id = format!("{}-{process}-{index}", config.application_id);
        let sender = Sender::connect(config, id.clone()).await?;
        let isolation = match config.guarantee {
            Guarantee::ExactlyOnceV2 => Isolation::ReadCommitted,
            Guarantee::AtLeastOnce => Isolation::ReadUncommitted,
        };
        let assignor =
            TaskAssignor { application: shared.application.clone(), standing: standing.clone() };
        let settings = ConsumerConfig::new(config.bootstrap.clone())
            .client_id(id.clone())
            .group_id(config.application_id.clone())
            // A process that comes back takes its old place at once, instead of waiting until
            // the group takes its former self for dead.
            .group_instance_id(id)
            .isolation(isolation)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .session_timeout(config.session_timeout)
            .heartbeat_interval(config.session_timeout / 5)
            .max_poll_records(BUFFERED_MAX)
            .assignors(vec![Arc::new(assignor)]);
        let failed = |error| client_error("connect the consumer", error);
        let consumer = Consumer::connect(settings).await.map_err(failed)?;
        let restorer = Restorer::connect(config).await?;
        let mut subs = BTreeMap::new();
        for task in shared.application.tasks() {
            let topics = shared.application.source_topics(task);
            subs.extend(topics.into_iter().map(|topic| (topic, task.sub)));
        }
        let topics: Vec<&str> = subs.keys().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(failed)?;
        Ok(Worker {
            shared: shared.clone(),
            index,
            standing: standing.clone(),
            consumer,
            sender,
            restorer,
            tasks: BTreeMap::new(),
            subs,
            ends: BTreeMap::new(),
            paused: BTreeSet::new(),
            last_commit: Instant::now(),
        })
    }

    async fn work(&mut self, progress: &mut Progress) -> Result<(), StreamsError> {
        let mut has_more = false;
        while !self.shared.is_stopping.load(Ordering::Acquire) {
            let polled = self.poll(has_more).await?;
            if let Some(rebalance) = polled.rebalance {
                self.rebalance(rebalance).await?;
            }
            for batch in polled.batches {
                self.feed(batch).await?;
            }
            has_more = self.process().await?;
            let is_due = self.last_commit.elapsed() >= self.shared.config.commit_interval;
            if is_due || self.tasks.values().any(Task::wants_commit) {
                self.commit().await?;
                *progress = Instant::now();
            }
            self.apply_backpressure();
        }
        self.commit().await
    }

    async fn poll(&mut self, has_more: bool) -> Result<Polled, StreamsError> {
        let until_commit =
            self.shared.config.commit_interval.saturating_sub(self.last_commit.elapsed());
        let timeout = match has_more {
            true => Duration::ZERO,
            false if self.tasks.values().any(Task::is_touched) => until_commit.min(POLL_MAX),
            false => POLL_MAX,
        };
        match self.consumer.poll(timeout).await {
            Ok(polled) => Ok(polled),
            Err(ClientError::Retriable(cause)) => {
                tracing::debug!(%cause, "polling again");
                tokio::time::sleep(BACKOFF).await;
                Ok(Polled::default())
            }
            Err(error) => Err(client_error("poll", error)),
        }
    }

    async fn rebalance(&mut self, rebalance: Rebalance) -> Result<(), StreamsError> {
        match rebalance {
            Rebalance::Revoked(_) => {
                self.commit().await?;
                self.close_tasks();
            }
            Rebalance::Lost(partitions) => {
                tracing::warn!(?partitions, "the group went on without this member");
                self.sender.abort().await;
                self.close_tasks();
            }
            Rebalance::Assigned { partitions, .. } => self.open_tasks(&partitions).await?,
        }
        Ok(())
    }

    fn close_tasks(&mut self) {
        self.tasks.clear();
        self.ends.clear();
        self.paused.clear();
    }

    async fn open_tasks(&mut self, partitions: &[TopicPartition]) -> Result<(), StreamsError> {
        self.close_tasks();
        let tasks: BTreeSet<TaskId> = partitions.iter().filter_map(|p| self.task_of(p)).collect();
        // The answer waits until no transaction is open on these offsets, so whatever an earlier
        // owner began has ended and is whole in the changelogs too, or will never be.
        let committed = self.consumer.committed(partitions).await;
        let committed = committed.map_err(|error| client_error("fetch offsets", error))?;
        let ids: Vec<TaskId> = tasks.iter().copied().collect();
        self.restorer.restore(&self.shared, &ids).await?;
        for place in partitions {
            self.seek(place, committed.get(place)).await?;
        }
        for id in &tasks {
            let own = committed.iter().filter(|(place, _)| self.task_of(place) == Some(*id));
            let metadata =
                own.map(|(place, offset)| (place.topic.to_string(), offset.metadata.clone()));
            let (application, backends) = (self.shared.application.clone(), &self.shared.backends);
            let task = Task::open(*id, application, backends, &metadata.collect())?;
            self.tasks.insert(*id, task);
        }
        let shown: Vec<String> = tasks.iter().map(ToString::to_string).collect();
        tracing::info!(index = self.index, tasks = shown.join(" "), "tasks are assigned");
        self.standing.lock().tasks = tasks;
        self.last_commit = Instant::now();
        self.tell_ended();
        Ok(())
    }

    async fn seek(
        &mut self,
        place: &TopicPartition,
        committed: Option<&OffsetAndMetadata>,
    ) -> Result<(), StreamsError> {
        let failed = |error| client_error("seek", error);
        let places = std::slice::from_ref(place);
        let known = committed.map(|committed| committed.offset).filter(|offset| *offset >= 0);
        let offset = match (known, self.shared.application.reset_of(&place.topic)) {
            (Some(offset), _) => Some(offset),
            (None, Reset::Earliest) => {
                let found = self.consumer.beginning_offsets(places).await.map_err(failed)?;
                found.get(place).copied()
            }
            (None, Reset::Latest) => {
                let found = self.consumer.end_offsets(places).await.map_err(failed)?;
                found.get(place).copied()
            }
        };
        let Some(offset) = offset else {
            return Err(StreamsError::Abort(format!("the place to begin in {place} is not known")));
        };
        self.consumer.seek(place, offset).map_err(failed)
    }

    async fn feed(&mut self, batch: PartitionBatch) -> Result<(), StreamsError> {
        let place = batch.topic_partition;
        if let Some(registry) = &self.shared.registry {
            registry.resolve(&place.topic, &batch.records).await?;
        }
        let end = match self.shared.config.guarantee {
            Guarantee::ExactlyOnceV2 => batch.last_stable_offset,
            Guarantee::AtLeastOnce => batch.high_watermark,
        };
        self.ends.insert(place.clone(), end);
        let Some(task) = self.task_of(&place).and_then(|id| self.tasks.get_mut(&id)) else {
            return Ok(());
        };
        let records = batch.records.into_iter().map(|record| InputRecord {
            offset: Offset(record.offset),
            timestamp: record.timestamp_ms,
            key: record.key,
            value: record.value,
            headers: record
                .headers
                .into_iter()
                .map(|header| Header { key: header.key, value: header.value })
                .collect(),
        });
        task.handle_records(&place.topic, records.collect());
        Ok(())
    }

    /// A round over all tasks; true if one of them has more to do.
    async fn process(&mut self) -> Result<bool, StreamsError> {
        let now_ms = OsClock.now().wall_ms;
        self.tell_caught_up();
        let (mut has_more, mut waits) = (false, false);
        for task in self.tasks.values_mut() {
            for _ in 0..BATCHES_PER_ROUND {
                let step = task.process(now_ms)?;
                has_more |= matches!(step, Step::Processed(_));
                waits |= step == Step::Waiting;
                if !matches!(step, Step::Processed(_)) {
                    break;
                }
            }
            self.sender.send(task.take_outputs()).await?;
        }
        if waits {
            self.look_at_ends().await?;
        }
        self.count();
        Ok(has_more)
    }

    fn tell_caught_up(&mut self) {
        if self.shared.config.idle == Idle::Never {
            return;
        }
        for (id, task) in &mut self.tasks {
            let topics: Vec<Arc<str>> = task.input_topics().cloned().collect();
            for topic in topics {
                let place = TopicPartition::new(topic.clone(), id.partition);
                let position = self.consumer.position(&place);
                let known = self.ends.get(&place).zip(position);
                task.handle_caught_up(&topic, known.is_some_and(|(end, at)| at >= *end));
            }
        }
    }

    /// Asks for the ends of inputs that hold others back without having records.
    async fn look_at_ends(&mut self) -> Result<(), StreamsError> {
        let mut places = Vec::new();
        for (id, task) in &self.tasks {
            for topic in task.input_topics().filter(|topic| task.buffered_len(topic) == 0) {
                places.push(TopicPartition::new(topic.clone(), id.partition));
            }
        }
        let ends = self.consumer.end_offsets(&places).await;
        match ends {
            Ok(ends) => self.ends.extend(ends),
            Err(ClientError::Retriable(cause)) => tracing::debug!(%cause, "asking for ends again"),
            Err(error) => return Err(client_error("ask for ends", error)),
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), StreamsError> {
        self.last_commit = Instant::now();
        let touched: Vec<TaskId> =
            self.tasks.iter().filter(|(_, task)| task.is_touched()).map(|(id, _)| *id).collect();
        if touched.is_empty() {
            return Ok(());
        }
        let (mut writes, mut offsets) = (Vec::new(), Vec::new());
        let mut reached = Vec::new();
        for id in &touched {
            let Some(task) = self.tasks.get_mut(id) else { continue };
            let commit = task.prepare_commit()?;
            self.sender.send(task.take_outputs()).await?;
            let Commit { outputs, changelogs, offsets: own, writes: own_writes } = commit;
            self.sender.send(outputs).await?;
            for changelog in &changelogs {
                reached.push(self.sender.send_changelog(changelog).await?);
            }
            writes.extend(own_writes);
            offsets.extend(own.into_iter().map(|offset| {
                let place = TopicPartition::new(offset.topic, offset.partition);
                let (at, metadata) = (offset.offset.0, offset.metadata);
                (place, OffsetAndMetadata { offset: at, leader_epoch: None, metadata })
            }));
        }
        self.sender.flush().await?;
        let mut at = Vec::new();
        for delivery in reached {
            at.push(match delivery {
                Some(delivery) => Some(offset_behind(delivery).await?),
                None => None,
            });
        }
        self.sender.commit(&self.consumer, &offsets).await?;
        self.keep(writes, at)?;
        for id in &touched {
            if let Some(task) = self.tasks.get_mut(id) {
                task.committed();
            }
        }
        self.tell_ended();
        Ok(())
    }

    /// Writes the committed state, each slot with the offset that its changelog has reached.
    fn keep(
        &self,
        writes: Vec<SlotWrites>,
        reached: Vec<Option<Offset>>,
    ) -> Result<(), StreamsError> {
        let writes = writes
            .into_iter()
            .zip(reached)
            .map(|(written, changelog_offset)| SlotWrites { changelog_offset, ..written });
        let (disk, memory): (Vec<SlotWrites>, Vec<SlotWrites>) =
            writes.partition(|written| written.storage == crate::state::Storage::Disk);
        self.shared.backends.disk.apply(&disk)?;
        self.shared.backends.memory.apply(&memory)
    }

    fn apply_backpressure(&mut self) {
        for (id, task) in &self.tasks {
            for topic in task.input_topics() {
                let place = TopicPartition::new(topic.clone(), id.partition);
                let buffered = task.buffered_len(topic);
                if buffered >= BUFFERED_MAX && self.paused.insert(place.clone()) {
                    self.consumer.pause(&[place]);
                } else if buffered <= BUFFERED_RESUME && self.paused.remove(&place) {
                    self.consumer.resume(&[place]);
                }
            }
        }
    }

    fn task_of(&self, place: &TopicPartition) -> Option<TaskId> {
        let sub = *self.subs.get(place.topic.as_ref())?;
        Some(TaskId { sub, partition: place.partition })
    }

    fn tell_ended(&self) {
        let ended = self.tasks.iter().filter(|(_, task)| task.is_ended() && !task.is_touched());
        let mut all = self.shared.ended.lock();
        let before = all.len();
        all.extend(ended.map(|(id, _)| *id));
        if all.len() > before {
            self.shared.changed.notify_waiters();
        }
    }

    /// Publishes what the tasks have counted.
    fn count(&self) {
        let mut all = self.shared.counters.lock();
        let sum = all.entry(self.index).or_default();
        *sum = Default::default();
        for task in self.tasks.values() {
            sum.add(task.counters());
        }
    }
}
