//! JSON through serde. Fields are written in the order of the type, so equal values have equal
//! bytes as long as the type holds no map with an order of its own choosing.

use std::marker::PhantomData;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{Codec, CodecError};

/// The JSON codec of `T`.
pub struct Json<T>(PhantomData<fn() -> T>);

impl<T> Json<T> {
    pub fn new() -> Json<T> {
        Json(PhantomData)
    }
}

impl<T> Default for Json<T> {
    fn default() -> Json<T> {
        Json::new()
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Codec<T> for Json<T> {
    fn encode(&self, value: &T) -> Result<Option<Bytes>, CodecError> {
        match serde_json::to_vec(value) {
            Ok(bytes) => Ok(Some(Bytes::from(bytes))),
            Err(error) => Err(CodecError::Malformed(format!("write JSON: {error}"))),
        }
    }

    fn decode(&self, bytes: Option<&Bytes>) -> Result<T, CodecError> {
        let bytes = bytes.ok_or(CodecError::Null)?;
        serde_json::from_slice(bytes)
            .map_err(|error| CodecError::Malformed(format!("read JSON: {error}")))
    }
}
