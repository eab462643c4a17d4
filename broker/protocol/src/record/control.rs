//! Markers: the records with which a transaction ends in a partition.
//!
//! A marker is alone in a control batch. Its key is a version (i16, 0) and a type (i16: 0 abort,
//! 1 commit, others belong to the consensus of controllers). Its value is a version (i16) and the
//! epoch of the coordinator that ended the transaction.

use super::{BatchBuilder, BatchError};
use crate::codec::{Data, DecodeError, Message, Reader, Writer};
use crate::messages::records::EndTxnMarker;
use crate::{LeaderEpoch, ProducerEpoch, ProducerId};
use bytes::Bytes;

const TYPE_ABORT: i16 = 0;
const TYPE_COMMIT: i16 = 1;

/// What a control record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// The records of the transaction do not count.
    Abort { coordinator_epoch: i32 },
    /// The records of the transaction count.
    Commit { coordinator_epoch: i32 },
    /// Something that does not concern transactions: skip it.
    Other { kind: i16 },
}

impl ControlRecord {
    /// Reads the key and value of a control record.
    pub fn decode(
        key: Option<&Bytes>,
        value: Option<&Bytes>,
    ) -> Result<ControlRecord, DecodeError> {
        let mut key = Reader::new(key.cloned().ok_or(DecodeError::UnexpectedNull)?);
        let _version = key.i16()?;
        let kind = key.i16()?;
        if kind != TYPE_ABORT && kind != TYPE_COMMIT {
            return Ok(ControlRecord::Other { kind });
        }
        let mut value = Reader::new(value.cloned().ok_or(DecodeError::UnexpectedNull)?);
        let version = value.i16()?;
        let known = version.clamp(EndTxnMarker::MIN_VERSION, EndTxnMarker::MAX_VERSION);
        let EndTxnMarker { coordinator_epoch } = EndTxnMarker::decode(&mut value, known)?;
        Ok(match kind {
            TYPE_COMMIT => ControlRecord::Commit { coordinator_epoch },
            _ => ControlRecord::Abort { coordinator_epoch },
        })
    }

    /// The key and value of a marker. Other control records are not written here: they are none.
    pub fn encode(self) -> Option<(Bytes, Bytes)> {
        let (kind, coordinator_epoch) = match self {
            ControlRecord::Abort { coordinator_epoch } => (TYPE_ABORT, coordinator_epoch),
            ControlRecord::Commit { coordinator_epoch } => (TYPE_COMMIT, coordinator_epoch),
            ControlRecord::Other { .. } => return None,
        };
        let mut key = Writer::with_capacity(4);
        key.i16(0);
        key.i16(kind);
        let mut value = Writer::with_capacity(6);
        let version = EndTxnMarker::MAX_VERSION;
        value.i16(version);
        EndTxnMarker { coordinator_epoch }.encode(&mut value, version).ok()?;
        Some((key.into_bytes().ok()?, value.into_bytes().ok()?))
    }
}

/// The batch that ends a transaction of a producer. Its offset is left to the log.
pub fn marker_batch(
    timestamp_ms: i64,
    producer_id: ProducerId,
    epoch: ProducerEpoch,
    leader_epoch: LeaderEpoch,
    marker: ControlRecord,
) -> Result<Bytes, BatchError> {
    let (key, value) =
        marker.encode().ok_or(BatchError::Invalid("only commit and abort end a transaction"))?;
    let mut builder = BatchBuilder::new()
        .leader_epoch(leader_epoch)
        .producer(producer_id, epoch, super::NO_SEQUENCE)
        .transactional()
        .control();
    builder.push(timestamp_ms, Some(&key), Some(&value), &[]);
    builder.finish()
}
