//! Operators: one per node and task, fed with batches.
//!
//! Types are erased per batch, not per record: a node's [`Operator`] receives a [`Batch`], which is
//! a boxed `Vec<Rec<K, V>>` of the types its builder knew, casts it once and runs the user's
//! closures, monomorphised, in one loop over it. What it returns is handed to the children.
//!
//! Batches change nothing that can be observed: a batch holds records that would have been
//! processed in a row anyway, and where two paths from one source meet again (in a node, a store or
//! a topic) the task takes batches of one (`topology::build`).
//!
//! Invariants:
//! - Operators do no input or output; state is reached only through [`Context::store`].
//! - `advance` is called with the node's watermark, never with a smaller value than before.

mod aggregate;
mod join_table;
mod process;
mod sink;
mod source;
mod stateless;
mod table;
mod window;

use std::any::Any;
use std::collections::BTreeMap;

use crate::error::StreamsError;
use crate::record::{Item, Output, Rec};
use crate::state::AnyStore;
use crate::topology::StoreId;

pub(crate) use aggregate::{Aggregation, Aggregator};
pub(crate) use join_table::{Joiner, TableJoin};
pub use process::{Ctx, Every, Processor};
pub(crate) use process::{ProcessNode, Typed};
pub(crate) use sink::Sink;
pub use source::BadRecords;
pub(crate) use source::Source;
pub(crate) use stateless::Transform;
pub(crate) use table::TableSource;
pub(crate) use window::{Emit, WindowAggregation, WindowSpec};

/// A `Vec<Rec<K, V>>` whose types only its producer and its consumer know.
pub(crate) type Batch = Box<dyn Any + Send>;

/// What a batch becomes: `None` where nothing is left of it.
pub(crate) type Outcome = Result<Option<Batch>, StreamsError>;

/// One node of the topology at work in one task.
pub(crate) trait Operator: Send {
    /// Handles the records of `batch` in order.
    fn process(&mut self, batch: Batch, context: &mut Context<'_>) -> Outcome;

    /// The node's watermark has moved to `time`. Called only where watermarks are on.
    fn advance(&mut self, _time: i64, _context: &mut Context<'_>) -> Outcome {
        Ok(None)
    }

    /// The watermark of what this node forwards, if its input has watermark `time`. Operators that
    /// keep records back to forward them later must not promise more than they can hold.
    fn held_back(&self, time: i64) -> i64 {
        time
    }

    /// A time of the operator's own that must survive a restart.
    fn saved_time(&self) -> Option<i64> {
        None
    }

    /// Gives back what `saved_time` returned before the restart.
    fn restore_time(&mut self, _time: i64) {}
}

/// What an operator may reach while it works.
pub(crate) struct Context<'a> {
    pub(crate) stores: &'a mut BTreeMap<StoreId, Box<dyn AnyStore>>,
    pub(crate) outputs: &'a mut Vec<Output>,
    pub(crate) counters: &'a mut Counters,
    /// The node's watermark; `NO_TIME` where watermarks are off.
    pub(crate) watermark: i64,
    pub(crate) is_commit_requested: &'a mut bool,
}

impl Context<'_> {
    /// The store behind `id`.
    pub(crate) fn store<S: 'static>(&mut self, id: StoreId) -> &mut S {
        let store = self.stores.get_mut(&id).expect("a node's stores are opened with its task");
        store.as_any_mut().downcast_mut().expect("a store has the type its builder gave it")
    }
}

/// Records that did not make it, and why; summed over a task's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub processed: u64,
    /// Dropped because their window had closed.
    pub late: u64,
    /// Skipped because they could not be decoded, where the configuration says so.
    pub malformed: u64,
    /// Dropped by an inner join because the table had no row.
    pub unmatched: u64,
}

impl Counters {
    pub(crate) fn add(&mut self, other: Counters) {
        self.processed += other.processed;
        self.late += other.late;
        self.malformed += other.malformed;
        self.unmatched += other.unmatched;
    }
}

/// The records of a batch.
pub(crate) fn records<K: Item, V: Item>(batch: Batch) -> Vec<Rec<K, V>> {
    *batch.downcast().expect("a batch has the types its builder gave it")
}

/// A batch of these records, or nothing if there are none.
pub(crate) fn batch<K: Item, V: Item>(records: Vec<Rec<K, V>>) -> Option<Batch> {
    match records.is_empty() {
        true => None,
        false => Some(Box::new(records)),
    }
}

/// A copy of a batch, for a stream that forks.
pub(crate) fn fork<K: Item, V: Item>(batch: &Batch) -> Batch {
    let records: &Vec<Rec<K, V>> =
        batch.downcast_ref().expect("a batch has the types its builder gave it");
    Box::new(records.clone())
}
