//! Avro bytes that lie: an error each, and neither a panic nor memory.

use crate::typed::avro::{AvroCodec, AvroError, Value};
use crate::typed::registry::SchemaId;

fn read(schema: &str, bytes: &[u8]) -> Result<Value, AvroError> {
    let codec = AvroCodec::<()>::parse(schema).unwrap();
    codec.registered(SchemaId(1));
    codec.decode_value(&[&[0, 0, 0, 0, 1], bytes].concat())
}

#[test]
fn lying_bytes_are_malformed() {
    const LIST: &str = r#"{"type": "record", "name": "List", "fields": [
        {"name": "next", "type": ["null", "List"]}]}"#;
    let deep = vec![2; 100_000];
    let table: &[(&str, &[u8], &str)] = &[
        (r#""string""#, b"", "it is cut off"),
        (r#""string""#, b"\x06ab", "it is cut off"),
        (r#""string""#, b"\x01", "a length is negative"),
        (r#""string""#, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "it is cut off"),
        (r#""string""#, b"\x02\xff", "a string is not UTF-8"),
        (r#""bytes""#, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a number does not end"),
        (r#""boolean""#, b"\x02", "a boolean is neither 0 nor 1"),
        (r#""boolean""#, b"", "it is cut off"),
        (r#""int""#, b"\x02\x02", "bytes are left over after the value"),
        (r#""int""#, b"\x80\x80\x80\x80\x80\x01", "a number does not end"),
        (r#"["null", "int"]"#, b"\x04", "a choice is out of range"),
        (r#"["null", "int"]"#, b"\x01", "a choice is out of range"),
        (r#"["null", "int"]"#, b"", "it is cut off"),
        (r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#, b"\x02", "a choice is out of range"),
        (r#"{"type": "fixed", "name": "F", "size": 3}"#, b"ab", "it is cut off"),
        (r#"{"type": "array", "items": "int"}"#, b"\x04\x02", "it is cut off"),
        // Half of all the integers there are, as nulls, in ten bytes.
        (
            r#"{"type": "array", "items": "null"}"#,
            b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            "it has too many elements",
        ),
        (
            r#"{"type": "array", "items": "null"}"#,
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00",
            "it has too many elements",
        ),
        (r#"{"type": "map", "values": "null"}"#, b"\x02\x01", "a length is negative"),
        (LIST, &deep, "it is nested too deep"),
    ];
    for (schema, bytes, reason) in table {
        let expected = AvroError::Malformed(reason.to_string());
        assert_eq!(read(schema, bytes), Err(expected), "{schema}");
    }
}

#[test]
fn bytes_without_a_schema_are_malformed() {
    let codec = AvroCodec::<i32>::parse(r#""int""#).unwrap();
    codec.registered(SchemaId(1));
    for bytes in [&b""[..], b"\x00\x00\x00\x00", b"\x01\x00\x00\x00\x01\x02", b"{\"a\": 1}"] {
        let result = codec.decode(bytes);
        assert!(matches!(result, Err(AvroError::Malformed(_))), "{bytes:?}: {result:?}");
    }
}

/// Every cut and every flipped bit of an honest value is read or refused, never a panic.
#[test]
fn damaged_values_never_panic() {
    let schema = r#"{"type": "record", "name": "R", "fields": [
        {"name": "a", "type": ["null", "string", "long"]},
        {"name": "b", "type": {"type": "map", "values": {"type": "array", "items": "bytes"}}},
        {"name": "c", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9}},
        {"name": "d", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "e", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}"#;
    let uuid = b"\x486f9619ff-8b86-d011-b42d-00c04fc964ff";
    let honest = [&b"\x02\x06abc\x02\x02k\x04\x02x\x00\x00\x00\x04\x01\x02"[..], uuid, b"\x80\x01"];
    let honest = honest.concat();
    read(schema, &honest).unwrap();
    for cut in 0..honest.len() {
        assert!(read(schema, &honest[..cut]).is_err(), "cut at {cut}");
    }
    for bit in 0..honest.len() * 8 {
        let mut damaged = honest.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let _ = read(schema, &damaged);
    }
}
