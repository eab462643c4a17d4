//! Avro values as JSON, for people and for consumers without schemas.
//!
//! Unions are written as their value, without the name of the branch. Bytes are written as text
//! with one character per byte, as Avro's own JSON encoding does. Numbers that JSON does not have
//! (NaN and the infinities) become text. Maps are sorted by key.

use apache_avro::types::Value;
use serde_json::{Map, Number, Value as Json};
use std::collections::BTreeMap;

/// The JSON of a value.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(yes) => Json::Bool(*yes),
        Value::Int(number) | Value::Date(number) | Value::TimeMillis(number) => (*number).into(),
        Value::Long(number)
        | Value::TimeMicros(number)
        | Value::TimestampMillis(number)
        | Value::TimestampMicros(number)
        | Value::TimestampNanos(number)
        | Value::LocalTimestampMillis(number)
        | Value::LocalTimestampMicros(number)
        | Value::LocalTimestampNanos(number) => (*number).into(),
        Value::Float(number) => float(f64::from(*number)),
        Value::Double(number) => float(*number),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => text(bytes),
        Value::String(text) | Value::Enum(_, text) => Json::String(text.clone()),
        Value::Union(_, value) => to_json(value),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => {
            let sorted: BTreeMap<&String, &Value> = entries.iter().collect();
            object(sorted.into_iter())
        }
        Value::Record(fields) => object(fields.iter().map(|(name, value)| (name, value))),
        Value::Decimal(decimal) => {
            Vec::<u8>::try_from(decimal).map_or(Json::Null, |bytes| text(&bytes))
        }
        Value::BigDecimal(decimal) => Json::String(decimal.to_string()),
        Value::Duration(duration) => text(&<[u8; 12]>::from(*duration)),
        Value::Uuid(uuid) => Json::String(uuid.to_string()),
    }
}

fn float(number: f64) -> Json {
    Number::from_f64(number).map_or_else(|| Json::String(number.to_string()), Json::Number)
}

fn text(bytes: &[u8]) -> Json {
    Json::String(bytes.iter().copied().map(char::from).collect())
}

fn object<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)>) -> Json {
    Json::Object(fields.map(|(name, value)| (name.clone(), to_json(value))).collect::<Map<_, _>>())
}
