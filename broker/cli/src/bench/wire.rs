//! One connection that speaks Kafka, with blocking calls: as little as a generator can do.
//!
//! A request is encoded once and written many times; its correlation id stays the same, since a
//! broker answers a connection's requests in order. Answers are read into a buffer that is used
//! again. Every wait has an end.

use bytes::Bytes;
use mainstem_protocol::frame::{decode_response, encode_request};
use mainstem_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use mainstem_protocol::{ErrorCode, Request};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::failure::Failure;

/// What a broker may take for one answer or one read.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest answer that is taken.
const FRAME_BYTES_MAX: usize = 256 << 20;
const CORRELATION_ID: i32 = 1;
const CLIENT_ID: &str = "mainstem-bench";

/// See the module's text.
pub(crate) struct Wire {
    stream: TcpStream,
    /// Versions that the broker speaks, by API key.
    versions: BTreeMap<i16, (i16, i16)>,
    /// The memory of the last answer.
    buffer: Vec<u8>,
}

impl Wire {
    /// Connects to `host:port` and asks for the versions.
    pub(crate) fn connect(address: &str) -> Result<Wire, Failure> {
        let wrong =
            |error: std::io::Error| Failure::doing(&format!("connect to {address}"), &error);
        let resolved = address.to_socket_addrs().map_err(wrong)?.next();
        let resolved = resolved.ok_or_else(|| Failure::new(format!("{address}: no address")))?;
        let stream = TcpStream::connect_timeout(&resolved, PATIENCE).map_err(wrong)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut wire = Wire { stream, versions: BTreeMap::new(), buffer: Vec::new() };
        let answer = wire.ask_versions()?;
        wire.versions = answer
            .api_keys
            .iter()
            .map(|api| (api.api_key, (api.min_version, api.max_version)))
            .collect();
        Ok(wire)
    }

    fn ask_versions(&mut self) -> Result<ApiVersionsResponse, Failure> {
        let request = ApiVersionsRequest {
            client_software_name: CLIENT_ID.to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let answer = self.exchange(&request, ApiVersionsRequest::MAX_VERSION)?;
        if answer.error_code != ErrorCode::UNSUPPORTED_VERSION {
            return Ok(answer);
        }
        self.exchange(&request, 0)
    }

    /// The highest version of a request that both sides speak, at most `cap`.
    pub(crate) fn version<R: Request>(&self, cap: i16) -> Result<i16, Failure> {
        let spoken = self.versions.get(&(R::API_KEY as i16));
        let common = spoken.and_then(|(min, max)| {
            let version = (*max).min(R::MAX_VERSION).min(cap);
            ((*min).max(R::MIN_VERSION) <= version).then_some(version)
        });
        common.ok_or_else(|| Failure::new(format!("the broker speaks no usable {:?}", R::API_KEY)))
    }

    /// One request and its answer.
    fn exchange<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, Failure> {
        self.write(&encode(request, version)?)?;
        self.read::<R, _>(version, |answer| Ok(answer.clone()))
    }

    /// Writes a whole frame.
    pub(crate) fn write(&mut self, frame: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(frame).map_err(|error| Failure::doing("write to the broker", &error))
    }

    /// Reads the next answer and shows it; its memory is used again afterwards.
    pub(crate) fn read<R: Request, T>(
        &mut self,
        version: i16,
        look: impl FnOnce(&R::Response) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let lost = |error: std::io::Error| Failure::doing("read from the broker", &error);
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(lost)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if FRAME_BYTES_MAX < length {
            return Err(Failure::new(format!("an answer of {length} bytes is not accepted")));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(length, 0);
        self.stream.read_exact(&mut buffer).map_err(lost)?;
        let frame = Bytes::from(buffer);
        let seen = {
            let (_, response) = decode_response::<R>(version, frame.clone())
                .map_err(|error| Failure::doing("read an answer", &error))?;
            look(&response)
        };
        // Nobody holds a part of it any more, so this gives the memory back without a copy.
        self.buffer = Vec::from(frame);
        seen
    }

    /// The same connection for another thread, to write while this one reads.
    pub(crate) fn writer(&self) -> Result<TcpStream, Failure> {
        Ok(self.stream.try_clone()?)
    }
}

/// A whole frame, its length included.
pub(crate) fn encode<R: Request>(request: &R, version: i16) -> Result<Bytes, Failure> {
    encode_request(request, version, CORRELATION_ID, Some(CLIENT_ID))
        .map_err(|error| Failure::doing("encode a request", &error))
}

/// Fails with the code's name.
pub(crate) fn refuse(what: &str, error: ErrorCode) -> Result<(), Failure> {
    if error.is_error() { Err(Failure::doing(what, &error.name())) } else { Ok(()) }
}
