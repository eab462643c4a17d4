//! All operators without state: a function from records to records, run over the whole batch.

use std::sync::Arc;

use super::{Batch, Context, Operator, Outcome, batch, records};
use crate::record::{Item, Rec};

/// Appends what one record becomes.
pub(crate) type Step<K, V, L, W> = dyn Fn(Vec<Rec<K, V>>) -> Vec<Rec<L, W>> + Send + Sync;

pub(crate) struct Transform<K, V, L, W> {
    step: Arc<Step<K, V, L, W>>,
}

impl<K, V, L, W> Transform<K, V, L, W> {
    pub(crate) fn new(step: Arc<Step<K, V, L, W>>) -> Transform<K, V, L, W> {
        Transform { step }
    }
}

impl<K: Item, V: Item, L: Item, W: Item> Operator for Transform<K, V, L, W> {
    fn process(&mut self, input: Batch, _context: &mut Context<'_>) -> Outcome {
        Ok(batch((self.step)(records(input))))
    }
}
