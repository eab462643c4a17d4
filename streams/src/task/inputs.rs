//! The inputs of a task and the choice of what comes next.
//!
//! The next record is the one with the least timestamp among the heads of all inputs; between equal
//! ones the input that was declared first. The choice is only as good as what has been fetched, so
//! an empty input holds the others back until it is known that the broker has nothing for it
//! ([`Idle`]). A bounded input holds the others back until it has ended.
//!
//! Control records (watermarks on repartition topics, end of stream on external ones) keep their
//! place in the queue: they speak about what stands before them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mainstem_protocol::ids::Offset;

use super::times::Announcement;
use super::{Application, Idle, TaskId};
use crate::record::{END_OF_STREAM_HEADER, END_OF_TIME, InputRecord, NO_TIME, WATERMARK_HEADER};
use crate::topology::{NodeId, SubTopology};

/// One input: one partition of one source topic.
pub(crate) struct Input {
    pub(crate) topic: Arc<str>,
    pub(crate) source: NodeId,
    queue: VecDeque<InputRecord>,
    is_external: bool,
    is_bounded: bool,
    is_caught_up: bool,
    /// Greatest timestamp taken from it; `END_OF_TIME` once it has ended.
    pub(crate) time: i64,
    /// For a repartition topic: what each upstream task has announced.
    pub(crate) upstream: BTreeMap<u32, i64>,
    /// Upstream tasks that there are.
    upstream_count: usize,
    /// The offset behind the last record taken; `None` while nothing was.
    behind_taken: Option<Offset>,
}

impl Input {
    /// The time that this input vouches for: what comes later is later, up to its disorder.
    pub(crate) fn watermark(&self) -> i64 {
        match self.is_external {
            true => self.time,
            false if self.upstream.len() < self.upstream_count => NO_TIME,
            false => self.upstream.values().copied().min().unwrap_or(NO_TIME),
        }
    }

    /// The next record to process, if any was processed at all.
    pub(crate) fn next_offset(&self) -> Option<Offset> {
        let behind_taken = self.behind_taken?;
        Some(self.queue.front().map_or(behind_taken, |head| head.offset))
    }

    fn has_ended(&self) -> bool {
        self.time == END_OF_TIME
    }

    fn is_control(&self, record: &InputRecord) -> bool {
        let header = if self.is_external { END_OF_STREAM_HEADER } else { WATERMARK_HEADER };
        record.header(header).is_some()
    }

    fn take(&mut self) -> Option<InputRecord> {
        let record = self.queue.pop_front()?;
        self.behind_taken = Some(record.offset.next());
        Some(record)
    }

    fn take_control(&mut self, record: &InputRecord) {
        if self.is_external {
            self.time = END_OF_TIME;
            return;
        }
        let payload = record.header(WATERMARK_HEADER).and_then(|header| header.value.as_ref());
        if let Some(announcement) = payload.and_then(|bytes| Announcement::decode(bytes)) {
            let time = self.upstream.entry(announcement.upstream).or_insert(NO_TIME);
            *time = announcement.time.max(*time);
        }
    }
}

/// What `Inputs::next` found.
pub(crate) enum Taken {
    Records { source: NodeId, records: Vec<InputRecord> },
    Control,
    Waiting,
    Idle,
}

/// All inputs of a task.
pub(crate) struct Inputs {
    pub(crate) inputs: Vec<Input>,
    idle: Idle,
    /// Since when the task has had records but waits for an empty input, by the wall clock.
    waiting_since_ms: Option<i64>,
}

