//! Streams: what can be done with a flow of independent records.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;

use super::builder::Shared;
use super::{Produced, Repartitioned, Table};
use crate::codec::{CodecOf, Data};
use crate::operator::{Joiner, ProcessNode, Processor, Sink, TableJoin, Transform, Typed, fork};
use crate::record::{Item, Rec};
use crate::topology::{self, Node, NodeId, Reset, Role, SinkSpec, SourceSpec, StoreId, TopicName};

/// A stream of records with keys `K` and values `V`.
pub struct Stream<K, V> {
    pub(super) graph: Shared,
    pub(super) node: NodeId,
    /// Codecs known for the types here, inherited as long as the type stays.
    pub(super) keys: Option<CodecOf<K>>,
    pub(super) values: Option<CodecOf<V>>,
    /// True: a record may lie in another partition than its key belongs to.
    pub(super) is_key_changed: bool,
}

impl<K, V> Clone for Stream<K, V> {
    fn clone(&self) -> Self {
        Stream {
            graph: self.graph.clone(),
            node: self.node,
            keys: self.keys.clone(),
            values: self.values.clone(),
            is_key_changed: self.is_key_changed,
        }
    }
}

impl<K: Item, V: Item> Stream<K, V> {
    pub(super) fn new(
        graph: Shared,
        node: NodeId,
        keys: Option<CodecOf<K>>,
        values: Option<CodecOf<V>>,
    ) -> Stream<K, V> {
        Stream { graph, node, keys, values, is_key_changed: false }
    }

    /// Changes each value; the key stays.
    pub fn map_values<W: Item>(
        &self,
        f: impl Fn(&K, V) -> W + Send + Sync + 'static,
    ) -> Stream<K, W> {
        let node = self.transform("map-values", move |record: Rec<K, V>, out| {
            let Rec { key, value, timestamp, headers } = record;
            let value = f(&key, value);
            out.push(Rec { key, value, timestamp, headers });
        });
        self.with_values(node, None)
    }

    /// Changes key and value of each record.
    pub fn map<L: Item, W: Item>(
        &self,
        f: impl Fn(K, V) -> (L, W) + Send + Sync + 'static,
    ) -> Stream<L, W> {
        let node = self.transform("map", move |record: Rec<K, V>, out| {
            let (key, value) = f(record.key, record.value);
            let Rec { timestamp, headers, .. } =
                Rec { key: (), value: (), timestamp: record.timestamp, headers: record.headers };
            out.push(Rec { key, value, timestamp, headers });
        });
        Stream { is_key_changed: true, ..Stream::new(self.graph.clone(), node, None, None) }
    }

