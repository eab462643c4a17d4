//! From what the coordinator wants a member to have to what the application has: first it gives up,
//! then it gets.
//!
//! The coordinator speaks of topics by id, the application by name; metadata know both. A topic
//! that metadata do not know yet is asked for and waited for, and does not hold up the others. A
//! topic that was deleted and made again under its name is another one: its partitions go and come.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mainstem_protocol::TopicId;

use super::membership::Membership;
use crate::core::Metadata;
use crate::records::TopicPartition;

impl Membership {
    pub(super) fn reconcile(&mut self, metadata: &mut Metadata) {
        let Some(target) = &self.served.target else {
            // What an earlier membership looked for is not needed any more.
            return metadata.want_ids(BTreeSet::new());
        };
        if self.served.metadata_generation != metadata.generation {
            self.served.metadata_generation = metadata.generation;
            self.served.is_settled = false;
        }
        // What was asked back goes before anything else moves.
        if self.served.is_settled || !self.ownership.is_settled() {
            return;
        }
        let owned = self.ownership.owned();
        let kept = |name: &TopicPartition, id: TopicId| target.contains(&(id, name.partition));
        let going: Vec<TopicPartition> =
            owned.iter().filter(|(name, id)| !kept(name, **id)).map(|(n, _)| n.clone()).collect();
        let mut unknown: BTreeSet<TopicId> = BTreeSet::new();
        let mut added: BTreeMap<TopicPartition, TopicId> = BTreeMap::new();
        for (id, partition) in target {
            let Some(topic) = metadata.name_of(*id) else {
                unknown.insert(*id);
                continue;
            };
            let name = TopicPartition { topic: topic.clone(), partition: *partition };
            if owned.get(&name) != Some(id) {
                added.insert(name, *id);
            }
        }
        let is_known = unknown.is_empty();
        metadata.want_ids(unknown);
        self.ownership.ask_back(going, false);
        if !self.ownership.is_settled() {
            return;
        }
        if !added.is_empty() || (is_known && !self.served.is_welcomed) {
            self.served.is_welcomed = true;
            self.ownership.give(added, Bytes::new());
        }
        // Names that are still unknown come with metadata, and so does what makes them unsettled.
        self.served.is_settled = true;
    }
}
