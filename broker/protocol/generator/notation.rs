//! The notation of `.wire` files, parsed.
//!
//! ```text
//! # comment
//! api 9 OffsetFetch           or   data TopicRecord key 2
//! versions 1-10
//! flexible 6+                 or   flexible never
//!
//! request                     or   response, fields, struct Name
//!   group_id: string 1-7
//!   topics: [Topic]?2-7 1-7
//!     name: string            a field of Topic
//! ```
//!
//! A field is `name: type[?[nullable versions]] [versions] [= default] [tag N] [ignorable]`.
//! Versions that are left out are those of the parent. `[Name]` followed by deeper lines defines
//! the struct in place; without them it refers to a `struct Name` of the same file.

use super::model::{Description, Field, Kind, MessageBody, Struct, Type, Versions};

pub(super) fn parse(text: &str) -> Result<Description, String> {
    let lines: Vec<Line> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(index, line)| Line::new(index + 1, line))
        .collect();
    let mut lines = lines.into_iter().peekable();
    let mut head = || lines.next().ok_or_else(|| "the head is incomplete".to_string());
    let (kind, name) = parse_kind(&head()?)?;
    let versions_line = head()?;
    let versions = versions_line.after("versions").and_then(parse_closed)?;
    let flexible_line = head()?;
    let flexible_from = parse_flexible(flexible_line.after("flexible")?)?;

    let mut description = Description { name, kind, versions, flexible_from, messages: Vec::new() };
    let rest: Vec<Line> = lines.collect();
    let mut at = 0;
    while at < rest.len() {
        let section = &rest[at];
        let end = at + 1 + rest[at + 1..].iter().take_while(|line| line.depth > 0).count();
        parse_section(&mut description, section, &rest[at + 1..end])?;
        at = end;
    }
    Ok(description)
}

struct Line<'a> {
    number: usize,
    /// Indentation in steps of two spaces.
    depth: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn new(number: usize, line: &'a str) -> Line<'a> {
        let text = line.trim_start();
        Line { number, depth: (line.len() - text.len()) / 2, text: text.trim_end() }
    }

    fn after(&self, keyword: &str) -> Result<&'a str, String> {
        self.text
            .strip_prefix(keyword)
            .map(str::trim)
            .ok_or_else(|| self.error(&format!("expected '{keyword}'")))
    }

    fn error(&self, what: &str) -> String {
        format!("line {}: {what}: {}", self.number, self.text)
    }
}

fn parse_kind(line: &Line) -> Result<(Kind, String), String> {
    let words: Vec<&str> = line.text.split_whitespace().collect();
    let number = |word: &str| word.parse().map_err(|_| line.error("not a key"));
    match words[..] {
        ["api", key, name] => Ok((Kind::Api { key: number(key)? }, name.to_string())),
        ["data", name] => Ok((Kind::Data { key: None }, name.to_string())),
        ["data", name, "key", key] => {
            Ok((Kind::Data { key: Some(number(key)?) }, name.to_string()))
        }
        _ => Err(line.error("expected 'api KEY NAME' or 'data NAME [key KEY]'")),
    }
}

fn parse_closed(text: &str) -> Result<Versions, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |part: &str| part.parse().map_err(|_| format!("not a version: {text}"));
    Ok(Versions { first: number(first)?, last: number(last)? })
}

fn parse_flexible(text: &str) -> Result<Option<i16>, String> {
    if text == "never" {
        return Ok(None);
    }
    text.strip_suffix('+')
        .and_then(|first| first.parse().ok())
        .map(Some)
        .ok_or_else(|| format!("expected 'N+' or 'never': {text}"))
}

/// `N`, `N-M` or `N+`, which reaches to the last version of the description.
fn parse_versions(text: &str, last: i16) -> Result<Versions, String> {
    match text.strip_suffix('+') {
        Some(first) => {
            let first = first.parse().map_err(|_| format!("not versions: {text}"))?;
            Ok(Versions { first, last })
        }
        None => parse_closed(text),
    }
}

