//! Answers that a caller waits for.
//!
//! A machine cannot hold a channel. The caller gets an [`OperationId`] and looks for the answer
//! whenever the shell says that something changed; a caller who goes away cancels.

use std::collections::BTreeMap;

use crate::error::{Cause, ClientError, Result};
use crate::limits::OPERATIONS_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OperationId(u64);

/// Operations that were started and whose answer was not taken yet.
#[derive(Debug)]
pub(crate) struct Operations<T> {
    next: u64,
    waiting: BTreeMap<OperationId, Option<Result<T>>>,
    /// Why none is started any more.
    failure: Option<ClientError>,
}

impl<T> Default for Operations<T> {
    fn default() -> Self {
        Self { next: 0, waiting: BTreeMap::new(), failure: None }
    }
}

impl<T> Operations<T> {
    pub(crate) fn start(&mut self) -> Result<OperationId> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        if self.waiting.len() >= OPERATIONS_MAX {
            let text = format!("{OPERATIONS_MAX} operations are waiting already");
            return Err(ClientError::Retriable(Cause { code: 0, text }));
        }
        let id = OperationId(self.next);
        self.next += 1;
        self.waiting.insert(id, None);
        Ok(id)
    }

    /// The first answer counts; an answer nobody waits for is dropped.
    pub(crate) fn finish(&mut self, id: OperationId, result: Result<T>) {
        if let Some(slot @ None) = self.waiting.get_mut(&id) {
            *slot = Some(result);
        }
    }

    /// Answers all that wait, and all that come, with this error.
    pub(crate) fn fail(&mut self, error: &ClientError) {
        for slot in self.waiting.values_mut().filter(|slot| slot.is_none()) {
            *slot = Some(Err(error.clone()));
        }
        self.failure = Some(error.clone());
    }

    pub(crate) fn take(&mut self, id: OperationId) -> Option<Result<T>> {
        if self.waiting.get(&id)?.is_none() {
            return None;
        }
        self.waiting.remove(&id).flatten()
    }

    pub(crate) fn cancel(&mut self, id: OperationId) {
        self.waiting.remove(&id);
    }

    /// Whether somebody still waits for an answer to this one.
    pub(crate) fn is_waiting(&self, id: OperationId) -> bool {
        matches!(self.waiting.get(&id), Some(None))
    }
}
