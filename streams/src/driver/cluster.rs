//! The test driver's world: topics, committed offsets and tasks, all in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mainstem_protocol::ids::Offset;

use crate::codec::{SchemaId, SchemaUse};
use crate::error::StreamsError;
use crate::operator::Counters;
use crate::record::{Header, InputRecord, Output};
use crate::state::{ChangelogRecord, MemoryBackend};
use crate::task::{Application, Backends, PartitionMetadata, Step, Task, TaskId};
use crate::topology::StoreId;

/// A record in a topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) timestamp: i64,
    pub(super) headers: Vec<Header>,
}

struct Running {
    task: Task,
    /// Outputs taken from the task that its next commit makes visible.
    uncommitted: Vec<Output>,
    /// How far each input was fetched.
    fetched: BTreeMap<String, usize>,
}

type TopicPartition = (String, i32);

pub(super) struct Cluster {
    pub(super) application: Arc<Application>,
    pub(super) is_manual: bool,
    counts: BTreeMap<String, i32>,
    logs: BTreeMap<TopicPartition, Vec<Written>>,
    committed: BTreeMap<TopicPartition, (Offset, String)>,
    running: BTreeMap<TaskId, Running>,
    backends: BTreeMap<TaskId, Backends>,
    drained: BTreeMap<TopicPartition, usize>,
    schemas: Vec<String>,
}

impl Cluster {
    pub(super) fn new(application: &Arc<Application>, counts: BTreeMap<String, i32>) -> Cluster {
        let mut all_counts = counts;
        all_counts.extend(application.counts.topics.clone());
        for task in application.tasks() {
            for (_, _, _, changelog) in application.slots(task) {
                all_counts.insert(changelog, application.counts.tasks[task.sub]);
            }
        }
        let mut cluster = Cluster {
            application: application.clone(),
            is_manual: false,
            counts: all_counts,
            logs: BTreeMap::new(),
            committed: BTreeMap::new(),
            running: BTreeMap::new(),
            backends: BTreeMap::new(),
            drained: BTreeMap::new(),
            schemas: Vec::new(),
        };
        for user in application.topology.schema_uses(&application.application_id) {
            cluster.register(Some(user.need.schema));
        }
        for task in application.tasks() {
            cluster.open(task);
        }
        cluster
    }

    pub(super) fn partitions(&self, topic: &str) -> i32 {
        self.counts.get(topic).copied().unwrap_or(1)
    }

    /// Gives a codec's schema its number, and the codec all schemas that there are.
    pub(super) fn register(&mut self, schema: Option<Arc<dyn SchemaUse>>) {
        let Some(schema) = schema else { return };
        let definition = schema.definition();
        let known = self.schemas.iter().position(|other| *other == definition);
        let index = known.unwrap_or_else(|| {
            self.schemas.push(definition.clone());
            self.schemas.len() - 1
        });
        let id = SchemaId(u32::try_from(index + 1).expect("a test has few schemas"));
        schema.registered(id);
        schema.learn(id, &definition).expect("a codec reads its own schema");
    }

    pub(super) fn append(&mut self, topic: &str, partition: Option<i32>, record: Written) {
        let partitions = self.partitions(topic);
        let partition = partition.unwrap_or_else(|| match &record.key {
            Some(key) => mainstem_protocol::partitioner::partition_for_key(key, partitions),
            None => 0,
        });
        self.logs.entry((topic.to_owned(), partition)).or_default().push(record);
    }

    pub(super) fn drain(&mut self, topic: &str) -> Vec<Written> {
        let mut drained = Vec::new();
        for partition in 0..self.partitions(topic) {
            let place = (topic.to_owned(), partition);
            let Some(log) = self.logs.get(&place) else { continue };
            let from = self.drained.insert(place, log.len()).unwrap_or(0);
            drained.extend_from_slice(&log[from..]);
        }
        drained
    }

    /// Fetches, processes and commits until nothing is left to do.
    pub(super) fn settle(&mut self) -> Result<(), StreamsError> {
        if self.is_manual {
            return Ok(());
        }
        loop {
            let mut is_idle = true;
            for task in self.application.tasks() {
                self.fetch(task, usize::MAX);
                while let Step::Processed(_) = self.process(task)? {
                    self.commit(task)?;
                    is_idle = false;
                }
            }
            if is_idle {
                return Ok(());
            }
        }
    }

    pub(super) fn fetch(&mut self, task: TaskId, limit: usize) {
        for topic in self.application.source_topics(task) {
            let log = self.logs.get(&(topic.clone(), task.partition));
            let Some(running) = self.running.get_mut(&task) else { continue };
            let from = running.fetched.get(&topic).copied().unwrap_or(0);
            let end = log.map_or(0, Vec::len);
            let to = from.saturating_add(limit).min(end);
            let records = (from..to).filter_map(|at| log.map(|log| input_record(at, &log[at])));
            running.task.handle_records(&topic, records.collect());
            running.task.handle_caught_up(&topic, to == end);
            running.fetched.insert(topic, to);
        }
    }

    pub(super) fn process(&mut self, task: TaskId) -> Result<Step, StreamsError> {
        let running = self.running.get_mut(&task).expect("every task of the application runs");
        let step = running.task.process(0)?;
        running.uncommitted.extend(running.task.take_outputs());
        Ok(step)
    }

