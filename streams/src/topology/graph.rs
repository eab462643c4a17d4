//! Nodes, stores and names, as the builder collects them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{Codec, SchemaUse};
use crate::operator::{BadRecords, Batch, Operator};
use crate::state::{AnyStore, Backend, Slot, Storage};

/// Index of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

/// Index of a store; had from its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub(crate) usize);

/// A topic as the topology names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TopicName {
    External(String),
    Repartition(String),
}

impl TopicName {
    /// The topic's name on the broker.
    pub(crate) fn resolve(&self, application_id: &str) -> String {
        match self {
            TopicName::External(name) => name.clone(),
            TopicName::Repartition(name) => format!("{application_id}-{name}-repartition"),
        }
    }

    pub(crate) fn external(&self) -> Option<String> {
        match self {
            TopicName::External(name) => Some(name.clone()),
            TopicName::Repartition(_) => None,
        }
    }
}

/// Where a source begins without a committed offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    Earliest,
    Latest,
}

/// What a source reads.
#[derive(Clone, Debug)]
pub(crate) struct SourceSpec {
    pub(crate) topic: TopicName,
    pub(crate) reset: Reset,
    /// True: other inputs of the task wait until this one has ended.
    pub(crate) is_bounded: bool,
    /// A partition count that the program insists on, for repartition topics.
    pub(crate) partitions: Option<i32>,
}

/// What a sink writes.
#[derive(Clone, Debug)]
pub(crate) struct SinkSpec {
    pub(crate) topic: TopicName,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    Source(SourceSpec),
    Processor,
    Sink(SinkSpec),
}

/// A codec's wish for a schema registry, for keys or for values.
#[derive(Clone)]
pub(crate) struct SchemaNeed {
    pub(crate) is_key: bool,
    pub(crate) schema: Arc<dyn SchemaUse>,
}

/// What an operator is told when its task is made.
pub(crate) struct Wiring<'a> {
    pub(crate) application_id: &'a str,
    pub(crate) bad_records: BadRecords,
}

pub(crate) type MakeOperator = Box<dyn Fn(&Wiring<'_>) -> Box<dyn Operator> + Send + Sync>;
pub(crate) type MakeStore = Box<dyn Fn(Slot, Arc<dyn Backend>) -> Box<dyn AnyStore> + Send + Sync>;

/// One node.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) parents: Vec<NodeId>,
    pub(crate) stores: Vec<StoreId>,
    /// True: all sources that lead here must have equally many partitions.
    pub(crate) is_join: bool,
    /// True: records must come one by one, since the node looks at time between them.
    pub(crate) is_per_record: bool,
    pub(crate) schemas: Vec<SchemaNeed>,
    pub(crate) make: MakeOperator,
    /// Copies a batch that this node puts out.
    pub(crate) fork: fn(&Batch) -> Batch,
}

impl Node {
    pub(crate) fn source(&self) -> Option<&SourceSpec> {
        match &self.role {
            Role::Source(source) => Some(source),
            Role::Processor | Role::Sink(_) => None,
        }
    }

    pub(crate) fn sink(&self) -> Option<&SinkSpec> {
        match &self.role {
            Role::Sink(sink) => Some(sink),
            Role::Processor | Role::Source(_) => None,
        }
    }
}

/// One store.
pub(crate) struct StoreSpec {
    pub(crate) name: String,
    pub(crate) storage: Storage,
    /// True: its rows are windows, which leave it when they close.
    pub(crate) is_windowed: bool,
    pub(crate) schemas: Vec<SchemaNeed>,
    pub(crate) make: MakeStore,
}

impl StoreSpec {
    /// The name of the store's changelog topic.
    pub(crate) fn changelog(&self, application_id: &str) -> String {
        format!("{application_id}-{}-changelog", self.name)
    }
}

/// Everything the builder has collected.
#[derive(Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) stores: Vec<StoreSpec>,
    /// Mistakes that a method without a result has met; `build` reports them.
    pub(crate) mistakes: Vec<String>,
    pub(crate) has_watermarks: bool,
    counters: BTreeMap<&'static str, usize>,
}

impl Graph {
    /// A name for a node that the program gave none: the kind and a number.
    pub(crate) fn name(&mut self, kind: &'static str) -> String {
        let number = self.counters.entry(kind).or_default();
        *number += 1;
        format!("{kind}-{number}")
    }

    pub(crate) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    pub(crate) fn add_store(&mut self, store: StoreSpec) -> StoreId {
        self.stores.push(store);
        StoreId(self.stores.len() - 1)
    }
}

/// The wishes of a node's codecs.
pub(crate) fn needs<K: 'static, V: 'static>(
    keys: &dyn Codec<K>,
    values: &dyn Codec<V>,
) -> Vec<SchemaNeed> {
    let key = keys.schema().map(|schema| SchemaNeed { is_key: true, schema });
    let value = values.schema().map(|schema| SchemaNeed { is_key: false, schema });
    key.into_iter().chain(value).collect()
}
