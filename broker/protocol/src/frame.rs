//! Frames: what goes over a connection, one after the other.
//!
//! A request frame is
//! 1. length of what follows (i32),
//! 2. API key (i16), version (i16), correlation id (i32), client id (nullable string, i16 length),
//! 3. tagged fields, when the version is flexible,
//! 4. the request.
//!
//! A response frame is
//! 1. length of what follows (i32),
//! 2. correlation id (i32),
//! 3. tagged fields, when the version is flexible and the API is not ApiVersions,
//! 4. the response.
//!
//! ApiVersions is the exception because a client reads its response before it knows what the
//! server speaks. Cutting a stream into frames, and the limit of their size, belong to the shell.

pub use crate::codec::Segment;

use crate::codec::{DecodeError, EncodeError, Message, Reader, Request, Writer};
use crate::{ApiKey, ErrorCode};
use bytes::Bytes;

/// What stands in front of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub api_key: i16,
    pub api_version: i16,
    /// Chosen by the client and sent back with the response.
    pub correlation_id: i32,
    pub client_id: Option<String>,
}

/// An encoded response: the bytes of memory and of files that make up one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseFrame {
    /// The first segment begins with the length of the frame.
    pub segments: Vec<Segment>,
}

impl ResponseFrame {
    /// The number of bytes of the frame, its length included.
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.segments.iter().map(Segment::len).sum()
    }
}

/// Reads the header of a request. Of an API that is not described, the tagged fields stay unread;
/// nothing can be done with such a request anyway.
pub fn decode_request_header(r: &mut Reader) -> Result<RequestHeader, DecodeError> {
    let header = RequestHeader {
        api_key: r.i16()?,
        api_version: r.i16()?,
        correlation_id: r.i32()?,
        client_id: r.nullable_string(false)?,
    };
    if let Ok(api) = ApiKey::try_from(header.api_key)
        && header.api_version >= api.flexible_from()
    {
        r.skip_tagged_fields()?;
    }
    Ok(header)
}

/// Writes a request frame, its length included.
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<Bytes, EncodeError> {
    let mut w = Writer::framed();
    w.i16(R::API_KEY as i16);
    w.i16(version);
    w.i32(correlation_id);
    match client_id {
        Some(client_id) => w.string(false, client_id)?,
        None => w.null_string(false),
    }
    if R::is_flexible(version) {
        w.unsigned_varint(0);
    }
    request.encode(&mut w, version)?;
    w.into_bytes()
}

/// Writes a response frame, its length included. The request of the response was `api_key` in
/// `version`.
pub fn encode_response<M: Message>(
    api_key: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<ResponseFrame, EncodeError> {
    let mut w = Writer::framed();
    w.i32(correlation_id);
    if has_response_tags(api_key, version) {
        w.unsigned_varint(0);
    }
    response.encode(&mut w, version)?;
    Ok(ResponseFrame { segments: w.into_segments()? })
}

/// Reads a response frame without its length. Returns the correlation id and the response.
pub fn decode_response<R: Request>(
    version: i16,
    frame: Bytes,
) -> Result<(i32, R::Response), DecodeError> {
    let mut r = Reader::new(frame);
    let correlation_id = r.i32()?;
    if has_response_tags(R::API_KEY, version) {
        r.skip_tagged_fields()?;
    }
    let version = response_version(R::API_KEY, version, &r);
    let response = R::Response::decode(&mut r, version)?;
    r.finish()?;
    Ok((correlation_id, response))
}

/// The correlation id of a response frame without its length.
pub fn correlation_id(frame: &[u8]) -> Option<i32> {
    frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes))
}

fn has_response_tags(api_key: ApiKey, version: i16) -> bool {
    api_key != ApiKey::ApiVersions && version >= api_key.flexible_from()
}

/// A server that does not know the version of an ApiVersions request answers in version 0. The
/// error code comes first in every version, so this can be seen.
fn response_version(api_key: ApiKey, version: i16, r: &Reader) -> i16 {
    let unsupported = ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes();
    if api_key == ApiKey::ApiVersions && r.peek(2) == unsupported { 0 } else { version }
}