impl Inputs {
    pub(crate) fn new(id: TaskId, application: &Application, sub: &SubTopology) -> Inputs {
        let mut inputs = Vec::new();
        for node in &sub.nodes {
            let Some(source) = application.topology.graph.nodes[node.0].source() else { continue };
            let topic = source.topic.resolve(&application.application_id);
            if id.partition >= application.partitions(&topic) {
                continue;
            }
            let writer = application.topology.writer_of(&source.topic);
            let upstream_count = writer.map_or(0, |writer| application.counts.tasks[writer]);
            inputs.push(Input {
                topic: Arc::from(topic),
                source: *node,
                queue: VecDeque::new(),
                is_external: source.topic.external().is_some(),
                is_bounded: source.is_bounded,
                is_caught_up: false,
                time: NO_TIME,
                upstream: BTreeMap::new(),
                upstream_count: usize::try_from(upstream_count).unwrap_or(0),
                behind_taken: None,
            });
        }
        Inputs { inputs, idle: application.idle, waiting_since_ms: None }
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<str>> {
        self.inputs.iter().map(|input| &input.topic)
    }

    pub(crate) fn push(&mut self, topic: &str, records: Vec<InputRecord>) {
        if let Some(input) = self.by_topic(topic) {
            // What was handed over before is not taken twice, whatever the client does.
            let behind = input.queue.back().map(|last| last.offset.next()).or(input.behind_taken);
            let fresh = |record: &InputRecord| behind.is_none_or(|behind| record.offset >= behind);
            input.queue.extend(records.into_iter().filter(fresh));
        }
    }

    pub(crate) fn set_caught_up(&mut self, topic: &str, is_caught_up: bool) {
        if let Some(input) = self.by_topic(topic) {
            input.is_caught_up = is_caught_up;
        }
    }

    pub(crate) fn buffered_len(&self, topic: &str) -> usize {
        let input = self.inputs.iter().find(|input| input.topic.as_ref() == topic);
        input.map_or(0, |input| input.queue.len())
    }

    fn by_topic(&mut self, topic: &str) -> Option<&mut Input> {
        self.inputs.iter_mut().find(|input| input.topic.as_ref() == topic)
    }

    /// Takes the longest run of records that would be taken one after another anyway.
    pub(crate) fn next(&mut self, now_ms: i64, sub: &SubTopology) -> Taken {
        let bounded_first = self.inputs.iter().any(|input| input.is_bounded && !input.has_ended());
        let open = |input: &Input| input.is_bounded || !bounded_first;
        let heads = self.inputs.iter().enumerate().filter(|(_, input)| open(input));
        let heads = heads.filter_map(|(at, input)| input.queue.front().map(|r| (r.timestamp, at)));
        let mut heads: Vec<(i64, usize)> = heads.collect();
        heads.sort_unstable();
        let Some((_, chosen)) = heads.first().copied() else {
            let holds_records = self.inputs.iter().any(|input| !input.queue.is_empty());
            return if holds_records { Taken::Waiting } else { Taken::Idle };
        };
        if self.must_wait(now_ms, &open) {
            return Taken::Waiting;
        }
        let bound = heads.get(1).copied();
        let input = &mut self.inputs[chosen];
        if input.queue.front().is_some_and(|head| input.is_control(head)) {
            if let Some(record) = input.take() {
                input.take_control(&record);
            }
            return Taken::Control;
        }
        let records = take_run(input, chosen, bound, sub);
        Taken::Records { source: input.source, records }
    }

    fn must_wait(&mut self, now_ms: i64, open: &impl Fn(&Input) -> bool) -> bool {
        let Idle::CaughtUpAnd { wait_ms } = self.idle else {
            return false;
        };
        let empty = |input: &&Input| open(input) && input.queue.is_empty() && !input.has_ended();
        if self.inputs.iter().filter(empty).any(|input| !input.is_caught_up) {
            return true;
        }
        if wait_ms == 0 || !self.inputs.iter().any(|input| empty(&input)) {
            self.waiting_since_ms = None;
            return false;
        }
        let since_ms = *self.waiting_since_ms.get_or_insert(now_ms);
        now_ms.saturating_sub(since_ms) < wait_ms
    }
}

/// The records of `input` up to where another input comes first (`bound`), a control record
/// stands, or the batch must end for the operators' sake.
fn take_run(
    input: &mut Input,
    chosen: usize,
    bound: Option<(i64, usize)>,
    sub: &SubTopology,
) -> Vec<InputRecord> {
    let mut records = Vec::new();
    while let Some(head) = input.queue.front() {
        let comes_later = bound.is_some_and(|bound| bound < (head.timestamp, chosen));
        let is_disorder = sub.cuts_at_disorder && head.timestamp < input.time;
        let must_end = comes_later || is_disorder || input.is_control(head);
        if records.len() >= sub.batch_records_max || (!records.is_empty() && must_end) {
            break;
        }
        let Some(record) = input.take() else { break };
        if !input.has_ended() {
            input.time = input.time.max(record.timestamp);
        }
        records.push(record);
    }
    records
}
