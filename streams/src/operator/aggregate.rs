//! Aggregation without windows: one accumulator per key, each update forwarded.

use std::sync::Arc;

use super::{Batch, Context, Operator, Outcome, batch, records};
use crate::record::{Change, Item, Rec};
use crate::state::KeyValueStore;
use crate::topology::StoreId;

/// How records become an accumulator.
pub(crate) struct Aggregator<K, V, A> {
    /// The accumulator of a key's first record.
    pub(crate) first: Arc<First<K, V, A>>,
    /// Adds any further record.
    pub(crate) add: Arc<Add<K, V, A>>,
}

pub(crate) type First<K, V, A> = dyn Fn(&K, &V) -> A + Send + Sync;
pub(crate) type Add<K, V, A> = dyn Fn(&K, &V, &mut A) + Send + Sync;

impl<K, V, A> Clone for Aggregator<K, V, A> {
    fn clone(&self) -> Self {
        Aggregator { first: self.first.clone(), add: self.add.clone() }
    }
}

pub(crate) struct Aggregation<K, V, A> {
    pub(crate) store: StoreId,
    pub(crate) aggregator: Aggregator<K, V, A>,
}

impl<K: Item, V: Item, A: Item> Operator for Aggregation<K, V, A> {
    fn process(&mut self, input: Batch, context: &mut Context<'_>) -> Outcome {
        let store: &mut KeyValueStore<K, A> = context.store(self.store);
        let mut changes: Vec<Rec<K, Change<A>>> = Vec::new();
        for record in records::<K, V>(input) {
            let old = store.get(&record.key)?.cloned();
            let (new, timestamp) = store.update(
                &record.key,
                record.timestamp,
                || (self.aggregator.first)(&record.key, &record.value),
                |accumulator| (self.aggregator.add)(&record.key, &record.value, accumulator),
            )?;
            let change = Change { new: Some(new.clone()), old };
            changes.push(Rec { timestamp, ..record.with_value(change) });
        }
        Ok(batch(changes))
    }
}
