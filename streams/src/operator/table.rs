//! A table read from a topic: each record replaces its key's row, a null deletes it.
//!
//! Rows are replaced in the order of processing, also by a record with an older timestamp, as in
//! Kafka's unversioned tables.

use super::{Batch, Context, Operator, Outcome, batch, records};
use crate::record::{Change, Item, Rec};
use crate::state::KeyValueStore;
use crate::topology::StoreId;

use std::marker::PhantomData;

pub(crate) struct TableSource<K, V> {
    store: StoreId,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> TableSource<K, V> {
    pub(crate) fn new(store: StoreId) -> TableSource<K, V> {
        TableSource { store, types: PhantomData }
    }
}

impl<K: Item, V: Item> Operator for TableSource<K, V> {
    fn process(&mut self, input: Batch, context: &mut Context<'_>) -> Outcome {
        let store: &mut KeyValueStore<K, V> = context.store(self.store);
        let mut changes: Vec<Rec<K, Change<V>>> = Vec::new();
        for record in records::<K, Option<V>>(input) {
            let old = store.get(&record.key)?.cloned();
            store.put(&record.key, record.value.clone(), record.timestamp)?;
            let new = record.value.clone();
            changes.push(record.with_value(Change { new, old }));
        }
        Ok(batch(changes))
    }
}
