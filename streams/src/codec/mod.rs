//! How types become bytes: [`Codec`] (one way to encode a type) and [`Data`] (a type's own way).
//!
//! Codecs are used only at borders: topics, stores and repartition topics. A codec maps a value to
//! `Option<Bytes>`, where `None` is Kafka's null, so that `Option<T>` says in the type that a key
//! may be missing or a value may be a tombstone, and any other type refuses a null.
//!
//! Invariants:
//! - `decode(encode(v)) == v`, and encoding is deterministic: equal values have equal bytes, since
//!   keys are looked up and partitioned by their bytes.
//! - Codecs do no input or output. One that needs a schema registry says so by [`Codec::schema`],
//!   and the shell asks the registry on its behalf before any task runs ([`SchemaUse`]).

mod avro;
mod basic;
mod json;
mod schema;
mod windowed;

use std::sync::Arc;

use bytes::Bytes;

pub use avro::Avro;
pub use basic::{Nullable, Plain};
pub use json::Json;
pub use schema::{SchemaId, SchemaUse};
pub(crate) use windowed::split_window_store_key;
pub use windowed::{WindowedCodec, window_store_key};

/// Why bytes could not be read or a value could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Null where the type has no null: use `Option<T>` or filter before.
    #[error("null, but the type is not an Option")]
    Null,
    /// The bytes do not fit the type.
    #[error("{0}")]
    Malformed(String),
    /// The writer's schema is not known yet: the shell fetches it and tries again.
    #[error("schema {} is not known", .0.0)]
    UnknownSchema(SchemaId),
}

/// One way to write and read a `T`.
pub trait Codec<T>: Send + Sync + 'static {
    /// The bytes of `value`; `None` is null.
    fn encode(&self, value: &T) -> Result<Option<Bytes>, CodecError>;

    /// The value behind `bytes`; `None` is null.
    fn decode(&self, bytes: Option<&Bytes>) -> Result<T, CodecError>;

    /// The codec's need of a schema registry, if it has one.
    fn schema(&self) -> Option<Arc<dyn SchemaUse>> {
        None
    }
}

/// A shared codec for `T`.
pub type CodecOf<T> = Arc<dyn Codec<T>>;

/// A type with a codec of its own, used wherever none is named.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no codec of its own",
    label = "needed here to write or read `{Self}` at a topic, store or repartition topic",
    note = "give it one with `mainstem_streams::data!(json: {Self});`, or name a codec at this \
            place (`Consumed::with`, `Produced::with`, `Repartitioned::with`, `Materialized::with`)"
)]
pub trait Data: Clone + Send + 'static {
    /// True for types that have a null: such a key cannot be grouped by.
    const NULLABLE: bool = false;

    /// A codec for the type.
    fn codec() -> CodecOf<Self>;
}

/// Gives types a codec of their own: `data!(json: Order, Payment);`.
///
/// `data!(avro: Order = ORDER_SCHEMA);` does it with Avro, where the schema is a string constant.
#[macro_export]
macro_rules! data {
    (json: $($t:ty),+ $(,)?) => {$(
        impl $crate::Data for $t {
            fn codec() -> $crate::codec::CodecOf<Self> {
                ::std::sync::Arc::new($crate::codec::Json::<$t>::new())
            }
        }
    )+};
    (avro: $($t:ty = $schema:expr),+ $(,)?) => {$(
        impl $crate::Data for $t {
            fn codec() -> $crate::codec::CodecOf<Self> {
                ::std::sync::Arc::new($crate::codec::Avro::<$t>::of($schema))
            }
        }
    )+};
}

#[cfg(test)]
mod tests;
