//! A task: one sub-topology at one partition number, as a pure machine.
//!
//! ```text
//! handle_records(topic, records)    records fetched for one of the inputs
//! handle_caught_up(topic, yes)      whether more is known to wait on the broker
//! process(now_ms)                   take one batch and run it through the operators
//! take_outputs()                    what is to be sent now
//! prepare_commit()                  what must stand in the transaction, and what follows it
//! committed()                       it has committed
//! ```
//!
//! The shell owns the clients, the transaction and the disk. A task that meets an error, or whose
//! transaction fails, is dropped; a new one is opened from the committed offsets, their metadata
//! and the committed state. Nothing a task holds in memory matters beyond its transaction.
//!
//! Invariants:
//! - The offset to commit is that of the next record to process, not of the next to fetch.
//! - What is forwarded depends only on the order of the inputs' records, never on how they were
//!   split into fetches, batches or transactions.

mod application;
mod commit;
mod inputs;
mod metadata;
mod times;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::StreamsError;
use crate::operator::{Batch, Context, Counters, Operator, Outcome};
use crate::record::{InputRecord, NO_TIME, Output};
use crate::state::AnyStore;
use crate::topology::{NodeId, StoreId, SubTopology, TopicName, Wiring};

pub use application::{Application, Backends, Idle};
pub use commit::{Changelog, Commit, CommittedOffset};
pub(crate) use inputs::{Inputs, Taken};
pub(crate) use metadata::PartitionMetadata;

/// Keys that may be written between two commits before the task asks for a commit. Bounds what
/// stays in memory because the backend may not see it yet.
const DIRTY_KEYS_MAX: usize = 64 * 1024;

/// Sub-topology and partition number, shown as Kafka shows it: `0_3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    pub sub: usize,
    pub partition: i32,
}

impl std::fmt::Display for TaskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.sub, self.partition)
    }
}

/// What a call of `process` has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many records were taken.
    Processed(usize),
    /// There are records, but an input that may hold earlier ones has not caught up.
    Waiting,
    /// There is nothing to do.
    Idle,
}

/// An operator with its place in the task.
struct TaskNode {
    id: NodeId,
    operator: Box<dyn Operator>,
    /// Positions within the task.
    children: Vec<usize>,
    parents: Vec<usize>,
    fork: fn(&Batch) -> Batch,
    /// Time of what comes in; with watermarks only.
    watermark: i64,
    /// Time of what goes out: less than `watermark` where the operator keeps records back.
    forwarded: i64,
}

/// One task.
pub struct Task {
    id: TaskId,
    application: Arc<Application>,
    sub: SubTopology,
    nodes: Vec<TaskNode>,
    stores: BTreeMap<StoreId, Box<dyn AnyStore>>,
    inputs: Inputs,
    outputs: Vec<Output>,
    counters: Counters,
    is_commit_requested: bool,
    /// Records were processed that no commit covers.
    is_touched: bool,
    /// The watermark that each repartition topic was last told.
    announced: BTreeMap<Arc<str>, i64>,
}

