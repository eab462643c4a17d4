//! Conversions as tables, without a registry.

use super::*;

fn outgoing(format: Format, encoding: Encoding, schema: &str, bytes: &[u8]) -> String {
    let mut converter = Converter::new(format, Part::Value, None);
    let mut out = Vec::new();
    match converter.outgoing("t", encoding, Some(schema.as_bytes()), bytes, &mut out) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(ConvertError::Record(text)) => format!("! {text}"),
        Err(ConvertError::Task(error)) => format!("!! {error}"),
    }
}

#[test]
fn what_a_source_gives_becomes_what_the_topic_holds() {
    let record = r#"{"type":"record","name":"r","fields":[{"name":"a","type":["null","int"]},
        {"name":"b","type":"double"},{"name":"c","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;
    let row = [&[2, 4][..], &2.5f64.to_le_bytes(), &[20]].concat();
    let table: [(Format, Encoding, &str, &[u8], &str); 8] = [
        (Format::Bytes, Encoding::Raw, "", b"x", "x"),
        (Format::Text, Encoding::Avro, "\"string\"", b"\x04AA", "AA"),
        (Format::Text, Encoding::Avro, "\"string\"", b"\x06AA", "! not an Avro string"),
        (Format::Text, Encoding::Avro, "\"long\"", b"\x03", "-2"),
        (Format::Json, Encoding::Avro, record, &row, r#"{"a":2,"b":2.5,"c":10}"#),
        (Format::Json, Encoding::Avro, record, &[0], "! does not fit its Avro schema"),
        (Format::Text, Encoding::Json, "", b"\"a\\n\"", "a\n"),
        (Format::Avro, Encoding::Json, "", b"1", "!! the avro converter does not go with"),
    ];
    for (format, encoding, schema, bytes, expected) in table {
        let found = outgoing(format, encoding, schema, bytes);
        let starts = expected.starts_with('!') && found.starts_with(expected);
        assert!(found == expected || starts, "{format:?} {encoding:?}: {found}");
    }
}

#[test]
fn what_cannot_go_together_is_refused_before_a_task_starts() {
    assert!(Format::Avro.takes_from(Encoding::Avro));
    assert!(!Format::Avro.takes_from(Encoding::Json));
    assert!(Format::Avro.gives_to(Encoding::Json));
    assert!(!Format::Bytes.gives_to(Encoding::Json));
    assert_eq!(
        Format::parse("org.apache.kafka.connect.storage.StringConverter"),
        Some(Format::Text)
    );
    assert_eq!(Format::parse("xml"), None);
}
