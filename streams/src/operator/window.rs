//! Aggregation in tumbling windows, giving out every update or only final results.
//!
//! A window `[start, end)` closes when `end + grace <= time`; a record whose window has closed is
//! late: it is dropped and counted. What `time` is depends on the topology:
//! - Without watermarks it is Kafka's stream time of this operator: the greatest timestamp it has
//!   seen. It moves with each record, also within a batch, and is saved with the offsets.
//! - With watermarks it is the watermark of the operator's input (`task::time`), which moves
//!   between batches and is the least over everything that can still send records here.
//!
//! A closed window leaves the store in the same transaction that gives out its result, so a final
//! result is given out exactly once, whatever happens in between. A result has the timestamp of the
//! latest record in its window, as in Kafka.

use super::{Aggregator, Batch, Context, Operator, Outcome, batch, records};
use crate::error::StreamsError;
use crate::record::{END_OF_TIME, Item, NO_TIME, Rec, Windowed};
use crate::state::WindowStore;
use crate::topology::StoreId;

/// When results are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emit {
    OnUpdate,
    OnClose,
}

/// Size and patience of the windows, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowSpec {
    pub(crate) size_ms: i64,
    pub(crate) grace_ms: i64,
}

impl WindowSpec {
    fn start_of(self, timestamp: i64) -> i64 {
        timestamp - timestamp.rem_euclid(self.size_ms)
    }

    /// The start of the last window that is closed at `time`.
    fn last_closed_start(self, time: i64) -> i64 {
        if time == END_OF_TIME {
            return END_OF_TIME;
        }
        time.saturating_sub(self.grace_ms).saturating_sub(self.size_ms)
    }
}

pub(crate) struct WindowAggregation<K, V, A> {
    pub(crate) store: StoreId,
    pub(crate) spec: WindowSpec,
    pub(crate) emit: Emit,
    pub(crate) has_watermarks: bool,
    pub(crate) aggregator: Aggregator<K, V, A>,
    /// Kafka's stream time of this operator; `NO_TIME` with watermarks.
    pub(crate) observed_time: i64,
}

type Results<K, A> = Vec<Rec<Windowed<K>, A>>;

impl<K: Item, V: Item, A: Item> WindowAggregation<K, V, A> {
    fn add(
        &self,
        store: &mut WindowStore<K, A>,
        record: Rec<K, V>,
        results: &mut Results<K, A>,
    ) -> Result<(), StreamsError> {
        let start = self.spec.start_of(record.timestamp);
        let (new, timestamp) = store.update(
            &record.key,
            start,
            record.timestamp,
            || (self.aggregator.first)(&record.key, &record.value),
            |accumulator| (self.aggregator.add)(&record.key, &record.value, accumulator),
        )?;
        if self.emit == Emit::OnUpdate {
            let value = new.clone();
            let key = Windowed { key: record.key, start, end: start + self.spec.size_ms };
            results.push(Rec { key, value, timestamp, headers: record.headers });
        }
        Ok(())
    }

    fn close(
        &self,
        store: &mut WindowStore<K, A>,
        time: i64,
        results: &mut Results<K, A>,
    ) -> Result<(), StreamsError> {
        if time == NO_TIME {
            return Ok(());
        }
        for window in store.close_until(self.spec.last_closed_start(time))? {
            if self.emit == Emit::OnUpdate {
                continue;
            }
            let end = window.start + self.spec.size_ms;
            results.push(Rec {
                key: Windowed { key: window.key, start: window.start, end },
                value: window.value,
                timestamp: window.timestamp,
                headers: Vec::new(),
            });
        }
        Ok(())
    }
}

impl<K: Item, V: Item, A: Item> Operator for WindowAggregation<K, V, A> {
    fn process(&mut self, input: Batch, context: &mut Context<'_>) -> Outcome {
        let watermark = context.watermark;
        let mut late = 0;
        let mut results = Vec::new();
        let store: &mut WindowStore<K, A> = context.store(self.store);
        for record in records::<K, V>(input) {
            let time = match self.has_watermarks {
                true => watermark,
                false => {
                    self.observed_time = self.observed_time.max(record.timestamp);
                    self.observed_time
                }
            };
            let is_late = time != NO_TIME
                && self.spec.start_of(record.timestamp) <= self.spec.last_closed_start(time);
            match is_late {
                true => late += 1,
                false => self.add(store, record, &mut results)?,
            }
            if !self.has_watermarks {
                self.close(store, time, &mut results)?;
            }
        }
        context.counters.late += late;
        Ok(batch(results))
    }

    fn advance(&mut self, time: i64, context: &mut Context<'_>) -> Outcome {
        let mut results = Vec::new();
        self.close(context.store(self.store), time, &mut results)?;
        Ok(batch(results))
    }

    fn held_back(&self, time: i64) -> i64 {
        // A window that is still open begins after `time - grace - size`, and so does whatever
        // will be forwarded for it.
        match time {
            NO_TIME | END_OF_TIME => time,
            time => time.saturating_sub(self.spec.grace_ms).saturating_sub(self.spec.size_ms),
        }
    }

    fn saved_time(&self) -> Option<i64> {
        match self.has_watermarks {
            true => None,
            false => Some(self.observed_time),
        }
    }

    fn restore_time(&mut self, time: i64) {
        self.observed_time = self.observed_time.max(time);
    }
}
