//! What comes to a shard from the connections on its own thread; no lock is needed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use mainstem_node::Event;

use super::Mailbox;
use crate::connection::{Connection, FrameBudget};
use crate::status::Status;

/// Events of the present pass. Bounded by each connection's share of a pass.
pub(crate) struct Inbox {
    events: RefCell<VecDeque<Event>>,
    /// Connections that have used some of their share.
    delivered: RefCell<Vec<Rc<Connection>>>,
    frame_budget: Rc<FrameBudget>,
    mailbox: Mailbox,
    status: Arc<Status>,
}

impl Inbox {
    pub(super) fn new(
        mailbox: Mailbox,
        status: Arc<Status>,
        frame_budget: Rc<FrameBudget>,
    ) -> Self {
        Self {
            events: RefCell::new(VecDeque::new()),
            delivered: RefCell::new(Vec::new()),
            frame_budget,
            mailbox,
            status,
        }
    }

    pub(crate) fn push(&self, event: Event) {
        self.events.borrow_mut().push_back(event);
        self.mailbox.wake();
    }

    /// The connection gets a new share at the end of the pass.
    pub(crate) fn note_delivery(&self, connection: Rc<Connection>) {
        self.delivered.borrow_mut().push(connection);
    }

    pub(crate) fn frame_budget(&self) -> &Rc<FrameBudget> {
        &self.frame_budget
    }

    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    pub(super) fn take(&self) -> VecDeque<Event> {
        std::mem::take(&mut *self.events.borrow_mut())
    }

    pub(super) fn begin_pass(&self) {
        for connection in self.delivered.borrow_mut().drain(..) {
            connection.begin_pass();
        }
    }
}
