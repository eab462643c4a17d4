//! What all tasks of an application share: topology, names, partition counts, rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstem_protocol::ids::Offset;

use super::TaskId;
use crate::error::StreamsError;
use crate::operator::BadRecords;
use crate::state::{AnyStore, Backend, ChangelogRecord, Slot, SlotWrites, Storage};
use crate::topology::{PartitionCounts, Reset, StoreId, Topology};

/// Upstream tasks whose watermarks fit, with room to spare, into the 4,096 bytes of metadata that
/// brokers keep with an offset.
const UPSTREAM_TASKS_MAX: i32 = 128;

/// How long a task with records on one input waits for another that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Not at all: whatever is there is processed.
    Never,
    /// Until the other input is known to have nothing on the broker, and so much longer.
    CaughtUpAnd { wait_ms: i64 },
}

/// An application that is ready to run: the topology with everything that was open decided.
pub struct Application {
    pub topology: Topology,
    pub application_id: String,
    pub counts: PartitionCounts,
    pub bad_records: BadRecords,
    pub idle: Idle,
}

/// The committed state of a process, by kind of storage.
#[derive(Clone)]
pub struct Backends {
    pub disk: Arc<dyn Backend>,
    pub memory: Arc<dyn Backend>,
}

impl Backends {
    pub fn of(&self, storage: Storage) -> &Arc<dyn Backend> {
        match storage {
            Storage::Disk => &self.disk,
            Storage::Memory => &self.memory,
        }
    }
}

impl Application {
    /// Decides all partition counts from those of the external topics.
    pub fn new(
        topology: Topology,
        application_id: &str,
        external: &BTreeMap<String, i32>,
        bad_records: BadRecords,
        idle: Idle,
    ) -> Result<Application, StreamsError> {
        let counts = topology.partition_counts(application_id, external)?;
        let application_id = application_id.to_owned();
        let application = Application { topology, application_id, counts, bad_records, idle };
        if application.has_watermarks() {
            application.check_watermarks()?;
        }
        Ok(application)
    }

    /// True if windows close by watermarks, which repartition topics then carry.
    pub fn has_watermarks(&self) -> bool {
        self.topology.graph.has_watermarks
    }

    /// All tasks, in order.
    pub fn tasks(&self) -> Vec<TaskId> {
        let counts = self.counts.tasks.iter().enumerate();
        counts
            .flat_map(|(sub, count)| (0..*count).map(move |partition| TaskId { sub, partition }))
            .collect()
    }

    /// Names of the source topics of a sub-topology that have the partition.
    pub fn source_topics(&self, task: TaskId) -> Vec<String> {
        let sub = &self.topology.subs[task.sub];
        let sources = sub.nodes.iter().filter_map(|id| self.topology.graph.nodes[id.0].source());
        let names = sources.map(|source| source.topic.resolve(&self.application_id));
        names.filter(|name| task.partition < self.partitions(name)).collect()
    }

    /// The sub-topology that reads the topic.
    pub fn sub_of(&self, topic: &str) -> Option<usize> {
        self.topology.subs.iter().position(|sub| {
            sub.nodes.iter().any(|id| {
                let source = self.topology.graph.nodes[id.0].source();
                source.is_some_and(|source| source.topic.resolve(&self.application_id) == topic)
            })
        })
    }

    /// Where the topic's source begins without a committed offset.
    pub(crate) fn reset_of(&self, topic: &str) -> Reset {
        let sources = self.topology.graph.nodes.iter().filter_map(|node| node.source());
        let mut own = sources.filter(|s| s.topic.resolve(&self.application_id) == topic);
        own.next().map_or(Reset::Earliest, |source| source.reset)
    }

    /// All stores of a task: slot, storage, changelog topic.
    pub fn slots(&self, task: TaskId) -> Vec<(StoreId, Slot, Storage, String)> {
        let sub = &self.topology.subs[task.sub];
        let stores = sub.stores.iter().map(|id| {
            let store = &self.topology.graph.stores[id.0];
            let slot = Slot { store: store.name.clone(), partition: task.partition };
            (*id, slot, store.storage, store.changelog(&self.application_id))
        });
        stores.collect()
    }

    /// The typed store of a task, without a task: for restoring and for looking at it.
    pub(crate) fn open_store(
        &self,
        id: StoreId,
        task: TaskId,
        backends: &Backends,
    ) -> Result<Box<dyn AnyStore>, StreamsError> {
        let spec = &self.topology.graph.stores[id.0];
        let backend = backends.of(spec.storage);
        backend.open_store(&spec.name)?;
        let slot = Slot { store: spec.name.clone(), partition: task.partition };
        Ok((spec.make)(slot, backend.clone()))
    }

    /// Writes records of a store's changelog to the backend; they reach up to `end` (exclusive).
    pub fn restore(
        &self,
        id: StoreId,
        task: TaskId,
        backends: &Backends,
        records: &[ChangelogRecord],
        end: Offset,
    ) -> Result<(), StreamsError> {
        let store = self.open_store(id, task, backends)?;
        let spec = &self.topology.graph.stores[id.0];
        let slot = Slot { store: spec.name.clone(), partition: task.partition };
        let writes: Result<Vec<_>, _> =
            records.iter().map(|record| store.restored(record)).collect();
        let (writes, storage) = (writes?, spec.storage);
        let written = SlotWrites { slot, storage, writes, changelog_offset: Some(end) };
        backends.of(storage).apply(&[written])
    }

    /// Partitions of a source topic.
    pub fn partitions(&self, topic: &str) -> i32 {
        self.counts.topics.get(topic).copied().unwrap_or(0)
    }

    fn check_watermarks(&self) -> Result<(), StreamsError> {
        let nodes = &self.topology.graph.nodes;
        for source in nodes.iter().filter_map(|node| node.source()) {
            let Some(writer) = self.topology.writer_of(&source.topic) else { continue };
            if source.topic.external().is_none() && self.counts.tasks[writer] > UPSTREAM_TASKS_MAX {
                return Err(StreamsError::Config(format!(
                    "with watermarks, repartition topic {} may be written by at most {} tasks, \
                     but it is by {}",
                    source.topic.resolve(&self.application_id),
                    UPSTREAM_TASKS_MAX,
                    self.counts.tasks[writer]
                )));
            }
        }
        Ok(())
    }
}
