//! Can data written with one schema be read with another?
//!
//! The rules are those of Avro's "Schema Resolution", as the Java library applies them:
//! 1. Named types match by their name without namespace, or when the reader has the writer's full
//!    name as an alias.
//! 2. A field of the reader finds the writer's field by name, then by the reader's aliases; one
//!    that finds none needs a default.
//! 3. An enum of the reader needs every symbol of the writer, or a default.
//! 4. int widens to long, float, double; long to float, double; float to double; string and bytes
//!    read each other.
//! 5. Every branch of a writer's union must be readable; a reader's union needs one branch that
//!    reads the writer.
//!
//! A pair of types that is being compared already counts as readable: recursive types end there.
//! Every pair is looked at once, and `COMPARE_STEPS_MAX` bounds the whole.

use std::collections::BTreeMap;
use std::fmt;

use super::node::{Avro, Field, Named, Node, NodeId, Primitive};
use crate::limits::{COMPARE_STEPS_MAX, DIFFERENCES_MAX};

/// One reason why the reader cannot read what the writer wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatibility {
    /// The kind, by the name that Avro gives it.
    pub kind: &'static str,
    /// Where in the reader's schema, as a path of JSON keys.
    pub path: String,
    /// What does not fit, in words.
    pub description: String,
}

impl fmt::Display for Incompatibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, path, description } = self;
        write!(f, "{{errorType:'{kind}', description:'{description}', path:'{path}'}}")
    }
}

impl Avro {
    /// What hinders `self` from reading data of `writer`; empty when nothing does.
    pub fn differences(&self, writer: &Avro) -> Vec<Incompatibility> {
        let mut comparison =
            Comparison { reader: self, writer, seen: BTreeMap::new(), steps: 0, found: Vec::new() };
        let readable = comparison.reads(self.root, writer.root, &mut vec![]);
        let mut found = comparison.found;
        if comparison.steps > COMPARE_STEPS_MAX {
            found = vec![Incompatibility {
                kind: "TOO_COMPLEX",
                path: "/".into(),
                description: "the schemas are too large to be compared".into(),
            }];
        }
        debug_assert_eq!(readable, found.is_empty(), "a refusal has a reason");
        found
    }
}

struct Comparison<'a> {
    reader: &'a Avro,
    writer: &'a Avro,
    /// Pairs that were compared, or are being compared, with the result so far.
    seen: BTreeMap<(NodeId, NodeId), bool>,
    steps: usize,
    found: Vec<Incompatibility>,
}

