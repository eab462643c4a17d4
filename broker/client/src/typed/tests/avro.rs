//! Avro there and back, and from the schema of a writer to that of a reader.

use crate::typed::avro::{AvroCodec, AvroError, AvroSchema, Value, split, to_json};
use crate::typed::registry::{SchemaId, SchemaText};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

const ORDER: &str = r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": [
    {"name": "id", "type": "long"},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["Open", "Paid"]}},
    {"name": "lines", "type": {"type": "array", "items":
        {"type": "record", "name": "Line", "fields": [
            {"name": "item", "type": "string"}, {"name": "cents", "type": "int"}]}}},
    {"name": "tags", "type": {"type": "map", "values": "boolean"}},
    {"name": "weight", "type": "double"}]}"#;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Open,
    Paid,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    item: String,
    cents: i32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: i64,
    note: Option<String>,
    state: State,
    lines: Vec<Line>,
    tags: BTreeMap<String, bool>,
    weight: f64,
}

fn order() -> Order {
    let line = |item: &str, cents| Line { item: item.into(), cents };
    Order {
        id: 42,
        note: Some("fragile".into()),
        state: State::Paid,
        lines: vec![line("cup", 350), line("plate", 500)],
        tags: BTreeMap::from([("gift".into(), true), ("express".into(), false)]),
        weight: 1.5,
    }
}

fn codec<T>(schema: &str, id: u32) -> AvroCodec<T> {
    let codec = AvroCodec::parse(schema).unwrap();
    codec.registered(SchemaId(id));
    codec
}

#[test]
fn values_of_serde_come_back() {
    let codec = codec::<Order>(ORDER, 0x0102_0304);
    for order in [order(), Order { note: None, lines: vec![], ..order() }] {
        let bytes = codec.encode(&order).unwrap();
        assert_eq!(bytes[..5], [0, 1, 2, 3, 4], "magic and id");
        assert_eq!(codec.decode(&bytes), Ok(order));
    }
}

/// The bytes by the rules of the Avro specification, field by field.
#[test]
fn bytes_are_those_of_the_specification() {
    let bytes = codec::<Order>(ORDER, 1).encode(&order()).unwrap();
    let expected = [
        &[84][..],                                   // id 42, zigzag
        b"\x02\x0efragile",                          // second branch, 7 bytes
        &[2],                                        // second symbol
        b"\x04\x06cup\xbc\x05\x0aplate\xe8\x07\x00", // 2 lines, 350 and 500 cents, the end
        b"\x04\x0eexpress\x00\x08gift\x01\x00",      // 2 entries in the order of the map, the end
        &1.5f64.to_le_bytes(),
    ];
    assert_eq!(bytes[5..], expected.concat()[..]);
}

#[test]
fn values_of_avro_come_back() {
    let codec = codec::<Order>(ORDER, 1);
    let value = codec.decode_value(&codec.encode(&order()).unwrap()).unwrap();
    let again = codec.encode_value(value.clone()).unwrap();
    assert_eq!(codec.decode_value(&again).unwrap(), value);
    let expected = json!({
        "id": 42, "note": "fragile", "state": "Paid",
        "lines": [{"item": "cup", "cents": 350}, {"item": "plate", "cents": 500}],
        "tags": {"express": false, "gift": true}, "weight": 1.5,
    });
    assert_eq!(to_json(&value), expected);
    assert_eq!(codec.encode_value(Value::from(expected)).map(|bytes| bytes.len()), Ok(again.len()));
}

#[test]
fn a_value_that_does_not_fit_is_unwritable() {
    let codec = codec::<serde_json::Value>(ORDER, 1);
    let refused = codec.encode(&json!({ "id": "forty-two" }));
    assert!(matches!(refused, Err(AvroError::Unwritable(_))), "{refused:?}");
    let refused = codec.encode_value(Value::Long(1));
    assert!(matches!(refused, Err(AvroError::Unwritable(_))), "{refused:?}");
}

