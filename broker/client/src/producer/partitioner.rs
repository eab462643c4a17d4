//! Which partition a record without one goes to.
//!
//! With a key: Kafka's hash, so that producers in other languages agree. Without: the same
//! partition until a batch worth of bytes went there, then another at random (KIP-794), because
//! few full batches cost less than many thin ones.

use bytes::Bytes;
use mainstem_platform::{Random, SeededRandom};
use mainstem_protocol::partitioner::partition_for_key;

/// The sticky choice of one topic.
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    partition: Option<i32>,
    bytes: usize,
}

impl Sticky {
    pub(crate) fn choose(
        &mut self,
        key: Option<&Bytes>,
        size_bytes: usize,
        partition_count: i32,
        switch_bytes: usize,
        random: &mut SeededRandom,
    ) -> i32 {
        if let Some(key) = key {
            return partition_for_key(key, partition_count);
        }
        let current = self.partition.filter(|p| *p < partition_count && self.bytes < switch_bytes);
        let chosen = match current {
            Some(partition) => partition,
            None => {
                self.bytes = 0;
                let count = u64::try_from(partition_count).unwrap_or(1);
                i32::try_from(random.below(count)).unwrap_or(0)
            }
        };
        self.partition = Some(chosen);
        self.bytes += size_bytes;
        chosen
    }
}
