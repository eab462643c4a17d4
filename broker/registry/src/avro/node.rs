//! The parsed form of a schema.

use std::sync::Arc;

use serde_json::Value;

use super::parse::Parser;

/// Why a text is no schema; the text says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub(super) String);

/// The number of a node within its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) usize);

/// The types without a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

impl Primitive {
    const NAMES: [(Primitive, &'static str); 8] = [
        (Primitive::Null, "null"),
        (Primitive::Boolean, "boolean"),
        (Primitive::Int, "int"),
        (Primitive::Long, "long"),
        (Primitive::Float, "float"),
        (Primitive::Double, "double"),
        (Primitive::Bytes, "bytes"),
        (Primitive::String, "string"),
    ];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(primitive, _)| *primitive)
    }

    pub(super) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(known, _)| *known == self).map_or("null", |(_, name)| name)
    }
}

/// What every named type has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    /// Namespace and name joined by a dot; the bare name without a namespace.
    pub(super) full_name: String,
    /// Other full names that data of this type may have been written under.
    pub(super) aliases: Vec<String>,
}

impl Named {
    /// The name without its namespace, which is what resolution compares.
    pub(super) fn short_name(&self) -> &str {
        self.full_name.rsplit('.').next().unwrap_or(&self.full_name)
    }
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) node: NodeId,
    pub(super) default: Option<Value>,
}

/// One type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Primitive(Primitive),
    /// `fields` is empty while the record is being read, so that its fields may name it.
    Record {
        named: Named,
        fields: Vec<Field>,
    },
    Enum {
        named: Named,
        symbols: Vec<String>,
        default: Option<String>,
    },
    Fixed {
        named: Named,
        size: u64,
    },
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
}

impl Node {
    /// The word for this type in messages and in schemas.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Primitive(primitive) => primitive.name(),
            Self::Record { .. } => "record",
            Self::Enum { .. } => "enum",
            Self::Fixed { .. } => "fixed",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
        }
    }

    pub(super) fn named(&self) -> Option<&Named> {
        match self {
            Self::Record { named, .. } | Self::Enum { named, .. } | Self::Fixed { named, .. } => {
                Some(named)
            }
            _ => None,
        }
    }
}

/// A schema that was read.
#[derive(Clone, Debug)]
pub struct Avro {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
    pub(super) canonical: Arc<str>,
}

impl Avro {
    /// Reads `text`, which may use the types of `references`; each of those may use the types of
    /// the ones before it. With `normalize`, attributes unknown to Avro are sorted by name, so
    /// that schemas that differ in their order only become the same.
    pub fn parse(text: &str, references: &[Arc<str>], normalize: bool) -> Result<Self, ParseError> {
        let mut parser = Parser::new(normalize);
        for reference in references {
            parser.schema(reference)?;
        }
        let (root, canonical) = parser.schema(text)?;
        parser.check_defaults()?;
        let canonical = canonical.to_string().into();
        Ok(Self { nodes: parser.into_nodes(), root, canonical })
    }

    /// The schema as JSON without spaces, attributes in the order in which Avro's Java library
    /// writes them, names as short as the enclosing namespace allows.
    pub fn canonical(&self) -> &Arc<str> {
        &self.canonical
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }
}
