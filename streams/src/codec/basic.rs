//! Codecs of the built-in types, byte for byte as Kafka's own serializers write them.
//!
//! Integers are big-endian two's complement of fixed width, strings are UTF-8, byte strings are
//! themselves, `()` is null. [`Nullable`] lifts a codec of `T` to one of `Option<T>`.

use std::sync::Arc;

use bytes::Bytes;

use super::{Codec, CodecError, CodecOf, Data, SchemaUse};

/// The codec of a built-in type.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

fn present(bytes: Option<&Bytes>) -> Result<&Bytes, CodecError> {
    bytes.ok_or(CodecError::Null)
}

macro_rules! number {
    ($($t:ty),+) => {$(
        impl Codec<$t> for Plain {
            fn encode(&self, value: &$t) -> Result<Option<Bytes>, CodecError> {
                Ok(Some(Bytes::copy_from_slice(&value.to_be_bytes())))
            }

            fn decode(&self, bytes: Option<&Bytes>) -> Result<$t, CodecError> {
                let bytes = present(bytes)?;
                let exact = bytes.as_ref().try_into().map_err(|_| {
                    CodecError::Malformed(format!(
                        "{} bytes, but {} has {}",
                        bytes.len(),
                        stringify!($t),
                        size_of::<$t>()
                    ))
                })?;
                Ok(<$t>::from_be_bytes(exact))
            }
        }

        impl Data for $t {
            fn codec() -> CodecOf<$t> {
                Arc::new(Plain)
            }
        }
    )+};
}

number!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

impl Codec<String> for Plain {
    fn encode(&self, value: &String) -> Result<Option<Bytes>, CodecError> {
        Ok(Some(Bytes::copy_from_slice(value.as_bytes())))
    }

    fn decode(&self, bytes: Option<&Bytes>) -> Result<String, CodecError> {
        match std::str::from_utf8(present(bytes)?) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(CodecError::Malformed(format!("not UTF-8: {error}"))),
        }
    }
}

impl Data for String {
    fn codec() -> CodecOf<String> {
        Arc::new(Plain)
    }
}

impl Codec<Bytes> for Plain {
    fn encode(&self, value: &Bytes) -> Result<Option<Bytes>, CodecError> {
        Ok(Some(value.clone()))
    }

    fn decode(&self, bytes: Option<&Bytes>) -> Result<Bytes, CodecError> {
        present(bytes).cloned()
    }
}

impl Data for Bytes {
    fn codec() -> CodecOf<Bytes> {
        Arc::new(Plain)
    }
}

impl Codec<Vec<u8>> for Plain {
    fn encode(&self, value: &Vec<u8>) -> Result<Option<Bytes>, CodecError> {
        Ok(Some(Bytes::copy_from_slice(value)))
    }

    fn decode(&self, bytes: Option<&Bytes>) -> Result<Vec<u8>, CodecError> {
        Ok(present(bytes)?.to_vec())
    }
}

impl Data for Vec<u8> {
    fn codec() -> CodecOf<Vec<u8>> {
        Arc::new(Plain)
    }
}

impl Codec<()> for Plain {
    fn encode(&self, (): &()) -> Result<Option<Bytes>, CodecError> {
        Ok(None)
    }

    fn decode(&self, _bytes: Option<&Bytes>) -> Result<(), CodecError> {
        Ok(())
    }
}

impl Data for () {
    const NULLABLE: bool = true;

    fn codec() -> CodecOf<()> {
        Arc::new(Plain)
    }
}

/// Lifts a codec of `T` to `Option<T>`: `None` is null.
pub struct Nullable<T>(pub CodecOf<T>);

impl<T: 'static> Codec<Option<T>> for Nullable<T> {
    fn encode(&self, value: &Option<T>) -> Result<Option<Bytes>, CodecError> {
        match value {
            Some(value) => self.0.encode(value),
            None => Ok(None),
        }
    }

    fn decode(&self, bytes: Option<&Bytes>) -> Result<Option<T>, CodecError> {
        match bytes {
            Some(_) => self.0.decode(bytes).map(Some),
            None => Ok(None),
        }
    }

    fn schema(&self) -> Option<Arc<dyn SchemaUse>> {
        self.0.schema()
    }
}

impl<T: Data> Data for Option<T> {
    const NULLABLE: bool = true;

    fn codec() -> CodecOf<Option<T>> {
        Arc::new(Nullable(T::codec()))
    }
}
