//! Reads the fields of a record.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::names::{is_name, read_aliases, required_text};
use super::node::{Field, ParseError};
use super::parse::{Parser, Place, copy_aliases, copy_doc};

const OWN: [&str; 6] = ["name", "type", "doc", "default", "order", "aliases"];

impl Parser {
    /// The fields of the record `full_name`, as nodes and in canonical form.
    pub(super) fn fields(
        &mut self,
        record: &Map<String, Value>,
        full_name: &str,
        place: Place<'_>,
    ) -> Result<(Vec<Field>, Vec<Value>), ParseError> {
        let Some(Value::Array(list)) = record.get("fields") else {
            return Err(ParseError(format!("Record has no fields: {full_name}")));
        };
        let mut seen = BTreeSet::new();
        let mut fields = Vec::new();
        let mut out = Vec::new();
        for field in list {
            let Value::Object(object) = field else {
                return Err(ParseError(format!("a field of {full_name} is not an object")));
            };
            let (field, field_out) = self.field(object, full_name, place)?;
            if !seen.insert(field.name.clone()) {
                return Err(ParseError(format!("Duplicate field {} in {full_name}", field.name)));
            }
            fields.push(field);
            out.push(Value::Object(field_out));
        }
        Ok((fields, out))
    }

    fn field(
        &mut self,
        object: &Map<String, Value>,
        full_name: &str,
        place: Place<'_>,
    ) -> Result<(Field, Map<String, Value>), ParseError> {
        let name = required_text(object, "name")?;
        if !is_name(name) {
            return Err(ParseError(format!("Illegal field name in {full_name}: {name:?}")));
        }
        let Some(type_json) = object.get("type") else {
            return Err(ParseError(format!("No field type: {full_name}.{name}")));
        };
        let (node, type_out) = self.value(type_json, place)?;
        let mut out = Map::new();
        out.insert("name".into(), name.into());
        out.insert("type".into(), type_out);
        copy_doc(object, &mut out)?;

        let default = object.get("default").cloned();
        if let Some(default) = &default {
            out.insert("default".into(), default.clone());
            self.defaults.push((node, format!("{full_name}.{name}"), default.clone()));
        }
        match object.get("order").map(|order| order.as_str()) {
            None | Some(Some("ascending")) => {}
            Some(Some(order @ ("descending" | "ignore"))) => {
                out.insert("order".into(), order.into());
            }
            Some(_) => return Err(ParseError(format!("Illegal order of {full_name}.{name}"))),
        }
        let aliases = read_aliases(object)?;
        copy_aliases(object, &mut out);
        self.copy_attributes(object, &OWN, &mut out);
        Ok((Field { name: name.into(), aliases, node, default }, out))
    }
}
