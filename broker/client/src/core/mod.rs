//! What all three clients share. Pure machines: time and seeds are arguments, sockets are events
//! and effects.
//!
//! Reading order: [`wire`] (connections, versions, requests in flight), [`sasl`] (who we are),
//! [`metadata`] (who leads what), [`backoff`], [`operations`] (answers that a caller waits for).

pub(crate) mod backoff;
pub(crate) mod committed;
pub(crate) mod coordinator;
pub(crate) mod list_offsets;
pub(crate) mod metadata;
pub(crate) mod operations;
pub(crate) mod sasl;
pub(crate) mod versions;
pub(crate) mod wire;

#[cfg(test)]
pub(crate) mod script;
#[cfg(test)]
mod tests;

pub(crate) use metadata::Metadata;
pub(crate) use operations::{OperationId, Operations};
pub(crate) use wire::{Address, ConnectionId, Failure, Lane, NetEffect, NetEvent, Route, Wire};

use mainstem_platform::{Instant, Now};

/// What the shell drives: every client is one of these.
pub(crate) trait Machine: Send + 'static {
    fn handle_net(&mut self, now: Now, event: NetEvent);

    /// Looks at everything and does what can be done now. Called after events and at deadlines.
    fn advance(&mut self, now: Now);

    fn poll_effect(&mut self) -> Option<NetEffect>;

    fn deadline(&self) -> Option<Instant>;
}

/// The earlier of two deadlines, of which either may be absent.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
