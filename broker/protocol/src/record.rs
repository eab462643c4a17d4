//! Record batches, format v2: looked into without being copied, patched in place, built.
//!
//! A batch is
//!
//! | at | size | field | covered by the checksum |
//! |----|------|-------|---|
//! | 0  | 8 | base offset: the offset of the first record | no |
//! | 8  | 4 | length of what follows | no |
//! | 12 | 4 | leader epoch of the broker that wrote it to its log | no |
//! | 16 | 1 | magic, 2 | no |
//! | 17 | 4 | CRC-32C of everything from byte 21 on | no |
//! | 21 | 2 | attributes, see below | yes |
//! | 23 | 4 | last offset delta | yes |
//! | 27 | 8 | base timestamp, in ms | yes |
//! | 35 | 8 | max timestamp, in ms | yes |
//! | 43 | 8 | producer id | yes |
//! | 51 | 2 | producer epoch | yes |
//! | 53 | 4 | base sequence | yes |
//! | 57 | 4 | record count | yes |
//! | 61 |   | the records, compressed as a whole | yes |
//!
//! Attributes: bits 0-2 compression, 3 log append time, 4 transactional, 5 control, 6 delete
//! horizon.
//!
//! A record is: length (varint), attributes (i8), timestamp delta (varlong), offset delta
//! (varint), key length (varint, -1 for null), key, value length, value, header count (varint),
//! and for each header: key length, key, value length (-1 for null), value. Varints are zigzag.
//!
//! A broker changes only what the checksum leaves out, so that a batch goes from the producer to
//! the file and to the consumer as it is. What it must know it reads from the header.
//!
//! - `BatchView` borrows one batch; `Batch` owns it as shared bytes; `batches` walks many.
//! - `Records` yields records as slices of the (decompressed) batch, `RecordRefs` borrows them from it.
//! - `validate_deep` checks everything that a broker checks before it stores a batch, piece by piece.
//! - `patch` changes headers in place. `BatchBuilder` writes batches. `control` is about markers.
//!
//! Deliberately absent: formats v0 and v1, which Kafka 4 no longer accepts.

mod batch;
mod builder;
mod control;
mod error;
mod heads;
pub mod patch;
mod raw;
mod records;
mod sequence;
mod validate;
mod varint;
mod walk;

pub use batch::{BATCH_OVERHEAD, BatchView, LENGTH_AT_LEAST, TimestampType};
pub use builder::BatchBuilder;
pub use control::{ControlRecord, marker_batch};
pub use error::BatchError;
pub use patch::{set_base_offset, set_leader_epoch, set_max_timestamp_log_append, set_producer};
pub use records::{Header, Record, RecordRef, RecordRefs, Records};
pub use sequence::{sequence_distance, sequence_plus};
pub use validate::{Contents, RecordFacts, validate_deep, validate_each};
pub use walk::{Batch, Batches, batches};

/// What the protocol sends when a record has no timestamp.
pub const NO_TIMESTAMP: i64 = -1;

/// What the protocol sends when a batch has no sequence number.
pub const NO_SEQUENCE: i32 = -1;
