//! What flows between operators: records, headers, window keys and table changes.
//!
//! A [`Rec`] is decoded; bytes exist only at the borders (topics, stores, repartition topics). An
//! [`InputRecord`] is the raw form in which a record enters a task, an [`Output`] the raw form in
//! which one leaves it. Timestamps are milliseconds since the epoch, as in Kafka.

use std::sync::Arc;

use bytes::Bytes;
use mainstem_protocol::ids::Offset;

/// The time of an input of which nothing has been seen.
pub const NO_TIME: i64 = i64::MIN;

/// The time of an input that has ended: no window stays open behind it.
pub const END_OF_TIME: i64 = i64::MAX;

/// Header of the record which says that its source partition has ended. Key and value are ignored.
pub const END_OF_STREAM_HEADER: &str = "mainstem.end-of-stream";

/// Header of the records which carry watermarks through repartition topics.
pub const WATERMARK_HEADER: &str = "mainstem.watermark";

/// One header of a record, passed on unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub key: String,
    pub value: Option<Bytes>,
}

/// What may flow between operators: cheap enough to clone where a stream forks.
pub trait Item: Clone + Send + 'static {}
impl<T: Clone + Send + 'static> Item for T {}

/// A decoded record between two operators.
#[derive(Clone, Debug, PartialEq)]
pub struct Rec<K, V> {
    pub key: K,
    pub value: V,
    pub timestamp: i64,
    pub headers: Vec<Header>,
}

impl<K, V> Rec<K, V> {
    /// The same record with another value.
    pub fn with_value<W>(self, value: W) -> Rec<K, W> {
        Rec { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same record with another key.
    pub fn with_key<L>(self, key: L) -> Rec<L, V> {
        Rec { key, value: self.value, timestamp: self.timestamp, headers: self.headers }
    }
}

/// A key within a window: the window is `[start, end)` in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Windowed<K> {
    pub key: K,
    pub start: i64,
    pub end: i64,
}

/// A change of one row of a table. `new` is `None` where the row was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<V> {
    pub new: Option<V>,
    pub old: Option<V>,
}

/// A record as it enters a task, not yet decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRecord {
    pub offset: Offset,
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

impl InputRecord {
    /// The value of the header `key`, if there is such a header.
    pub(crate) fn header(&self, key: &str) -> Option<&Header> {
        self.headers.iter().find(|header| header.key == key)
    }
}

/// A record as it leaves a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub topic: Arc<str>,
    /// `None`: by the hash of the key, as Kafka's default partitioner has it.
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub timestamp: i64,
    pub headers: Vec<Header>,
}