/// A tree uses its own name; the Avro library cannot write such a type straight from serde.
#[test]
fn recursive_types_come_back() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Tree {
        name: String,
        children: Vec<Tree>,
    }
    let leaf = |name: &str| Tree { name: name.into(), children: vec![] };
    let codec = codec::<Tree>(
        r#"{"type": "record", "name": "Tree", "fields": [{"name": "name", "type": "string"},
            {"name": "children", "type": {"type": "array", "items": "Tree"}}]}"#,
        1,
    );
    let tree = Tree { name: "root".into(), children: vec![leaf("a"), leaf("b")] };
    assert_eq!(codec.decode(&codec.encode(&tree).unwrap()), Ok(tree));
}

#[test]
fn schemas_refer_to_others() {
    let line = r#"{"type": "record", "name": "Line", "namespace": "shop", "fields": [
        {"name": "item", "type": "string"}, {"name": "cents", "type": "int"}]}"#;
    let basket = r#"{"type": "record", "name": "Basket", "namespace": "shop", "fields": [
        {"name": "first", "type": "Line"}, {"name": "last", "type": "shop.Line"}]}"#;
    let schema = AvroSchema::parse_with(SchemaText::avro(basket), &[line.to_string()]).unwrap();
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Basket {
        first: Line,
        last: Line,
    }
    let codec = AvroCodec::new(schema);
    codec.registered(SchemaId(9));
    let line = |cents| Line { item: "cup".into(), cents };
    let basket_value = Basket { first: line(1), last: line(2) };
    assert_eq!(codec.decode(&codec.encode(&basket_value).unwrap()), Ok(basket_value));
    assert!(AvroSchema::parse(basket).is_err(), "alone it means nothing");
}

#[test]
fn a_reader_sees_what_it_knows() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct OrderV2 {
        id: i64,
        weight: f64,
        currency: String,
        note: Option<String>,
    }
    let reader = codec::<OrderV2>(
        r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": [
            {"name": "id", "type": "long"},
            {"name": "weight", "type": "double"},
            {"name": "currency", "type": "string", "default": "EUR"},
            {"name": "note", "type": ["null", "string"], "default": null}]}"#,
        2,
    );
    let bytes = codec::<Order>(ORDER, 1).encode(&order()).unwrap();
    assert_eq!(reader.missing(&bytes), Some(SchemaId(1)));
    assert_eq!(reader.decode(&bytes), Err(AvroError::UnknownSchema(SchemaId(1))));
    reader.learn(SchemaId(1), ORDER).unwrap();
    assert_eq!(reader.missing(&bytes), None);
    let expected =
        OrderV2 { id: 42, weight: 1.5, currency: "EUR".into(), note: Some("fragile".into()) };
    assert_eq!(reader.decode(&bytes), Ok(expected));
}

#[test]
fn numbers_widen_and_records_without_defaults_do_not_resolve() {
    let narrow = codec::<i32>(r#""int""#, 1);
    let wide = codec::<i64>(r#""long""#, 2);
    wide.learn(SchemaId(1), r#""int""#).unwrap();
    assert_eq!(wide.decode(&narrow.encode(&7).unwrap()), Ok(7));
    let order = codec::<Order>(ORDER, 3);
    order.learn(SchemaId(1), r#"{"type": "record", "name": "Order", "fields": []}"#).unwrap();
    let result = order.decode(&[0, 0, 0, 0, 1]);
    assert!(matches!(result, Err(AvroError::Malformed(_))), "{result:?}");
}

#[test]
fn a_codec_without_an_id_does_not_write() {
    let codec = AvroCodec::<i32>::parse(r#""int""#).unwrap();
    assert_eq!(codec.encode(&1), Err(AvroError::NotRegistered));
    assert_eq!(codec.definition(), r#""int""#);
    codec.registered(SchemaId(5));
    assert_eq!(split(&codec.encode(&1).unwrap()), Ok((SchemaId(5), &[2][..])));
}

#[test]
fn schemas_that_are_none_are_refused() {
    for text in ["", "{}", r#""strung""#, r#"{"type": "record", "name": "A"}"#, &"[".repeat(9999)] {
        let result = AvroSchema::parse(text);
        assert!(matches!(result, Err(AvroError::BadSchema(_))), "{text}");
    }
}
