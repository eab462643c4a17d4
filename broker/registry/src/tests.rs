//! Runs the scripts of `tests/scripts`: a line that begins with `>` is a command, the lines after
//! it are what must come of it. Records to be appended are shown with a plus sign.
//!
//! After each script the records are replayed, once as they were written and once compacted; both
//! must lead to the same state. `UPDATE_SCRIPTS=1 cargo test` writes the answers down anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;

use crate::{
    Avro, Command, Deleted, Reference, Registry, Reply, Response, SchemaId, SchemaText,
    SchemaVersion, Version, VersionSelector,
};

#[derive(Default)]
struct World {
    registry: Registry,
    topic: Vec<(Bytes, Option<Bytes>)>,
}

impl World {
    fn run(&mut self, line: &str) -> String {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "canonical" => match Avro::parse(rest, &[], false) {
                Ok(avro) => format!("{}\n", avro.canonical()),
                Err(error) => format!("error: {error}\n"),
            },
            "reads" => reads(rest),
            "append" => {
                let (key, value) = rest.split_once(" = ").unwrap_or((rest, ""));
                let value = (!value.is_empty()).then(|| Bytes::from(value.to_owned()));
                self.append(Bytes::from(key.to_owned()), value)
            }
            _ => self.decide(command(verb, rest)),
        }
    }

    fn decide(&mut self, command: Command) -> String {
        let decision = self.registry.decide(command);
        let mut out = show(&decision.reply);
        for record in decision.records {
            let key = String::from_utf8_lossy(&record.key).into_owned();
            let value = match &record.value {
                Some(value) => String::from_utf8_lossy(value).into_owned(),
                None => "none".into(),
            };
            writeln!(out, "+ {key} = {value}").unwrap();
            out += &self.append(record.key, record.value);
        }
        out
    }

    fn append(&mut self, key: Bytes, value: Option<Bytes>) -> String {
        let result = self.registry.apply(&key, value.as_deref());
        self.topic.push((key, value));
        result.map_or_else(|error| format!("{error}\n"), |()| String::new())
    }

    fn check_replay(&self, script: &str) {
        let state = format!("{:?}", self.registry);
        let mut replayed = Registry::new();
        let mut compacted = Registry::new();
        let mut last = BTreeMap::new();
        for (offset, (key, _)) in self.topic.iter().enumerate() {
            last.insert(key, offset);
        }
        for (offset, (key, value)) in self.topic.iter().enumerate() {
            let _ = replayed.apply(key, value.as_deref());
            if last[key] == offset && value.is_some() {
                let _ = compacted.apply(key, value.as_deref());
            }
        }
        assert_eq!(state, format!("{replayed:?}"), "{script}: replayed");
        assert_eq!(state, format!("{compacted:?}"), "{script}: compacted and replayed");
    }
}

fn reads(rest: &str) -> String {
    let (reader, writer) = rest.split_once(" <- ").expect("reader <- writer");
    let reader = Avro::parse(reader, &[], false).expect("reader");
    let writer = Avro::parse(writer, &[], false).expect("writer");
    let differences = reader.differences(&writer);
    if differences.is_empty() {
        return "yes\n".into();
    }
    differences.iter().map(|difference| format!("no: {difference}\n")).collect()
}

fn command(verb: &str, rest: &str) -> Command {
    let mut words: Vec<&str> = Vec::new();
    let mut tail = rest;
    let mut options = BTreeMap::new();
    while !tail.is_empty() && !tail.starts_with(['{', '"', '[', '\'']) {
        let (word, after) = tail.split_once(' ').unwrap_or((tail, ""));
        tail = after;
        match word.split_once('=') {
            Some((key, value)) => {
                options.insert(key, value);
            }
            None => words.push(word),
        }
    }
    let word = |index: usize| words.get(index).copied().unwrap_or_default().to_owned();
    let subject = || word(0);
    let optional_subject = |index: usize| Some(word(index)).filter(|name| !name.is_empty());
    let version = || VersionSelector(word(1));
    let deleted = match options.get("deleted").copied() {
        Some("show") => Deleted::Show,
        Some("only") => Deleted::Only,
        _ => Deleted::Hide,
    };
    let permanent = options.contains_key("permanent");
    let default_to_global = options.contains_key("global");
    let normalize = options.contains_key("normalize");
    let schema = SchemaText {
        schema: tail.trim_matches('\'').into(),
        schema_type: options.get("type").map(|name| (*name).into()),
        references: references(options.get("refs").copied().unwrap_or_default()),
        id: options.get("id").and_then(|id| id.parse().ok()),
        version: options.get("version").and_then(|version| version.parse().ok()),
    };
    match verb {
        "subjects" => Command::Subjects { prefix: word(0), deleted },
        "versions" => Command::Versions { subject: subject(), deleted },
        "get" => Command::SchemaByVersion { subject: subject(), version: version(), deleted },
        "users" => Command::ReferencedBy { subject: subject(), version: version() },
        "id" => Command::SchemaById { id: SchemaId(word(0).parse().unwrap()) },
        "uses" => Command::VersionsById { id: SchemaId(word(0).parse().unwrap()), deleted },
        "register" => Command::Register { subject: subject(), schema, normalize },
        "lookup" => Command::Lookup { subject: subject(), schema, normalize, deleted },
        "delete" if words.len() == 1 => Command::DeleteSubject { subject: subject(), permanent },
        "delete" => Command::DeleteVersion { subject: subject(), version: version(), permanent },
        "level" => Command::GetCompatibility { subject: optional_subject(0), default_to_global },
        "set-level" => Command::SetCompatibility { level: word(0), subject: optional_subject(1) },
        "unset-level" => Command::DeleteCompatibility { subject: optional_subject(0) },
        "mode" => Command::GetMode { subject: optional_subject(0), default_to_global },
        "set-mode" => Command::SetMode { mode: word(0), subject: optional_subject(1) },
        "unset-mode" => Command::DeleteMode { subject: optional_subject(0) },
        "test" => {
            let version = optional_subject(1).map(VersionSelector);
            Command::TestCompatibility { subject: subject(), version, schema, normalize }
        }
        _ => panic!("the script has an unknown command: {verb}"),
    }
}

