//! The answer to a batch, shared by the deliveries of its records.
//!
//! One allocation per batch, not per record: a [`Delivery`] is a pointer to its batch's answer and
//! the place of its record in the batch.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::error::{ClientError, Result};
use crate::records::{RecordMetadata, TopicPartition};

/// What a broker said about a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// -1 when unknown.
    pub(crate) base_offset: i64,
    /// For topics with LogAppendTime.
    pub(crate) log_append_time_ms: Option<i64>,
}

#[derive(Debug)]
enum State {
    Waiting(Vec<Waker>),
    Done(Result<Acknowledged>),
}

/// The coming answer to one batch.
#[derive(Debug)]
pub(crate) struct BatchAck {
    topic_partition: TopicPartition,
    state: Mutex<State>,
}

impl BatchAck {
    pub(crate) fn new(topic_partition: TopicPartition) -> Arc<Self> {
        Arc::new(Self { topic_partition, state: Mutex::new(State::Waiting(Vec::new())) })
    }

    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The first answer counts.
    pub(crate) fn complete(&self, result: Result<Acknowledged>) {
        let mut state = self.state.lock();
        if let State::Waiting(wakers) = &mut *state {
            let wakers = std::mem::take(wakers);
            *state = State::Done(result);
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// The coming answer to one record. It may be dropped: the record is sent all the same.
#[derive(Debug)]
pub struct Delivery {
    ack: Arc<BatchAck>,
    index: u32,
    timestamp_ms: i64,
}

impl Delivery {
    pub(crate) fn new(ack: Arc<BatchAck>, index: u32, timestamp_ms: i64) -> Self {
        Self { ack, index, timestamp_ms }
    }

    fn metadata(&self, acknowledged: Acknowledged) -> RecordMetadata {
        let offset = match acknowledged.base_offset {
            ..0 => -1,
            base => base + i64::from(self.index),
        };
        RecordMetadata {
            topic_partition: self.ack.topic_partition.clone(),
            offset,
            timestamp_ms: acknowledged.log_append_time_ms.unwrap_or(self.timestamp_ms),
        }
    }

    /// The answer, if it is already there.
    pub fn try_get(&self) -> Option<Result<RecordMetadata, ClientError>> {
        match &*self.ack.state.lock() {
            State::Waiting(_) => None,
            State::Done(Ok(acknowledged)) => Some(Ok(self.metadata(*acknowledged))),
            State::Done(Err(error)) => Some(Err(error.clone())),
        }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Waiting(wakers) = &mut *self.ack.state.lock() {
            // Many deliveries of one batch are often awaited by one task.
            if !wakers.iter().rev().take(2).any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            return Poll::Pending;
        }
        match self.try_get() {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }
}
