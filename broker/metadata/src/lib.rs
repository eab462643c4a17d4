//! The cluster's own metadata: commands become records, records become an image.
//!
//! This is the controller without its log. [`decide`] reads the [`Image`] and turns a [`Command`]
//! into [`MetadataRecord`]s and the answer to give once they are durable; [`Image::apply`] is the
//! only writer and is the same at load, at append and on every shard that keeps a copy.
//!
//! # Invariants
//!
//! - `decide` never changes anything, and never fails half-way: what a request gets wrong is said
//!   per topic in the answer, and only the topics that are right produce records.
//! - Applying the records of a decision to the image it was taken on never fails. The owner takes
//!   one decision at a time: it applies the records before it decides again.
//! - A topic's name and id name each other one to one; an id is never used twice.
//! - A block of producer ids is given out once: its end is in the log before its first id is used.
//! - Records are stored in KRaft's layout, so that Kafka's own tools can dump the log.
//!
//! # The rooms
//!
//! [`config`] is the table of the configurations of topics, groups and brokers, `feature` that of
//! features; `decide/` holds one
//! file per kind of command; `name` says which topic names are legal; `placement` puts replicas on
//! brokers.
//!
//! Deliberately absent: the quorum (the log has one writer), broker registration and fencing,
//! reassignment, access control lists, quotas.

mod command;
pub mod config;
mod decide;
mod feature;
mod image;
mod name;
mod placement;
mod record;

pub use command::{Command, ControllerSettings, Decision, Reply};
pub use decide::decide;
pub use feature::{FEATURES, Feature};
pub use image::{ApplyError, Configs, Image, PartitionImage, TopicImage};
pub use name::{
    CONSUMER_OFFSETS_TOPIC, METADATA_TOPIC, TOPIC_NAME_LENGTH_MAX, TRANSACTION_STATE_TOPIC,
    is_internal, validate_topic_name,
};
pub use record::{MetadataRecord, RecordError};