fn parse_section(
    description: &mut Description,
    section: &Line,
    lines: &[Line],
) -> Result<(), String> {
    let versions = description.versions;
    let words: Vec<&str> = section.text.split_whitespace().collect();
    let (name, top) = match words[..] {
        ["request"] => (format!("{}Request", description.name), true),
        ["response"] => (format!("{}Response", description.name), true),
        ["fields"] => (description.name.clone(), true),
        ["struct", name] => (name.to_string(), false),
        _ => return Err(section.error("unknown section")),
    };
    let mut structs = Vec::new();
    parse_fields(&mut structs, name, top, lines, versions, versions.last)?;
    // Children were pushed after their parents' place was taken: parents come first.
    if top {
        description.messages.push(MessageBody { structs });
    } else {
        let message = description.messages.last_mut();
        message.ok_or_else(|| section.error("no message above"))?.structs.extend(structs);
    }
    Ok(())
}

/// Parses the fields of one struct from lines of equal depth and, below them, their children.
fn parse_fields(
    structs: &mut Vec<Struct>,
    name: String,
    top: bool,
    lines: &[Line],
    versions: Versions,
    last: i16,
) -> Result<(), String> {
    let place = structs.len();
    structs.push(Struct { name, top, versions, fields: Vec::new() });
    let depth = lines.first().map_or(0, |line| line.depth);
    let mut at = 0;
    while at < lines.len() {
        let line = &lines[at];
        if line.depth != depth {
            return Err(line.error("unexpected indentation"));
        }
        let field = parse_field(line, versions, last)?;
        let end = at + 1 + lines[at + 1..].iter().take_while(|l| l.depth > depth).count();
        if end > at + 1 {
            let child = child_name(&field.kind)
                .ok_or_else(|| line.error("only a struct has fields of its own"))?;
            parse_fields(structs, child, false, &lines[at + 1..end], field.versions, last)?;
        }
        structs[place].fields.push(field);
        at = end;
    }
    Ok(())
}

fn child_name(kind: &Type) -> Option<String> {
    match kind {
        Type::Struct(name) => Some(name.clone()),
        Type::Array(element) => child_name(element),
        _ => None,
    }
}

fn parse_field(line: &Line, parent: Versions, last: i16) -> Result<Field, String> {
    let (name, rest) = line.text.split_once(':').ok_or_else(|| line.error("expected ':'"))?;
    let mut words = rest.split_whitespace().peekable();
    let kind = words.next().ok_or_else(|| line.error("expected a type"))?;
    let (kind, nullable) = match kind.split_once('?') {
        Some((kind, nullable)) => (kind, Some(nullable)),
        None => (kind, None),
    };
    let versions = match words.peek() {
        Some(word) if word.starts_with(|c: char| c.is_ascii_digit()) => {
            parse_versions(word, last.min(parent.last))?
        }
        _ => parent,
    };
    if words.peek().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit())) {
        words.next();
    }
    let nullable = match nullable {
        Some("") => Some(versions),
        Some(text) => Some(parse_versions(text, versions.last)?),
        None => None,
    };
    let mut field = Field {
        name: name.to_string(),
        kind: parse_type(kind).ok_or_else(|| line.error("unknown type"))?,
        versions,
        nullable,
        default: None,
        tag: None,
        ignorable: false,
    };
    while let Some(word) = words.next() {
        match word {
            "=" => field.default = words.next().map(str::to_string),
            "tag" => field.tag = words.next().and_then(|tag| tag.parse().ok()),
            "ignorable" => field.ignorable = true,
            _ => return Err(line.error(&format!("unknown word '{word}'"))),
        }
    }
    Ok(field)
}

fn parse_type(text: &str) -> Option<Type> {
    if let Some(element) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Some(Type::Array(Box::new(parse_type(element)?)));
    }
    Some(match text {
        "bool" => Type::Bool,
        "i8" => Type::I8,
        "i16" => Type::I16,
        "u16" => Type::U16,
        "i32" => Type::I32,
        "u32" => Type::U32,
        "i64" => Type::I64,
        "f64" => Type::F64,
        "uuid" => Type::Uuid,
        "error" => Type::Error,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "records" => Type::Records,
        "records_ref" => Type::RecordsRef,
        name if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
            Type::Struct(name.to_string())
        }
        _ => return None,
    })
}
