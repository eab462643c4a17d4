//! Groups: aggregation, over all time or in windows.

use std::sync::Arc;
use std::time::Duration;

use super::{Aggregate, Materialized, Stream, Table, Windows};
use crate::codec::{CodecOf, Data, WindowedCodec};
use crate::operator::{
    Aggregation, Aggregator, Emit, Operator, WindowAggregation, WindowSpec, fork,
};
use crate::record::{Change, Item, NO_TIME, Windowed};
use crate::state::WindowStore;
use crate::topology::{self, Node, Role, StoreSpec};

/// A stream whose records of one key lie together.
pub struct Grouped<K, V> {
    pub(super) stream: Stream<K, V>,
    pub(super) keys: CodecOf<K>,
}

impl<K: Item, V: Item> Grouped<K, V> {
    /// One accumulator per key, beginning with `initial`.
    pub fn aggregate<A: Item>(
        &self,
        store: impl Into<Materialized<A>>,
        initial: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, &V, &mut A) + Send + Sync + 'static,
    ) -> Aggregate<K, A> {
        self.aggregate_by(store.into(), aggregator(initial, add))
    }

    /// The number of records per key.
    pub fn count(&self, store: impl Into<Materialized<u64>>) -> Aggregate<K, u64> {
        self.aggregate(store, || 0, |_, _, count| *count += 1)
    }

    /// One value per key, made of the value so far and the next one.
    pub fn reduce(
        &self,
        store: impl Into<Materialized<V>>,
        f: impl Fn(&V, &V) -> V + Send + Sync + 'static,
    ) -> Aggregate<K, V> {
        self.aggregate_by(store.into(), reducer(f))
    }

    /// Cuts time into windows; the aggregate is then made per key and window.
    pub fn windowed(&self, windows: Tumbling) -> WindowedGroup<K, V> {
        let grouped = Grouped { stream: self.stream.clone(), keys: self.keys.clone() };
        WindowedGroup { grouped, windows, emit: Emit::OnUpdate }
    }

    fn aggregate_by<A: Item>(
        &self,
        store: Materialized<A>,
        aggregator: Aggregator<K, V, A>,
    ) -> Aggregate<K, A> {
        let (keys, values) = (self.keys.clone(), store.values.clone());
        let stream = self.stream.co_located(&store.name, keys.clone());
        let mut graph = stream.graph.borrow_mut();
        let store = graph.key_value_store(store, keys.clone());
        let (id, name) = (store.id, graph.name("aggregate"));
        let node = graph.add(Node {
            name,
            role: Role::Processor,
            parents: vec![stream.node],
            stores: vec![id],
            is_join: false,
            is_per_record: false,
            schemas: Vec::new(),
            make: Box::new(move |_| {
                let aggregator = aggregator.clone();
                Box::new(Aggregation { store: id, aggregator }) as Box<dyn Operator>
            }),
            fork: fork::<K, Change<A>>,
        });
        drop(graph);
        let (graph, own) = (stream.graph.clone(), Some(store.clone()));
        Aggregate::new(Table::new(graph, node, own, Some(keys), Some(values)), store)
    }
}

/// Windows of fixed size that follow one another, aligned to the epoch: `[n * size, (n+1) * size)`.
#[derive(Clone, Copy, Debug)]
pub struct Tumbling {
    size_ms: i64,
    grace_ms: i64,
}

impl Tumbling {
    /// Windows of this size, at least a millisecond, without grace.
    pub fn of(size: Duration) -> Tumbling {
        Tumbling { size_ms: millis(size).max(1), grace_ms: 0 }
    }

    /// How long after its end a window still takes records that come out of order.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Tumbling {
        self.grace_ms = millis(grace);
        self
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A group cut into windows.
pub struct WindowedGroup<K, V> {
    grouped: Grouped<K, V>,
    windows: Tumbling,
    emit: Emit,
}

impl<K: Item, V: Item> WindowedGroup<K, V> {
    /// Gives out one result per key and window, when the window closes. Without this each update is
    /// given out.
    #[must_use]
    pub fn emit_final(mut self) -> Self {
        self.emit = Emit::OnClose;
        self
    }

    /// One accumulator per key and window, beginning with `initial`.
    pub fn aggregate<A: Item>(
        &self,
        store: impl Into<Materialized<A>>,
        initial: impl Fn() -> A + Send + Sync + 'static,
        add: impl Fn(&K, &V, &mut A) + Send + Sync + 'static,
    ) -> Windows<K, A> {
        self.aggregate_by(store.into(), aggregator(initial, add))
    }

