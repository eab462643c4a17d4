//! Reads a schema's JSON into nodes and writes the canonical form on the way.
//!
//! One walk does both, because both need the same context: the namespace that surrounds a type.
//! The walk is recursive; `SCHEMA_DEPTH_MAX` bounds it, and the JSON reader has its own bound.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::names::{is_name, namespace_of, qualify, read_named, required_text, shorten};
use super::node::{Node, NodeId, ParseError, Primitive};
use crate::limits::{SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX};

/// Where the walk is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The namespace of the surrounding named type, empty at the top.
    pub(super) namespace: &'a str,
    /// How many types surround this one.
    pub(super) depth: usize,
}

impl<'a> Place<'a> {
    pub(super) fn inside(self, namespace: &'a str) -> Self {
        Self { namespace, depth: self.depth + 1 }
    }
}

/// What has been read so far: of the references first, of the schema itself last.
pub(super) struct Parser {
    pub(super) nodes: Vec<Node>,
    /// Named types by full name.
    names: BTreeMap<String, NodeId>,
    /// Fields' defaults; checked at the end, when recursive types are complete.
    pub(super) defaults: Vec<(NodeId, String, Value)>,
    normalize: bool,
}

impl Parser {
    pub(super) fn new(normalize: bool) -> Self {
        Self { nodes: Vec::new(), names: BTreeMap::new(), defaults: Vec::new(), normalize }
    }

