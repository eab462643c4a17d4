//! Avro's binary form, as far as writing rows needs it, and the text of simple schemas.
//!
//! Integers are zigzag varints, text and bytes carry their length, an optional value is a union of
//! null and the value, a record is its fields one after the other. No schema is consulted: the
//! caller writes fields in the schema's order.

/// `int` and `long`.
pub fn write_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// `double`.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// `float`.
pub fn write_float(out: &mut Vec<u8>, value: f32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// `boolean`.
pub fn write_boolean(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// `string` and `bytes`.
pub fn write_bytes(out: &mut Vec<u8>, value: &[u8]) {
    write_long(out, value.len() as i64);
    out.extend_from_slice(value);
}

/// The branch of a union, counted from 0.
pub fn write_branch(out: &mut Vec<u8>, branch: u8) {
    write_long(out, i64::from(branch));
}

/// May this be the name of a field or record?
pub fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    let first = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The schema of a record: its full name and (field name, field schema in JSON).
pub fn record_schema(full_name: &str, fields: &[(String, String)]) -> String {
    let (namespace, name) = full_name.rsplit_once('.').unwrap_or(("", full_name));
    let mut text = format!("{{\"type\":\"record\",\"name\":\"{name}\"");
    if !namespace.is_empty() {
        text.push_str(&format!(",\"namespace\":\"{namespace}\""));
    }
    text.push_str(",\"fields\":[");
    for (index, (field, schema)) in fields.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // A reader that adds the field later, or a writer that drops it, needs the default.
        let default = if schema.starts_with("[\"null\"") { ",\"default\":null" } else { "" };
        text.push_str(&format!("{comma}{{\"name\":\"{field}\",\"type\":{schema}{default}}}"));
    }
    text.push_str("]}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_are_zigzag_varints() {
        let table: [(i64, &[u8]); 6] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (64, &[0x80, 1]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ];
        for (value, expected) in table {
            let mut out = Vec::new();
            write_long(&mut out, value);
            assert_eq!(out, expected, "{value}");
        }
    }

    #[test]
    fn a_record_schema_has_its_namespace_and_defaults() {
        let fields = [
            ("year".to_string(), "\"int\"".to_string()),
            ("delay".to_string(), "[\"null\",\"int\"]".to_string()),
        ];
        let expected = "{\"type\":\"record\",\"name\":\"Flight\",\"namespace\":\"nyc\",\"fields\":[\
            {\"name\":\"year\",\"type\":\"int\"},\
            {\"name\":\"delay\",\"type\":[\"null\",\"int\"],\"default\":null}]}";
        assert_eq!(record_schema("nyc.Flight", &fields), expected);
    }
}
