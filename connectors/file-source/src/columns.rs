//! Columns: their types as the configuration writes them, their inference, and a field's way into
//! Avro.

use mainstem_connect_sdk::avro;

use crate::instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Text,
    Int,
    Long,
    Float,
    Double,
    Boolean,
    Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: Type,
    pub nullable: bool,
}

impl Column {
    /// Reads `name`, `name:type` or `name:type?`.
    pub fn parse(entry: &str) -> Result<Column, String> {
        let (name, kind) = entry.split_once(':').unwrap_or((entry, "string"));
        let (kind, nullable) = match kind.trim().strip_suffix('?') {
            Some(kind) => (kind, true),
            None => (kind.trim(), false),
        };
        let kind = match kind {
            "string" => Type::Text,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "boolean" => Type::Boolean,
            "timestamp" => Type::Timestamp,
            other => return Err(format!("{entry}: {other} is not a type")),
        };
        let name = name.trim().to_string();
        if !avro::is_name(&name) {
            return Err(format!("{name} cannot be the name of an Avro field"));
        }
        Ok(Column { name, kind, nullable })
    }

    /// The schema of the column's value in JSON.
    pub fn schema(&self) -> String {
        let kind = match self.kind {
            Type::Text => "\"string\"",
            Type::Int => "\"int\"",
            Type::Long => "\"long\"",
            Type::Float => "\"float\"",
            Type::Double => "\"double\"",
            Type::Boolean => "\"boolean\"",
            Type::Timestamp => "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}",
        };
        if self.nullable { format!("[\"null\",{kind}]") } else { kind.to_string() }
    }

    /// Writes one field; the error is a sentence about the field.
    pub fn encode(&self, field: &[u8], null_text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        if self.nullable {
            if field == null_text {
                avro::write_branch(out, 0);
                return Ok(());
            }
            avro::write_branch(out, 1);
        }
        self.encode_present(field, out)
    }

    /// Writes one field that is not null, without a union's branch.
    pub fn encode_present(&self, field: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let Some(text) = self.kind.text(field) else {
            return Err(format!("column {}: not UTF-8", self.name));
        };
        let written = match self.kind {
            Type::Text => {
                avro::write_bytes(out, field);
                Some(())
            }
            Type::Int => parse_integer(field)
                .filter(|value| i32::try_from(*value).is_ok())
                .map(|value| avro::write_long(out, value)),
            Type::Long => parse_integer(field).map(|value| avro::write_long(out, value)),
            Type::Float => text.parse().ok().map(|value| avro::write_float(out, value)),
            Type::Double => text.parse().ok().map(|value| avro::write_double(out, value)),
            Type::Boolean => parse_boolean(text).map(|value| avro::write_boolean(out, value)),
            Type::Timestamp => instant::parse(field).map(|value| avro::write_long(out, value)),
        };
        written.ok_or_else(|| {
            format!("column {}: '{}' is not {}", self.name, shorten(text), self.kind.noun())
        })
    }
}

impl Type {
    /// The field as text where the type needs text; numbers are checked digit by digit instead.
    fn text(self, field: &[u8]) -> Option<&str> {
        std::str::from_utf8(field).ok()
    }

    fn noun(self) -> &'static str {
        match self {
            Type::Text => "a text",
            Type::Int => "a 32-bit integer",
            Type::Long => "a 64-bit integer",
            Type::Float | Type::Double => "a number",
            Type::Boolean => "true or false",
            Type::Timestamp => "an ISO-8601 time",
        }
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "TRUE" | "True" | "1" => Some(true),
        "false" | "FALSE" | "False" | "0" => Some(false),
        _ => None,
    }
}

/// Decimal digits with an optional sign; much faster than going through `str`.
fn parse_integer(field: &[u8]) -> Option<i64> {
    let (negative, digits) = match field.first()? {
        b'-' => (true, &field[1..]),
        b'+' => (false, &field[1..]),
        _ => (false, field),
    };
    if digits.is_empty() {
        return None;
    }
    // Summed on the negative side, which reaches one further than the positive one.
    let mut value: i64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if 9 < digit {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// What the fields of one column have looked like so far.
#[derive(Debug, Clone)]
pub struct Sample {
    pub name: String,
    seen: bool,
    integer: bool,
    number: bool,
    boolean: bool,
    timestamp: bool,
}

impl Sample {
    pub fn new(name: String) -> Sample {
        Sample { name, seen: false, integer: true, number: true, boolean: true, timestamp: true }
    }

    pub fn look(&mut self, field: &[u8], null_text: &[u8]) {
        if field == null_text {
            return;
        }
        let text = std::str::from_utf8(field).unwrap_or_default();
        self.seen = true;
        self.integer &= parse_integer(field).is_some();
        self.number &= text.parse::<f64>().is_ok();
        self.boolean &= matches!(text, "true" | "false" | "TRUE" | "FALSE");
        self.timestamp &= instant::parse(field).is_some();
    }

    /// Inferred columns may always be null: the rows not looked at may hold anything.
    pub fn into_column(self) -> Column {
        let kind = match self {
            Sample { seen: false, .. } => Type::Text,
            Sample { integer: true, .. } => Type::Long,
            Sample { number: true, .. } => Type::Double,
            Sample { boolean: true, .. } => Type::Boolean,
            Sample { timestamp: true, .. } => Type::Timestamp,
            _ => Type::Text,
        };
        Column { name: self.name, kind, nullable: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(entry: &str, field: &str) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        Column::parse(entry)?.encode(field.as_bytes(), b"NA", &mut out).map(|()| out)
    }

    #[test]
    fn fields_become_avro_or_a_sentence() {
        let table: [(&str, &str, Result<Vec<u8>, &str>); 10] = [
            ("a:int", "-1", Ok(vec![1])),
            ("a:int?", "NA", Ok(vec![0])),
            ("a:int?", "1", Ok(vec![2, 2])),
            ("a:int", "NA", Err("column a: 'NA' is not a 32-bit integer")),
            ("a:int", "2147483648", Err("column a: '2147483648' is not a 32-bit integer")),
            ("a:long", "2147483648", Ok(vec![0x80, 0x80, 0x80, 0x80, 0x10])),
            ("a:string", "NA", Ok(vec![4, b'N', b'A'])),
            ("a:boolean", "true", Ok(vec![1])),
            ("a:double", "x", Err("column a: 'x' is not a number")),
            ("a:text", "x", Err("a:text: text is not a type")),
        ];
        for (entry, field, expected) in table {
            assert_eq!(encoded(entry, field), expected.map_err(str::to_string), "{entry} {field}");
        }
    }

    #[test]
    fn integers_reach_both_ends() {
        assert_eq!(parse_integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_integer(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_integer(b"9223372036854775808"), None);
        assert_eq!(parse_integer(b""), None);
        assert_eq!(parse_integer(b"-"), None);
        assert_eq!(parse_integer(b"1 "), None);
    }

    #[test]
    fn types_are_inferred_from_what_is_seen() {
        let table: [(&[&str], Type); 6] = [
            (&["1", "NA", "-7"], Type::Long),
            (&["1", "1.5"], Type::Double),
            (&["true", "FALSE"], Type::Boolean),
            (&["2013-01-01T10:00:00Z"], Type::Timestamp),
            (&["1", "x"], Type::Text),
            (&["NA"], Type::Text),
        ];
        for (fields, expected) in table {
            let mut sample = Sample::new("a".to_string());
            fields.iter().for_each(|field| sample.look(field.as_bytes(), b"NA"));
            assert_eq!(sample.into_column().kind, expected, "{fields:?}");
        }
    }
}
