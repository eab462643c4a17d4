//! JSON on the converters' way: texts in and out, and Avro's binary form as JSON.
//!
//! Avro becomes plain JSON: a union is its value without the branch's name, bytes and fixed are
//! text of one character per byte, an enumeration is its symbol, dates and times are their numbers.
//! A number that JSON cannot say (NaN, infinity) is null.

use apache_avro::Schema;
use apache_avro::types::Value;

use super::{ConvertError, record_error};

/// Nesting that a value may have; deeper ones are an attack on the stack.
const DEPTH_MAX: usize = 64;

/// Is it one JSON text?
pub(super) fn check(bytes: &[u8]) -> Result<(), ConvertError> {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes)
        .map(|_| ())
        .map_err(|error| record_error(format!("not JSON: {error}")))
}

/// Appends the content of a JSON string, or any other JSON text as it is.
pub(super) fn write_text(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ConvertError> {
    if bytes.first() != Some(&b'"') {
        out.extend_from_slice(bytes);
        return Ok(());
    }
    let text: String = serde_json::from_slice(bytes)
        .map_err(|error| record_error(format!("not JSON: {error}")))?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends a text as a JSON string.
pub(super) fn from_text(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ConvertError> {
    let text = std::str::from_utf8(bytes).map_err(|_| record_error("not UTF-8"))?;
    write_string(text, out);
    Ok(())
}

/// The content of an Avro string.
pub(super) fn avro_text(bytes: &[u8]) -> Result<&[u8], ConvertError> {
    let mut length: u64 = 0;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let body = &bytes[index + 1..];
            // Zigzag: a length is even.
            let fits = length.is_multiple_of(2) && usize::try_from(length / 2) == Ok(body.len());
            return if fits { Ok(body) } else { Err(record_error("not an Avro string")) };
        }
    }
    Err(record_error("not an Avro string"))
}

/// Appends an Avro value as JSON.
pub(super) fn from_avro(
    schema: &Schema,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), ConvertError> {
    let mut rest = bytes;
    let value = apache_avro::from_avro_datum(schema, &mut rest, None)
        .map_err(|error| record_error(format!("does not fit its Avro schema: {error}")))?;
    if !rest.is_empty() {
        return Err(record_error(format!("{} bytes behind its Avro value", rest.len())));
    }
    write_value(&value, DEPTH_MAX, out)
}

fn write_value(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), ConvertError> {
    let Some(deeper) = depth.checked_sub(1) else {
        return Err(record_error("nested too deeply"));
    };
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int(value) | Value::Date(value) | Value::TimeMillis(value) => {
            write_display(value, out);
        }
        Value::Long(value)
        | Value::TimeMicros(value)
        | Value::TimestampMillis(value)
        | Value::TimestampMicros(value)
        | Value::TimestampNanos(value)
        | Value::LocalTimestampMillis(value)
        | Value::LocalTimestampMicros(value)
        | Value::LocalTimestampNanos(value) => write_display(value, out),
        Value::Float(value) => write_json(value, out),
        Value::Double(value) => write_json(value, out),
        Value::String(text) | Value::Enum(_, text) => write_string(text, out),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => {
            let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
            write_string(&text, out);
        }
        Value::Uuid(value) => write_string(&value.to_string(), out),
        Value::Union(_, value) => write_value(value, deeper, out)?,
        Value::Array(items) => {
            write_sequence(b"[]", items.iter(), out, |item, out| write_value(item, deeper, out))?;
        }
        Value::Record(fields) => {
            write_sequence(b"{}", fields.iter(), out, |(name, value), out| {
                write_member(name, value, deeper, out)
            })?;
        }
        Value::Map(entries) => {
            // A map has no order of its own; the same record must always give the same text.
            let mut sorted: Vec<(&String, &Value)> = entries.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            write_sequence(b"{}", sorted.into_iter(), out, |(name, value), out| {
                write_member(name, value, deeper, out)
            })?;
        }
        other => return Err(record_error(format!("{other:?} has no form in JSON"))),
    }
    Ok(())
}

fn write_sequence<T>(
    brackets: &[u8; 2],
    items: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>) -> Result<(), ConvertError>,
) -> Result<(), ConvertError> {
    out.push(brackets[0]);
    for (index, item) in items.enumerate() {
        if 0 < index {
            out.push(b',');
        }
        write(item, out)?;
    }
    out.push(brackets[1]);
    Ok(())
}

fn write_member(
    name: &str,
    value: &Value,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), ConvertError> {
    write_string(name, out);
    out.push(b':');
    write_value(value, depth, out)
}

fn write_display(value: &impl std::fmt::Display, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    write_json(&text, out);
}

fn write_json(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    // Writing a number or a text into memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}
