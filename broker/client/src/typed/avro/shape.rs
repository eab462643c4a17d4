//! The shape of a schema, and a check of bytes against it before they are decoded.
//!
//! The Avro library takes input that ends early for null, reserves memory for as many elements as
//! the input announces, and descends as deep as the input does. So the bytes are first walked over
//! here, without building anything: afterwards their counts, lengths and depth are honest.

use apache_avro::Schema;
use apache_avro::schema::{Name, Namespace};
use std::collections::BTreeMap;

/// How deep values may be nested. Schemas of records go to ten or so; recursive ones, such as
/// trees, could go on until the stack ends.
const DEPTH_MAX: u32 = 64;

/// How many elements of arrays and maps a value may have in all. Elements without bytes, such as
/// nulls, could otherwise be announced without end.
const ELEMENTS_MAX: u64 = 1_000_000;

/// What the bytes of a value look like. Nodes name each other by their place in the list.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    nodes: Vec<Node>,
    root: usize,
    /// Whether no type is used again by its name.
    plain: bool,
}

#[derive(Clone, Debug)]
enum Node {
    Boolean,
    /// A varint of at most this many bytes.
    Varint {
        size_max: usize,
    },
    Fixed {
        size: usize,
    },
    Bytes,
    Text,
    Array {
        items: usize,
    },
    Map {
        values: usize,
    },
    Union {
        branches: Vec<usize>,
    },
    Record {
        fields: Vec<usize>,
    },
    Enum {
        symbols: usize,
    },
}

impl Shape {
    /// The shape of `schema`, which may refer to `others`.
    pub(super) fn of(schema: &Schema, others: &[Schema]) -> Result<Shape, String> {
        let mut builder = Builder { nodes: Vec::new(), names: BTreeMap::new(), plain: true };
        for other in others {
            builder.add(other, &None)?;
        }
        let root = builder.add(schema, &None)?;
        Ok(Shape { nodes: builder.nodes, root, plain: builder.plain && others.is_empty() })
    }

    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Fails unless `bytes` are exactly one value of this shape.
    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), &'static str> {
        let mut walk = Walk { nodes: &self.nodes, rest: bytes, elements: 0 };
        walk.value(self.root, 0)?;
        if walk.rest.is_empty() { Ok(()) } else { Err("bytes are left over after the value") }
    }
}

struct Builder {
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    plain: bool,
}

impl Builder {
    /// Adds the node of a schema and returns its place.
    fn add(&mut self, schema: &Schema, namespace: &Namespace) -> Result<usize, String> {
        let node = match schema {
            Schema::Null => Node::Fixed { size: 0 },
            Schema::Boolean => Node::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Node::Varint { size_max: 5 },
            Schema::Float => Node::Fixed { size: 4 },
            Schema::Double => Node::Fixed { size: 8 },
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid => Node::Bytes,
            Schema::String => Node::Text,
            Schema::Duration => Node::Fixed { size: 12 },
            Schema::Decimal(decimal) => return self.add(&decimal.inner, namespace),
            Schema::Array(array) => Node::Array { items: self.add(&array.items, namespace)? },
            Schema::Map(map) => Node::Map { values: self.add(&map.types, namespace)? },
            Schema::Union(union) => {
                let branches = union.variants().iter().map(|s| self.add(s, namespace));
                Node::Union { branches: branches.collect::<Result<_, _>>()? }
            }
            Schema::Ref { name } => return self.find(name, namespace),
            Schema::Fixed(fixed) => {
                let node = Node::Fixed { size: fixed.size };
                return Ok(self.name(&fixed.name, namespace, node));
            }
            Schema::Enum(symbols) => {
                let node = Node::Enum { symbols: symbols.symbols.len() };
                return Ok(self.name(&symbols.name, namespace, node));
            }
            Schema::Record(record) => {
                // The name comes first, for the fields may use it.
                let node = Node::Record { fields: Vec::new() };
                let place = self.name(&record.name, namespace, node);
                let inner = record.name.fully_qualified_name(namespace).namespace;
                let fields = record.fields.iter().map(|field| self.add(&field.schema, &inner));
                let fields = fields.collect::<Result<_, _>>()?;
                self.nodes[place] = Node::Record { fields };
                return Ok(place);
            }
            // What is left are longs with a meaning: times and timestamps.
            _ => Node::Varint { size_max: 10 },
        };
        Ok(self.push(node))
    }

