//! The answer to Produce v0-v2: UNSUPPORTED_VERSION for every partition named.
//!
//! The versions are advertised for old clients' sake but not described in the codec, so the few
//! fields are read and written here by hand. Layouts:
//! - request: acks i16, timeout i32, [topic string, [partition i32, records bytes]]
//! - response: [topic string, [partition i32, error i16, base offset i64, v2: append time i64]],
//!   v1: throttle time i32

use crate::dispatch::{Request, RequestError};
use crate::node::ShardNode;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use mainstem_protocol::ErrorCode;

/// Answers, or says nothing to acks=0.
pub(super) fn refuse(node: &mut ShardNode, request: &Request) -> Result<(), RequestError> {
    node.metrics.error(ErrorCode::UNSUPPORTED_VERSION);
    let answer = answer(request.body.clone(), request.version)
        .ok_or_else(|| RequestError::Malformed("the request ends early".to_owned()))?;
    match answer {
        Some(body) => node.respond_bytes(request.ticket, &body),
        None => node.respond_nothing(request.ticket),
    }
    Ok(())
}

/// `None` when the request cannot be read; `Some(None)` when it wants no answer.
fn answer(mut body: Bytes, version: i16) -> Option<Option<Bytes>> {
    let acks = body.try_get_i16().ok()?;
    body.try_get_i32().ok()?;
    let mut out = BytesMut::new();
    let topics = body.try_get_i32().ok()?;
    out.put_i32(topics);
    for _ in 0..topics {
        let name_len = usize::try_from(body.try_get_i16().ok()?).ok()?;
        let name = (name_len <= body.remaining()).then(|| body.split_to(name_len))?;
        out.put_i16(i16::try_from(name_len).ok()?);
        out.put_slice(&name);
        let partitions = body.try_get_i32().ok()?;
        out.put_i32(partitions);
        for _ in 0..partitions {
            out.put_i32(body.try_get_i32().ok()?);
            let records_len = body.try_get_i32().ok()?.max(0);
            let records_len = usize::try_from(records_len).ok()?;
            (records_len <= body.remaining()).then(|| body.advance(records_len))?;
            out.put_i16(ErrorCode::UNSUPPORTED_VERSION.0);
            out.put_i64(-1);
            if 2 <= version {
                out.put_i64(-1);
            }
        }
    }
    if 1 <= version {
        out.put_i32(0);
    }
    Some((acks != 0).then(|| out.freeze()))
}
