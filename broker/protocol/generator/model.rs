//! What a wire description says, after parsing: descriptions hold messages, messages hold
//! structs, structs hold fields. Version ranges are always closed and already clipped to the
//! versions of their description.

/// A closed range of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub first: i16,
    pub last: i16,
}

impl Versions {
    pub(super) fn contains(self, other: Versions) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

/// One `.wire` file.
#[derive(Debug)]
pub(super) struct Description {
    /// `Produce`, `OffsetCommitKey`: as the protocol writes it.
    pub name: String,
    pub kind: Kind,
    pub versions: Versions,
    /// The first version with compact lengths and tagged fields, when there is one.
    pub flexible_from: Option<i16>,
    pub messages: Vec<MessageBody>,
}

impl Description {
    /// The name of the Rust module: `OffsetFetch` becomes `offset_fetch`.
    pub(super) fn module(&self) -> String {
        let mut module = String::new();
        for c in self.name.chars() {
            if c.is_ascii_uppercase() && !module.is_empty() {
                module.push('_');
            }
            module.push(c.to_ascii_lowercase());
        }
        module
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request and its response, told apart by an API key.
    Api { key: i16 },
    /// One struct that is stored or passed through; metadata records carry a key.
    Data { key: Option<i16> },
}

impl Kind {
    /// APIs first, by key; data after them.
    pub(super) fn order(self) -> (u8, i16) {
        match self {
            Kind::Api { key } => (0, key),
            Kind::Data { key } => (1, key.unwrap_or(-1)),
        }
    }
}

/// A request, a response or the fields of a data record: the first struct is the top one.
#[derive(Debug)]
pub(super) struct MessageBody {
    pub(super) structs: Vec<Struct>,
}

#[derive(Debug)]
pub(super) struct Struct {
    pub name: String,
    /// Whether this is a request, response or record itself, not a part of one.
    pub top: bool,
    /// The versions in which the struct can appear at all.
    pub versions: Versions,
    pub fields: Vec<Field>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    pub kind: Type,
    pub versions: Versions,
    /// The versions in which the value may be null.
    pub nullable: Option<Versions>,
    pub default: Option<String>,
    /// The number of a tagged field; an untagged one has its place instead.
    pub tag: Option<u32>,
    /// Whether a value set in a version without this field is dropped silently.
    pub ignorable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    I8,
    I16,
    U16,
    I32,
    U32,
    I64,
    F64,
    Uuid,
    /// An `i16` that is an error code.
    Error,
    String,
    Bytes,
    /// Record batches in a request: bytes that are never looked into here.
    Records,
    /// Record batches in a response: bytes, or a stretch of a file known to the caller.
    RecordsRef,
    Array(Box<Type>),
    Struct(String),
}
