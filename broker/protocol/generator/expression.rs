//! Small pieces of Rust text that several writers need: types, defaults, conditions.

use super::model::{Description, Field, Struct, Type, Versions};

/// The Rust type of a field.
pub(super) fn rust_type(field: &Field) -> String {
    let inner = element_type(&field.kind);
    if field.nullable.is_some() { format!("Option<{inner}>") } else { inner }
}

/// The Rust type of a value that is not null.
pub(super) fn element_type(kind: &Type) -> String {
    match kind {
        Type::Bool => "bool".to_string(),
        Type::I8 => "i8".to_string(),
        Type::I16 => "i16".to_string(),
        Type::U16 => "u16".to_string(),
        Type::I32 => "i32".to_string(),
        Type::U32 => "u32".to_string(),
        Type::I64 => "i64".to_string(),
        Type::F64 => "f64".to_string(),
        Type::Uuid => "TopicId".to_string(),
        Type::Error => "ErrorCode".to_string(),
        Type::String => "String".to_string(),
        Type::Bytes | Type::Records => "Bytes".to_string(),
        Type::RecordsRef => "RecordsRef".to_string(),
        Type::Array(element) => format!("Vec<{}>", element_type(element)),
        Type::Struct(name) => name.clone(),
    }
}

/// The default of a field, as an expression.
pub(super) fn default_value(field: &Field) -> String {
    if field.nullable.is_none() {
        return plain_default(&field.kind, field.default.as_deref());
    }
    let records = matches!(field.kind, Type::Records | Type::RecordsRef);
    match field.default.as_deref() {
        Some("null") => "None".to_string(),
        None if records => "None".to_string(),
        default => format!("Some({})", plain_default(&field.kind, default)),
    }
}

fn plain_default(kind: &Type, default: Option<&str>) -> String {
    match (kind, default) {
        (Type::String, Some(text)) => format!("{text}.to_string()"),
        (Type::Error, Some(code)) => format!("ErrorCode({code})"),
        (_, Some(value)) => value.to_string(),
        (Type::Bool, None) => "false".to_string(),
        (Type::F64, None) => "0.0".to_string(),
        (Type::Uuid, None) => "TopicId::NONE".to_string(),
        (Type::Error, None) => "ErrorCode::NONE".to_string(),
        (Type::String, None) => "String::new()".to_string(),
        (Type::Bytes | Type::Records, None) => "Bytes::new()".to_string(),
        (Type::RecordsRef, None) => "RecordsRef::Bytes(Bytes::new())".to_string(),
        (Type::Array(_), None) => "Vec::new()".to_string(),
        (Type::Struct(name), None) => format!("{name}::default()"),
        (_, None) => "0".to_string(),
    }
}

/// A condition that holds when the field has its default value.
pub(super) fn is_default(field: &Field) -> String {
    let name = &field.name;
    let default = default_value(field);
    if default == "None" {
        return format!("self.{name}.is_none()");
    }
    if let (true, Type::Array(_) | Type::Bytes | Type::String) =
        (field.nullable.is_some(), &field.kind)
    {
        return format!("self.{name}.as_ref().is_some_and(|value| value.is_empty())");
    }
    match (&field.kind, &field.default) {
        (Type::Array(_) | Type::Bytes, _) | (Type::String, None) => {
            format!("self.{name}.is_empty()")
        }
        (Type::Bool, None) => format!("!self.{name}"),
        _ => format!("self.{name} == {default}"),
    }
}

/// The condition for a version to lie in `range`, or none when it always does within `outer`.
pub(super) fn version_in(range: Versions, outer: Versions) -> Option<String> {
    let low = (outer.first < range.first).then(|| format!("version >= {}", range.first));
    let high = (range.last < outer.last).then(|| format!("version <= {}", range.last));
    match (low, high) {
        (Some(low), Some(high)) => Some(format!("{low} && {high}")),
        (low, high) => low.or(high),
    }
}

/// Binds `flexible`, when some field of the struct asks for it.
pub(super) fn flexible_binding(description: &Description, item: &Struct) -> &'static str {
    let asks = item.fields.iter().any(|field| {
        !matches!(
            field.kind,
            Type::Bool
                | Type::I8
                | Type::I16
                | Type::U16
                | Type::I32
                | Type::U32
                | Type::I64
                | Type::F64
                | Type::Uuid
                | Type::Error
                | Type::Struct(_)
        )
    });
    if asks || description.flexible_from.is_some() {
        "let flexible = version >= FLEXIBLE_FROM;"
    } else {
        ""
    }
}
