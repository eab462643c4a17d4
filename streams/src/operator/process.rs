//! The processor API: a user's own operator with state and stream-time schedules.
//!
//! A [`Processor`] is synchronous. It reaches the stores that it named when it was added, forwards
//! records, and may be woken by stream time (the greatest timestamp seen by this operator). Missed
//! wake-ups are skipped and the phase is kept, as in Kafka: after a jump over three intervals there
//! is one call.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Batch, Context, Operator, Outcome, batch, records};
use crate::dsl::Store;
use crate::error::StreamsError;
use crate::record::{Item, NO_TIME, Rec};
use crate::state::KeyValueStore;
use crate::topology::StoreId;

/// When a processor is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// When stream time has passed another interval; also at the first record.
    StreamTime(Duration),
}

/// A user's operator. One instance per task.
pub trait Processor<K, V>: Send {
    type KOut: Item;
    type VOut: Item;

    /// Called once before the first record.
    fn init(&mut self, _context: &mut Ctx<'_, '_, Self::KOut, Self::VOut>) {}

    /// Called for each record, in order.
    fn process(
        &mut self,
        record: Rec<K, V>,
        context: &mut Ctx<'_, '_, Self::KOut, Self::VOut>,
    ) -> Result<(), StreamsError>;

    /// Called when a schedule is due; `now` is stream time.
    fn punctuate(
        &mut self,
        _now: i64,
        _context: &mut Ctx<'_, '_, Self::KOut, Self::VOut>,
    ) -> Result<(), StreamsError> {
        Ok(())
    }
}

/// What a processor may do.
pub struct Ctx<'a, 'b, K, V> {
    context: &'a mut Context<'b>,
    allowed: &'a BTreeSet<StoreId>,
    forwarded: &'a mut Vec<Rec<K, V>>,
    schedule: &'a mut Option<Schedule>,
    stream_time: i64,
}

#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    interval_ms: i64,
    next: Option<i64>,
}

impl<K: Item, V: Item> Ctx<'_, '_, K, V> {
    /// Hands a record to the nodes behind this one.
    pub fn forward(&mut self, key: K, value: V, timestamp: i64) {
        self.forwarded.push(Rec { key, value, timestamp, headers: Vec::new() });
    }

    /// Hands a record with its headers on.
    pub fn forward_record(&mut self, record: Rec<K, V>) {
        self.forwarded.push(record);
    }

    /// A store that was named when the processor was added; others are refused.
    pub fn store<SK: Item, SV: Item>(
        &mut self,
        store: &Store<SK, SV>,
    ) -> Result<&mut KeyValueStore<SK, SV>, StreamsError> {
        if !self.allowed.contains(&store.id) {
            let reason = "the processor was added without naming it";
            return Err(StreamsError::state(&store.name, reason));
        }
        Ok(self.context.store(store.id))
    }

    /// Asks to be woken; replaces an earlier schedule.
    pub fn schedule(&mut self, every: Every) {
        let Every::StreamTime(interval) = every;
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        *self.schedule = Some(Schedule { interval_ms, next: None });
    }

    /// The greatest timestamp that this operator has seen.
    pub fn stream_time(&self) -> i64 {
        self.stream_time
    }

    /// Asks for a commit as soon as this batch is done.
    pub fn commit(&mut self) {
        *self.context.is_commit_requested = true;
    }
}

pub(crate) struct ProcessNode<P> {
    processor: P,
    allowed: BTreeSet<StoreId>,
    schedule: Option<Schedule>,
    stream_time: i64,
    is_initialised: bool,
}

impl<P> ProcessNode<P> {
    pub(crate) fn new(processor: P, allowed: BTreeSet<StoreId>) -> ProcessNode<P> {
        let (schedule, stream_time) = (None, NO_TIME);
        ProcessNode { processor, allowed, schedule, stream_time, is_initialised: false }
    }

    /// True if a schedule is due; moves it past now, keeping its phase.
    fn is_due(&mut self) -> bool {
        let Some(schedule) = &mut self.schedule else {
            return false;
        };
        let (now, interval_ms) = (self.stream_time, schedule.interval_ms);
        match schedule.next {
            Some(next) if now < next => false,
            Some(next) => {
                let missed = (now - next) / interval_ms;
                schedule.next = Some(next.saturating_add((missed + 1).saturating_mul(interval_ms)));
                true
            }
            None => {
                schedule.next = Some(now.saturating_add(interval_ms));
                true
            }
        }
    }
}

/// Ties a processor to the types of the stream it was added to.
pub(crate) struct Typed<P, K, V>(pub(crate) P, pub(crate) std::marker::PhantomData<fn(K, V)>);

impl<P, K, V> Operator for ProcessNode<Typed<P, K, V>>
where
    K: Item,
    V: Item,
    P: Processor<K, V>,
{
    fn process(&mut self, input: Batch, context: &mut Context<'_>) -> Outcome {
        let mut forwarded = Vec::new();
        for record in records::<K, V>(input) {
            self.stream_time = self.stream_time.max(record.timestamp);
            let mut schedule = self.schedule;
            let mut ctx = Ctx {
                context: &mut *context,
                allowed: &self.allowed,
                forwarded: &mut forwarded,
                schedule: &mut schedule,
                stream_time: self.stream_time,
            };
            if !self.is_initialised {
                self.processor.0.init(&mut ctx);
                self.is_initialised = true;
            }
            self.processor.0.process(record, &mut ctx)?;
            self.schedule = schedule;
            if self.is_due() {
                let mut schedule = self.schedule;
                let mut ctx = Ctx {
                    context: &mut *context,
                    allowed: &self.allowed,
                    forwarded: &mut forwarded,
                    schedule: &mut schedule,
                    stream_time: self.stream_time,
                };
                self.processor.0.punctuate(self.stream_time, &mut ctx)?;
                self.schedule = schedule;
            }
        }
        Ok(batch(forwarded))
    }

    fn saved_time(&self) -> Option<i64> {
        Some(self.stream_time)
    }

    fn restore_time(&mut self, time: i64) {
        self.stream_time = self.stream_time.max(time);
    }
}
