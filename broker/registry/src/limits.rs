//! The limits of the registry, in one place, each with its reason.

/// The longest schema text. Quotes double when the text is put into the JSON of a record, and the
/// record must still fit the topic's default `max.message.bytes` of 1 MiB.
pub const SCHEMA_BYTES_MAX: usize = 448 * 1024;

/// How deep types may nest. Real schemas stay below 20; recursion over a schema uses the stack.
pub const SCHEMA_DEPTH_MAX: usize = 64;

/// How many types (named, array, map, union, primitive uses) one schema with all its references
/// may have.
pub const SCHEMA_NODES_MAX: usize = 65_536;

/// How many steps one comparison of two schemas may take before it is refused.
pub const COMPARE_STEPS_MAX: usize = 1_000_000;

/// How many differences one comparison reports.
pub const DIFFERENCES_MAX: usize = 32;

/// The longest subject name; it is a topic name with a suffix, or a record's full name.
pub const SUBJECT_BYTES_MAX: usize = 1024;

/// How many references one schema may name.
pub const REFERENCES_MAX: usize = 128;

/// How many schemas may be pulled in by following references of references.
pub const REFERENCES_RESOLVED_MAX: usize = 512;

/// How many versions the registry holds in all, deleted ones included, since all live in memory.
pub const VERSIONS_MAX: usize = 200_000;

/// How many bytes of distinct schema text the registry holds in memory.
pub const TEXT_BYTES_MAX: usize = 512 * 1024 * 1024;