    /// Keeps the records for which `f` holds.
    pub fn filter(&self, f: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Stream<K, V> {
        let node = self.transform("filter", move |record: Rec<K, V>, out| {
            if f(&record.key, &record.value) {
                out.push(record);
            }
        });
        self.at(node)
    }

    /// Makes any number of values of each; the key stays.
    pub fn flat_map_values<W: Item, I: IntoIterator<Item = W>>(
        &self,
        f: impl Fn(&K, V) -> I + Send + Sync + 'static,
    ) -> Stream<K, W> {
        let node = self.transform("flat-map-values", move |record: Rec<K, V>, out| {
            let Rec { key, value, timestamp, headers } = record;
            for value in f(&key, value) {
                let (key, headers) = (key.clone(), headers.clone());
                out.push(Rec { key, value, timestamp, headers });
            }
        });
        self.with_values(node, None)
    }

    /// Looks at each record.
    pub fn peek(&self, f: impl Fn(&K, &V) + Send + Sync + 'static) -> Stream<K, V> {
        let node = self.transform("peek", move |record: Rec<K, V>, out| {
            f(&record.key, &record.value);
            out.push(record);
        });
        self.at(node)
    }

    /// Gives each record another key.
    pub fn select_key<L: Item>(
        &self,
        f: impl Fn(&K, &V) -> L + Send + Sync + 'static,
    ) -> Stream<L, V> {
        let node = self.transform("select-key", move |record: Rec<K, V>, out| {
            let key = f(&record.key, &record.value);
            out.push(record.with_key(key));
        });
        let stream = Stream::new(self.graph.clone(), node, None, self.values.clone());
        Stream { is_key_changed: true, ..stream }
    }

    /// Both streams as one; there is no order between their records.
    pub fn merge(&self, other: &Stream<K, V>) -> Stream<K, V> {
        let node = self.transform_of("merge", vec![self.node, other.node], |record, out| {
            out.push(record);
        });
        Stream { is_key_changed: self.is_key_changed || other.is_key_changed, ..self.at(node) }
    }

    /// Writes the stream to a topic.
    pub fn to(&self, topic: impl Into<Produced<K, V>>) {
        let Produced { topic, keys, values } = topic.into();
        self.sink(TopicName::External(topic), keys, values);
    }

    /// Sends the stream through a repartition topic, so that records of one key meet.
    pub fn repartition(&self, through: impl Into<Repartitioned<K, V>>) -> Stream<K, V> {
        let Repartitioned { name, keys, values, partitions } = through.into();
        let topic = TopicName::Repartition(name);
        self.sink(topic.clone(), keys.clone(), values.clone());
        let spec = SourceSpec { topic, reset: Reset::Earliest, is_bounded: false, partitions };
        let node = self.graph.borrow_mut().source_of(spec, keys.clone(), values.clone());
        Stream::new(self.graph.clone(), node, Some(keys), Some(values))
    }

    /// Joins each record with the row of its key; records without a row are left out.
    pub fn join_table<T: Item, W: Item>(
        &self,
        table: &Table<K, T>,
        f: impl Fn(&K, &V, &T) -> W + Send + Sync + 'static,
    ) -> Stream<K, W>
    where
        K: Data,
    {
        let joiner = move |key: &K, value: &V, row: Option<&T>| row.map(|row| f(key, value, row));
        self.table_join("join-table", table, Arc::new(joiner))
    }

    /// Joins each record with the row of its key, if there is one.
    pub fn left_join_table<T: Item, W: Item>(
        &self,
        table: &Table<K, T>,
        f: impl Fn(&K, &V, Option<&T>) -> W + Send + Sync + 'static,
    ) -> Stream<K, W>
    where
        K: Data,
    {
        let joiner = move |key: &K, value: &V, row: Option<&T>| Some(f(key, value, row));
        self.table_join("left-join-table", table, Arc::new(joiner))
    }

    /// Adds a processor; `stores` are those it may use.
    pub fn process<P>(
        &self,
        name: &str,
        stores: &[StoreId],
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> Stream<P::KOut, P::VOut>
    where
        P: Processor<K, V> + 'static,
    {
        let allowed: BTreeSet<StoreId> = stores.iter().copied().collect();
        let node = Node {
            name: name.to_owned(),
            role: Role::Processor,
            parents: vec![self.node],
            stores: stores.to_vec(),
            is_join: false,
            is_per_record: false,
            schemas: Vec::new(),
            make: Box::new(move |_| {
                let typed = Typed::<P, K, V>(make(), PhantomData);
                Box::new(ProcessNode::new(typed, allowed.clone()))
            }),
            fork: fork::<P::KOut, P::VOut>,
        };
        let node = self.graph.borrow_mut().add(node);
        Stream { is_key_changed: true, ..Stream::new(self.graph.clone(), node, None, None) }
    }

    /// The stream with its keys in their own partitions: itself, or through a repartition topic of
    /// this name if the key was changed.
    pub(super) fn co_located(&self, name: &str, keys: CodecOf<K>) -> Stream<K, V> {
        if !self.is_key_changed {
            return self.clone();
        }
        let Some(values) = self.values.clone() else {
            self.graph.borrow_mut().mistakes.push(format!(
                "the records for {name} must go through a repartition topic, but no codec is known \
                 for their values: call repartition(Repartitioned::with(..)) before"
            ));
            return self.clone();
        };
        self.repartition(Repartitioned::with(name, keys, values))
    }

    pub(super) fn sink(&self, topic: TopicName, keys: CodecOf<K>, values: CodecOf<V>) {
        let mut graph = self.graph.borrow_mut();
        let name = graph.name("sink");
        let schemas = topology::needs(keys.as_ref(), values.as_ref());
        graph.add(Node {
            name,
            role: Role::Sink(SinkSpec { topic: topic.clone() }),
            parents: vec![self.node],
            stores: Vec::new(),
            is_join: false,
            is_per_record: false,
            schemas,
            make: Box::new(move |wiring| {
                let topic = Arc::from(topic.resolve(wiring.application_id));
                Box::new(Sink { topic, keys: keys.clone(), values: values.clone() })
            }),
            fork: fork::<K, V>,
        });
    }

    pub(super) fn transform<L: Item, W: Item>(
        &self,
        kind: &'static str,
        step: impl Fn(Rec<K, V>, &mut Vec<Rec<L, W>>) + Send + Sync + 'static,
    ) -> NodeId {
        self.transform_of(kind, vec![self.node], step)
    }

    fn transform_of<L: Item, W: Item>(
        &self,
        kind: &'static str,
        parents: Vec<NodeId>,
        step: impl Fn(Rec<K, V>, &mut Vec<Rec<L, W>>) + Send + Sync + 'static,
    ) -> NodeId {
        let mut graph = self.graph.borrow_mut();
        let name = graph.name(kind);
        let step = Arc::new(move |records: Vec<Rec<K, V>>| {
            let mut out = Vec::with_capacity(records.len());
            for record in records {
                step(record, &mut out);
            }
            out
        });
        graph.add(Node {
            name,
            role: Role::Processor,
            parents,
            stores: Vec::new(),
            is_join: false,
            is_per_record: false,
            schemas: Vec::new(),
            make: Box::new(move |_| Box::new(Transform::new(step.clone()))),
            fork: fork::<L, W>,
        })
    }

    fn table_join<T: Item, W: Item>(
        &self,
        kind: &'static str,
        table: &Table<K, T>,
        joiner: Arc<Joiner<K, V, T, W>>,
    ) -> Stream<K, W>
    where
        K: Data,
    {
        let keys = self.keys.clone().unwrap_or_else(K::codec);
        let Some(store) = table.store.as_ref() else {
            let mistake = "a table that is joined needs a store of its own".to_owned();
            self.graph.borrow_mut().mistakes.push(mistake);
            return Stream::new(self.graph.clone(), self.node, Some(keys), None);
        };
        let (id, through) = (store.id, format!("{}-join", store.name));
        let left = self.co_located(&through, keys.clone());
        let mut graph = self.graph.borrow_mut();
        let name = graph.name(kind);
        let node = graph.add(Node {
            name,
            role: Role::Processor,
            parents: vec![left.node],
            stores: vec![id],
            is_join: true,
            is_per_record: false,
            schemas: Vec::new(),
            make: Box::new(move |_| Box::new(TableJoin { store: id, joiner: joiner.clone() })),
            fork: fork::<K, W>,
        });
        drop(graph);
        Stream::new(self.graph.clone(), node, Some(keys), None)
    }

    fn at(&self, node: NodeId) -> Stream<K, V> {
        Stream { node, ..self.clone() }
    }

    fn with_values<W>(&self, node: NodeId, values: Option<CodecOf<W>>) -> Stream<K, W> {
        Stream {
            graph: self.graph.clone(),
            node,
            keys: self.keys.clone(),
            values,
            is_key_changed: self.is_key_changed,
        }
    }
}
