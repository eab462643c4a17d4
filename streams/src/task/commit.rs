//! What a commit consists of.

use std::sync::Arc;

use mainstem_protocol::ids::Offset;

use super::times::upstream_entries;
use super::{PartitionMetadata, Task};
use crate::error::StreamsError;
use crate::record::Output;
use crate::state::{ChangelogRecord, Slot, SlotWrites};

/// The offset of an input and what is saved with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The next record to process.
    pub offset: Offset,
    pub metadata: String,
}

/// The changes of one store: one record per key.
#[derive(Clone, Debug)]
pub struct Changelog {
    pub slot: Slot,
    pub topic: Arc<str>,
    pub records: Vec<ChangelogRecord>,
}

/// Everything that one transaction must hold beyond the outputs sent before, and what the backend
/// gets once it has committed.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Announcements of watermarks: to be sent behind all other outputs.
    pub outputs: Vec<Output>,
    pub changelogs: Vec<Changelog>,
    pub offsets: Vec<CommittedOffset>,
    /// For the backend, after the commit. The shell fills in the offsets that the changelog
    /// records were given.
    pub writes: Vec<SlotWrites>,
}

impl Task {
    /// Collects what the transaction must hold. The outputs must have been taken before.
    pub fn prepare_commit(&mut self) -> Result<Commit, StreamsError> {
        let mut commit = Commit { outputs: self.announce(), ..Commit::default() };
        for (id, slot, storage, topic) in self.application.slots(self.id) {
            let Some(store) = self.stores.get_mut(&id) else { continue };
            let collected = store.collect()?;
            if collected.writes.is_empty() {
                continue;
            }
            let (topic, records) = (Arc::from(topic), collected.changelog);
            commit.changelogs.push(Changelog { slot: slot.clone(), topic, records });
            let (writes, changelog_offset) = (collected.writes, None);
            commit.writes.push(SlotWrites { slot, storage, writes, changelog_offset });
        }
        let times = self.saved_times();
        for input in &self.inputs.inputs {
            let Some(offset) = input.next_offset() else { continue };
            let mut entries = upstream_entries(&input.upstream);
            entries.extend(times.clone());
            let metadata = PartitionMetadata { time: input.time, entries }.encode();
            let (topic, partition) = (input.topic.clone(), self.id.partition);
            commit.offsets.push(CommittedOffset { topic, partition, offset, metadata });
        }
        Ok(commit)
    }

    /// The transaction has committed, and the backend has the writes.
    pub fn committed(&mut self) {
        for store in self.stores.values_mut() {
            store.committed();
        }
        self.is_commit_requested = false;
        self.is_touched = false;
    }
}