    /// The number of records per key and window.
    pub fn count(&self, store: impl Into<Materialized<u64>>) -> Windows<K, u64> {
        self.aggregate(store, || 0, |_, _, count| *count += 1)
    }

    /// One value per key and window, made of the value so far and the next one.
    pub fn reduce(
        &self,
        store: impl Into<Materialized<V>>,
        f: impl Fn(&V, &V) -> V + Send + Sync + 'static,
    ) -> Windows<K, V> {
        self.aggregate_by(store.into(), reducer(f))
    }

    fn aggregate_by<A: Item>(
        &self,
        store: Materialized<A>,
        aggregator: Aggregator<K, V, A>,
    ) -> Windows<K, A> {
        let (keys, values) = (self.grouped.keys.clone(), store.values.clone());
        let Tumbling { size_ms, grace_ms } = self.windows;
        let stream = self.grouped.stream.co_located(&store.name, keys.clone());
        let mut graph = stream.graph.borrow_mut();
        let id = graph.add_store(window_store(store, keys.clone()));
        let (emit, has_watermarks) = (self.emit, graph.has_watermarks);
        let name = graph.name("aggregate-windows");
        let node = graph.add(Node {
            name,
            role: Role::Processor,
            parents: vec![stream.node],
            stores: vec![id],
            is_join: false,
            is_per_record: false,
            schemas: Vec::new(),
            make: Box::new(move |_| {
                Box::new(WindowAggregation {
                    store: id,
                    spec: WindowSpec { size_ms, grace_ms },
                    emit,
                    has_watermarks,
                    aggregator: aggregator.clone(),
                    observed_time: NO_TIME,
                }) as Box<dyn Operator>
            }),
            fork: fork::<Windowed<K>, A>,
        });
        drop(graph);
        let keys: CodecOf<Windowed<K>> = Arc::new(WindowedCodec { keys, size_ms: Some(size_ms) });
        Windows::new(Stream::new(stream.graph.clone(), node, Some(keys), Some(values)))
    }
}

impl<K: Item, V: Item> Stream<K, V> {
    /// Groups by a key made of each record, through the repartition topic `through`.
    pub fn group_by<L: Item>(
        &self,
        through: impl Into<super::Repartitioned<L, V>>,
        f: impl Fn(&K, &V) -> L + Send + Sync + 'static,
    ) -> Grouped<L, V> {
        let through = through.into();
        let keys = through.keys.clone();
        Grouped { stream: self.select_key(f).repartition(through), keys }
    }

    /// Groups by the key as it is. If it was changed before, the records go through a repartition
    /// topic with the name of the aggregate's store.
    pub fn group_by_key(&self) -> Grouped<K, V>
    where
        K: Data,
    {
        const { assert!(!K::NULLABLE, "a key that may be null cannot be grouped by") };
        let keys = self.keys.clone().unwrap_or_else(K::codec);
        Grouped { stream: self.clone(), keys }
    }
}

fn aggregator<K: 'static, V: 'static, A: 'static>(
    initial: impl Fn() -> A + Send + Sync + 'static,
    add: impl Fn(&K, &V, &mut A) + Send + Sync + 'static,
) -> Aggregator<K, V, A> {
    let add = Arc::new(add);
    let add_first = add.clone();
    let first = move |key: &K, value: &V| {
        let mut accumulator = initial();
        add_first(key, value, &mut accumulator);
        accumulator
    };
    Aggregator { first: Arc::new(first), add }
}

fn reducer<K: 'static, V: Item>(
    f: impl Fn(&V, &V) -> V + Send + Sync + 'static,
) -> Aggregator<K, V, V> {
    let first = |_: &K, value: &V| value.clone();
    let add = move |_: &K, value: &V, accumulator: &mut V| *accumulator = f(accumulator, value);
    Aggregator { first: Arc::new(first), add: Arc::new(add) }
}

fn window_store<K: Item, A: Item>(materialized: Materialized<A>, keys: CodecOf<K>) -> StoreSpec {
    let Materialized { name, values, storage } = materialized;
    let schemas = topology::needs(keys.as_ref(), values.as_ref());
    StoreSpec {
        name,
        storage,
        is_windowed: true,
        schemas,
        make: Box::new(move |slot, backend| {
            Box::new(WindowStore::new(slot, keys.clone(), values.clone(), backend))
        }),
    }
}