    fn push(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn name(&mut self, name: &Name, namespace: &Namespace, node: Node) -> usize {
        let place = self.push(node);
        self.names.insert(name.fullname(namespace.clone()), place);
        place
    }

    fn find(&mut self, name: &Name, namespace: &Namespace) -> Result<usize, String> {
        self.plain = false;
        let full = name.fullname(namespace.clone());
        self.names.get(&full).copied().ok_or_else(|| format!("the type {full} is not known"))
    }
}

/// A walk over the bytes of one value.
struct Walk<'a> {
    nodes: &'a [Node],
    rest: &'a [u8],
    /// The elements of all arrays and maps so far.
    elements: u64,
}

impl Walk<'_> {
    fn value(&mut self, place: usize, depth: u32) -> Result<(), &'static str> {
        if depth > DEPTH_MAX {
            return Err("it is nested too deep");
        }
        let nodes = self.nodes;
        match &nodes[place] {
            Node::Boolean => match self.take(1)? {
                [0 | 1] => Ok(()),
                _ => Err("a boolean is neither 0 nor 1"),
            },
            Node::Varint { size_max } => self.varint(*size_max).map(|_| ()),
            Node::Fixed { size } => self.take(*size).map(|_| ()),
            Node::Bytes => self.prefixed().map(|_| ()),
            Node::Text => self.text(),
            Node::Enum { symbols } => self.index(*symbols).map(|_| ()),
            Node::Record { fields } => {
                fields.iter().try_for_each(|field| self.value(*field, depth + 1))
            }
            Node::Union { branches } => {
                let branch = branches[self.index(branches.len())?];
                self.value(branch, depth + 1)
            }
            Node::Array { items } => self.blocks(|walk| walk.value(*items, depth + 1)),
            Node::Map { values } => self.blocks(|walk| {
                walk.text()?;
                walk.value(*values, depth + 1)
            }),
        }
    }

    /// Blocks of elements, each after their count; a count of 0 ends them.
    fn blocks(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        loop {
            let count = self.varint(10)?;
            if count < 0 {
                // A negative count is followed by the size of the block, for who skips it.
                self.varint(10)?;
            }
            let count = count.unsigned_abs();
            if count == 0 {
                return Ok(());
            }
            self.elements = self.elements.saturating_add(count);
            if self.elements > ELEMENTS_MAX {
                return Err("it has too many elements");
            }
            for _ in 0..count {
                element(self)?;
            }
        }
    }

    fn take(&mut self, size: usize) -> Result<&[u8], &'static str> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or("it is cut off")?;
        self.rest = rest;
        Ok(taken)
    }

    fn prefixed(&mut self) -> Result<&[u8], &'static str> {
        let size = usize::try_from(self.varint(10)?).map_err(|_| "a length is negative")?;
        self.take(size)
    }

    fn text(&mut self) -> Result<(), &'static str> {
        let bytes = self.prefixed()?;
        std::str::from_utf8(bytes).map(|_| ()).map_err(|_| "a string is not UTF-8")
    }

    fn index(&mut self, count: usize) -> Result<usize, &'static str> {
        let index = usize::try_from(self.varint(5)?).ok().filter(|index| *index < count);
        index.ok_or("a choice is out of range")
    }

    fn varint(&mut self, size_max: usize) -> Result<i64, &'static str> {
        let mut bits = 0u64;
        for place in 0..size_max {
            let byte = self.take(1)?[0];
            bits |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok((bits >> 1) as i64 ^ -((bits & 1) as i64));
            }
        }
        Err("a number does not end")
    }
}