fn references(text: &str) -> Vec<Reference> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let fields: Vec<&str> = part.split(':').collect();
            Reference {
                name: fields[0].into(),
                subject: fields[1].into(),
                version: Version(fields[2].parse().unwrap()),
            }
        })
        .collect()
}

fn show(reply: &Reply) -> String {
    let schema = |schema: &SchemaVersion| {
        let references: Vec<&str> = schema.references.iter().map(|r| r.name.as_str()).collect();
        let SchemaVersion { subject, version, id, schema, schema_type, .. } = schema;
        format!("{subject} version {version} id {id} {schema_type} {references:?}\n{schema}")
    };
    let text = match reply {
        Err(error) => format!("error {} ({}): {error}", error.code(), error.http_status()),
        Ok(Response::Schema(found)) => schema(found),
        Ok(Response::SchemaById(found)) => format!("by id: {}", schema(found)),
        Ok(Response::Versions(list)) => format!("versions {:?}", numbers(list, |v| v.0)),
        Ok(Response::Ids(list)) => format!("ids {:?}", numbers(list, |id| id.0)),
        Ok(Response::Registered { id }) => format!("id {id}"),
        Ok(Response::VersionDeleted(version)) => format!("version {version}"),
        Ok(Response::Compatibility(level)) => format!("level {level}"),
        Ok(Response::CompatibilitySet(level)) => format!("level {level}"),
        Ok(Response::Mode(mode)) => format!("mode {}", mode.name()),
        Ok(Response::Subjects(names)) => format!("subjects {names:?}"),
        Ok(Response::SubjectVersions(list)) => {
            let uses: Vec<String> = list.iter().map(|(s, v)| format!("{s}/{v}")).collect();
            format!("uses {uses:?}")
        }
        Ok(Response::CompatibilityTested { is_compatible, messages }) => {
            let mut text = format!("compatible: {is_compatible}");
            messages.iter().for_each(|message| write!(text, "\n  {message}").unwrap());
            text
        }
    };
    text + "\n"
}

fn numbers<T>(list: &[T], number: fn(&T) -> i32) -> Vec<i32> {
    list.iter().map(number).collect()
}

fn check(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name);
    let script = fs::read_to_string(&path).expect("read the script");
    let mut world = World::default();
    let mut answered = String::new();
    let mut is_answer = false;
    for line in script.lines() {
        if let Some(line) = line.strip_prefix("> ") {
            write!(answered, "> {line}\n{}", world.run(line)).unwrap();
            is_answer = true;
        } else if line.is_empty() || line.starts_with('#') {
            is_answer = false;
            writeln!(answered, "{line}").unwrap();
        } else {
            assert!(is_answer, "{name}: an answer without a command: {line}");
        }
    }
    if std::env::var_os("UPDATE_SCRIPTS").is_some() {
        fs::write(&path, &answered).expect("write the script");
    }
    for (expected, actual) in script.lines().zip(answered.lines()) {
        assert_eq!(expected, actual, "{name}\n{answered}");
    }
    assert_eq!(script, answered, "{name}");
    world.check_replay(name);
}

#[test]
fn avro_schemas_are_read_and_written_canonically() {
    check("canonical");
}

#[test]
fn avro_resolution_follows_the_specification() {
    check("resolution");
}

#[test]
fn subjects_grow_by_versions() {
    check("register");
}

#[test]
fn deleting_is_soft_first() {
    check("delete");
}

#[test]
fn levels_decide_what_is_compatible() {
    check("levels");
}

#[test]
fn schemas_may_refer_to_others() {
    check("references");
}

#[test]
fn foreign_and_broken_records_do_no_harm() {
    check("records");
}

mod limits;
