//! The configurations that a topic has.
//!
//! [`definitions`] is the table: name, type, default, limits, and whether this broker honours the
//! setting. [`validate`] is asked before a value is stored, [`TopicSettings::resolve`] turns what is
//! stored into typed values for the log, and [`describe`] tells clients what holds and why.
//!
//! # Honesty
//!
//! A setting that this broker does not honour is still in the table, because clients list and copy
//! configurations. It is *fixed*: its default is accepted, every other value is refused with the
//! reason. So no accepted setting is without effect.
//!
//! A value comes from the topic, else from the broker's own file, else from the table.

mod definition;
mod describe;
mod settings;
mod table;
mod value;

pub use definition::{Definition, Effect, Kind};
pub use describe::{DescribedConfig, Source, Synonym, describe};
pub use settings::{CleanupPolicy, FlushPolicy, TimestampType, TopicSettings};
pub use table::{definition, definitions};
pub use value::{ConfigError, validate};

/// Number of the resource type "topic" in config records and requests.
pub const RESOURCE_TOPIC: i8 = 2;
/// Number of the resource type "broker".
pub const RESOURCE_BROKER: i8 = 4;

#[cfg(test)]
mod tests;
