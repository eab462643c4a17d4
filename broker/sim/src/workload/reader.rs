//! A reader of all partitions, from the beginning on, that remembers everything it saw.
//!
//! Rule that it checks itself: a high watermark never goes back.

use super::intake::{FETCH_VERSION, fetch_request, partitions_of, take_in};
use super::{RETRY_AFTER, is_passing};
use crate::oracle::{Rows, Testimony};
use crate::port::{Actor, Broken, Port, answer};
use bytes::Bytes;
use mainstem_protocol::ErrorCode;
use mainstem_protocol::messages::FetchRequest;
use mainstem_protocol::messages::fetch::PartitionData;
use std::collections::BTreeMap;

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Reader {
    name: String,
    topic: &'static str,
    committed_only: bool,
    /// Stops once it has read to the end when it was told that nothing more comes.
    until_end: bool,
    positions: BTreeMap<i32, i64>,
    rows: Rows,
    /// High watermark and last stable offset as told last.
    ends: BTreeMap<i32, (i64, i64)>,
    waiting: bool,
}

impl Reader {
    /// Reads for ever.
    pub(crate) fn new(topic: &'static str, partitions: i32, committed_only: bool) -> Self {
        let kind = if committed_only { "committed-reader" } else { "reader" };
        Self {
            name: kind.to_owned(),
            topic,
            committed_only,
            until_end: false,
            positions: (0..partitions).map(|partition| (partition, 0)).collect(),
            rows: Rows::new(),
            ends: BTreeMap::new(),
            waiting: false,
        }
    }

    /// Reads up to the end, when nobody writes any more.
    pub(crate) fn auditor(topic: &'static str, partitions: i32, committed_only: bool) -> Self {
        let reader = Self::new(topic, partitions, committed_only);
        Self { name: format!("{topic}-{}-auditor", reader.name), until_end: true, ..reader }
    }

    /// When it was made to read to the end: everything acknowledged is read, nothing is undecided.
    fn is_finished(&self) -> bool {
        let read = |(partition, position): (&i32, &i64)| {
            let end = self.ends.get(partition);
            end.is_some_and(|(high, stable)| high == stable && high <= position)
        };
        self.until_end && self.positions.iter().all(read)
    }

    fn fetch(&mut self, port: &mut Port) {
        if !port.connected || self.waiting || self.is_finished() {
            return;
        }
        let positions = self.positions.iter().map(|(partition, at)| (*partition, *at));
        let bytes_max = if self.until_end { 20_000 } else { 600 };
        let request = fetch_request(self.topic, self.committed_only, bytes_max, positions);
        port.send(FETCH_VERSION, &request);
        self.waiting = true;
    }

    fn take(&mut self, part: PartitionData) -> Result<(), Broken> {
        let partition = part.partition_index;
        match part.error_code {
            ErrorCode::NONE => {}
            error if is_passing(error) => return Ok(()),
            error => {
                return Err(Broken::protocol(format!("{}: {partition}: {error:?}", self.name)));
            }
        }
        let end = (part.high_watermark, part.last_stable_offset);
        let before = self.ends.insert(partition, end);
        if before.is_some_and(|before| end.0 < before.0) {
            let text = format!("{}: {partition} from {before:?} to {end:?}", self.name);
            return Err(Broken::new("watermark", text));
        }
        let position = self.positions.entry(partition).or_insert(0);
        let intake = take_in(part, *position, self.committed_only)?;
        *position = intake.position;
        self.rows.entry(partition).or_default().extend(intake.rows);
        Ok(())
    }
}

impl Actor for Reader {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn timer(&mut self, port: &mut Port) -> Result<(), Broken> {
        if self.is_finished() {
            return Ok(());
        }
        if port.connected {
            self.fetch(port);
        } else {
            port.connect();
        }
        port.wake_after(RETRY_AFTER);
        Ok(())
    }

    fn connected(&mut self, port: &mut Port) -> Result<(), Broken> {
        self.fetch(port);
        Ok(())
    }

    fn disconnected(&mut self, _: &mut Port) {
        self.waiting = false;
    }

    fn answered(&mut self, port: &mut Port, _: i32, frame: Bytes) -> Result<(), Broken> {
        self.waiting = false;
        let response = answer::<FetchRequest>(FETCH_VERSION, frame);
        for part in partitions_of(response) {
            self.take(part)?;
        }
        self.fetch(port);
        Ok(())
    }

    /// A reader that reads for ever keeps nobody waiting.
    fn is_done(&self) -> bool {
        !self.until_end || self.is_finished()
    }

    fn testimony(&self) -> Testimony {
        Testimony::Seen {
            topic: self.topic,
            committed_only: self.committed_only,
            rows: self.rows.clone(),
        }
    }
}
