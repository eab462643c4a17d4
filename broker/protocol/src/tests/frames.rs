//! Frames: headers of both kinds, lengths, segments, and the exceptions of ApiVersions.

use crate::codec::{Action, DecodeError, EncodeError, Message, Reader, RecordsRef, Request};
use crate::frame::*;
use crate::messages::fetch::{FetchableTopicResponse, PartitionData};
use crate::messages::*;
use crate::{ApiKey, ErrorCode};
use bytes::Bytes;

fn bytes_of(segment: &Segment) -> &Bytes {
    match segment {
        Segment::Bytes(bytes) => bytes,
        Segment::External { .. } => panic!("expected bytes, found {segment:?}"),
    }
}

#[test]
fn requests_have_the_header_of_their_version() {
    let request = ListGroupsRequest::default();
    let old = encode_request(&request, 0, 7, Some("me")).unwrap();
    assert_eq!(old[..], *b"\0\0\0\x0c\0\x10\0\0\0\0\0\x07\0\x02me");
    let flexible = encode_request(&request, 3, 7, None).unwrap();
    assert_eq!(flexible[..], *b"\0\0\0\x0c\0\x10\0\x03\0\0\0\x07\xff\xff\0\0");
    for (frame, client_id) in [(old, Some("me".to_string())), (flexible, None)] {
        let mut r = Reader::new(frame.slice(4..));
        let header = decode_request_header(&mut r).unwrap();
        assert_eq!((header.api_key, header.correlation_id), (ApiKey::ListGroups as i16, 7));
        assert_eq!(header.client_id, client_id);
        assert_eq!(ListGroupsRequest::decode(&mut r, header.api_version), Ok(request.clone()));
        assert_eq!(r.finish(), Ok(()));
    }
}

#[test]
fn responses_come_back_in_every_version() {
    macro_rules! visit {
        ($request:ident, $response:ident) => {
            for version in $request::MIN_VERSION..=$request::MAX_VERSION {
                let response = $response::default();
                let key = $request::API_KEY;
                let frame = encode_response(key, version, 99, &response).unwrap();
                let [segment] = &frame.segments[..] else { panic!("{frame:?}") };
                let bytes = bytes_of(segment);
                assert_eq!(bytes[..4], (bytes.len() as i32 - 4).to_be_bytes());
                let back = decode_response::<$request>(version, bytes.slice(4..));
                assert_eq!(back, Ok((99, response)));
            }
        };
    }
    for_each_api!(visit);
}

#[test]
fn a_file_range_is_a_segment_of_its_own() {
    let partition = |records| PartitionData { records, ..Default::default() };
    let large = Bytes::from(vec![7; 10_000]);
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            partitions: vec![
                partition(Some(RecordsRef::External { id: 3, len: 1_000_000 })),
                partition(Some(RecordsRef::Bytes(large.clone()))),
                partition(None),
            ],
            ..Default::default()
        }],
        ..Default::default()
    };
    for version in 4..=18 {
        let frame = encode_response(ApiKey::Fetch, version, 1, &response).unwrap();
        assert_eq!(frame.segments[1], Segment::External { id: 3, len: 1_000_000 });
        let shared = bytes_of(&frame.segments[3]);
        assert_eq!(shared.as_ptr(), large.as_ptr(), "the records are not copied");
        let head = bytes_of(&frame.segments[0]);
        assert_eq!(head[..4], (frame.len() as i32 - 4).to_be_bytes());

        // The peer sees the bytes of the file where the segment stood.
        let mut sent = Vec::new();
        for segment in &frame.segments {
            match segment {
                Segment::Bytes(bytes) => sent.extend_from_slice(bytes),
                Segment::External { len, .. } => sent.resize(sent.len() + *len as usize, 1),
            }
        }
        let sent = Bytes::from(sent).slice(4..);
        let (_, back) = decode_response::<FetchRequest>(version, sent).unwrap();
        let back = &back.responses[0].partitions;
        assert_eq!(back[0].records.as_ref().map(RecordsRef::len), Some(1_000_000));
        assert_eq!(back[1].records, Some(RecordsRef::Bytes(large.clone())));
        assert_eq!(back[2].records, None);
    }
}

#[test]
fn a_file_range_cannot_be_made_contiguous() {
    let mut w = crate::Writer::new();
    w.records(true, &RecordsRef::External { id: 0, len: 1 }).unwrap();
    assert_eq!(w.into_bytes(), Err(EncodeError::ExternalSegment));
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let mut r = Reader::new(Bytes::from_static(b"\0\x12\0\x63\0\0\0\x05\xff\xff\0\0\0\0"));
    let header = decode_request_header(&mut r).unwrap();
    let error = ApiVersionsRequest::decode(&mut r, header.api_version).unwrap_err();
    assert_eq!(error.action(), Action::Answer(ErrorCode::UNSUPPORTED_VERSION));
    let error = MetadataRequest::decode(&mut r, 99).unwrap_err();
    assert_eq!(error.action(), Action::Close);

    let answer =
        ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, ..Default::default() };
    let frame = encode_response(ApiKey::ApiVersions, 0, 5, &answer).unwrap();
    let sent = bytes_of(&frame.segments[0]).slice(4..);
    assert_eq!(correlation_id(&sent), Some(5));
    assert_eq!(decode_response::<ApiVersionsRequest>(4, sent), Ok((5, answer)));
}

#[test]
fn bytes_after_a_response_are_an_error() {
    let frame = encode_response(ApiKey::Heartbeat, 0, 1, &HeartbeatResponse::default()).unwrap();
    let longer = [&bytes_of(&frame.segments[0])[4..], &[0]].concat();
    let back = decode_response::<HeartbeatRequest>(0, longer.into());
    assert_eq!(back, Err(DecodeError::TrailingBytes { count: 1 }));
}

#[test]
fn a_value_that_would_be_lost_is_an_error() {
    let request = ProduceRequest { transactional_id: Some("t".into()), ..Default::default() };
    assert!(encode_request(&request, 3, 0, None).is_ok());
    assert!(encode_request(&request, 2, 0, None).is_err());
    let request = ListGroupsRequest { states_filter: vec!["Stable".into()], types_filter: vec![] };
    assert!(encode_request(&request, 4, 0, None).is_ok());
    let error = encode_request(&request, 3, 0, None).unwrap_err();
    assert_eq!(error.to_string(), "ListGroupsRequest has no field states_filter in version 3");
    let request = MetadataRequest { topics: None, ..Default::default() };
    let error = encode_request(&request, 0, 0, None).unwrap_err();
    assert_eq!(error.to_string(), "field topics of MetadataRequest may not be null in version 0");
}
