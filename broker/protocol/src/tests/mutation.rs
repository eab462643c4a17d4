//! Messages that lie: they must cost an error, and never more memory than they were granted.

use super::dice::{Arbitrary, Dice, damage};
use super::meter::allocated_by;
use crate::codec::{Data, DecodeError, Message, Reader, Request, Writer};
use crate::messages::records::*;
use crate::messages::*;
use bytes::Bytes;

const ROUNDS: u64 = 120;

/// What the decoder of a small message may allocate in all.
const BUDGET: usize = 32 << 10;

/// Sharing bytes for the first time costs a counter, and errors may cost a little.
const SLACK: usize = 256;

fn check<M: Message + Arbitrary>(version: i16) {
    for seed in 0..ROUNDS {
        let g = &mut Dice::new(seed);
        let mut w = Writer::new();
        M::arbitrary(g, version).encode(&mut w, version).unwrap();
        let damaged = damage(g, &w.into_bytes().unwrap());
        let mut r = Reader::with_budget(damaged, BUDGET);
        let (allocated, _) = allocated_by(|| M::decode(&mut r, version).is_ok());
        let name = std::any::type_name::<M>();
        assert!(allocated <= BUDGET + SLACK, "{name} v{version} seed {seed}: {allocated} bytes");
    }
}

#[test]
fn damaged_messages_never_panic_and_stay_below_their_budget() {
    macro_rules! visit {
        ($request:ident, $response:ident) => {
            for version in $request::MIN_VERSION..=$request::MAX_VERSION {
                check::<$request>(version);
                check::<$response>(version);
            }
        };
    }
    for_each_api!(visit);
    macro_rules! visit_data {
        ($data:ident) => {
            for version in $data::MIN_VERSION..=$data::MAX_VERSION {
                check::<$data>(version);
            }
        };
    }
    for_each_data!(visit_data);
}

/// Decodes `bytes` and returns the error and the memory that it cost.
fn refused<M: Message>(bytes: &'static [u8], version: i16) -> (DecodeError, usize) {
    let mut r = Reader::new(Bytes::from_static(bytes));
    let (allocated, result) = allocated_by(|| M::decode(&mut r, version));
    (result.unwrap_err(), allocated)
}

#[test]
fn a_count_alone_gets_no_memory() {
    let (error, allocated) = refused::<MetadataRequest>(b"\x7f\xff\xff\xff", 0);
    assert_eq!(error, DecodeError::TooManyElements { count: 0x7fff_ffff, limit: 1_000_000 });
    assert_eq!(allocated, 0);
    let (error, allocated) = refused::<MetadataRequest>(b"\0\x0f\x42\x40", 0);
    assert_eq!(error, DecodeError::Truncated { needed: 2_000_000, remaining: 0 });
    assert_eq!(allocated, 0);
    let (error, allocated) = refused::<MetadataRequest>(b"\xff\xff\xff\xff\x0f", 9);
    assert_eq!(error, DecodeError::TooManyElements { count: 0xffff_fffe, limit: 1_000_000 });
    assert_eq!(allocated, 0);
    let (error, _) = refused::<MetadataRequest>(b"\xff\xff\xff\xff\xff\x0f", 9);
    assert_eq!(error, DecodeError::BadVarint);
    let (error, _) = refused::<DeleteGroupsRequest>(b"\xff\xff\xff\xff", 0);
    assert_eq!(error, DecodeError::UnexpectedNull);
    let (error, _) = refused::<DeleteGroupsRequest>(b"\xff\xff\xff\xfe", 0);
    assert_eq!(error, DecodeError::BadLength { length: -2 });
}

#[test]
fn a_string_alone_gets_no_memory() {
    let (error, allocated) = refused::<DeleteGroupsRequest>(b"\0\0\0\x01\x7f\xff", 0);
    assert_eq!(error, DecodeError::Truncated { needed: 32767, remaining: 0 });
    assert!(allocated <= 32767 + 24, "{allocated}");
    let (error, _) = refused::<DeleteGroupsRequest>(b"\0\0\0\x01\0\x01\xff", 0);
    assert_eq!(error, DecodeError::BadString);
}

/// Half a million empty groups in a megabyte of bytes: the count is honest, the memory is not
/// granted.
#[test]
fn many_small_elements_meet_the_budget() {
    let mut bytes = 500_000i32.to_be_bytes().to_vec();
    bytes.resize(4 + 2 * 500_000, 0);
    let bytes = Bytes::from(bytes);
    let whole = DeleteGroupsRequest::decode(&mut Reader::new(bytes.clone()), 0).unwrap();
    assert_eq!(whole.groups_names.len(), 500_000);
    let mut r = Reader::with_budget(bytes, 1 << 20);
    let (allocated, result) = allocated_by(|| DeleteGroupsRequest::decode(&mut r, 0));
    assert_eq!(result, Err(DecodeError::OverBudget { budget: 1 << 20 }));
    assert!(allocated <= SLACK);
}

#[test]
fn unknown_tags_are_skipped_and_counted() {
    let decode = |bytes: &[u8]| {
        let mut r = Reader::new(Bytes::copy_from_slice(bytes));
        let result = ListGroupsRequest::decode(&mut r, 3);
        (result.map(|_| r.remaining()), allocated_by(|| ()).0)
    };
    assert_eq!(decode(b"\x01\x63\x03abc").0, Ok(0));
    let truncated = DecodeError::Truncated { needed: 4, remaining: 3 };
    assert_eq!(decode(b"\x01\x63\x04abc").0, Err(truncated));
    let many = DecodeError::TooManyElements { count: 10_001, limit: 10_000 };
    assert_eq!(decode(b"\x91\x4e").0, Err(many));
}

/// A tagged field that is known must be as long as it says.
#[test]
fn a_known_tag_fills_its_length() {
    let mut w = Writer::new();
    let response = FetchResponse::default();
    response.encode(&mut w, 16).unwrap();
    let bytes = w.into_bytes().unwrap();
    let (body, tags) = bytes.split_at(bytes.len() - 1);
    assert_eq!(tags, [0], "no tags are written for defaults");
    // Tag 0 of a Fetch response is an array; give it an empty one and a byte too many.
    let longer = [body, &[1, 0, 2, 1, 0]].concat();
    let back = FetchResponse::decode(&mut Reader::new(longer.into()), 16);
    assert_eq!(back, Err(DecodeError::TagLength { tag: 0, left: 1 }));
}