    pub(super) fn commit(&mut self, task: TaskId) -> Result<(), StreamsError> {
        let running = self.running.get_mut(&task).expect("every task of the application runs");
        let mut commit = running.task.prepare_commit()?;
        let outputs: Vec<Output> =
            running.uncommitted.drain(..).chain(commit.outputs.drain(..)).collect();
        for output in outputs {
            let Output { topic, partition, key, value, timestamp, headers } = output;
            self.append(&topic, partition, Written { key, value, timestamp, headers });
        }
        for (changelog, written) in commit.changelogs.iter().zip(&mut commit.writes) {
            for record in &changelog.records {
                let ChangelogRecord { key, value, timestamp } = record.clone();
                let record = Written { key: Some(key), value, timestamp, headers: Vec::new() };
                self.append(&changelog.topic, Some(task.partition), record);
            }
            let place = (changelog.topic.to_string(), task.partition);
            let end = self.logs.get(&place).map_or(0, Vec::len);
            written.changelog_offset = Some(Offset(end as i64));
        }
        for offset in commit.offsets {
            let place = (offset.topic.to_string(), offset.partition);
            self.committed.insert(place, (offset.offset, offset.metadata));
        }
        self.backends[&task].disk.apply(&commit.writes)?;
        self.running.get_mut(&task).expect("it has just committed").task.committed();
        Ok(())
    }

    pub(super) fn crash(&mut self, task: TaskId, is_state_lost: bool) {
        if is_state_lost {
            self.backends.remove(&task);
        }
        self.running.remove(&task);
        self.open(task);
    }

    pub(super) fn with_stores<S: 'static, R>(
        &mut self,
        id: StoreId,
        look: impl Fn(&mut S) -> Result<R, StreamsError>,
    ) -> Result<Vec<R>, StreamsError> {
        let mut results = Vec::new();
        for (task, backends) in &self.backends {
            if !self.application.slots(*task).iter().any(|(store, ..)| *store == id) {
                continue;
            }
            let mut store = self.application.open_store(id, *task, backends)?;
            let store = store.as_any_mut().downcast_mut::<S>();
            results.push(look(store.expect("a store has the type of its handle"))?);
        }
        Ok(results)
    }

    pub(super) fn counters(&self) -> Counters {
        let mut sum = Counters::default();
        for running in self.running.values() {
            sum.add(running.task.counters());
        }
        sum
    }

    pub(super) fn is_ended(&self) -> bool {
        self.application.tasks().into_iter().all(|task| {
            let mut topics = self.application.source_topics(task).into_iter();
            topics.any(|topic| {
                let committed = self.committed.get(&(topic, task.partition));
                committed
                    .and_then(|(_, metadata)| PartitionMetadata::decode(metadata))
                    .is_some_and(|metadata| metadata.has_ended())
            })
        })
    }

    fn open(&mut self, task: TaskId) {
        let opened = self.restore(task).and_then(|backends| {
            let topics = self.application.source_topics(task);
            let committed = topics.iter().filter_map(|topic| {
                let committed = self.committed.get(&(topic.clone(), task.partition))?;
                Some((topic.clone(), committed.clone()))
            });
            let committed: BTreeMap<String, (Offset, String)> = committed.collect();
            let fetched = committed.iter().map(|(topic, (offset, _))| {
                (topic.clone(), usize::try_from(offset.0).expect("offsets are not negative"))
            });
            let fetched = fetched.collect();
            let metadata = committed.into_iter().map(|(topic, (_, text))| (topic, text)).collect();
            let task = Task::open(task, self.application.clone(), &backends, &metadata)?;
            Ok(Running { task, uncommitted: Vec::new(), fetched })
        });
        self.running.insert(task, opened.unwrap_or_else(|error| panic!("{error}")));
    }

    /// Brings the task's state up to its changelogs.
    fn restore(&mut self, task: TaskId) -> Result<Backends, StreamsError> {
        let fresh = || {
            let disk: Arc<MemoryBackend> = Arc::default();
            Backends { disk: disk.clone(), memory: disk }
        };
        let backends = self.backends.entry(task).or_insert_with(fresh).clone();
        for (id, slot, storage, changelog) in self.application.slots(task) {
            let from = backends.of(storage).changelog_offset(&slot)?.unwrap_or(Offset(0));
            let place = (changelog, task.partition);
            let log = self.logs.get(&place).map_or(&[][..], Vec::as_slice);
            let from = usize::try_from(from.0).expect("offsets are not negative");
            let records = log[from..].iter().map(|record| ChangelogRecord {
                key: record.key.clone().unwrap_or_default(),
                value: record.value.clone(),
                timestamp: record.timestamp,
            });
            let records: Vec<ChangelogRecord> = records.collect();
            let end = Offset(log.len() as i64);
            self.application.restore(id, task, &backends, &records, end)?;
        }
        Ok(backends)
    }
}

fn input_record(offset: usize, written: &Written) -> InputRecord {
    InputRecord {
        offset: Offset(offset as i64),
        timestamp: written.timestamp,
        key: written.key.clone(),
        value: written.value.clone(),
        headers: written.headers.clone(),
    }
}
