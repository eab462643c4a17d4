//! Which partition a record without one goes to.
//!
//! With a key: Kafka's hash, so that producers in other languages agree. Without: the same
//! partition until a batch worth of bytes went there, then another at random (KIP-794), because
//! few full batches cost less than many thin ones. An application may bring its own choice.

use std::fmt;

use bytes::Bytes;
use mainstem_platform::{Random, SeededRandom};
use mainstem_protocol::partitioner::partition_for_key;

use crate::records::ProducerRecord;

/// Chooses partitions in place of the client; see
/// [`ProducerConfig::partitioner`](crate::ProducerConfig).
///
/// ```
/// use mainstem_client::{Partitioner, ProducerRecord};
///
/// /// What is urgent has a partition of its own.
/// #[derive(Debug)]
/// struct Urgent;
///
/// impl Partitioner for Urgent {
///     fn partition(&self, record: &ProducerRecord, partition_count: i32) -> Option<i32> {
///         let urgent = record.headers.iter().any(|header| header.key == "urgent");
///         urgent.then_some(partition_count - 1)
///     }
/// }
/// ```
pub trait Partitioner: fmt::Debug + Send + Sync {
    /// A partition from 0 to `partition_count` - 1; any other one fails the `send`. `None` leaves the
    /// choice to the client. Called under a lock that all senders share: it must be quick, and must
    /// not use the producer.
    fn partition(&self, record: &ProducerRecord, partition_count: i32) -> Option<i32>;
}

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