impl Task {
    /// Opens a task over restored state. `committed` holds the committed offset metadata of its
    /// inputs by topic.
    pub fn open(
        id: TaskId,
        application: Arc<Application>,
        backends: &Backends,
        committed: &BTreeMap<String, String>,
    ) -> Result<Task, StreamsError> {
        let sub = application.topology.subs[id.sub].clone();
        let inputs = Inputs::new(id, &application, &sub);
        let nodes = make_nodes(&application, &sub);
        let mut stores = BTreeMap::new();
        for store in &sub.stores {
            stores.insert(*store, application.open_store(*store, id, backends)?);
        }
        let mut task = Task {
            id,
            application,
            sub,
            nodes,
            stores,
            inputs,
            outputs: Vec::new(),
            counters: Counters::default(),
            is_commit_requested: false,
            is_touched: false,
            announced: BTreeMap::new(),
        };
        task.restore_times(committed)?;
        Ok(task)
    }

    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Topic names of the inputs; the partition is the task's own.
    pub fn input_topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.inputs.topics()
    }

    /// Records fetched for an input, in offset order.
    pub fn handle_records(&mut self, topic: &str, records: Vec<InputRecord>) {
        self.inputs.push(topic, records);
    }

    /// Whether everything known to lie on the broker for this input has been handed over.
    pub fn handle_caught_up(&mut self, topic: &str, is_caught_up: bool) {
        self.inputs.set_caught_up(topic, is_caught_up);
    }

    /// Records waiting in the input, for backpressure.
    pub fn buffered_len(&self, topic: &str) -> usize {
        self.inputs.buffered_len(topic)
    }

    /// Takes one batch, if the rules let it be taken now, and runs it to the end.
    pub fn process(&mut self, now_ms: i64) -> Result<Step, StreamsError> {
        let taken = self.inputs.next(now_ms, &self.sub);
        let (source, batch, count) = match taken {
            Taken::Records { source, records } => {
                let count = records.len();
                (Some(source), Some(Box::new(records) as Batch), count)
            }
            Taken::Control => (None, None, 1),
            Taken::Waiting => return Ok(Step::Waiting),
            Taken::Idle => return Ok(Step::Idle),
        };
        self.is_touched = true;
        if let (Some(source), Some(batch)) = (source, batch) {
            let position = self.position(source);
            self.run(position, batch)?;
        }
        if self.application.has_watermarks() {
            self.advance()?;
        }
        Ok(Step::Processed(count))
    }

    /// What is to be sent, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// True if the task wants to commit before the interval is over.
    pub fn wants_commit(&self) -> bool {
        self.is_commit_requested
            || self.stores.values().map(|store| store.dirty_len()).sum::<usize>() > DIRTY_KEYS_MAX
    }

    /// True if something was processed that no commit covers.
    pub fn is_touched(&self) -> bool {
        self.is_touched
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// True once every sink and window of the task is behind the end of its inputs.
    pub fn is_ended(&self) -> bool {
        self.application.has_watermarks() && self.ends_reached()
    }

    fn position(&self, id: NodeId) -> usize {
        self.nodes
            .iter()
            .position(|node| node.id == id)
            .expect("an input's source belongs to the task's sub-topology")
    }

    fn run(&mut self, position: usize, batch: Batch) -> Result<(), StreamsError> {
        let outcome = self.step(position, |operator, context| operator.process(batch, context))?;
        match outcome {
            Some(batch) => self.forward(position, batch),
            None => Ok(()),
        }
    }

    fn forward(&mut self, position: usize, batch: Batch) -> Result<(), StreamsError> {
        let children = self.nodes[position].children.len();
        let Some(last) = children.checked_sub(1) else {
            return Ok(());
        };
        for child in 0..last {
            let copy = (self.nodes[position].fork)(&batch);
            self.run(self.nodes[position].children[child], copy)?;
        }
        self.run(self.nodes[position].children[last], batch)
    }

    fn step(
        &mut self,
        position: usize,
        call: impl FnOnce(&mut dyn Operator, &mut Context<'_>) -> Outcome,
    ) -> Outcome {
        let node = &mut self.nodes[position];
        let mut context = Context {
            stores: &mut self.stores,
            outputs: &mut self.outputs,
            counters: &mut self.counters,
            watermark: node.watermark,
            is_commit_requested: &mut self.is_commit_requested,
        };
        call(node.operator.as_mut(), &mut context)
    }
}

fn make_nodes(application: &Application, sub: &SubTopology) -> Vec<TaskNode> {
    let graph = &application.topology.graph;
    let wiring = Wiring {
        application_id: &application.application_id,
        bad_records: application.bad_records,
    };
    let local = |id: &NodeId| sub.nodes.iter().position(|other| other == id);
    sub.nodes
        .iter()
        .map(|id| {
            let node = &graph.nodes[id.0];
            let children = sub.nodes.iter().enumerate();
            let children = children.filter(|(_, child)| graph.nodes[child.0].parents.contains(id));
            TaskNode {
                id: *id,
                operator: (node.make)(&wiring),
                children: children.map(|(position, _)| position).collect(),
                parents: node.parents.iter().filter_map(local).collect(),
                fork: node.fork,
                watermark: NO_TIME,
                forwarded: NO_TIME,
            }
        })
        .collect()
}

/// The repartition topic that a node writes, if it writes one.
pub(crate) fn repartition_topic(application: &Application, id: NodeId) -> Option<Arc<str>> {
    let sink = application.topology.graph.nodes[id.0].sink()?;
    match &sink.topic {
        TopicName::Repartition(_) => {
            Some(Arc::from(sink.topic.resolve(&application.application_id)))
        }
        TopicName::External(_) => None,
    }
}

#[cfg(test)]
mod tests;
