//! What can be said about a topic, a repartition or a store beyond its name. Each converts from
//! `&str` where the types have codecs of their own, so that a plain name is enough.

use crate::codec::{CodecOf, Data};
use crate::state::Storage;
use crate::topology::Reset;

/// A topic to read.
pub struct Consumed<K, V> {
    pub(crate) topic: String,
    pub(crate) keys: CodecOf<K>,
    pub(crate) values: CodecOf<V>,
    pub(crate) reset: Reset,
    pub(crate) is_bounded: bool,
}

impl<K, V> Consumed<K, V> {
    /// Reads `topic` with these codecs.
    pub fn with(topic: &str, keys: CodecOf<K>, values: CodecOf<V>) -> Consumed<K, V> {
        let (topic, reset) = (topic.to_owned(), Reset::Earliest);
        Consumed { topic, keys, values, reset, is_bounded: false }
    }

    /// Begins at the end of the topic if there is no committed offset.
    #[must_use]
    pub fn latest(mut self) -> Self {
        self.reset = Reset::Latest;
        self
    }

    /// The topic ends: its writer puts an end-of-stream record
    /// ([`END_OF_STREAM_HEADER`](crate::END_OF_STREAM_HEADER)) into every partition. The task's
    /// other inputs wait until that record has been reached, so a table read like this is complete
    /// before the first record meets it.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.is_bounded = true;
        self
    }
}

impl<K: Data, V: Data> From<&str> for Consumed<K, V> {
    fn from(topic: &str) -> Self {
        Consumed::with(topic, K::codec(), V::codec())
    }
}

/// A topic to write.
pub struct Produced<K, V> {
    pub(crate) topic: String,
    pub(crate) keys: CodecOf<K>,
    pub(crate) values: CodecOf<V>,
}

impl<K, V> Produced<K, V> {
    /// Writes `topic` with these codecs.
    pub fn with(topic: &str, keys: CodecOf<K>, values: CodecOf<V>) -> Produced<K, V> {
        Produced { topic: topic.to_owned(), keys, values }
    }
}

impl<K: Data, V: Data> From<&str> for Produced<K, V> {
    fn from(topic: &str) -> Self {
        Produced::with(topic, K::codec(), V::codec())
    }
}

/// A way through a repartition topic, `<application>-<name>-repartition`.
pub struct Repartitioned<K, V> {
    pub(crate) name: String,
    pub(crate) keys: CodecOf<K>,
    pub(crate) values: CodecOf<V>,
    pub(crate) partitions: Option<i32>,
}

impl<K, V> Repartitioned<K, V> {
    /// Goes through the topic with these codecs.
    pub fn with(name: &str, keys: CodecOf<K>, values: CodecOf<V>) -> Repartitioned<K, V> {
        Repartitioned { name: name.to_owned(), keys, values, partitions: None }
    }

    /// Insists on a number of partitions.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = Some(partitions);
        self
    }
}

impl<K: Data, V: Data> From<&str> for Repartitioned<K, V> {
    fn from(name: &str) -> Self {
        Repartitioned::with(name, K::codec(), V::codec())
    }
}

/// A store and its changelog, `<application>-<name>-changelog`.
pub struct Materialized<V> {
    pub(crate) name: String,
    pub(crate) values: CodecOf<V>,
    pub(crate) storage: Storage,
}

impl<V> Materialized<V> {
    /// Keeps values with this codec.
    pub fn with(name: &str, values: CodecOf<V>) -> Materialized<V> {
        Materialized { name: name.to_owned(), values, storage: Storage::Disk }
    }

    /// Keeps the state in memory; it is rebuilt from the changelog at every start.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.storage = Storage::Memory;
        self
    }
}

impl<V: Data> From<&str> for Materialized<V> {
    fn from(name: &str) -> Self {
        Materialized::with(name, V::codec())
    }
}
