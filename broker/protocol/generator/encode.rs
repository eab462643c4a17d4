//! Writes the `encode` functions.

use super::code::Code;
use super::expression::{flexible_binding, is_default, version_in};
use super::model::{Description, Field, Struct, Type};

pub(super) fn write(code: &mut Code, description: &Description, item: &Struct) {
    code.open("fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>");
    if item.top {
        code.line("check_encode(NAME, version, MIN_VERSION, MAX_VERSION)?;");
    }
    code.line(flexible_binding(description, item));
    for field in item.fields.iter().filter(|field| field.tag.is_none()) {
        let Some(condition) = version_in(field.versions, item.versions) else {
            write_field(code, item, field);
            continue;
        };
        code.open(&format!("if {condition}"));
        write_field(code, item, field);
        write_absent(code, item, field);
    }
    for field in item.fields.iter().filter(|field| field.tag.is_some()) {
        if let Some(condition) = version_in(field.versions, item.versions)
            && !field.ignorable
        {
            code.open(&format!("if {condition}"));
            write_absent(code, item, field);
        }
    }
    if description.flexible_from.is_some() {
        write_tags(code, item);
    }
    code.line("Ok(())");
    code.close();
}

/// Ends an `if` over the versions of a field: a value that would be lost is an error.
fn write_absent(code: &mut Code, item: &Struct, field: &Field) {
    if !field.ignorable {
        code.reopen(&format!("}} else if !({}) {{", is_default(field)));
        code.line(&format!(
            "return Err(EncodeError::not_in_version(\"{}\", \"{}\", version));",
            item.name, field.name
        ));
    }
    code.close();
}

fn write_tags(code: &mut Code, item: &Struct) {
    let mut tagged: Vec<&Field> = item.fields.iter().filter(|f| f.tag.is_some()).collect();
    tagged.sort_by_key(|field| field.tag);
    code.open("if flexible");
    if tagged.is_empty() {
        code.line("w.unsigned_varint(0);");
        code.close();
        return;
    }
    code.line("let mut tags = 0;");
    for field in &tagged {
        code.open(&format!("if {}", present(item, field)));
        code.line("tags += 1;");
        code.close();
    }
    code.line("w.unsigned_varint(tags);");
    for field in &tagged {
        code.open(&format!("if {}", present(item, field)));
        code.open(&format!("w.tagged({}, |w|", field.tag.unwrap_or_default()));
        write_field(code, item, field);
        code.line("Ok(())");
        code.close_with("})?;");
        code.close();
    }
    code.close();
}

fn present(item: &Struct, field: &Field) -> String {
    match version_in(field.versions, item.versions) {
        Some(condition) => format!("{condition} && !({})", is_default(field)),
        None => format!("!({})", is_default(field)),
    }
}

fn write_field(code: &mut Code, item: &Struct, field: &Field) {
    let place = format!("self.{}", field.name);
    let Some(nullable) = field.nullable else {
        write_value(code, &field.kind, &place, true);
        return;
    };
    let condition = version_in(nullable, field.versions);
    code.open(&format!("match &{place}"));
    code.open("Some(value) =>");
    if matches!(field.kind, Type::Struct(_)) {
        // A nullable struct is announced by a byte of its own.
        code.line("w.i8(1);");
    }
    write_value(code, &field.kind, "value", false);
    code.close();
    let null = match &field.kind {
        Type::String => "w.null_string(flexible)",
        Type::Array(_) => "w.null_array(flexible)",
        Type::Struct(_) => "w.i8(-1)",
        _ => "w.null_bytes(flexible)",
    };
    match condition {
        Some(condition) => {
            code.line(&format!("None if {condition} => {null},"));
            code.line(&format!(
                "None => return Err(EncodeError::null(\"{}\", \"{}\", version)),",
                item.name, field.name
            ));
        }
        None => code.line(&format!("None => {null},")),
    }
    code.close();
}

/// Writes a value found at `place`, which is owned (`self.x`) or borrowed (a binding).
fn write_value(code: &mut Code, kind: &Type, place: &str, owned: bool) {
    let copied = if owned { place.to_string() } else { format!("*{place}") };
    let borrowed = if owned { format!("&{place}") } else { place.to_string() };
    let line = match kind {
        Type::Bool => format!("w.bool({copied});"),
        Type::I8 => format!("w.i8({copied});"),
        Type::I16 => format!("w.i16({copied});"),
        Type::U16 => format!("w.u16({copied});"),
        Type::I32 => format!("w.i32({copied});"),
        Type::U32 => format!("w.u32({copied});"),
        Type::I64 => format!("w.i64({copied});"),
        Type::F64 => format!("w.f64({copied});"),
        Type::Uuid => format!("w.uuid({copied});"),
        Type::Error => format!("w.i16({place}.0);"),
        Type::String => format!("w.string(flexible, {borrowed})?;"),
        Type::Bytes | Type::Records => format!("w.bytes(flexible, {borrowed})?;"),
        Type::RecordsRef => format!("w.records(flexible, {borrowed})?;"),
        Type::Struct(_) => format!("{place}.encode(w, version)?;"),
        Type::Array(element) => {
            code.line(&format!("w.array_length(flexible, {place}.len())?;"));
            code.open(&format!("for item in {borrowed}"));
            write_value(code, element, "item", false);
            code.close();
            return;
        }
    };
    code.line(&line);
}
