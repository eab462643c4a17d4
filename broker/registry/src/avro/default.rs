//! Checks that the default of each field is a value of the field's type.
//!
//! A reader takes the default when the writer had no such field, so a wrong one would fail far
//! from here, in every consumer. A union's default may be a value of any of its branches.

use serde_json::Value;

use super::node::{Node, NodeId, ParseError, Primitive};
use super::parse::Parser;

impl Parser {
    pub(super) fn check_defaults(&self) -> Result<(), ParseError> {
        for (node, field, default) in &self.defaults {
            if !self.fits(*node, default) {
                let type_name = self.nodes[node.0].type_name();
                return Err(ParseError(format!(
                    "Invalid default for field {field}: {default} not a {type_name}"
                )));
            }
        }
        Ok(())
    }

    /// Recursion follows the value, whose depth the JSON reader has bounded.
    fn fits(&self, node: NodeId, value: &Value) -> bool {
        match &self.nodes[node.0] {
            Node::Primitive(primitive) => fits_primitive(*primitive, value),
            Node::Fixed { .. } => value.is_string(),
            Node::Enum { symbols, .. } => {
                value.as_str().is_some_and(|text| symbols.iter().any(|symbol| symbol == text))
            }
            Node::Array(items) => {
                value.as_array().is_some_and(|list| list.iter().all(|v| self.fits(*items, v)))
            }
            Node::Map(values) => {
                value.as_object().is_some_and(|map| map.values().all(|v| self.fits(*values, v)))
            }
            Node::Union(branches) => branches.iter().any(|branch| self.fits(*branch, value)),
            Node::Record { fields, .. } => value.as_object().is_some_and(|object| {
                fields.iter().all(|field| match object.get(&field.name) {
                    Some(given) => self.fits(field.node, given),
                    None => field.default.is_some(),
                })
            }),
        }
    }
}

fn fits_primitive(primitive: Primitive, value: &Value) -> bool {
    match primitive {
        Primitive::Null => value.is_null(),
        Primitive::Boolean => value.is_boolean(),
        Primitive::Int => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        Primitive::Long => value.as_i64().is_some(),
        Primitive::Float | Primitive::Double => {
            // Avro's own way to write what JSON numbers cannot say.
            value.is_number() || matches!(value.as_str(), Some("NaN" | "Infinity" | "-Infinity"))
        }
        Primitive::Bytes | Primitive::String => value.is_string(),
    }
}
