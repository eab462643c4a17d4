//! The configurations that topics, groups and brokers have.
//!
//! [`definitions`], [`group_definitions`] and [`broker_definitions`] are the table: name, type,
//! default, limits, documentation, whether this broker honours the setting and whether it can change
//! while a broker runs. Everything else follows from it: [`validate`] and its siblings are asked
//! before a value is stored or a broker starts, [`TopicSettings::resolve`] turns what is stored into
//! typed values for the log, [`describe`] and its siblings tell clients what holds and why.
//!
//! # Honesty
//!
//! A setting that this broker does not honour is still in the table, because clients list and copy
//! configurations. It is *fixed*: its default is accepted, every other value is refused with the
//! reason. So no accepted setting is without effect. A name that is not in the table is refused.
//!
//! # Layers
//!
//! A topic's value comes from the topic, else from what was set for its broker or for all brokers
//! while they ran, else from the broker's own file, else from the table.

mod broker;
mod definition;
mod describe;
mod group;
mod settings;
mod table;
mod value;

pub use broker::{broker_definition, broker_definitions};
pub use definition::{BrokerDefinition, Definition, Effect, Kind, Update, unit};
pub use describe::{
    BrokerLayers, DescribedConfig, Source, Synonym, describe, describe_all_brokers,
    describe_broker, describe_group,
};
pub use group::{group_definition, group_definitions};
pub use settings::{CleanupPolicy, FlushPolicy, TimestampType, TopicSettings};
pub use table::{definition, definitions};
pub use value::{
    ConfigError, ConfigErrors, validate, validate_at_start, validate_broker, validate_group,
};

/// Number of the resource type "topic" in config records and requests.
pub const RESOURCE_TOPIC: i8 = 2;
/// Number of the resource type "broker".
pub const RESOURCE_BROKER: i8 = 4;
/// Number of the resource type "broker logger".
pub const RESOURCE_BROKER_LOGGER: i8 = 8;
/// Number of the resource type "client metrics".
pub const RESOURCE_CLIENT_METRICS: i8 = 16;
/// Number of the resource type "group".
pub const RESOURCE_GROUP: i8 = 32;

#[cfg(test)]
mod tests;
