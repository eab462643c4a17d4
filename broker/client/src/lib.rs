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
//! Groups: classic ones, eager or cooperative (KIP-429), and those of the consumer protocol
//! (KIP-848); [`ConsumerConfig::group_protocol`] chooses. What moves is said by polls, as a
//! [`Rebalance`].
//!
//! Left out on purpose: share groups, racks and Kerberos. They meet the seams that are here.
//!
//! # Security
//!
//! Producer, consumer and admin take the same [`Security`], which says whether connections are
//! encrypted and how the client proves who it is. By default neither is done.
//!
//! ```no_run
//! use mainstem_client::{ProducerConfig, Sasl, Security, Tls};
//!
//! # fn main() -> mainstem_client::Result<()> {
//! let login = Sasl::scram_sha_512("alice", std::env::var("PASSWORD").unwrap_or_default())?;
//! let security = Security::sasl_over_tls(login, Tls::new().ca_file("/etc/kafka/ca.pem"));
//! let config = ProducerConfig::new("broker.example.org:9094").security(security);
//! # let _ = config;
//! # Ok(())
//! # }
//! ```
//!
//! [`Security::from_properties`] reads the names of Kafka's own clients (`security.protocol`,
//! `sasl.jaas.config`, `ssl.truststore.location` of type PEM, ...).
//!
//! | | |
//! | --- | --- |
//! | encryption | TLS 1.2 and 1.3; the system's authorities or a PEM file; client certificates |
//! | mechanisms | PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER with a [`TokenProvider`] |
//! | long sessions | authenticated again before the broker ends them (KIP-368) |
//!
//! A client that is refused (a wrong password, a certificate that is not trusted by one side) fails
//! for good with [`ClientError::Authentication`]: it does not knock again with what was refused.
//! Secrets are in no `Debug` output and in no error.

mod admin;
mod config;
mod consumer;
mod core;
mod error;
mod limits;
mod net;
mod producer;
mod records;
mod security;
pub mod typed;

pub use admin::{
    AbortTransaction, Admin, Broker, ClusterDescription, ConfigChange, ConfigEntry, ConfigResource,
    ConfigSource, Election, FeatureUpdate, FeatureUpgrade, Features, GroupDescription, GroupFilter,
    GroupKind, GroupListing, GroupMember, LogDir, LogDirReplica, MemberToRemove, NewTopic,
    OffsetSpec, PartitionDescription, PartitionProducer, TopicDescription, TransactionDescription,
    TransactionFilter, TransactionListing,
};
pub use config::{
    Acks, AdminConfig, AutoOffsetReset, Compression, ConsumerConfig, GroupProtocol, Isolation,
    ProducerConfig,
};
pub use consumer::assignor::{
    Assignor, Joining, Member, MemberAssignment, RangeAssignor, RebalanceProtocol,
    RoundRobinAssignor, StickyAssignor,
};
pub use consumer::cooperative_sticky::CooperativeStickyAssignor;
pub use consumer::{Consumer, Received, RecordBatch, RecordIter, RecordView};
pub use error::{Cause, ClientError, Result};
pub use producer::{Delivery, Partitioner, Producer, ProducerMetrics, TrySendError};
pub use records::{
    ConsumerRecord, GroupMetadata, Header, OffsetAndMetadata, OffsetAndTimestamp, PartitionBatch,
    Polled, ProducerRecord, Rebalance, RecordMetadata, TopicPartition,
};
pub use security::{
    Sasl, Security, Tls, Token, TokenError, TokenFuture, TokenProvider, UnsecuredTokens,
};
