//! Which log directory holds which partition.
//!
//! The disk itself is the record: a partition is where its folder is. At start shard zero looks
//! into all directories; a partition without a folder is a new one and gets the online directory
//! with the fewest partitions, as in Kafka. The answer travels to the shards with the view.
//!
//! Invariants:
//! - A partition of the image has exactly one place.
//! - A partition that has a folder is never given another one: a directory that is gone is
//!   noticed before (see `seat/identity.rs`), so no partition comes back empty elsewhere. While a
//!   directory is offline, every partition that is not found elsewhere is taken to be in it.

use crate::ask::PartitionKey;
use crate::log_dirs::{LogDirIndex, LogDirs};
use mainstem_metadata::{Image, PartitionImage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The places of all partitions of the image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Placement {
    places: Arc<BTreeMap<PartitionKey, LogDirIndex>>,
}

impl Placement {
    /// Where the folders are that were found, by their name.
    pub(crate) fn found(
        image: &Image,
        folders: &BTreeMap<String, LogDirIndex>,
        dirs: &LogDirs,
    ) -> Placement {
        // Nobody can look into a directory that is offline: what is nowhere else counts as there.
        let unseen = dirs.indexes().find(|dir| !dirs.is_online(*dir));
        let mut places = BTreeMap::new();
        for (name, key) in partitions(image) {
            let folder = format!("{name}-{}", key.partition);
            if let Some(dir) = folders.get(&folder).copied().or(unseen) {
                places.insert(key, dir);
            }
        }
        Placement { places: Arc::new(places) }
    }

    pub(crate) fn get(&self, key: &PartitionKey) -> Option<LogDirIndex> {
        self.places.get(key).copied()
    }

    /// A partition was moved.
    pub(crate) fn set(&mut self, key: PartitionKey, dir: LogDirIndex) {
        Arc::make_mut(&mut self.places).insert(key, dir);
    }

    /// Gives new partitions of the image their place and forgets those that are gone.
    pub(crate) fn follow(&mut self, image: &Image, dirs: &LogDirs) {
        let mut counts: BTreeMap<LogDirIndex, usize> = dirs.online().map(|dir| (dir, 0)).collect();
        for dir in self.places.values() {
            if let Some(count) = counts.get_mut(dir) {
                *count += 1;
            }
        }
        let mut new = Vec::new();
        let mut total = 0;
        for (_, key) in partitions(image) {
            total += 1;
            if !self.places.contains_key(&key) {
                new.push(key);
            }
        }
        if new.is_empty() && total == self.places.len() {
            return;
        }
        let places = Arc::make_mut(&mut self.places);
        places.retain(|key, _| {
            let topic = image.topic_by_id(key.topic);
            topic.is_some_and(|topic| topic.partition(key.partition).is_some())
        });
        for key in new {
            // The first one of those with the fewest, so that a test can tell.
            let fewest = counts.iter_mut().min_by_key(|(dir, count)| (**count, **dir));
            let Some((dir, count)) = fewest else { return };
            *count += 1;
            places.insert(key, *dir);
        }
    }
}

fn partitions(image: &Image) -> impl Iterator<Item = (&str, PartitionKey)> {
    image.topics().flat_map(|topic| {
        let (name, id) = (&*topic.name, topic.id);
        let key = move |partition: &PartitionImage| PartitionKey {
            topic: id,
            partition: partition.index,
        };
        topic.partitions.iter().map(move |partition| (name, key(partition)))
    })
}
