//! Names and namespaces: which are allowed, and how a short one becomes a full one.

use serde_json::{Map, Value};

use super::node::{Named, ParseError};

/// A letter or underscore, then letters, digits and underscores.
pub(super) fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    let Some(first) = characters.next() else { return false };
    let starts_well = first.is_ascii_alphabetic() || first == '_';
    starts_well && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn check_full_name(full_name: &str) -> Result<(), ParseError> {
    if full_name.split('.').all(is_name) {
        return Ok(());
    }
    Err(ParseError(format!("Illegal name: {full_name:?}")))
}

/// The namespace of a full name, empty when it has none.
pub(super) fn namespace_of(full_name: &str) -> &str {
    full_name.rsplit_once('.').map_or("", |(namespace, _)| namespace)
}

/// What `name` means inside `namespace`.
pub(super) fn qualify(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.into()
    } else {
        format!("{namespace}.{name}")
    }
}

/// A full name as it is written inside `namespace`.
pub(super) fn shorten<'a>(full_name: &'a str, namespace: &str) -> &'a str {
    match full_name.rsplit_once('.') {
        Some((own, name)) if own == namespace => name,
        _ => full_name,
    }
}

/// Reads name, namespace and aliases of a named type, and writes name and namespace to `out` as
/// the canonical form wants them.
pub(super) fn read_named(
    object: &Map<String, Value>,
    enclosing: &str,
    out: &mut Map<String, Value>,
) -> Result<Named, ParseError> {
    let name = required_text(object, "name")?;
    let namespace = match object.get("namespace") {
        None | Some(Value::Null) => enclosing,
        Some(Value::String(namespace)) => namespace,
        Some(_) => return Err(ParseError("namespace must be a string".into())),
    };
    let full_name = qualify(name, namespace);
    check_full_name(&full_name)?;
    let own_namespace = namespace_of(&full_name);

    out.insert("name".into(), full_name.rsplit('.').next().unwrap_or(&full_name).into());
    if own_namespace != enclosing {
        out.insert("namespace".into(), own_namespace.into());
    }
    let aliases =
        read_aliases(object)?.iter().map(|alias| qualify(alias, own_namespace)).collect::<Vec<_>>();
    aliases.iter().try_for_each(|alias| check_full_name(alias))?;
    Ok(Named { full_name, aliases })
}

/// The list under `aliases`, empty when there is none.
pub(super) fn read_aliases(object: &Map<String, Value>) -> Result<Vec<String>, ParseError> {
    let aliases = match object.get("aliases") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(aliases)) => aliases,
        Some(_) => return Err(ParseError("aliases must be an array of strings".into())),
    };
    aliases
        .iter()
        .map(|alias| alias.as_str().map(String::from))
        .collect::<Option<_>>()
        .ok_or_else(|| ParseError("aliases must be an array of strings".into()))
}

/// The text under `key`, which must be there.
pub(super) fn required_text<'a>(
    object: &'a Map<String, Value>,
    key: &str,
) -> Result<&'a str, ParseError> {
    match object.get(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(ParseError(format!("{key} must be a string"))),
        None => Err(ParseError(format!("No {key}: {}", excerpt(object)))),
    }
}

/// The beginning of an object, for a message.
fn excerpt(object: &Map<String, Value>) -> String {
    let text = serde_json::to_string(object).unwrap_or_default();
    text.chars().take(120).collect()
}
