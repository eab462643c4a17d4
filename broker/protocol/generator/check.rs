//! Refuses descriptions that contradict themselves, before any code is written from them.

use super::model::{Description, Field, Kind, Struct, Type, Versions};
use std::collections::BTreeSet;

/// Checks one description: names unique and known, ranges inside their parents, tags flexible.
pub(super) fn check(description: &Description) -> Result<(), String> {
    let structs: Vec<&Struct> = description.messages.iter().flat_map(|m| &m.structs).collect();
    let names: BTreeSet<&str> = structs.iter().map(|item| item.name.as_str()).collect();
    if names.len() != structs.len() {
        return Err("two structs have the same name".to_string());
    }
    let expected = if matches!(description.kind, Kind::Api { .. }) { 2 } else { 1 };
    if description.messages.len() != expected {
        return Err(format!("expected {expected} messages, found {}", description.messages.len()));
    }
    for item in structs {
        for field in &item.fields {
            check_field(description, item, field, &names)
                .map_err(|e| format!("{}.{}: {e}", item.name, field.name))?;
        }
    }
    Ok(())
}

fn check_field(
    description: &Description,
    item: &Struct,
    field: &Field,
    names: &BTreeSet<&str>,
) -> Result<(), String> {
    if !item.versions.contains(field.versions) {
        return Err("its versions reach outside of its struct".to_string());
    }
    if field.nullable.is_some_and(|nullable| !field.versions.contains(nullable)) {
        return Err("it is nullable in versions it does not have".to_string());
    }
    if let Some(name) = referred(&field.kind)
        && !names.contains(name)
    {
        return Err(format!("unknown struct {name}"));
    }
    if field.default.as_deref() == Some("null") && field.nullable.is_none() {
        return Err("it defaults to null but is not nullable".to_string());
    }
    let flexible = description.flexible_from.is_some_and(|from| field.versions.first >= from);
    if field.tag.is_some() && !flexible {
        return Err("a tagged field needs flexible versions".to_string());
    }
    Ok(())
}

fn referred(kind: &Type) -> Option<&str> {
    match kind {
        Type::Struct(name) => Some(name),
        Type::Array(element) => referred(element),
        _ => None,
    }
}

/// Checks that a description begins by saying in words what it is and what its versions changed.
pub(super) fn check_essay(description: &Description, text: &str) -> Result<(), String> {
    let Versions { first, last } = description.versions;
    if !text.starts_with(&format!("# {}: ", description.name)) {
        return Err("it does not begin with a comment about itself".to_string());
    }
    match (first..=last).find(|v| !text.contains(&format!("v{v} ")) && !within_span(text, *v)) {
        Some(version) => Err(format!("it does not say what version {version} changed")),
        None => Ok(()),
    }
}

/// Whether a comment speaks of a span of versions, `vN-vM`, that holds `version`.
fn within_span(text: &str, version: i16) -> bool {
    text.lines().filter_map(|line| line.strip_prefix("# v")?.split_once("-v")).any(
        |(first, rest)| {
            let last = rest.split_whitespace().next().and_then(|last| last.parse().ok());
            let span = first.parse::<i16>().ok().zip(last);
            span.is_some_and(|(first, last)| (first..=last).contains(&version))
        },
    )
}

/// Checks that no two APIs share a key.
pub(super) fn check_keys(descriptions: &[Description]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for description in descriptions {
        if let Kind::Api { key } = description.kind
            && !seen.insert(key)
        {
            return Err(format!("API key {key} is described twice"));
        }
    }
    Ok(())
}
