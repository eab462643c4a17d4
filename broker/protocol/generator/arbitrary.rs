//! Writes `arbitrary` constructors: random values that are legal in a given version, for tests.
//! Fields that a version does not have keep their defaults, so a round trip must be the identity.

use super::code::Code;
use super::expression::version_in;
use super::model::{Description, Field, Kind, Struct, Type};

pub(super) fn all(descriptions: &[Description]) -> String {
    let mut code = Code::default();
    for description in descriptions {
        let room = match description.kind {
            Kind::Api { .. } => "",
            Kind::Data { .. } => "records::",
        };
        code.open(&format!("mod {}", description.module()));
        code.line("use super::*;");
        code.line(&format!("use crate::messages::{room}{}::*;", description.module()));
        for item in description.messages.iter().flat_map(|message| &message.structs) {
            write(&mut code, item);
        }
        code.close();
    }
    code.finish()
}

fn write(code: &mut Code, item: &Struct) {
    code.open(&format!("impl Arbitrary for {}", item.name));
    code.open("fn arbitrary(g: &mut Dice, version: i16) -> Self");
    code.line("let mut message = Self::default();");
    for field in &item.fields {
        let assign = format!("message.{} = {};", field.name, field_value(field));
        match version_in(field.versions, item.versions) {
            Some(condition) => code.line(&format!("if {condition} {{ {assign} }}")),
            None => code.line(&assign),
        }
    }
    code.line("message");
    code.close();
    code.close();
}

fn field_value(field: &Field) -> String {
    let plain = value(&field.kind);
    let Some(nullable) = field.nullable else { return plain };
    let null = match version_in(nullable, field.versions) {
        Some(condition) => format!("{condition} && g.chance(4)"),
        None => "g.chance(4)".to_string(),
    };
    format!("if {null} {{ None }} else {{ Some({plain}) }}")
}

fn value(kind: &Type) -> String {
    match kind {
        Type::Bool => "g.chance(2)".to_string(),
        Type::I8 => "g.next() as i8".to_string(),
        Type::I16 => "g.next() as i16".to_string(),
        Type::U16 => "g.next() as u16".to_string(),
        Type::I32 => "g.next() as i32".to_string(),
        Type::U32 => "g.next() as u32".to_string(),
        Type::I64 => "g.next() as i64".to_string(),
        Type::F64 => "g.next() as f64".to_string(),
        Type::Uuid => "g.uuid()".to_string(),
        Type::Error => "ErrorCode(g.next() as i16)".to_string(),
        Type::String => "g.string()".to_string(),
        Type::Bytes | Type::Records => "g.bytes()".to_string(),
        Type::RecordsRef => "RecordsRef::Bytes(g.bytes())".to_string(),
        Type::Array(element) => format!("(0..g.length()).map(|_| {}).collect()", value(element)),
        Type::Struct(name) => format!("{name}::arbitrary(g, version)"),
    }
}
