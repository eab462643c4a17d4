//! Writes `wire_size_min`: the fewest bytes an encoded value can take. An announced count is
//! compared with it before memory is reserved.

use super::code::Code;
use super::expression::{flexible_binding, version_in};
use super::model::{Description, Struct, Type};

pub(super) fn write(code: &mut Code, description: &Description, item: &Struct) {
    code.open("fn wire_size_min(version: i16) -> usize");
    code.line(flexible_binding(description, item));
    code.line("let mut size = 0;");
    for field in item.fields.iter().filter(|field| field.tag.is_none()) {
        let size = match (&field.kind, field.nullable) {
            (Type::Struct(_), Some(_)) => "1".to_string(),
            (kind, _) => element_size(kind),
        };
        match version_in(field.versions, item.versions) {
            Some(condition) => code.line(&format!("if {condition} {{ size += {size}; }}")),
            None => code.line(&format!("size += {size};")),
        }
    }
    if description.flexible_from.is_some() {
        code.line("if flexible { size += 1; }");
    }
    code.line("size");
    code.close();
}

/// The fewest bytes of one value, as an expression over `flexible` and `version`.
pub(super) fn element_size(kind: &Type) -> String {
    match kind {
        Type::Bool | Type::I8 => "1".to_string(),
        Type::I16 | Type::U16 | Type::Error => "2".to_string(),
        Type::I32 | Type::U32 => "4".to_string(),
        Type::I64 | Type::F64 => "8".to_string(),
        Type::Uuid => "16".to_string(),
        Type::String => "(if flexible { 1 } else { 2 })".to_string(),
        Type::Bytes | Type::Records | Type::RecordsRef | Type::Array(_) => {
            "(if flexible { 1 } else { 4 })".to_string()
        }
        Type::Struct(name) => format!("{name}::wire_size_min(version)"),
    }
}