impl Comparison<'_> {
    fn reads(&mut self, reader: NodeId, writer: NodeId, path: &mut Vec<String>) -> bool {
        if let Some(known) = self.seen.get(&(reader, writer)).copied() {
            if !known {
                self.differs("TYPE_MISMATCH", path, || "the same difference as before".into());
            }
            return known;
        }
        self.steps += 1;
        if self.steps > COMPARE_STEPS_MAX {
            return false;
        }
        self.seen.insert((reader, writer), true);
        let readable = self.compare(reader, writer, path);
        self.seen.insert((reader, writer), readable);
        readable
    }

    fn compare(&mut self, reader: NodeId, writer: NodeId, path: &mut Vec<String>) -> bool {
        let (reader_schema, writer_schema) = (self.reader, self.writer);
        match (reader_schema.node(reader), writer_schema.node(writer)) {
            (_, Node::Union(branches)) => {
                // Each branch is compared with the whole reader, union or not.
                let mut all = true;
                for branch in branches {
                    all &= self.reads(reader, *branch, path);
                }
                all
            }
            (Node::Union(branches), other) => {
                self.reads_in_union(branches, writer, other.type_name(), path)
            }
            (Node::Primitive(reader), Node::Primitive(writer)) => {
                widens(*writer, *reader) || {
                    let (reader, writer) = (reader.name(), writer.name());
                    self.mismatch(reader, writer, path)
                }
            }
            (Node::Array(reader), Node::Array(writer)) => {
                self.inside("items", path, |this, path| this.reads(*reader, *writer, path))
            }
            (Node::Map(reader), Node::Map(writer)) => {
                self.inside("values", path, |this, path| this.reads(*reader, *writer, path))
            }
            (
                Node::Fixed { named: reader, size: reader_size },
                Node::Fixed { named: writer, size: writer_size },
            ) => {
                self.names_match(reader, writer, path)
                    && (reader_size == writer_size
                        || self.differs("FIXED_SIZE_MISMATCH", path, || {
                            format!("expected: {writer_size}, found: {reader_size}")
                        }))
            }
            (
                Node::Enum { named: reader, symbols, default },
                Node::Enum { named: writer, symbols: written, .. },
            ) => {
                self.names_match(reader, writer, path)
                    && (default.is_some() || self.has_symbols(symbols, written, path))
            }
            (
                Node::Record { named: reader, fields },
                Node::Record { named: writer, fields: written },
            ) => self.names_match(reader, writer, path) && self.reads_fields(fields, written, path),
            (reader, writer) => {
                let (reader, writer) = (reader.type_name(), writer.type_name());
                self.mismatch(reader, writer, path)
            }
        }
    }

    fn reads_in_union(
        &mut self,
        branches: &[NodeId],
        writer: NodeId,
        type_name: &str,
        path: &mut Vec<String>,
    ) -> bool {
        // Why single branches do not fit is of no interest when one fits, nor when none does.
        let before = self.found.len();
        let one = branches.iter().any(|branch| self.reads(*branch, writer, path));
        self.found.truncate(before);
        one || self.differs("MISSING_UNION_BRANCH", path, || {
            format!("the new union lacks a branch that reads {type_name}")
        })
    }

    fn has_symbols(&mut self, own: &[String], written: &[String], path: &[String]) -> bool {
        let missing: Vec<_> = written.iter().filter(|symbol| !own.contains(symbol)).collect();
        missing.is_empty()
            || self.differs("MISSING_ENUM_SYMBOLS", path, || {
                format!("the reading enum lacks the symbols {missing:?} and has no default")
            })
    }

    fn reads_fields(&mut self, own: &[Field], written: &[Field], path: &mut Vec<String>) -> bool {
        let mut all = true;
        self.steps += written.len();
        let by_name: BTreeMap<&str, &Field> =
            written.iter().map(|field| (field.name.as_str(), field)).collect();
        for (index, field) in own.iter().enumerate() {
            let source = by_name
                .get(field.name.as_str())
                .or_else(|| field.aliases.iter().find_map(|alias| by_name.get(alias.as_str())));
            let step = format!("fields/{index}");
            all &= match source {
                Some(source) => self.inside(&step, path, |this, path| {
                    this.inside("type", path, |this, path| {
                        this.reads(field.node, source.node, path)
                    })
                }),
                None => {
                    field.default.is_some()
                        || self.inside(&step, path, |this, path| {
                            this.differs("READER_FIELD_MISSING_DEFAULT_VALUE", path, || {
                                format!(
                                    "the field {} has no default value and is missing in the \
                                     writing schema",
                                    field.name
                                )
                            })
                        })
                }
            };
        }
        all
    }

    fn names_match(&mut self, reader: &Named, writer: &Named, path: &[String]) -> bool {
        reader.short_name() == writer.short_name()
            || reader.aliases.contains(&writer.full_name)
            || self.differs("NAME_MISMATCH", path, || {
                format!("expected: {}, found: {}", writer.full_name, reader.full_name)
            })
    }

    fn mismatch(&mut self, reader: &str, writer: &str, path: &[String]) -> bool {
        self.differs("TYPE_MISMATCH", path, || {
            format!("reader type {reader} is not compatible with writer type {writer}")
        })
    }

    /// Notes a difference; always false, so that it can stand for the result.
    fn differs(
        &mut self,
        kind: &'static str,
        path: &[String],
        description: impl FnOnce() -> String,
    ) -> bool {
        if self.found.len() < DIFFERENCES_MAX {
            let path = format!("/{}", path.join("/"));
            self.found.push(Incompatibility { kind, path, description: description() });
        }
        false
    }

    fn inside(
        &mut self,
        step: &str,
        path: &mut Vec<String>,
        work: impl FnOnce(&mut Self, &mut Vec<String>) -> bool,
    ) -> bool {
        path.push(step.into());
        let result = work(self, path);
        path.pop();
        result
    }
}

fn widens(from: Primitive, to: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    from == to
        || matches!(
            (from, to),
            (Int, Long | Float | Double)
                | (Long, Float | Double)
                | (Float, Double)
                | (String, Bytes)
                | (Bytes, String)
        )
}
