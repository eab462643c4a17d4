//! The binary as its users meet it: what it prints, what it says when something is wrong, how it exits.
//!
//! The broker is embedded in the test; the tool is the real process.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use mainstem_server::Embedded;
use serde_json::Value;

fn tool(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstem"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start the tool");
    let mut stdin = child.stdin.take().expect("its standard input");
    stdin.write_all(input.as_bytes()).expect("write to it");
    drop(stdin);
    child.wait_with_output().expect("wait for it")
}

fn good(arguments: &[&str], input: &str) -> String {
    let output = tool(arguments, input);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

fn json(arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&good(&arguments, "")).expect("one JSON document")
}

fn bad(arguments: &[&str]) -> String {
    let output = tool(arguments, "");
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn records_go_in_and_come_out_and_a_group_remembers() {
    let broker = Embedded::start().expect("a broker");
    let bootstrap = broker.bootstrap();
    let at = ["--bootstrap", bootstrap.as_str()];
    let with = |more: &[&'static str]| -> Vec<&str> { more.iter().copied().chain(at).collect() };
    good(&with(&["topic", "create", "letters", "--partitions", "2"]), "");
    let listed = json(&with(&["topic", "list"]));
    assert_eq!(listed[0]["topic"], "letters");
    assert_eq!(listed[0]["partitions"], 2);

    let text = good(&with(&["produce", "letters", "-K", ":", "-z", "zstd"]), "a:1\nb:2\na:3\n");
    assert_eq!(text, "3 records written\n");
    let read = good(&with(&["consume", "letters", "--exit", "--group", "readers"]), "");
    let mut lines: Vec<&str> = read.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a\t1", "a\t3", "b\t2"]);

    // The group continues where it stood: there is nothing left for it.
    let again = good(&with(&["consume", "letters", "--exit", "--group", "readers"]), "");
    assert_eq!(again, "");
    let group = json(&with(&["group", "describe", "readers"]));
    let lag = group["offsets"].as_array().expect("offsets").iter();
    assert_eq!(lag.map(|row| row["lag"].as_i64().unwrap_or(-1)).sum::<i64>(), 0);

    good(&with(&["topic", "delete", "letters"]), "");
    assert_eq!(json(&with(&["topic", "list"])), Value::Array(Vec::new()));
}

#[test]
fn topics_and_brokers_are_administered() {
    let broker = Embedded::start().expect("a broker");
    let bootstrap = broker.bootstrap();
    let at = ["--bootstrap", bootstrap.as_str()];
    let with = |more: &[&'static str]| -> Vec<&str> { more.iter().copied().chain(at).collect() };
    good(&with(&["topic", "create", "t"]), "");
    good(&with(&["topic", "partitions", "t", "3"]), "");
    assert_eq!(json(&with(&["topic", "list"]))[0]["partitions"], 3);
    let text = bad(&with(&["topic", "partitions", "t", "2"]));
    assert!(text.contains("would not be an increase"), "{text}");

    let change =
        ["topic", "config", "t", "--set", "retention.ms=5", "--append", "cleanup.policy=compact"];
    good(&with(&change), "");
    let row = |arguments: &[&'static str], name: &str| {
        let shown = json(&with(arguments));
        let rows = shown.as_array().expect("rows").iter();
        let row = rows.clone().find(|row| row["name"] == name).expect("it is set");
        (row["value"].clone(), row["source"].clone())
    };
    let topic = ["topic", "config", "t"];
    assert_eq!(row(&topic, "cleanup.policy"), ("delete,compact".into(), "topic".into()));
    good(&with(&["topic", "config", "t", "--delete", "retention.ms", "--dry-run"]), "");
    assert_eq!(row(&topic, "retention.ms"), ("5".into(), "topic".into()));
    let text = bad(&with(&["topic", "config", "t", "--set", "retention.hours=5"]));
    assert!(text.contains("Unknown topic config name: retention.hours"), "{text}");

    good(&with(&["config", "brokers", "--set", "num.partitions=4"]), "");
    let broker = ["config", "broker", "1"];
    assert_eq!(row(&broker, "num.partitions"), ("4".into(), "all brokers".into()));
    let text = bad(&with(&["config", "broker", "1", "--set", "node.id=4"]));
    assert!(text.contains("node.id"), "{text}");
}

#[test]
fn transactions_are_shown() {
    let broker = Embedded::start().expect("a broker");
    let bootstrap = broker.bootstrap();
    let at = ["--bootstrap", bootstrap.as_str()];
    let with = |more: &[&'static str]| -> Vec<&str> { more.iter().copied().chain(at).collect() };
    good(&with(&["topic", "create", "money", "--partitions", "1"]), "");
    good(&with(&["produce", "money", "--transactional-id", "till"]), "1\n2\n");
    let listed = json(&with(&["txn", "list", "--pattern", "t.*"]));
    assert_eq!(listed[0]["transactional_id"], "till");
    assert_eq!(json(&with(&["txn", "list", "--state", "Ongoing"])), Value::Array(Vec::new()));
    let described = json(&with(&["txn", "describe", "till"]));
    assert_eq!(described[0]["producer_id"], listed[0]["producer_id"]);
    let producers = json(&with(&["txn", "producers", "money", "0"]));
    assert_eq!(producers[0]["producer_id"], listed[0]["producer_id"]);
    assert_eq!(producers[0]["open_since_offset"], Value::Null);
    let text = bad(&with(&["txn", "abort", "money", "0", "--start-offset", "0"]));
    assert!(text.contains("no transaction is open since offset 0"), "{text}");
    let text = bad(&with(&["txn", "describe", "nobody"]));
    assert!(text.contains("TRANSACTIONAL_ID_NOT_FOUND"), "{text}");
}

#[test]
fn schemas_are_registered_checked_and_refused() {
    let broker = Embedded::start().expect("a broker");
    let url = broker.registry_url();
    let at = ["--registry", url.as_str()];
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("write a schema");
        path.display().to_string()
    };
    let first = file("a", r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#);
    let wrong =
        file("b", r#"{"type":"record","name":"R","fields":[{"name":"b","type":"string"}]}"#);
    let with = |more: &[&str]| -> Vec<String> {
        more.iter().chain(at.iter()).map(|text| (*text).to_owned()).collect()
    };
    let call = |more: &[&str]| {
        let arguments = with(more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        tool(&arguments, "")
    };
    assert!(call(&["schema", "register", "r-value", &first]).status.success());
    assert!(call(&["schema", "check", "r-value", &first]).status.success());
    let refused = call(&["schema", "register", "r-value", &wrong]);
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("409"), "{text}");
}

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    let broker = Embedded::start().expect("a broker");
    let bootstrap = broker.bootstrap();
    let text = bad(&["topic", "delete", "nothing", "--bootstrap", &bootstrap]);
    assert!(text.starts_with("error: nothing:"), "{text}");
    let text = bad(&["topic", "create", "x", "--config", "retention", "--bootstrap", &bootstrap]);
    assert!(text.contains("expected NAME=VALUE"), "{text}");
}

#[test]
fn all_problems_of_a_configuration_are_named_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mainstem.toml");
    std::fs::write(&path, "\"num.partitions\" = \"many\"\nflush = \"sometimes\"\n").expect("write");
    let path = path.display().to_string();
    let data = folder.path().join("data").display().to_string();
    let text = bad(&["serve", "--config", &path, "--data-dir", &data]);
    assert!(text.contains("num.partitions"), "{text}");
    assert!(text.contains("flush"), "{text}");
}

/// Every measurement ends with figures that have a share, and leaves no topic behind. How high they
/// are is not asserted.
#[test]
fn a_broker_is_measured_as_a_share_of_its_machine() {
    let broker = Embedded::start().expect("a broker");
    let (bootstrap, pid) = (broker.bootstrap(), std::process::id().to_string());
    let short = ["--seconds", "1", "--warm-up", "0", "--pid", pid.as_str()];
    let small = ["--ceiling-mib", "16", "--bootstrap", bootstrap.as_str()];
    let measure = |command: &[&str]| {
        let line: Vec<&str> = ["bench"].iter().chain(command).chain(&small).copied().collect();
        json(&line)
    };
    let timed = |command: &[&'static str]| {
        measure(&command.iter().copied().chain(short).collect::<Vec<&str>>())
    };
    for driver in ["wire", "client"] {
        let produced = timed(&["produce", "--compression", "lz4", "--driver", driver]);
        assert_eq!(produced["settings"]["flush"], "os");
        assert_eq!(produced["settings"]["compression"], "lz4");
        assert!(produced["figures"]["throughput"]["share"].as_f64().is_some_and(|s| 0.0 < s));
        assert_eq!(produced["figures"]["broker_CPU"]["of"], "relay_CPU");
        let fetched = timed(&["fetch", "--data-mib", "4", "--driver", driver]);
        assert_eq!(fetched["figures"]["throughput"]["of"], "sendfile");
        let answered = timed(&["latency", "--rate", "2000", "--driver", driver]);
        assert_eq!(answered["figures"]["p99_9"]["of"], "round_trip");
    }
    let group = measure(&["groups", "--members", "2", "--partitions", "5"]);
    assert!(group["figures"]["one_leaves"]["value"].as_f64().is_some_and(|time| 0.0 < time));
    let many =
        ["connections", "--idle", "10", "--active", "4", "--partitions", "3", "--rate", "200"];
    let held = timed(&many);
    assert_eq!(held["settings"]["active_partitions"], 2);
    assert_eq!(held["figures"]["delivery_p99"]["of"], "round_trip");
    assert_eq!(json(&["topic", "list", "--bootstrap", &bootstrap]), Value::Array(Vec::new()));
}
