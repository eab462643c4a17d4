//! The Kafka wire protocol: messages, frames, record batches, compression.
//!
//! In reading order: `ids` and `error_code` name the numbers of the protocol; `codec` reads and
//! writes its primitives; `messages` holds the structs generated from `wire/*.wire`; `frame` puts
//! headers and lengths around them; `record` looks into record batches without copying them;
//! `compression` packs and unpacks their contents; `consumer_protocol` and `partitioner` hold what
//! clients agree on among themselves.
//!
//! Invariants:
//! - Bytes from outside never panic and never size an allocation before they are checked.
//! - Record batches stay the bytes they came as, from the socket to the file and back.
//!
//! Deliberately absent: sockets, files, clocks, threads, and any decision about what a request
//! means.

pub mod codec;
pub mod compression;
pub mod consumer_protocol;
pub mod error_code;
pub mod frame;
pub mod ids;
pub mod messages;
pub mod partitioner;
pub mod record;

#[cfg(test)]
mod tests;

pub use codec::{Data, DecodeError, EncodeError, Message, Reader, RecordsRef, Request, Writer};
pub use error_code::ErrorCode;
pub use ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, TopicId};
pub use messages::ApiKey;
