//! The records of the metadata log and their bytes.
//!
//! A record's value is laid out as KRaft has it:
//!
//! 1. frame version, unsigned varint, 1
//! 2. type of the record, unsigned varint (`apiKey` in KRaft's words)
//! 3. version of the type, unsigned varint
//! 4. the record's fields, a flexible message
//!
//! Records have no key. They are written at the lowest version that holds our fields, so that the
//! oldest tools read them.

use bytes::Bytes;
use mainstem_protocol::messages::records::{
    ConfigRecord, FeatureLevelRecord, PartitionChangeRecord, PartitionRecord, ProducerIdsRecord,
    RemoveTopicRecord, TopicRecord,
};
use mainstem_protocol::{Data, DecodeError, EncodeError, Reader, Writer};
use thiserror::Error;

const FRAME_VERSION: u32 = 1;

/// Why the bytes are not a record of ours. The log is damaged or from a later release: stop.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error("metadata record has frame version {0}, only {FRAME_VERSION} is known")]
    FrameVersion(u32),
    #[error("metadata record of type {0} is not known")]
    UnknownType(u32),
    #[error("metadata record cannot be read")]
    Decode(#[from] DecodeError),
    #[error("metadata record cannot be written")]
    Encode(#[from] EncodeError),
}

/// One change of the cluster's metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataRecord {
    Topic(TopicRecord),
    Partition(PartitionRecord),
    Config(ConfigRecord),
    PartitionChange(PartitionChangeRecord),
    RemoveTopic(RemoveTopicRecord),
    FeatureLevel(FeatureLevelRecord),
    ProducerIds(ProducerIdsRecord),
}

impl MetadataRecord {
    /// The record's value in the log.
    pub fn encode(&self) -> Result<Bytes, RecordError> {
        match self {
            Self::Topic(record) => encode(record),
            Self::Partition(record) => encode(record),
            Self::Config(record) => encode(record),
            Self::PartitionChange(record) => encode(record),
            Self::RemoveTopic(record) => encode(record),
            Self::FeatureLevel(record) => encode(record),
            Self::ProducerIds(record) => encode(record),
        }
    }

    /// Reads a record's value.
    pub fn decode(value: Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader::new(value);
        let frame = reader.unsigned_varint()?;
        if frame != FRAME_VERSION {
            return Err(RecordError::FrameVersion(frame));
        }
        let key = reader.unsigned_varint()?;
        let version = i16::try_from(reader.unsigned_varint()?).unwrap_or(i16::MAX);
        let record = match i16::try_from(key).ok() {
            key if key == TopicRecord::KEY => Self::Topic(decode(&mut reader, version)?),
            key if key == PartitionRecord::KEY => Self::Partition(decode(&mut reader, version)?),
            key if key == ConfigRecord::KEY => Self::Config(decode(&mut reader, version)?),
            key if key == PartitionChangeRecord::KEY => {
                Self::PartitionChange(decode(&mut reader, version)?)
            }
            key if key == RemoveTopicRecord::KEY => {
                Self::RemoveTopic(decode(&mut reader, version)?)
            }
            key if key == FeatureLevelRecord::KEY => {
                Self::FeatureLevel(decode(&mut reader, version)?)
            }
            key if key == ProducerIdsRecord::KEY => {
                Self::ProducerIds(decode(&mut reader, version)?)
            }
            _ => return Err(RecordError::UnknownType(key)),
        };
        reader.finish()?;
        Ok(record)
    }
}

fn encode<D: Data>(record: &D) -> Result<Bytes, RecordError> {
    let key = D::KEY.and_then(|key| u32::try_from(key).ok());
    let key = key.expect("every metadata record is described with its type");
    let mut version = D::MIN_VERSION;
    loop {
        let mut writer = Writer::new();
        writer.unsigned_varint(FRAME_VERSION);
        writer.unsigned_varint(key);
        writer.unsigned_varint(version.unsigned_abs().into());
        match record.encode(&mut writer, version) {
            Ok(()) => return Ok(writer.into_bytes()?),
            Err(EncodeError::NotInVersion { .. }) if version < D::MAX_VERSION => version += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn decode<D: Data>(reader: &mut Reader, version: i16) -> Result<D, DecodeError> {
    D::decode(reader, version)
}
