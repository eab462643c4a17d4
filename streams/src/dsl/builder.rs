//! The builder: sources, stores, and the graph that all handles share.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::{Consumed, Materialized, Store, Stream, Table};
use crate::codec::{CodecOf, Data, Nullable};
use crate::error::StreamsError;
use crate::operator::{Operator, Source, TableSource, fork};
use crate::record::{Change, Item};
use crate::state::KeyValueStore;
use crate::topology::{
    self, Graph, Node, NodeId, Role, SourceSpec, StoreId, StoreSpec, TopicName, Topology,
};

pub(super) type Shared = Rc<RefCell<Graph>>;

/// Collects a topology.
#[derive(Default)]
pub struct Builder {
    graph: Shared,
}

impl Builder {
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Turns watermarks on for the whole topology: windows close by the least time of all inputs
    /// that can still reach them, not by the greatest time seen, and the end of a stream closes
    /// what is left. The crate's essay says exactly what this means.
    #[must_use]
    pub fn with_watermarks(self) -> Builder {
        self.graph.borrow_mut().has_watermarks = true;
        self
    }

    /// Reads a topic as a stream of records.
    pub fn stream<K: Item, V: Item>(&self, topic: impl Into<Consumed<K, V>>) -> Stream<K, V> {
        let consumed = topic.into();
        let (keys, values) = (consumed.keys.clone(), consumed.values.clone());
        let node = self.graph.borrow_mut().source(consumed);
        Stream::new(self.graph.clone(), node, Some(keys), Some(values))
    }

    /// Reads a topic as a table: each record replaces its key's row, null deletes it.
    pub fn table<K: Item, V: Item>(
        &self,
        topic: impl Into<Consumed<K, V>>,
        store: impl Into<Materialized<V>>,
    ) -> Table<K, V> {
        let consumed = topic.into();
        let (keys, values) = (consumed.keys.clone(), consumed.values.clone());
        let rows = Consumed {
            topic: consumed.topic,
            keys: consumed.keys,
            values: Arc::new(Nullable(consumed.values)) as CodecOf<Option<V>>,
            reset: consumed.reset,
            is_bounded: consumed.is_bounded,
        };
        let mut graph = self.graph.borrow_mut();
        let source = graph.source(rows);
        let store = graph.key_value_store(store.into(), keys.clone());
        let name = graph.name("table");
        let id = store.id;
        let node = graph.add(Node {
            name,
            role: Role::Processor,
            parents: vec![source],
            stores: vec![id],
            is_join: false,
            is_per_record: false,
            schemas: Vec::new(),
            make: Box::new(move |_| Box::new(TableSource::<K, V>::new(id)) as Box<dyn Operator>),
            fork: fork::<K, Change<V>>,
        });
        drop(graph);
        Table::new(self.graph.clone(), node, Some(store), Some(keys), Some(values))
    }

    /// A key-value store for processors.
    pub fn kv_store<K: Data, V: Item>(&self, store: impl Into<Materialized<V>>) -> Store<K, V> {
        self.graph.borrow_mut().key_value_store(store.into(), K::codec())
    }

    /// Checks everything and takes the topology out of the builder.
    pub fn build(&self) -> Result<Topology, StreamsError> {
        topology::build(std::mem::take(&mut *self.graph.borrow_mut()))
    }
}

impl Graph {
    pub(super) fn source<K: Item, V: Item>(&mut self, consumed: Consumed<K, V>) -> NodeId {
        let spec = SourceSpec {
            topic: TopicName::External(consumed.topic),
            reset: consumed.reset,
            is_bounded: consumed.is_bounded,
            partitions: None,
        };
        self.source_of(spec, consumed.keys, consumed.values)
    }

    pub(super) fn source_of<K: Item, V: Item>(
        &mut self,
        spec: SourceSpec,
        keys: CodecOf<K>,
        values: CodecOf<V>,
    ) -> NodeId {
        let name = self.name("source");
        let schemas = topology::needs(keys.as_ref(), values.as_ref());
        let topic = spec.topic.clone();
        self.add(Node {
            name,
            role: Role::Source(spec),
            parents: Vec::new(),
            stores: Vec::new(),
            is_join: false,
            is_per_record: false,
            schemas,
            make: Box::new(move |wiring| {
                Box::new(Source {
                    topic: topic.resolve(wiring.application_id),
                    keys: keys.clone(),
                    values: values.clone(),
                    bad_records: wiring.bad_records,
                })
            }),
            fork: fork::<K, V>,
        })
    }

    pub(super) fn key_value_store<K: Item, V: Item>(
        &mut self,
        materialized: Materialized<V>,
        keys: CodecOf<K>,
    ) -> Store<K, V> {
        let Materialized { name, values, storage } = materialized;
        let schemas = topology::needs(keys.as_ref(), values.as_ref());
        let id: StoreId = self.add_store(StoreSpec {
            name: name.clone(),
            storage,
            is_windowed: false,
            schemas,
            make: Box::new(move |slot, backend| {
                Box::new(KeyValueStore::new(slot, keys.clone(), values.clone(), backend))
            }),
        });
        Store::new(id, name)
    }
}
