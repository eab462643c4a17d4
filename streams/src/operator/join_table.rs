//! Stream-table join: each record of the stream meets the row that its key has in the table now.
//!
//! Only the stream's side triggers. "Now" is the order of processing within the task, which is the
//! order of timestamps between partitions that have records (`task::inputs`). A table that must be
//! complete before the first record is joined says so with `Consumed::bounded`.

use std::sync::Arc;

use super::{Batch, Context, Operator, Outcome, batch, records};
use crate::record::{Item, Rec};
use crate::state::KeyValueStore;
use crate::topology::StoreId;

/// What the record and the table's row become; `None` leaves the record out.
pub(crate) type Joiner<K, V, T, W> = dyn Fn(&K, &V, Option<&T>) -> Option<W> + Send + Sync;

pub(crate) struct TableJoin<K, V, T, W> {
    pub(crate) store: StoreId,
    pub(crate) joiner: Arc<Joiner<K, V, T, W>>,
}

impl<K: Item, V: Item, T: Item, W: Item> Operator for TableJoin<K, V, T, W> {
    fn process(&mut self, input: Batch, context: &mut Context<'_>) -> Outcome {
        let mut unmatched = 0;
        let store: &mut KeyValueStore<K, T> = context.store(self.store);
        let mut joined: Vec<Rec<K, W>> = Vec::new();
        for record in records::<K, V>(input) {
            let row = store.get(&record.key)?;
            match (self.joiner)(&record.key, &record.value, row) {
                Some(value) => joined.push(record.with_value(value)),
                None => unmatched += 1,
            }
        }
        context.counters.unmatched += unmatched;
        Ok(batch(joined))
    }
}
