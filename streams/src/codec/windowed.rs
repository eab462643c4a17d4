//! Keys of windows, in Kafka's byte layouts.
//!
//! On an output topic (Kafka's `TimeWindowedSerializer`):
//! 1. the key's own bytes
//! 2. window start, i64 big-endian
//!
//! In a window store's changelog (Kafka's `WindowKeySchema`):
//! 1. the key's own bytes
//! 2. window start, i64 big-endian
//! 3. sequence number, i32 big-endian: always 0, since one value is kept per key and window
//!
//! Neither holds the window's end: the reader must know the size. A codec that does not know it
//! reads windows without an end, as Kafka does.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Codec, CodecError, CodecOf, Data, SchemaUse};
use crate::record::{END_OF_TIME, Windowed};

const START_BYTES: usize = 8;
const SEQUENCE_BYTES: usize = 4;

/// Codec of [`Windowed`] keys as they stand on topics.
pub struct WindowedCodec<K> {
    pub keys: CodecOf<K>,
    /// Size of the windows in milliseconds, `None` where it is not known.
    pub size_ms: Option<i64>,
}

impl<K: 'static> Codec<Windowed<K>> for WindowedCodec<K> {
    fn encode(&self, value: &Windowed<K>) -> Result<Option<Bytes>, CodecError> {
        let key = self.keys.encode(&value.key)?.unwrap_or_default();
        let mut bytes = BytesMut::with_capacity(key.len() + START_BYTES);
        bytes.put_slice(&key);
        bytes.put_i64(value.start);
        Ok(Some(bytes.freeze()))
    }

    fn decode(&self, bytes: Option<&Bytes>) -> Result<Windowed<K>, CodecError> {
        let bytes = bytes.ok_or(CodecError::Null)?;
        let Some(split) = bytes.len().checked_sub(START_BYTES) else {
            return Err(CodecError::Malformed("windowed key shorter than its start".to_owned()));
        };
        let start = big_endian(&bytes[split..]);
        let end = self.size_ms.map_or(END_OF_TIME, |size_ms| start.saturating_add(size_ms));
        let key = self.keys.decode(Some(&bytes.slice(..split)))?;
        Ok(Windowed { key, start, end })
    }

    fn schema(&self) -> Option<Arc<dyn SchemaUse>> {
        self.keys.schema()
    }
}

impl<K: Data> Data for Windowed<K> {
    fn codec() -> CodecOf<Windowed<K>> {
        Arc::new(WindowedCodec { keys: K::codec(), size_ms: None })
    }
}

/// The changelog key of `key` in the window that begins at `start`.
pub fn window_store_key(key: &[u8], start: i64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(key.len() + START_BYTES + SEQUENCE_BYTES);
    bytes.put_slice(key);
    bytes.put_i64(start);
    bytes.put_i32(0);
    bytes.freeze()
}

/// Splits a changelog key into the key's own bytes and the window's start.
pub(crate) fn split_window_store_key(bytes: &[u8]) -> Option<(&[u8], i64)> {
    let key_len = bytes.len().checked_sub(START_BYTES + SEQUENCE_BYTES)?;
    let (key, rest) = bytes.split_at(key_len);
    Some((key, big_endian(&rest[..START_BYTES])))
}

fn big_endian(bytes: &[u8]) -> i64 {
    let mut exact = [0; START_BYTES];
    exact.copy_from_slice(bytes);
    i64::from_be_bytes(exact)
}
