//! Deliveries that are still under way, oldest first, for clients that hand out a future for each
//! record. How many there may be is the client's affair: its buffer makes `send` wait.

use std::collections::VecDeque;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::Outcome;

/// Records between two looks at what is done.
const LOOK_EVERY: usize = 1024;

/// See the module's text.
pub struct Window<F> {
    under_way: VecDeque<F>,
    since_look: usize,
}

impl<F, T, E> Window<F>
where
    F: Future<Output = Result<T, E>> + Unpin,
    E: Error + Send + Sync + 'static,
{
    pub fn new() -> Self {
        Self { under_way: VecDeque::new(), since_look: 0 }
    }

    /// Takes a delivery in; looks, now and then, at those that are done.
    pub fn push(&mut self, delivery: F) -> Outcome<()> {
        self.under_way.push_back(delivery);
        self.since_look += 1;
        if self.since_look == LOOK_EVERY {
            self.since_look = 0;
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Outcome<()> {
        let mut context = Context::from_waker(Waker::noop());
        while let Some(oldest) = self.under_way.front_mut() {
            match Pin::new(oldest).poll(&mut context) {
                Poll::Ready(result) => drop(result?),
                Poll::Pending => break,
            }
            self.under_way.pop_front();
        }
        Ok(())
    }

    /// Waits for all that are under way.
    pub async fn settle(&mut self) -> Outcome<()> {
        for delivery in self.under_way.drain(..) {
            drop(delivery.await?);
        }
        Ok(())
    }
}

impl<F, T, E> Default for Window<F>
where
    F: Future<Output = Result<T, E>> + Unpin,
    E: Error + Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}