    pub(super) fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    /// Reads one whole schema.
    pub(super) fn schema(&mut self, text: &str) -> Result<(NodeId, Value), ParseError> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(ParseError(format!(
                "the schema has {} bytes, at most {SCHEMA_BYTES_MAX} are taken",
                text.len()
            )));
        }
        let json = serde_json::from_str(text).map_err(|e| ParseError(format!("no JSON: {e}")))?;
        self.value(&json, Place { namespace: "", depth: 0 })
    }

    pub(super) fn value(
        &mut self,
        json: &Value,
        place: Place<'_>,
    ) -> Result<(NodeId, Value), ParseError> {
        if place.depth > SCHEMA_DEPTH_MAX {
            return Err(ParseError(format!("types nest deeper than {SCHEMA_DEPTH_MAX}")));
        }
        match json {
            Value::String(name) => self.by_name(name, place.namespace),
            Value::Array(branches) => self.union(branches, place),
            Value::Object(object) => self.object(object, place),
            _ => Err(ParseError(format!("Schema not yet supported: {json}"))),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<(NodeId, Value), ParseError> {
        if let Some(primitive) = Primitive::from_name(name) {
            return Ok((self.add(Node::Primitive(primitive))?, name.into()));
        }
        // A name without a dot that the namespace does not have may be one without a namespace.
        let qualified = qualify(name, namespace);
        let found = self.names.get_key_value(&qualified).or_else(|| self.names.get_key_value(name));
        match found {
            Some((full_name, node)) => Ok((*node, shorten(full_name, namespace).into())),
            None => Err(ParseError(format!("Undefined name: {name:?}"))),
        }
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        place: Place<'_>,
    ) -> Result<(NodeId, Value), ParseError> {
        let type_name = match object.get("type") {
            Some(Value::String(type_name)) => type_name.as_str(),
            // Some writers wrap a type once more; the wrapping means nothing.
            Some(inner @ (Value::Object(_) | Value::Array(_))) => {
                return self.value(inner, place.inside(place.namespace));
            }
            _ => return Err(ParseError("No type".into())),
        };
        match type_name {
            "record" | "error" => self.record(object, type_name, place),
            "enum" => self.enumeration(object, place),
            "fixed" => self.fixed(object, place),
            "array" => self.container(object, "items", Node::Array, place),
            "map" => self.container(object, "values", Node::Map, place),
            _ => self.annotated(object, type_name, place),
        }
    }

    /// `{"type": "long", "logicalType": ...}`, or a known name in the same form.
    fn annotated(
        &mut self,
        object: &Map<String, Value>,
        type_name: &str,
        place: Place<'_>,
    ) -> Result<(NodeId, Value), ParseError> {
        let (node, name) = self.by_name(type_name, place.namespace)?;
        let mut out = Map::new();
        out.insert("type".into(), name.clone());
        self.copy_attributes(object, &["type"], &mut out);
        let is_bare = out.len() == 1 || Primitive::from_name(type_name).is_none();
        Ok((node, if is_bare { name } else { Value::Object(out) }))
    }

    fn record(
        &mut self,
        object: &Map<String, Value>,
        type_name: &str,
        place: Place<'_>,
    ) -> Result<(NodeId, Value), ParseError> {
        let mut out = Map::new();
        out.insert("type".into(), type_name.into());
        let named = read_named(object, place.namespace, &mut out)?;
        let full_name = named.full_name.clone();
        let id = self.define(&full_name, Node::Record { named: named.clone(), fields: vec![] })?;
        copy_doc(object, &mut out)?;

        let inside = place.inside(namespace_of(&full_name));
        let (fields, fields_out) = self.fields(object, &full_name, inside)?;
        self.nodes[id.0] = Node::Record { named, fields };
        out.insert("fields".into(), Value::Array(fields_out));
        let own = ["type", "name", "namespace", "doc", "fields", "aliases"];
        self.copy_attributes(object, &own, &mut out);
        copy_aliases(object, &mut out);
        Ok((id, Value::Object(out)))
    }

    fn enumeration(
        &mut self,
        object: &Map<String, Value>,
        place: Place<'_>,
    ) -> Result<(NodeId, Value), ParseError> {
        let mut out = Map::new();
        out.insert("type".into(), "enum".into());
        let named = read_named(object, place.namespace, &mut out)?;
        copy_doc(object, &mut out)?;
        let symbols = read_symbols(object)?;
        out.insert("symbols".into(), symbols.iter().map(String::as_str).collect());
        let default = match object.get("default") {
            None | Some(Value::Null) => None,
            Some(Value::String(symbol)) if symbols.contains(symbol) => Some(symbol.clone()),
            Some(other) => {
                return Err(ParseError(format!(
                    "The enum default {other} is not in the symbols of {}",
                    named.full_name
                )));
            }
        };
        if let Some(symbol) = &default {
            out.insert("default".into(), symbol.as_str().into());
        }
        let own = ["type", "name", "namespace", "doc", "symbols", "default", "aliases"];
        self.copy_attributes(object, &own, &mut out);
        copy_aliases(object, &mut out);
        let full_name = named.full_name.clone();
        let id = self.define(&full_name, Node::Enum { named, symbols, default })?;
        Ok((id, Value::Object(out)))
    }

    fn fixed(
        &mut self,
        object: &Map<String, Value>,
        place: Place<'_>,
    ) -> Result<(NodeId, Value), ParseError> {
        let mut out = Map::new();
        out.insert("type".into(), "fixed".into());
        let named = read_named(object, place.namespace, &mut out)?;
        copy_doc(object, &mut out)?;
        let size = object.get("size").and_then(Value::as_u64).filter(|n| *n <= i32::MAX as u64);
        let Some(size) = size else {
            return Err(ParseError(format!("Invalid or no size: {}", named.full_name)));
        };
        out.insert("size".into(), size.into());
        let own = ["type", "name", "namespace", "doc", "size", "aliases"];
        self.copy_attributes(object, &own, &mut out);
        copy_aliases(object, &mut out);
        let full_name = named.full_name.clone();
        let id = self.define(&full_name, Node::Fixed { named, size })?;
        Ok((id, Value::Object(out)))
    }

    fn container(
        &mut self,
        object: &Map<String, Value>,
        key: &str,
        node: fn(NodeId) -> Node,
        place: Place<'_>,
    ) -> Result<(NodeId, Value), ParseError> {
        let Some(inner) = object.get(key) else {
            return Err(ParseError(format!(
                "{} has no {key} type",
                required_text(object, "type")?
            )));
        };
        let (inner, inner_out) = self.value(inner, place.inside(place.namespace))?;
        let id = self.add(node(inner))?;
        let mut out = Map::new();
        out.insert("type".into(), required_text(object, "type")?.into());
        out.insert(key.into(), inner_out);
        self.copy_attributes(object, &["type", key], &mut out);
        Ok((id, Value::Object(out)))
    }

    fn union(
        &mut self,
        branches: &[Value],
        place: Place<'_>,
    ) -> Result<(NodeId, Value), ParseError> {
        let mut ids = Vec::new();
        let mut out = Vec::new();
        let mut seen = BTreeSet::new();
        for branch in branches {
            let (id, branch_out) = self.value(branch, place.inside(place.namespace))?;
            let node = &self.nodes[id.0];
            if matches!(node, Node::Union(_)) {
                return Err(ParseError("Nested union".into()));
            }
            let kind = node.named().map_or(node.type_name(), |named| named.full_name.as_str());
            if !seen.insert(kind.to_owned()) {
                return Err(ParseError(format!("Duplicate in union: {kind}")));
            }
            ids.push(id);
            out.push(branch_out);
        }
        Ok((self.add(Node::Union(ids))?, Value::Array(out)))
    }

    fn define(&mut self, full_name: &str, node: Node) -> Result<NodeId, ParseError> {
        let short = full_name.rsplit('.').next().unwrap_or(full_name);
        if Primitive::from_name(short).is_some() {
            return Err(ParseError(format!("Schemas may not be named after primitives: {short}")));
        }
        if self.names.contains_key(full_name) {
            return Err(ParseError(format!("Can't redefine: {full_name}")));
        }
        let id = self.add(node)?;
        self.names.insert(full_name.into(), id);
        Ok(id)
    }

    fn add(&mut self, node: Node) -> Result<NodeId, ParseError> {
        if self.nodes.len() >= SCHEMA_NODES_MAX {
            return Err(ParseError(format!("the schema has more than {SCHEMA_NODES_MAX} types")));
        }
        self.nodes.push(node);
        Ok(NodeId(self.nodes.len() - 1))
    }

    /// Copies the attributes that Avro does not know; they belong to the schema all the same.
    pub(super) fn copy_attributes(
        &self,
        object: &Map<String, Value>,
        own: &[&str],
        out: &mut Map<String, Value>,
    ) {
        let mut rest =
            object.iter().filter(|(key, _)| !own.contains(&key.as_str())).collect::<Vec<_>>();
        if self.normalize {
            rest.sort_by(|left, right| left.0.cmp(right.0));
        }
        out.extend(rest.into_iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

/// Copies `doc`, which must be a text.
pub(super) fn copy_doc(
    object: &Map<String, Value>,
    out: &mut Map<String, Value>,
) -> Result<(), ParseError> {
    match object.get("doc") {
        None | Some(Value::Null) => {}
        Some(doc @ Value::String(_)) => {
            out.insert("doc".into(), doc.clone());
        }
        Some(_) => return Err(ParseError("doc must be a string".into())),
    }
    Ok(())
}

/// Copies `aliases` as they were written; they have been checked.
pub(super) fn copy_aliases(object: &Map<String, Value>, out: &mut Map<String, Value>) {
    if let Some(aliases @ Value::Array(list)) = object.get("aliases")
        && !list.is_empty()
    {
        out.insert("aliases".into(), aliases.clone());
    }
}

fn read_symbols(object: &Map<String, Value>) -> Result<Vec<String>, ParseError> {
    let Some(Value::Array(list)) = object.get("symbols") else {
        return Err(ParseError("Enum has no symbols".into()));
    };
    let mut seen = BTreeSet::new();
    let mut symbols = Vec::new();
    for symbol in list {
        let Some(symbol) = symbol.as_str().filter(|symbol| is_name(symbol)) else {
            return Err(ParseError(format!("Illegal enum symbol: {symbol}")));
        };
        if !seen.insert(symbol) {
            return Err(ParseError(format!("Duplicate enum symbol: {symbol}")));
        }
        symbols.push(symbol.to_owned());
    }
    Ok(symbols)
}
