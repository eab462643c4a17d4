//! Reads what a group has committed when all is over, after one more loss of power, and holds it
//! against the group's book: nothing less than what was acknowledged.

use super::{FIND_VERSION, GROUP_KEY, RETRY_AFTER, TOPIC, is_passing};
use crate::oracle::{SharedBook, Testimony};
use crate::port::{Actor, Broken, Port, answer};
use bytes::Bytes;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use mainstem_protocol::messages::{FindCoordinatorRequest, OffsetFetchRequest};

const OFFSETS_VERSION: i16 = 8;

/// See the module's words.
#[derive(Debug)]
pub(crate) struct OffsetAuditor {
    book: SharedBook,
    has_coordinator: bool,
    waiting: bool,
    done: bool,
}

impl OffsetAuditor {
    pub(crate) fn new(book: SharedBook) -> Self {
        Self { book, has_coordinator: false, waiting: false, done: false }
    }

    fn ask(&mut self, port: &mut Port) {
        if self.waiting || self.done {
            return;
        }
        self.waiting = true;
        let book = self.book.borrow();
        if !self.has_coordinator {
            let key = book.name().to_owned();
            let key_type = GROUP_KEY;
            let request = FindCoordinatorRequest { key, key_type, ..Default::default() };
            port.send(FIND_VERSION, &request);
            return;
        }
        let topic = OffsetFetchRequestTopics {
            name: TOPIC.to_owned(),
            partition_indexes: (0..book.partitions()).collect(),
            ..OffsetFetchRequestTopics::default()
        };
        let group = OffsetFetchRequestGroup {
            group_id: book.name().to_owned(),
            topics: Some(vec![topic]),
            ..OffsetFetchRequestGroup::default()
        };
        let request = OffsetFetchRequest {
            groups: vec![group],
            require_stable: true,
            ..OffsetFetchRequest::default()
        };
        port.send(OFFSETS_VERSION, &request);
    }

    fn take(&mut self, frame: Bytes) -> Result<(), Broken> {
        let response = answer::<OffsetFetchRequest>(OFFSETS_VERSION, frame);
        let mut book = self.book.borrow_mut();
        let floors = book.floors();
        for group in response.groups {
            if group.error_code != ErrorCode::NONE {
                return passing(group.error_code);
            }
            for part in group.topics.into_iter().flat_map(|topic| topic.partitions) {
                if part.error_code != ErrorCode::NONE {
                    return passing(part.error_code);
                }
                let offset = (0 <= part.committed_offset).then_some(part.committed_offset);
                book.shown(part.partition_index, offset, &floors)?;
            }
        }
        self.done = true;
        Ok(())
    }
}

fn passing(error: ErrorCode) -> Result<(), Broken> {
    if is_passing(error) {
        return Ok(());
    }
    Err(Broken::protocol(format!("the offset auditor: {error:?}")))
}

impl Actor for OffsetAuditor {
    fn name(&self) -> String {
        format!("{}-auditor", self.book.borrow().name())
    }

    fn timer(&mut self, port: &mut Port) -> Result<(), Broken> {
        if self.done {
            return Ok(());
        }
        if port.connected {
            self.ask(port);
        } else {
            port.connect();
        }
        port.wake_after(RETRY_AFTER);
        Ok(())
    }

    fn connected(&mut self, port: &mut Port) -> Result<(), Broken> {
        self.ask(port);
        Ok(())
    }

    fn disconnected(&mut self, _: &mut Port) {
        self.waiting = false;
    }

    fn answered(&mut self, _: &mut Port, _: i32, frame: Bytes) -> Result<(), Broken> {
        self.waiting = false;
        if self.has_coordinator {
            return self.take(frame);
        }
        let response = answer::<FindCoordinatorRequest>(FIND_VERSION, frame);
        self.has_coordinator = response.error_code == ErrorCode::NONE;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn testimony(&self) -> Testimony {
        Testimony::Nothing
    }
}
