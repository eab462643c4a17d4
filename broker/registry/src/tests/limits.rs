//! Schemas that try to be too much, and the comparison with another Avro implementation.

use crate::limits::{SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX};
use crate::{Avro, Command, Registry, SchemaText};

fn parse(text: &str) -> Result<Avro, String> {
    Avro::parse(text, &[], false).map_err(|error| error.to_string())
}

fn nested_arrays(depth: usize) -> String {
    format!("{}\"int\"{}", "{\"type\":\"array\",\"items\":".repeat(depth), "}".repeat(depth))
}

#[test]
fn depth_is_bounded() {
    assert!(parse(&nested_arrays(SCHEMA_DEPTH_MAX)).is_ok());
    let error = parse(&nested_arrays(SCHEMA_DEPTH_MAX + 1)).unwrap_err();
    assert!(error.contains("deeper"), "{error}");
    // Far beyond, the JSON reader refuses before its stack could end.
    let error = parse(&nested_arrays(100_000)).unwrap_err();
    assert!(error.contains("bytes") || error.contains("recursion"), "{error}");
    let error = parse(&nested_arrays(10_000)).unwrap_err();
    assert!(error.contains("recursion"), "{error}");
}

#[test]
fn size_is_bounded() {
    let doc = "x".repeat(SCHEMA_BYTES_MAX);
    let text = format!("{{\"type\":\"fixed\",\"name\":\"f\",\"size\":1,\"doc\":\"{doc}\"}}");
    assert!(parse(&text).unwrap_err().contains("bytes"));
    let names = (0..SCHEMA_NODES_MAX).map(|n| format!("{{\"type\":\"int\",\"n\":{n}}}"));
    let text = format!("[{}]", names.collect::<Vec<_>>().join(","));
    assert!(parse(&text).is_err());
}

/// Records that use each other in both fields would be compared 2^n times without a memory.
#[test]
fn a_comparison_looks_at_each_pair_once() {
    let mut fields = String::from("{\"name\":\"a\",\"type\":\"int\"}");
    for level in 0..30 {
        fields = format!(
            "{{\"name\":\"a\",\"type\":{{\"type\":\"record\",\"name\":\"R{level}\",\"fields\":[{fields}]}}}},\
             {{\"name\":\"b\",\"type\":\"R{level}\"}}"
        );
    }
    let text = format!("{{\"type\":\"record\",\"name\":\"R\",\"fields\":[{fields}]}}");
    let schema = parse(&text).unwrap();
    assert_eq!(schema.differences(&schema), []);
}

#[test]
fn a_record_that_is_too_large_for_the_topic_cannot_arise() {
    // Quotes are the worst case: each takes two bytes in the record.
    let symbols: Vec<String> =
        (0..(SCHEMA_BYTES_MAX / 9 - 10)).map(|n| format!("\"s{n:05}\"")).collect();
    let text = format!("{{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[{}]}}", symbols.join(","));
    let schema = SchemaText { schema: text, ..SchemaText::default() };
    let command = Command::Register { subject: "s".into(), schema, normalize: false };
    let decision = Registry::new().decide(command);
    decision.reply.unwrap();
    let value = decision.records[0].value.as_ref().unwrap();
    assert!(value.len() < 1_000_000, "{}", value.len());
}

/// Splitmix64: the seed is printed by a failing assertion.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn schema(&mut self, depth: u64, names: &mut u64) -> String {
        const PRIMITIVES: [&str; 8] =
            ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
        let kinds = if depth == 0 { 8 } else { 13 };
        match self.below(kinds) {
            n @ 0..8 => format!("\"{}\"", PRIMITIVES[n as usize]),
            8 => format!("{{\"type\":\"array\",\"items\":{}}}", self.schema(depth - 1, names)),
            9 => format!("{{\"type\":\"map\",\"values\":{}}}", self.schema(depth - 1, names)),
            10 => {
                let symbols = ["\"A\"", "\"B\"", "\"C\""];
                let count = 1 + self.below(3) as usize;
                let name = self.name(names);
                let symbols = symbols[..count].join(",");
                format!("{{\"type\":\"enum\",\"name\":\"{name}\",\"symbols\":[{symbols}]}}")
            }
            11 => {
                let name = self.name(names);
                let mut fields = Vec::new();
                for field in 0..3 {
                    if self.below(3) > 0 {
                        let inner = self.schema(depth - 1, names);
                        fields.push(format!("{{\"name\":\"f{field}\",\"type\":{inner}}}"));
                    }
                }
                let fields = fields.join(",");
                format!("{{\"type\":\"record\",\"name\":\"{name}\",\"fields\":[{fields}]}}")
            }
            _ => {
                let first = self.schema(0, names);
                let second = self.schema(0, names);
                if first == second { first } else { format!("[{first},{second}]") }
            }
        }
    }

    /// Names repeat between two schemas and never within one.
    fn name(&mut self, names: &mut u64) -> String {
        *names += 1;
        format!("N{names}")
    }
}

/// The other implementation is stricter in places (enum defaults, aliases, logical types, a union
/// read by a single type), and accepts nothing that we refuse: what it reads, we read.
#[test]
fn what_another_implementation_reads_we_read_too() {
    let mut readable = 0;
    for seed in 0..4_000 {
        let mut random = Random(seed);
        let reader = random.schema(3, &mut 0);
        // A third of the pairs is a schema with itself.
        let writer = if seed % 3 == 0 { reader.clone() } else { random.schema(3, &mut 0) };
        let (Ok(their_reader), Ok(their_writer)) =
            (apache_avro::Schema::parse_str(&reader), apache_avro::Schema::parse_str(&writer))
        else {
            panic!("seed {seed}: the generator made what the other cannot read: {reader} {writer}");
        };
        let ours = parse(&reader).unwrap().differences(&parse(&writer).unwrap());
        let theirs = apache_avro::schema_compatibility::SchemaCompatibility::can_read(
            &their_writer,
            &their_reader,
        );
        if theirs.is_ok() {
            readable += 1;
            assert_eq!(ours, [], "seed {seed}: {reader} <- {writer}");
        }
    }
    assert!(readable > 1_000, "{readable} readable pairs are too few to mean anything");
}
