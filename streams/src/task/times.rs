//! Watermarks: how a task knows what can still come, and tells the tasks behind it.
//!
//! The watermark of a node is a time `t` such that whatever still arrives there is not older than
//! `t`, up to the disorder that a window's grace covers. It only grows.
//! - An external source: the greatest timestamp taken from its partition, or `END_OF_TIME` once the
//!   partition's end-of-stream record was taken.
//! - A repartition source: the least of what all tasks that write the topic have announced to this
//!   partition; nothing while one of them has not announced yet.
//! - Any other node: the least of what its parents forward, less what an operator holds back.
//!
//! At each commit a task announces the watermark of each repartition sink to every partition of the
//! topic, behind the records it speaks about and in the same transaction. What was announced to an
//! input is saved with its committed offset. So after any crash offset, state and watermarks are
//! those of one and the same commit.
//!
//! An announcement is a record with null key and value and one header, `mainstem.watermark`:
//! 1. version, u8: 0
//! 2. number of the announcing task's partition, u32 big-endian
//! 3. watermark, i64 big-endian

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::{PartitionMetadata, Task, repartition_topic};
use crate::error::StreamsError;
use crate::record::{END_OF_TIME, Header, NO_TIME, Output, WATERMARK_HEADER};

const VERSION: u8 = 0;
const ANNOUNCEMENT_BYTES: usize = 1 + 4 + 8;

/// Metadata key: the task has seen the end of everything.
pub(crate) const ENDED: &str = "ended";

const UPSTREAM_PREFIX: &str = "w/";
const OPERATOR_PREFIX: &str = "t/";

/// What one upstream task says to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) upstream: u32,
    pub(crate) time: i64,
}

impl Announcement {
    pub(crate) fn encode(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(ANNOUNCEMENT_BYTES);
        bytes.put_u8(VERSION);
        bytes.put_u32(self.upstream);
        bytes.put_i64(self.time);
        bytes.freeze()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Announcement> {
        let exact: [u8; ANNOUNCEMENT_BYTES] = bytes.try_into().ok()?;
        let [version, a, b, c, d, time @ ..] = exact;
        let (upstream, time) = (u32::from_be_bytes([a, b, c, d]), i64::from_be_bytes(time));
        (version == VERSION).then_some(Announcement { upstream, time })
    }
}

impl Task {
    /// Moves all watermarks on, in topological order, and forwards what operators give out for it.
    pub(super) fn advance(&mut self) -> Result<(), StreamsError> {
        for position in 0..self.nodes.len() {
            let time = self.incoming_watermark(position);
            if time <= self.nodes[position].watermark {
                continue;
            }
            self.nodes[position].watermark = time;
            let outcome =
                self.step(position, |operator, context| operator.advance(time, context))?;
            if let Some(batch) = outcome {
                self.forward(position, batch)?;
            }
            let node = &mut self.nodes[position];
            node.forwarded = node.forwarded.max(node.operator.held_back(time));
        }
        Ok(())
    }

    fn incoming_watermark(&self, position: usize) -> i64 {
        let node = &self.nodes[position];
        if let Some(input) = self.inputs.inputs.iter().find(|input| input.source == node.id) {
            return input.watermark();
        }
        let parents = node.parents.iter().map(|parent| self.nodes[*parent].forwarded);
        // A source topic without this partition has no parents and no input: nothing can come.
        parents.min().unwrap_or(END_OF_TIME)
    }

    /// Announcements that the next commit must carry.
    pub(super) fn announce(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        if !self.application.has_watermarks() {
            return outputs;
        }
        let upstream = self.id.partition.unsigned_abs();
        for node in &self.nodes {
            let Some(topic) = repartition_topic(&self.application, node.id) else { continue };
            let announced = self.announced.entry(topic.clone()).or_insert(NO_TIME);
            if node.watermark <= *announced {
                continue;
            }
            *announced = node.watermark;
            let value = Some(Announcement { upstream, time: node.watermark }.encode());
            let header = Header { key: WATERMARK_HEADER.to_owned(), value };
            for partition in 0..self.application.partitions(&topic) {
                outputs.push(announcement_record(&topic, partition, node.watermark, &header));
            }
        }
        outputs
    }

    pub(super) fn ends_reached(&self) -> bool {
        let graph = &self.application.topology.graph;
        self.nodes.iter().all(|node| {
            let spec = &graph.nodes[node.id.0];
            let has_windows = spec.stores.iter().any(|id| graph.stores[id.0].is_windowed);
            let counts = spec.sink().is_some() || has_windows;
            !counts || node.watermark == END_OF_TIME
        })
    }

    /// The metadata to be committed with each input's offset.
    pub(super) fn saved_times(&self) -> BTreeMap<String, i64> {
        let graph = &self.application.topology.graph;
        let mut entries = BTreeMap::new();
        for node in &self.nodes {
            if let Some(time) = node.operator.saved_time().filter(|time| *time != NO_TIME) {
                entries.insert(format!("{OPERATOR_PREFIX}{}", graph.nodes[node.id.0].name), time);
            }
        }
        if self.is_ended() {
            entries.insert(ENDED.to_owned(), 1);
        }
        entries
    }

    pub(super) fn restore_times(
        &mut self,
        committed: &BTreeMap<String, String>,
    ) -> Result<(), StreamsError> {
        let mut operators: BTreeMap<String, i64> = BTreeMap::new();
        for input in &mut self.inputs.inputs {
            let text = committed.get(input.topic.as_ref());
            // Metadata of an older or a foreign program is no reason to stop; times begin anew.
            let Some(saved) = text.and_then(|text| PartitionMetadata::decode(text)) else {
                continue;
            };
            input.time = saved.time;
            for (key, time) in saved.entries {
                if let Some(upstream) = key.strip_prefix(UPSTREAM_PREFIX) {
                    if let Ok(upstream) = upstream.parse() {
                        input.upstream.insert(upstream, time);
                    }
                } else if let Some(operator) = key.strip_prefix(OPERATOR_PREFIX) {
                    let latest = operators.entry(operator.to_owned()).or_insert(time);
                    *latest = time.max(*latest);
                }
            }
        }
        let application = self.application.clone();
        for node in &mut self.nodes {
            let name = &application.topology.graph.nodes[node.id.0].name;
            if let Some(time) = operators.get(name) {
                node.operator.restore_time(*time);
            }
        }
        match self.application.has_watermarks() {
            // Nothing can close here that was not closed in the commit the times come from.
            true => self.advance(),
            false => Ok(()),
        }
    }
}

/// The entries that save what was announced to an input.
pub(super) fn upstream_entries(upstream: &BTreeMap<u32, i64>) -> BTreeMap<String, i64> {
    upstream.iter().map(|(task, time)| (format!("{UPSTREAM_PREFIX}{task}"), *time)).collect()
}

fn announcement_record(topic: &Arc<str>, partition: i32, time: i64, header: &Header) -> Output {
    Output {
        topic: topic.clone(),
        partition: Some(partition),
        key: None,
        value: None,
        // The record's own time only places it among the records of other inputs. It must not be
        // in the far future, which brokers may refuse.
        timestamp: if time == END_OF_TIME { 0 } else { time.max(0) },
        headers: vec![header.clone()],
    }
}
