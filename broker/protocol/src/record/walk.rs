//! A stretch of a log, walked batch by batch.

use super::{BatchError, BatchView, Records};
use bytes::Bytes;

/// One batch as shared bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Exactly one batch, parsed before.
    bytes: Bytes,
}

impl Batch {
    /// The batch at the beginning of `bytes`. Checks length and magic only.
    pub fn parse(bytes: &Bytes) -> Result<Batch, BatchError> {
        let (_, size) = BatchView::parse(bytes)?;
        Ok(Batch { bytes: bytes.slice(..size) })
    }

    /// The header fields.
    #[expect(clippy::expect_used, reason = "a broken invariant of this struct, not of its input")]
    pub fn view(&self) -> BatchView<'_> {
        let (view, _) = BatchView::parse(&self.bytes).expect("the bytes were parsed before");
        view
    }

    /// The whole batch.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole batch.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The records, decompressed into at most `size_max` bytes. Those of an uncompressed batch
    /// are slices of it.
    pub fn records(&self, size_max: usize) -> Result<Records, BatchError> {
        self.view().records_in(size_max, |body| self.bytes.slice_ref(body))
    }
}

/// Walks the batches of `bytes`.
///
/// A batch that is cut off at the end is left alone, as fetched stretches often end in one;
/// [`Batches::rest`] tells whether there was one. Any other error ends the walk.
pub fn batches(bytes: &Bytes) -> Batches {
    Batches { rest: bytes.clone(), done: false }
}

/// The iterator of [`batches`].
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
    done: bool,
}

impl Batches {
    /// What was not walked yet: after the walk, the beginning of a batch that was cut off.
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Result<Batch, BatchError>> {
        if self.done || self.rest.is_empty() {
            return None;
        }
        match Batch::parse(&self.rest) {
            Ok(batch) => {
                self.rest = self.rest.slice(batch.bytes.len()..);
                Some(Ok(batch))
            }
            Err(error) => {
                self.done = true;
                match error {
                    BatchError::Truncated { .. } => None,
                    error => Some(Err(error)),
                }
            }
        }
    }
}
