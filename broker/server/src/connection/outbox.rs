//! Responses that wait for the socket.

use std::collections::VecDeque;

use mainstem_node::ResponseSegment;

/// Responses that may wait before no more requests are read.
const OUTBOX_RESPONSES_MAX: usize = 128;
/// Bytes in memory (ranges of files do not count) that may wait before no more are read.
const OUTBOX_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A queue of responses, in the order of the requests.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    responses: VecDeque<Vec<ResponseSegment>>,
    bytes: usize,
    is_closing: bool,
}

impl Outbox {
    pub(super) fn push(&mut self, segments: Vec<ResponseSegment>) {
        if self.is_closing {
            return;
        }
        self.bytes += in_memory(&segments);
        self.responses.push_back(segments);
    }

    pub(super) fn pop(&mut self) -> Option<Vec<ResponseSegment>> {
        let segments = self.responses.pop_front()?;
        self.bytes -= in_memory(&segments);
        Some(segments)
    }

    /// No response follows.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing
    }

    pub(super) fn is_empty(&self) -> bool {
        self.responses.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.responses.len() >= OUTBOX_RESPONSES_MAX || self.bytes >= OUTBOX_BYTES_MAX
    }
}

fn in_memory(segments: &[ResponseSegment]) -> usize {
    let sizes = segments.iter().map(|segment| match segment {
        ResponseSegment::Bytes(bytes) => bytes.len(),
        ResponseSegment::File { .. } => 0,
    });
    sizes.sum()
}
