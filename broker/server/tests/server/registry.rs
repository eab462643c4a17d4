//! The registry's HTTP interface as scripts in `scripts/`: a request, then status and body.
//!
//! `UPDATE_SCRIPTS=1 cargo test` writes the answers down anew.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use mainstem_server::Embedded;

use crate::web;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

fn check(name: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/server/scripts").join(name);
    let script = fs::read_to_string(&path).expect("read the script");
    let broker = Embedded::start().expect("start");
    let mut answered = String::new();
    for line in script.lines().filter(|line| line.starts_with("> ") || line.starts_with('#')) {
        let Some(request) = line.strip_prefix("> ") else {
            writeln!(answered, "{line}\n").expect("write to a text");
            continue;
        };
        let mut words = request.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let answer = web::call(&broker.registry_url(), word(), word(), word());
        assert_eq!(answer.content_type, CONTENT_TYPE, "{request}");
        let body = answer.body;
        writeln!(answered, "{line}\n{} {body}\n", answer.status).expect("write to a text");
    }
    if std::env::var_os("UPDATE_SCRIPTS").is_some() {
        fs::write(&path, &answered).expect("write the script");
    }
    for (expected, actual) in script.lines().zip(answered.lines()) {
        assert_eq!(expected, actual, "{name}");
    }
    assert_eq!(script.trim_end(), answered.trim_end(), "{name}");
}

#[test]
fn subjects_and_versions() {
    check("subjects");
}

#[test]
fn schemas_by_id() {
    check("ids");
}

#[test]
fn levels_modes_and_tests() {
    check("levels");
}

#[test]
fn what_is_no_request() {
    check("refused");
}

#[test]
fn content_types_and_sizes() {
    let broker = Embedded::start().expect("start");
    let url = broker.registry_url();
    let body = r#"{"schema":"\"int\""}"#;
    for (content_type, status) in
        [("text/plain", 415), ("application/json; charset=utf-8", 200), (CONTENT_TYPE, 200)]
    {
        let answer = web::call_as(&url, "POST", "/subjects/s/versions", content_type, body);
        assert_eq!(answer.status, status, "{content_type}: {}", answer.body);
    }
    let large = format!("{{\"schema\":\"{}\"}}", " ".repeat(3 * 1024 * 1024));
    let answer = web::call(&url, "POST", "/subjects/s/versions", &large);
    assert_eq!(answer.status, 413, "{}", answer.body);
}
