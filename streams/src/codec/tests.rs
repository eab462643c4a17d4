//! Byte layouts and round trips of the built-in codecs.

use bytes::Bytes;

use super::windowed::split_window_store_key;
use super::*;
use crate::record::Windowed;

fn round_trip<T: Data + PartialEq + std::fmt::Debug>(value: &T, hex: &str) {
    let codec = T::codec();
    let bytes = codec.encode(value).expect("encode");
    let shown = bytes.as_ref().map_or("null".to_owned(), |bytes| {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    });
    assert_eq!(shown, hex);
    assert_eq!(&codec.decode(bytes.as_ref()).expect("decode"), value);
}

#[test]
fn built_in_types_have_the_bytes_of_kafkas_serializers() {
    round_trip(&"day".to_owned(), "646179");
    round_trip(&1_i32, "00000001");
    round_trip(&-2_i64, "fffffffffffffffe");
    round_trip(&258_u64, "0000000000000102");
    round_trip(&1.5_f64, "3ff8000000000000");
    round_trip(&vec![1_u8, 2], "0102");
    round_trip(&Bytes::from_static(b"\x03"), "03");
    round_trip(&(), "null");
    round_trip(&None::<String>, "null");
    round_trip(&Some(1_i32), "00000001");
}

#[test]
fn windowed_keys_end_with_the_start_of_their_window() {
    let codec = WindowedCodec { keys: String::codec(), size_ms: Some(10) };
    let key = Windowed { key: "a".to_owned(), start: 256, end: 266 };
    let bytes = codec.encode(&key).expect("encode").expect("not null");
    assert_eq!(bytes.as_ref(), b"a\0\0\0\0\0\0\x01\0");
    assert_eq!(codec.decode(Some(&bytes)).expect("decode"), key);
    let stored = window_store_key(b"a", 256);
    assert_eq!(stored.as_ref(), b"a\0\0\0\0\0\0\x01\0\0\0\0\0");
    assert_eq!(split_window_store_key(&stored), Some((b"a".as_slice(), 256)));
    assert_eq!(split_window_store_key(b"too short"), None);
}

#[test]
fn what_does_not_fit_the_type_is_an_error() {
    assert_eq!(String::codec().decode(None), Err(CodecError::Null));
    assert!(i64::codec().decode(Some(&Bytes::from_static(b"1234567"))).is_err());
    assert!(String::codec().decode(Some(&Bytes::from_static(b"\xff"))).is_err());
    assert!(Windowed::<String>::codec().decode(Some(&Bytes::from_static(b"1234567"))).is_err());
}
