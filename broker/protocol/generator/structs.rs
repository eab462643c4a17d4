//! Writes the structs and their defaults.

use super::code::Code;
use super::expression::{default_value, rust_type};
use super::model::{Description, Struct, Versions};

pub(super) fn write(code: &mut Code, description: &Description, item: &Struct) {
    let versions = item.versions;
    let part = if item.top { "" } else { "A part of the messages of " };
    let whole = if item.top { &item.name } else { &description.name };
    code.line(&format!("/// {part}`{whole}`, versions {}.", range(versions)));
    code.line("#[derive(Clone, Debug, PartialEq)]");
    code.open(&format!("pub struct {}", item.name));
    for field in &item.fields {
        if field.versions != versions {
            code.line(&format!("/// Versions {}.", range(field.versions)));
        }
        code.line(&format!("pub {}: {},", field.name, rust_type(field)));
    }
    code.close();
    code.open(&format!("impl Default for {}", item.name));
    code.open("fn default() -> Self");
    code.open("Self");
    for field in &item.fields {
        code.line(&format!("{}: {},", field.name, default_value(field)));
    }
    code.close();
    code.close();
    code.close();
}

fn range(versions: Versions) -> String {
    if versions.first == versions.last {
        versions.first.to_string()
    } else {
        format!("{}-{}", versions.first, versions.last)
    }
}
