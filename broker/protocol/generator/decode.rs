//! Writes the `decode` functions.

use super::code::Code;
use super::expression::{flexible_binding, version_in};
use super::model::{Description, Field, Struct, Type};

pub(super) fn write(code: &mut Code, description: &Description, item: &Struct) {
    code.open("fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError>");
    if item.top {
        code.line("check_decode(NAME, version, MIN_VERSION, MAX_VERSION)?;");
    }
    code.line(flexible_binding(description, item));
    code.line("let mut message = Self::default();");
    for field in item.fields.iter().filter(|field| field.tag.is_none()) {
        let assign = format!("message.{} = {};", field.name, field_value(field));
        match version_in(field.versions, item.versions) {
            Some(condition) => {
                code.open(&format!("if {condition}"));
                code.line(&assign);
                code.close();
            }
            None => code.line(&assign),
        }
    }
    if description.flexible_from.is_some() {
        write_tags(code, item);
    }
    code.line("Ok(message)");
    code.close();
}

fn write_tags(code: &mut Code, item: &Struct) {
    let tagged: Vec<&Field> = item.fields.iter().filter(|field| field.tag.is_some()).collect();
    code.open("if flexible");
    if tagged.is_empty() {
        code.line("r.skip_tagged_fields()?;");
        code.close();
        return;
    }
    code.open("r.tagged_fields(|r, tag| Ok(match tag");
    for field in tagged {
        let Some(tag) = field.tag else { continue };
        let condition = match version_in(field.versions, item.versions) {
            Some(condition) => format!(" if {condition}"),
            None => String::new(),
        };
        code.open(&format!("{tag}{condition} =>"));
        code.line(&format!("message.{} = {};", field.name, field_value(field)));
        code.line("true");
        code.close();
    }
    code.line("_ => false,");
    code.close_with("}))?;");
    code.close();
}

/// An expression that reads the field, null or not.
fn field_value(field: &Field) -> String {
    let plain = value(&field.kind);
    let Some(nullable) = field.nullable else { return plain };
    let or_null = nullable_value(&field.kind);
    match version_in(nullable, field.versions) {
        Some(condition) => format!("if {condition} {{ {or_null} }} else {{ Some({plain}) }}"),
        None => or_null,
    }
}

fn value(kind: &Type) -> String {
    match kind {
        Type::Bool => "r.bool()?".to_string(),
        Type::I8 => "r.i8()?".to_string(),
        Type::I16 => "r.i16()?".to_string(),
        Type::U16 => "r.u16()?".to_string(),
        Type::I32 => "r.i32()?".to_string(),
        Type::U32 => "r.u32()?".to_string(),
        Type::I64 => "r.i64()?".to_string(),
        Type::F64 => "r.f64()?".to_string(),
        Type::Uuid => "r.uuid()?".to_string(),
        Type::Error => "ErrorCode(r.i16()?)".to_string(),
        Type::String => "r.string(flexible)?".to_string(),
        Type::Bytes | Type::Records => "r.bytes(flexible)?".to_string(),
        Type::RecordsRef => "RecordsRef::Bytes(r.bytes(flexible)?)".to_string(),
        Type::Array(element) => array("array", element),
        Type::Struct(name) => format!("{name}::decode(r, version)?"),
    }
}

fn nullable_value(kind: &Type) -> String {
    match kind {
        Type::String => "r.nullable_string(flexible)?".to_string(),
        Type::Bytes | Type::Records => "r.nullable_bytes(flexible)?".to_string(),
        Type::RecordsRef => "r.nullable_bytes(flexible)?.map(RecordsRef::Bytes)".to_string(),
        Type::Array(element) => array("nullable_array", element),
        other => format!("if r.i8()? < 0 {{ None }} else {{ Some({}) }}", value(other)),
    }
}

fn array(method: &str, element: &Type) -> String {
    let size = super::size::element_size(element);
    format!("r.{method}(flexible, {size}, |r| Ok({}))?", value(element))
}
