//! What the members of a consumer group tell one another inside JoinGroup and SyncGroup.
//!
//! The broker passes these blobs on without reading them, but it describes groups to operators,
//! and our client takes part in groups. A blob is a version (i16) and a struct. A newer version
//! only appends fields, so a reader takes what it knows and leaves the rest: this is the one place
//! of the protocol where bytes may be left over.

pub use crate::messages::records::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, consumer_protocol_assignment,
    consumer_protocol_subscription,
};

use crate::codec::{Data, DecodeError, EncodeError, Reader, Writer};
use bytes::Bytes;

/// The protocol type under which consumers join a group.
pub const PROTOCOL_TYPE: &str = "consumer";

/// Writes a subscription, preceded by its version.
pub fn encode_subscription(
    subscription: &ConsumerProtocolSubscription,
    version: i16,
) -> Result<Bytes, EncodeError> {
    encode(subscription, version)
}

/// Reads a subscription of any version.
pub fn decode_subscription(blob: &Bytes) -> Result<ConsumerProtocolSubscription, DecodeError> {
    decode(blob)
}

/// Writes an assignment, preceded by its version.
pub fn encode_assignment(
    assignment: &ConsumerProtocolAssignment,
    version: i16,
) -> Result<Bytes, EncodeError> {
    encode(assignment, version)
}

/// Reads an assignment of any version. No bytes at all are no partitions: that is what a member
/// gets from a group without a leader's answer.
pub fn decode_assignment(blob: &Bytes) -> Result<ConsumerProtocolAssignment, DecodeError> {
    if blob.is_empty() {
        return Ok(ConsumerProtocolAssignment::default());
    }
    decode(blob)
}

fn encode<T: Data>(value: &T, version: i16) -> Result<Bytes, EncodeError> {
    let mut w = Writer::with_capacity(64);
    w.i16(version);
    value.encode(&mut w, version)?;
    w.into_bytes()
}

fn decode<T: Data>(blob: &Bytes) -> Result<T, DecodeError> {
    let mut r = Reader::new(blob.clone());
    let version = r.i16()?;
    if version < T::MIN_VERSION {
        return Err(DecodeError::UnsupportedVersion { message: T::NAME, version });
    }
    T::decode(&mut r, version.min(T::MAX_VERSION))
}
