//! Producer, consumer and admin client for any broker that speaks the Kafka protocol.
//!
//! The crate is made of machines and of one thin shell:
//! - [`core`](self) machines (`core`, `producer`, `consumer`, `admin` minus their handles) take
//!   events, `now` and seeds as arguments and give effects. They know no socket, no clock, no
//!   runtime and no global randomness.
//! - `net` is the shell: sockets, the clock, one driver task per client. The handles
//!   ([`Producer`], [`Consumer`], [`Admin`]) lock a machine, tell it what the caller wants and wait.
//!
//! Invariants:
//! - Every queue, buffer, request and retry has a limit, named in `limits` or in a config.
//! - Record bytes are copied once into a batch on the way out, and never on the way in.
//! - Records of one partition are acknowledged in the order of `send`; a retry never overtakes.
//!
//! Left out on purpose: the new group protocol (KIP-848), cooperative rebalancing, share groups,
//! TLS and SASL. They meet the seams that are here.

mod admin;
mod config;
mod consumer;
mod core;
mod error;
mod limits;
mod net;
mod producer;
mod records;
pub mod typed;

pub use admin::{
    AbortTransaction, Admin, Broker, ClusterDescription, ConfigChange, ConfigEntry, ConfigResource,
    ConfigSource, Election, FeatureUpdate, FeatureUpgrade, Features, GroupDescription, GroupFilter,
    GroupKind, GroupListing, GroupMember, LogDir, LogDirReplica, MemberToRemove, NewTopic,
    OffsetSpec, PartitionDescription, PartitionProducer, TopicDescription, TransactionDescription,
    TransactionFilter, TransactionListing,
};
pub use config::{
    Acks, AdminConfig, AutoOffsetReset, Compression, ConsumerConfig, Isolation, ProducerConfig,
};
pub use consumer::Consumer;
pub use consumer::assignor::{
    Assignor, Member, MemberAssignment, RangeAssignor, RoundRobinAssignor, StickyAssignor,
};
pub use error::{Cause, ClientError, Result};
pub use producer::{Delivery, Partitioner, Producer, ProducerMetrics, TrySendError};
pub use records::{
    ConsumerRecord, GroupMetadata, Header, OffsetAndMetadata, OffsetAndTimestamp, PartitionBatch,
    Polled, ProducerRecord, Rebalance, RecordMetadata, TopicPartition,
};
