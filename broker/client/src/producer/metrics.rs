//! What a producer has done so far, in numbers.

/// Counts since the producer was made, and what is under way now. See
/// [`Producer::metrics`](crate::Producer::metrics).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerMetrics {
    /// Records that `send` has taken.
    pub records_sent: u64,
    pub records_acknowledged: u64,
    /// Their [`Delivery`](crate::Delivery) told an error.
    pub records_failed: u64,
    pub batches_acknowledged: u64,
    /// Bytes of the acknowledged records before compression, with what a batch adds to each.
    pub bytes_acknowledged: u64,
    /// Batches that were sent once more.
    pub retries: u64,
    /// Batches that were begun and have no answer yet.
    pub batches_outstanding: u64,
    /// Of `buffer_memory_bytes`.
    pub buffered_bytes: u64,
}

impl ProducerMetrics {
    pub(super) fn ended(&mut self, records: u32, size_bytes: usize, is_acknowledged: bool) {
        if is_acknowledged {
            self.records_acknowledged += u64::from(records);
            self.batches_acknowledged += 1;
            self.bytes_acknowledged += size_bytes as u64;
        } else {
            self.records_failed += u64::from(records);
        }
    }
}
