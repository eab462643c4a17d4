//! Tables: the latest value per key, and the handles of their stores.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use super::Stream;
use super::builder::Shared;
use crate::codec::{CodecOf, Nullable};
use crate::record::{Change, Item, Windowed};
use crate::topology::{NodeId, StoreId};

/// The handle of a key-value store: typed, so that no string has to be right twice.
pub struct Store<K, V> {
    pub(crate) id: StoreId,
    pub(crate) name: String,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Store<K, V> {
    pub(crate) fn new(id: StoreId, name: String) -> Store<K, V> {
        Store { id, name, types: PhantomData }
    }

    /// The name that the program gave the store.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For the list of stores that a processor may use.
    pub fn id(&self) -> StoreId {
        self.id
    }
}

impl<K, V> Clone for Store<K, V> {
    fn clone(&self) -> Self {
        Store::new(self.id, self.name.clone())
    }
}

/// A table with keys `K` and rows `V`.
pub struct Table<K, V> {
    pub(super) graph: Shared,
    pub(super) node: NodeId,
    pub(super) store: Option<Store<K, V>>,
    pub(super) keys: Option<CodecOf<K>>,
    pub(super) values: Option<CodecOf<V>>,
}

impl<K: Item, V: Item> Table<K, V> {
    pub(super) fn new(
        graph: Shared,
        node: NodeId,
        store: Option<Store<K, V>>,
        keys: Option<CodecOf<K>>,
        values: Option<CodecOf<V>>,
    ) -> Table<K, V> {
        Table { graph, node, store, keys, values }
    }

    /// The table's changes as a stream; a deleted row is `None`, which is a null on a topic.
    pub fn to_stream(&self) -> Stream<K, Option<V>> {
        let lifted = self.values.clone().map(|values| Arc::new(Nullable(values)) as CodecOf<_>);
        let node = self.changes().transform("to-stream", |record, out| {
            let new = record.value.new.clone();
            out.push(record.with_value(new));
        });
        Stream::new(self.graph.clone(), node, self.keys.clone(), lifted)
    }

    fn changes(&self) -> Stream<K, Change<V>> {
        Stream::new(self.graph.clone(), self.node, self.keys.clone(), None)
    }
}

/// The table that an aggregation of a stream makes: its rows are never deleted.
pub struct Aggregate<K, V> {
    table: Table<K, V>,
    store: Store<K, V>,
}

impl<K: Item, V: Item> Aggregate<K, V> {
    pub(super) fn new(table: Table<K, V>, store: Store<K, V>) -> Aggregate<K, V> {
        Aggregate { table, store }
    }

    /// The handle of the store that holds the results.
    pub fn store(&self) -> Store<K, V> {
        self.store.clone()
    }

    /// The results as a stream.
    pub fn to_stream(&self) -> Stream<K, V> {
        let node = self.table.changes().transform("to-stream", |record, out| {
            if let Some(new) = record.value.new.clone() {
                out.push(record.with_value(new));
            }
        });
        let (keys, values) = (self.keys.clone(), self.values.clone());
        Stream::new(self.graph.clone(), node, keys, values)
    }
}

impl<K, V> Deref for Aggregate<K, V> {
    type Target = Table<K, V>;

    fn deref(&self) -> &Table<K, V> {
        &self.table
    }
}

/// The results of a windowed aggregation. Windows leave their store when they close, so they are
/// to be had as a stream only.
pub struct Windows<K, A> {
    results: Stream<Windowed<K>, A>,
}

impl<K: Item, A: Item> Windows<K, A> {
    pub(super) fn new(results: Stream<Windowed<K>, A>) -> Windows<K, A> {
        Windows { results }
    }

    /// The results as a stream: each update, or only the final ones after `emit_final`.
    pub fn to_stream(&self) -> Stream<Windowed<K>, A> {
        self.results.clone()
    }
}
